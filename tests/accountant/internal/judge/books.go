package judge

import (
	"sort"
	"sync"
	"time"

	"accountant/internal/client"
)

// Verdict is what became of a request.
type Verdict string

const (
	OK     Verdict = "ok"
	Failed Verdict = "failed"
	// Broken: in flight (a byte of it was written) on a connection that failed, and not to be sent again: a POST,
	// an answer already begun, a tunnel. Or a POST answered 502 or 504.
	Broken Verdict = "broken-unsafe"
)

// Entry is one request in the books.
type Entry struct {
	Number    string  `json:"number"` // Ours; the header X-Accountant, the id of a POST.
	Kind      string  `json:"kind"`
	Verdict   Verdict `json:"verdict"`
	Reason    string  `json:"reason"`
	Detail    string  `json:"detail"`
	RequestID string  `json:"request_id"` // Of the answer; without one the id that was sent.
	AtS       float64 `json:"at_s"`       // Since the load began.
	EndedS    float64 `json:"ended_s"`
	LatencyMs float64 `json:"latency_ms"` // Of a tunnel or stream: until its head was there.
	AddedMs   float64 `json:"added_ms"`   // Beyond what the request itself takes.
	Status    int     `json:"status"`
	Written   int64   `json:"written"`  // Bytes of the request: more than 0 is in flight.
	Answered  int64   `json:"answered"` // Bytes of the answer.
	Reused    bool    `json:"reused"`   // Its connection had served another before.

	isPost      bool
	isHandshake bool // A tunnel or stream: its latency is that of its head.
}

// judged gives the verdict on an entry whose connection did as it did.
func (e *Entry) judged(fault *client.Fault) {
	if fault == nil {
		e.Verdict = OK
		return
	}
	e.Verdict, e.Reason, e.Detail = Failed, string(fault.Reason), fault.Detail
	inFlight := fault.OfConnection() && e.Written > 0 && (e.isPost || e.Answered > 0)
	maybeDone := fault.Reason == client.Status && e.isPost && (e.Status == 502 || e.Status == 504)
	if inFlight || maybeDone {
		e.Verdict = Broken
	}
}

// Books are written by many goroutines. What is right is only counted; POSTs are kept until arrivals are known.
type Books struct {
	mutex   sync.Mutex
	kinds   map[string]*tally
	posts   map[string]*Entry
	faults  []*Entry
	conns   [2]int // New, used again.
	longest Entry  // Added wait of one that succeeded.
}

type tally struct {
	sent, ok, failed, broken, messages int
	latencies                          []float32 // Ms, of those that succeeded.
	added                              float64
	messageMax                         float64
}

func newBooks() *Books {
	return &Books{kinds: map[string]*tally{}, posts: map[string]*Entry{}}
}

func (b *Books) of(kind string) *tally {
	if b.kinds[kind] == nil {
		b.kinds[kind] = &tally{}
	}
	return b.kinds[kind]
}

func (b *Books) add(entry *Entry) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	reused := 0
	if entry.Reused {
		reused = 1
	}
	b.conns[reused]++
	if entry.isPost {
		b.posts[entry.Number] = entry
		return
	}
	b.settle(entry)
}

// settle counts an entry whose verdict stands.
func (b *Books) settle(entry *Entry) {
	kind := b.of(entry.Kind)
	kind.sent++
	switch entry.Verdict {
	case OK:
		kind.ok++
		kind.latencies = append(kind.latencies, float32(entry.LatencyMs))
	case Failed:
		kind.failed++
		b.faults = append(b.faults, entry)
	case Broken:
		kind.broken++
		b.faults = append(b.faults, entry)
	}
	if entry.Verdict == OK || entry.Reason == string(client.Late) {
		if entry.AddedMs > kind.added {
			kind.added = entry.AddedMs
		}
		if entry.AddedMs > b.longest.AddedMs {
			b.longest = *entry
		}
	}
}

func (b *Books) message(kind string, took time.Duration) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	tally := b.of(kind)
	tally.messages++
	if ms := inMs(took); ms > tally.messageMax {
		tally.messageMax = ms
	}
}

// closePosts settles every POST by what arrived: counts by name of source, then by id.
func (b *Books) closePosts(arrived map[string]map[string]int) (lost, doubled int) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	for _, id := range keys(b.posts) {
		entry := b.posts[id]
		for _, source := range keys(arrived) {
			switch count := arrived[source][id]; {
			case count > 1:
				entry.judgedByArrivals(client.Wrong(client.Doubled, "arrived %d times at %s", count, source))
			case count == 0 && entry.Status >= 200 && entry.Status < 400:
				entry.judgedByArrivals(client.Wrong(client.Lost, "answered %d, never arrived at %s", entry.Status, source))
			}
		}
		switch client.Reason(entry.Reason) {
		case client.Doubled:
			doubled++
		case client.Lost:
			lost++
		}
		b.settle(entry)
	}
	b.posts = map[string]*Entry{}
	sort.Slice(b.faults, func(i, j int) bool { return b.faults[i].AtS < b.faults[j].AtS })
	return lost, doubled
}

// judgedByArrivals: that something arrived twice or never is worse than what the client saw.
func (e *Entry) judgedByArrivals(fault *client.Fault) {
	if e.Verdict != OK {
		fault.Detail += "; the client saw " + e.Reason + ": " + e.Detail
	}
	e.Verdict, e.Reason, e.Detail = Failed, string(fault.Reason), fault.Detail
}

func inMs(span time.Duration) float64 { return float64(span.Microseconds()) / 1000 }
