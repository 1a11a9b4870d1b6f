package judge

import (
	"bufio"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"accountant/internal/client"
	"accountant/internal/talk"
)

const (
	burst      = 2 // Messages that are under way together, so that two can change places.
	burstEvery = 100 * time.Millisecond
	nearby     = 16 // How far a message may be from its place to be told from one that was changed.
	comeBack   = 100 * time.Millisecond
)

func lower(text string) string { return strings.ToLower(text) }

// hold keeps one tunnel or event stream open until the load ends, and opens another where it breaks.
func (l *load) hold(kind string) {
	defer l.active.Done()
	end := make(chan time.Time)
	go func() { <-l.ending; close(end) }()
	var last *int64
	for {
		if kind == "events" || kind == "ticker" {
			last = l.events(kind, end, last)
		} else {
			l.tunnel(kind, end)
		}
		select {
		case <-end:
			return
		case <-time.After(comeBack):
		}
	}
}

// open sends the head of a tunnel or stream on a connection of its own.
func (l *load) open(request *client.Request, entry *Entry, wanted int) (*client.Conn, *client.Answer, *client.Fault) {
	conn, fault := l.client.Take(true)
	if fault != nil {
		return nil, nil, fault
	}
	conn.SetDeadline(time.Now().Add(l.options.Timeout))
	request.Method, request.Headers = "GET", append(request.Headers, headersOf(entry.Number)...)
	conn.Send(request)
	answer, fault := l.head(conn, "GET", entry)
	if fault == nil && answer.Status != wanted {
		fault = client.Wrong(client.Status, "%d instead of %d", answer.Status, wanted)
	}
	if fault == nil {
		fault = l.missing(answer)
	}
	return conn, answer, fault
}

// leave writes down a tunnel or stream that has ended.
func (l *load) leave(entry *Entry, conn *client.Conn, fault *client.Fault) {
	if conn != nil {
		entry.Written, entry.Answered = conn.Written, conn.Answered
		conn.Close()
	}
	if fault != nil && entry.isHandshake {
		if fault.OfConnection() {
			fault.Reason = client.Broken
			atomic.AddInt64(&l.tunnelsBroken, 1)
		}
		if fault.Reason == client.Gap {
			atomic.AddInt64(&l.gaps, 1)
		}
	}
	l.enter(entry, fault)
}

// opened notes that the head is here and right: from now on the other side's end is a break.
func (e *Entry) opened(start time.Time) {
	e.isHandshake = true
	e.LatencyMs = inMs(time.Since(start))
	e.AddedMs = e.LatencyMs
}

// waited notes the longest wait for a message.
func (e *Entry) waited(span time.Duration) {
	if ms := inMs(span); ms > e.AddedMs {
		e.AddedMs = ms
	}
}

func (l *load) tunnel(kind string, end <-chan time.Time) {
	entry, start := l.begin(kind)
	var raw [16]byte
	rand.Read(raw[:])
	key := base64.StdEncoding.EncodeToString(raw[:])
	headers := []string{"Connection: Upgrade", "Upgrade: " + kind}
	if kind == "websocket" {
		headers = append(headers, "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: "+key)
	}
	conn, answer, fault := l.open(&client.Request{Path: "/tunnel/" + entry.Number, Headers: headers}, entry, 101)
	if fault == nil {
		if fault = belongs(answer, entry.Number); fault == nil && kind == "websocket" &&
			answer.Header["sec-websocket-accept"] != talk.AcceptKey(key) {
			fault = client.Wrong(client.Header, "Sec-WebSocket-Accept: %q", answer.Header["sec-websocket-accept"])
		}
	}
	if fault == nil {
		entry.opened(start)
		fault = l.talk(conn, entry, end)
	}
	l.leave(entry, conn, fault)
}

// speech is a tunnel in use: one goroutine says, the other listens.
type speech struct {
	mutex sync.Mutex
	said  []time.Time
	over  bool // Nothing more is said.
	wire  talk.Wire
}

// locked lets pongs and messages be written by two goroutines.
type locked struct {
	conn  *client.Conn
	mutex sync.Mutex
}

func (l *locked) Write(data []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.conn.Write(data)
}

func (l *load) talk(conn *client.Conn, entry *Entry, end <-chan time.Time) *client.Fault {
	s := &speech{wire: talk.Wire{R: conn.R, W: &locked{conn: conn}, WebSocket: entry.Kind == "websocket", Mask: mask}}
	conn.SetDeadline(time.Time{})
	quiet := make(chan struct{})
	said := make(chan struct{})
	go func() {
		defer close(said)
		s.say(entry.Number, end, quiet)
	}()
	fault := l.listen(conn, entry, s)
	close(quiet)
	<-said
	if fault == nil {
		s.wire.SayGoodbye()
	}
	return fault
}

func mask() []byte {
	return binary.BigEndian.AppendUint32(nil, rand.Uint32())
}

// say sends bursts until the end, and then a last one: when its echo is right, none before it is missing.
func (s *speech) say(tunnel string, end <-chan time.Time, quiet <-chan struct{}) {
	beat := time.NewTicker(burstEvery)
	defer beat.Stop()
	for isLast := false; s.sayBurst(tunnel, isLast) && !isLast; {
		select {
		case <-beat.C:
		case <-end:
			isLast = true
		case <-quiet:
			return
		}
	}
}

func (s *speech) sayBurst(tunnel string, isLast bool) bool {
	for part := 0; part < burst; part++ {
		s.mutex.Lock()
		n := len(s.said)
		s.said = append(s.said, time.Now())
		s.over = isLast && part == burst-1
		s.mutex.Unlock()
		if s.wire.Write(talk.Said(tunnel, n)) != nil {
			return false // The listener finds out why.
		}
	}
	return true
}

// listen reads until all that was said has been echoed, in order.
func (l *load) listen(conn *client.Conn, entry *Entry, s *speech) *client.Fault {
	for m := 0; ; m++ {
		conn.SetReadDeadline(time.Now().Add(l.options.Timeout))
		got, err := s.wire.Read()
		if err != nil {
			return brokenTunnel(conn, err, m)
		}
		if want := talk.Echoed(m, talk.Said(entry.Number, m)); got != want {
			return misplaced(entry.Number, m, got)
		}
		s.mutex.Lock()
		took, isLast := time.Since(s.said[m]), s.over && m == len(s.said)-1
		s.mutex.Unlock()
		l.books.message(entry.Kind, took)
		entry.waited(took)
		if isLast {
			return nil
		}
	}
}

func brokenTunnel(conn *client.Conn, err error, m int) *client.Fault {
	if errors.Is(err, talk.ErrClosed) {
		return client.Wrong(client.Broken, "after %d messages: %v", m, err)
	}
	fault := conn.Broke(err)
	fault.Detail = fmt.Sprintf("after %d messages: %s", m, fault.Detail)
	return fault
}

// misplaced tells what is missing, twice or out of order from what was changed.
func misplaced(tunnel string, m int, got string) *client.Fault {
	for near := m - nearby; near <= m+nearby; near++ {
		if near < 0 {
			continue
		}
		said := talk.Said(tunnel, near)
		if near != m && got == talk.Echoed(near, said) {
			return client.Wrong(client.Gap, "message %d from the service in place of %d", near, m)
		}
		if got == talk.Echoed(m, said) {
			return client.Wrong(client.Gap, "the service read message %d in place of %d", near, m)
		}
	}
	return client.Wrong(client.Message, "message %d is %.60q", m, got)
}

// events reads a stream until the end; the number of the last event, where another stream goes on.
func (l *load) events(kind string, end <-chan time.Time, last *int64) *int64 {
	entry, start := l.begin(kind)
	request := client.Request{Path: l.target.eventsPath(entry.Number), Headers: []string{"Accept: text/event-stream"}}
	if last != nil {
		request.Headers = append(request.Headers, fmt.Sprintf("Last-Event-ID: %d", *last))
	}
	conn, answer, fault := l.open(&request, entry, 200)
	if fault == nil {
		entry.opened(start)
		last, fault = l.follow(conn, answer, entry, reading{end, last})
	}
	l.leave(entry, conn, fault)
	return last
}

type reading struct {
	end  <-chan time.Time
	last *int64
}

func (l *load) follow(conn *client.Conn, answer *client.Answer, entry *Entry, from reading) (*int64, *client.Fault) {
	var over int32
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-from.end:
			atomic.StoreInt32(&over, 1)
			conn.SetReadDeadline(time.Now()) // Wakes the reader.
		case <-done:
		}
	}()
	last := from.last
	lines := bufio.NewReader(answer.Body)
	isFirst := true
	for {
		conn.SetReadDeadline(time.Now().Add(l.options.Timeout + l.target.every()))
		if atomic.LoadInt32(&over) == 1 {
			return last, nil
		}
		tick, data, err := nextEvent(lines)
		switch {
		case err != nil && atomic.LoadInt32(&over) == 1:
			return last, nil
		case err != nil:
			return last, endOfStream(conn, err)
		case last != nil && tick != *last+1:
			return &tick, client.Wrong(client.Gap, "event %d after %d", tick, *last)
		}
		if fault := l.target.checkEvent(tick, data); fault != nil {
			return &tick, fault
		}
		if !isFirst || from.last != nil {
			took := time.Since(time.Unix(0, tick*int64(l.target.every())))
			l.books.message(entry.Kind, took)
			entry.waited(took)
		}
		isFirst, last = false, &tick
	}
}

// endOfStream: an event stream has no end, also where its last chunk says so.
func endOfStream(conn *client.Conn, err error) *client.Fault {
	var numbers *strconv.NumError
	if errors.As(err, &numbers) {
		return client.Wrong(client.Malformed, "%v", err)
	}
	fault := conn.Broke(err)
	if fault.OfConnection() {
		fault.Reason = client.Broken
	}
	return fault
}

// nextEvent reads the lines of one event that has an id.
func nextEvent(lines *bufio.Reader) (id int64, data string, err error) {
	hasID := false
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return 0, "", err
		}
		line = strings.TrimRight(line, "\r\n")
		name, value, _ := strings.Cut(line, ": ")
		switch {
		case line == "" && hasID:
			return id, data, nil
		case name == "id":
			if id, err = strconv.ParseInt(value, 10, 64); err != nil {
				return 0, "", err
			}
			hasID = true
		case name == "data":
			data = value
		}
	}
}
