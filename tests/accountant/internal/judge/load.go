package judge

import (
	"crypto/md5"
	"crypto/rand"
	"fmt"
	mathrand "math/rand"
	"sync"
	"sync/atomic"
	"time"

	"accountant/internal/client"
	"accountant/internal/talk"
)

// lateStart is when a start counts as late: the machine, not the target, was too slow.
const lateStart = 20 * time.Millisecond

// load is one run.
type load struct {
	options *Options
	books   *Books
	client  *client.Client
	target  catalogue
	run     string // Begins every number, so that what earlier runs left in a record does not count.
	began   time.Time
	numbers int64
	active  sync.WaitGroup
	ending  chan struct{}

	lateCount, lateMaxUs, gaps, tunnelsBroken int64
}

func newLoad(options *Options) *load {
	var run [4]byte
	rand.Read(run[:])
	l := &load{options: options, books: newBooks(), client: &client.Client{Address: options.Target},
		run: fmt.Sprintf("%x", run), ending: make(chan struct{}), target: echoTarget{options}}
	if options.Kind == "shop" {
		l.target = &shopTarget{}
	}
	return l
}

func (l *load) name() string { return fmt.Sprintf("%s-%07d", l.run, atomic.AddInt64(&l.numbers, 1)) }

// SentID is the X-Request-Id that goes out with a number.
func SentID(number string) string { return fmt.Sprintf("%x", md5.Sum([]byte(number))) }

func headersOf(number string) []string {
	return []string{talk.Number + ": " + number, "X-Request-Id: " + SentID(number)}
}

// choice is drawn for each request before its time comes, so that a seed gives the same load whatever the answers.
type choice struct {
	kind    string
	wantNew bool
	close   bool
	seed    int64
}

type chooser struct {
	chance *mathrand.Rand
	kinds  []string
	upTo   []int // Sums of weights.
	share  float64
}

func newChooser(options *Options) *chooser {
	c := &chooser{chance: mathrand.New(mathrand.NewSource(options.Seed)), share: options.NewShare}
	sum := 0
	for _, kind := range keys(options.Mix) {
		sum += options.Mix[kind]
		c.kinds, c.upTo = append(c.kinds, kind), append(c.upTo, sum)
	}
	return c
}

func (c *chooser) next() choice {
	drawn := c.chance.Intn(c.upTo[len(c.upTo)-1])
	kind := 0
	for c.upTo[kind] <= drawn {
		kind++
	}
	picked := choice{kind: c.kinds[kind], wantNew: c.chance.Float64() < c.share, seed: c.chance.Int63()}
	picked.close = picked.wantNew && picked.seed%2 == 0
	return picked
}

// offer starts requests when their time has come, whatever became of the earlier ones.
func (l *load) offer() {
	chooser := newChooser(l.options)
	gap := time.Duration(float64(time.Second) / l.options.Rate)
	for number := 0; ; number++ {
		jitter := time.Duration(chooser.chance.Int63n(int64(gap) + 1))
		due := l.began.Add(time.Duration(number)*gap + jitter)
		if l.options.Until == nil && due.Sub(l.began) >= l.options.Duration {
			return
		}
		if !l.waitUntil(due) {
			return
		}
		picked := chooser.next()
		l.active.Add(1)
		go func() {
			defer l.active.Done()
			l.noteStart(due)
			l.perform(picked)
		}()
	}
}

func (l *load) waitUntil(due time.Time) bool {
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.options.Until: // Nil: never.
		return false
	}
}

func (l *load) noteStart(due time.Time) {
	late := time.Since(due)
	if late > lateStart {
		atomic.AddInt64(&l.lateCount, 1)
	}
	for {
		most := atomic.LoadInt64(&l.lateMaxUs)
		if late.Microseconds() <= most || atomic.CompareAndSwapInt64(&l.lateMaxUs, most, late.Microseconds()) {
			return
		}
	}
}

func (l *load) perform(picked choice) {
	switch picked.kind {
	case "websocket", "lines":
		l.tunnel(picked.kind, time.After(time.Second))
	case "events", "ticker":
		l.events(picked.kind, time.After(3*l.target.every()), nil)
	default:
		l.exchange(picked)
	}
}

// begin makes the entry of a request that starts now.
func (l *load) begin(kind string) (*Entry, time.Time) {
	now := time.Now()
	number := l.name()
	return &Entry{Number: number, Kind: kind, RequestID: SentID(number), AtS: now.Sub(l.began).Seconds()}, now
}

func (l *load) exchange(picked choice) {
	entry, start := l.begin(picked.kind)
	x := l.target.exchange(picked.kind, entry.Number, mathrand.New(mathrand.NewSource(picked.seed)))
	entry.isPost = x.isPost
	x.request.Headers = append(x.request.Headers, headersOf(entry.Number)...)
	if picked.close {
		x.request.Headers = append(x.request.Headers, "Connection: close")
	}
	conn, fault := l.client.Take(picked.wantNew)
	if fault == nil {
		conn.SetDeadline(start.Add(l.options.Timeout + x.asks))
		var keep bool
		keep, fault = l.converse(conn, &x, entry)
		if fault == nil && keep && !picked.close {
			l.client.Give(conn)
		} else {
			conn.Close()
		}
	}
	took := time.Since(start)
	entry.LatencyMs, entry.AddedMs = inMs(took), inMs(took-x.asks)
	l.enter(entry, fault)
}

// enter judges the entry and writes it down.
func (l *load) enter(entry *Entry, fault *client.Fault) {
	if limit := inMs(l.options.AddedMax); fault == nil && entry.AddedMs > limit {
		fault = client.Wrong(client.Late, "an added wait of %.0f ms, above %.0f", entry.AddedMs, limit)
	}
	entry.EndedS = time.Since(l.began).Seconds()
	entry.judged(fault)
	l.books.add(entry)
}

func (l *load) converse(conn *client.Conn, x *exchange, entry *Entry) (keep bool, fault *client.Fault) {
	defer func() { entry.Written, entry.Answered, entry.Reused = conn.Written, conn.Answered, conn.Reused }()
	sendError := conn.Send(&x.request)
	answer, fault := l.head(conn, x.request.Method, entry)
	if fault != nil {
		return false, fault
	}
	body, fault := conn.ReadBody(answer)
	if fault == nil {
		fault = x.check(answer, body)
	}
	if fault != nil {
		return false, fault
	}
	if fault = l.missing(answer); fault == nil && x.whenRight != nil {
		x.whenRight(body)
	}
	return answer.Keep && sendError == nil, fault
}

func (l *load) head(conn *client.Conn, method string, entry *Entry) (*client.Answer, *client.Fault) {
	answer, fault := conn.ReadHead(method)
	if answer != nil {
		entry.Status = answer.Status
		if id := answer.Header["x-request-id"]; id != "" {
			entry.RequestID = id
		}
	}
	return answer, fault
}

func (l *load) missing(answer *client.Answer) *client.Fault {
	for _, name := range l.options.ExpectHeaders {
		if answer.Header[lower(name)] == "" {
			return client.Wrong(client.Header, "%s is missing", name)
		}
	}
	return nil
}
