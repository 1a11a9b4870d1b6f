package liar

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"accountant/internal/talk"
)

// Liar passes requests on to one service.
type Liar struct {
	upstream  string
	delay     time.Duration
	transport *http.Transport
	places    map[string]map[int]Lie

	mutex   sync.Mutex
	counts  map[string]int
	planted map[string]Lie // By number of request.
	waiting map[string]*swap
}

// swap is where the answer to one request waits for that to another.
type swap struct {
	number string
	answer chan *kept // What came for the first.
	other  chan *kept // What came for the second.
}

// kept is a whole answer.
type kept struct {
	status int
	header http.Header
	body   []byte
}

// New lies to requests drawn from the seed, of which so many of each kind are expected. Without expectations it is
// honest.
func New(upstream string, seed int64, expected map[string]int, delay time.Duration) *Liar {
	l := &Liar{upstream: upstream, delay: delay, counts: map[string]int{}, planted: map[string]Lie{},
		waiting:   map[string]*swap{},
		transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}}
	if expected != nil {
		l.places = plan(seed, expected)
	}
	return l
}

// Planted is what was done to whom, by number.
func (l *Liar) Planted() map[string]Lie {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	planted := map[string]Lie{}
	for number, lie := range l.planted {
		planted[number] = lie
	}
	return planted
}

// draw counts the request and says what is done to it; nothing, mostly.
func (l *Liar) draw(r *http.Request) (Lie, *swap) {
	kind := strings.SplitN(strings.TrimPrefix(r.URL.Path, "/"), "/", 2)[0]
	switch kind {
	case "tunnel":
		kind = strings.ToLower(r.Header.Get("Upgrade"))
	case "sse":
		kind = "events"
	}
	number := r.Header.Get(talk.Number)
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.counts[kind]++
	if partner := l.waiting[kind]; partner != nil {
		delete(l.waiting, kind)
		lie := l.planted[partner.number]
		l.planted[number] = lie
		return lie, partner
	}
	lie, is := l.places[kind][l.counts[kind]]
	if !is {
		return Lie{}, nil
	}
	l.planted[number] = lie
	if strings.HasSuffix(lie.Name, "exchanged") && kind == "get" {
		l.waiting[kind] = &swap{number, make(chan *kept, 1), make(chan *kept, 1)}
		return lie, l.waiting[kind]
	}
	return lie, nil
}

func (l *Liar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	lie, partner := l.draw(r)
	switch {
	case r.Header.Get("Upgrade") != "":
		l.tunnel(w, r, lie)
	case lie.Among == "events":
		l.events(w, r, lie)
	case partner != nil:
		l.exchange(w, r, lie, partner)
	case lie.Name != "":
		l.lieTo(w, r, lie)
	default:
		l.pass(w, r)
	}
}

// ask sends the request on. The body is given where it was read before.
func (l *Liar) ask(r *http.Request, body []byte) (*http.Response, error) {
	out := r.Clone(r.Context())
	out.RequestURI, out.URL.Scheme, out.URL.Host = "", "http", l.upstream
	if body != nil {
		out.Body, out.ContentLength, out.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
	}
	out.Header.Del("Connection")
	return l.transport.RoundTrip(out)
}

func (l *Liar) pass(w http.ResponseWriter, r *http.Request) {
	answer, err := l.ask(r, nil)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer answer.Body.Close()
	copyHeader(w.Header(), answer.Header)
	w.WriteHeader(answer.StatusCode)
	piece := make([]byte, 32<<10)
	for {
		n, err := answer.Body.Read(piece)
		w.Write(piece[:n])
		if err == io.EOF {
			return
		}
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		if answer.ContentLength < 0 {
			w.(http.Flusher).Flush()
		}
	}
}

func copyHeader(to, from http.Header) {
	for name, values := range from {
		to[name] = values
	}
}

// fetch asks and reads the whole answer.
func (l *Liar) fetch(r *http.Request, body []byte) *kept {
	answer, err := l.ask(r, body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer answer.Body.Close()
	whole, err := io.ReadAll(answer.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return &kept{answer.StatusCode, answer.Header, whole}
}

func (k *kept) give(w http.ResponseWriter) {
	copyHeader(w.Header(), k.header)
	w.WriteHeader(k.status)
	w.Write(k.body)
}

// exchange gives each of two requests what is the other's.
func (l *Liar) exchange(w http.ResponseWriter, r *http.Request, lie Lie, partner *swap) {
	mine := l.fetch(r, nil)
	out, in := partner.other, partner.answer
	if partner.number == r.Header.Get(talk.Number) {
		out, in = partner.answer, partner.other
	}
	out <- mine
	other := <-in
	if lie.Name == "bodies exchanged" {
		w.Header().Set(talk.Number, r.Header.Get(talk.Number))
		w.Write(other.body)
		return
	}
	other.give(w)
}

func (l *Liar) lieTo(w http.ResponseWriter, r *http.Request, lie Lie) {
	body, _ := io.ReadAll(r.Body)
	if body == nil || r.Method == http.MethodGet {
		body = []byte{}
	}
	switch lie.Name {
	case "swallowed, answered all the same":
		parts := strings.Split(r.URL.Path, "/")
		w.Header().Set(talk.Number, r.Header.Get(talk.Number))
		w.WriteHeader(http.StatusCreated)
		w.Write(talk.Posted(parts[1], parts[2], body))
		return
	case "503 instead, not done":
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case "sent twice", "sent twice, the first answer dropped":
		l.fetch(r, body)
	case "byte changed on its way in":
		body[len(body)/2] ^= 1
	case "delayed beyond the limit":
		time.Sleep(l.delay)
	}
	spoil(w, lie, l.fetch(r, body))
}

// spoil gives the answer, changed as the lie says.
func spoil(w http.ResponseWriter, lie Lie, answer *kept) {
	middle := len(answer.body) / 2
	switch lie.Name {
	case "answer never given", "done, its answer never given":
		panic(http.ErrAbortHandler)
	case "connection reset":
		reset(w)
		return
	case "answer cut in the middle", "cut before its end":
		copyHeader(w.Header(), answer.header)
		w.Write(answer.body[:middle])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	case "answer shortened, its length too", "ended early, as if whole":
		answer.header.Del("Content-Length")
		answer.body = answer.body[:len(answer.body)-1]
	case "byte changed":
		answer.body[middle] ^= 1
	case "two pieces exchanged":
		answer.body = append(append([]byte{}, answer.body[middle:]...), answer.body[:middle]...)
	case "502 instead", "done, 502 instead":
		answer = &kept{http.StatusBadGateway, http.Header{}, []byte("bad gateway\n")}
	case "header dropped":
		answer.header.Del(talk.Number)
	}
	answer.give(w)
}

func reset(w http.ResponseWriter) {
	connection, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	connection.(*net.TCPConn).SetLinger(0)
	connection.Close()
}
