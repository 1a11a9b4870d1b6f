// Package echo is the service that the accountant asks: every answer is a function of the request, and whatever
// arrives is written down before anything else happens to it.
package echo

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"accountant/internal/talk"
)

// Service answers:
//
//	GET  /get/<n>  /slow/<ms>/<n>  /stream/<n>/<bytes>[?pause=ms]  /chunks/<n>  /sse/<n>[?every=ms]  /tunnel/<n>
//	POST /post/<id>  /upload/<id>
//	GET  /arrivals  "id request-id" per POST that arrived
//	GET  /seen      "request-id number method path instance ms" per request that arrived
//	GET  /violations, /healthz, /readyz, /whoami
type Service struct {
	arrivals, seen, violations *record
	gate                       gate
	stopping                   chan struct{}
}

// Options come from the environment; see cmd/service.
type Options struct {
	Folder  string // For the records; in memory where it is empty.
	Allowed string // A file: once it exists, no request but those it names may arrive.
}

// New opens the records.
func New(options Options) (*Service, error) {
	s := &Service{gate: gate{options.Allowed}, stopping: make(chan struct{})}
	for name, record := range map[string]**record{
		"arrivals.log": &s.arrivals, "seen.log": &s.seen, "violations.log": &s.violations,
	} {
		var err error
		if *record, err = openRecord(options.Folder, name); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Stop ends event streams and tunnels, which never end by themselves.
func (s *Service) Stop() { close(s.stopping) }

// Arrivals is what /arrivals says.
func (s *Service) Arrivals() string { return string(s.arrivals.all()) }

func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if s.aboutItself(w, parts[0]) {
		return
	}
	id, number := r.Header.Get("X-Request-Id"), r.Header.Get(talk.Number)
	if !s.gate.permits(id) {
		s.violations.add("%s %s %s %s %s", orDash(id), orDash(number), r.Method, r.URL.Path, instance())
		panic(http.ErrAbortHandler)
	}
	s.seen.add("%s %s %s %s %s %d", orDash(id), orDash(number), r.Method, r.URL.Path, orDash(instance()),
		time.Now().UnixMilli())
	w.Header().Set(talk.Number, number)
	answer := map[string]func(http.ResponseWriter, *http.Request, []string){
		"get": get, "slow": slow, "stream": stream, "chunks": chunks,
		"post": s.post, "upload": s.post, "sse": s.events, "tunnel": s.tunnel,
	}[parts[0]]
	if answer == nil || len(parts) < 2 {
		http.Error(w, "nothing here", http.StatusNotFound)
		return
	}
	answer(w, r, append(parts, ""))
}

func (s *Service) aboutItself(w http.ResponseWriter, what string) bool {
	switch what {
	case "healthz", "readyz":
		fmt.Fprintln(w, `{"ok":true}`)
	case "whoami":
		json.NewEncoder(w).Encode(map[string]any{"service": os.Getenv("THOLE_SERVICE"), "pid": os.Getpid(),
			"release": os.Getenv("THOLE_RELEASE"), "instance": instance()})
	case "arrivals":
		w.Write(s.arrivals.all())
	case "seen":
		w.Write(s.seen.all())
	case "violations":
		w.Write(s.violations.all())
	default:
		return false
	}
	return true
}

func instance() string { return os.Getenv("THOLE_INSTANCE") }

func orDash(text string) string {
	if text == "" || strings.ContainsAny(text, " \n") {
		return "-"
	}
	return text
}

func whole(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body)
}

func get(w http.ResponseWriter, r *http.Request, parts []string) { whole(w, 200, talk.Get(parts[1])) }

func slow(w http.ResponseWriter, r *http.Request, parts []string) {
	ms, err := strconv.Atoi(parts[1])
	if err != nil {
		http.Error(w, "wanted /slow/<ms>/<n>", http.StatusBadRequest)
		return
	}
	if wait(r, time.Duration(ms)*time.Millisecond) {
		whole(w, 200, talk.Slow(ms, parts[2]))
	}
}

// wait is false where the asker left.
func wait(r *http.Request, span time.Duration) bool {
	if span <= 0 {
		return true
	}
	timer := time.NewTimer(span)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

func pieces(w http.ResponseWriter, r *http.Request, body []byte, size func(int) int, pause time.Duration) {
	for piece := 0; len(body) > 0; piece++ {
		if piece > 0 && !wait(r, pause) {
			return
		}
		end := size(piece)
		if end > len(body) {
			end = len(body)
		}
		w.Write(body[:end])
		w.(http.Flusher).Flush()
		body = body[end:]
	}
}

func stream(w http.ResponseWriter, r *http.Request, parts []string) {
	size, err := strconv.Atoi(parts[2])
	if err != nil || size < 0 || size > 64<<20 {
		http.Error(w, "wanted /stream/<n>/<bytes>", http.StatusBadRequest)
		return
	}
	ms, _ := strconv.Atoi(r.URL.Query().Get("pause"))
	piece := (size + talk.PiecesOfStream - 1) / talk.PiecesOfStream
	pieces(w, r, talk.Stream(parts[1], size), func(int) int { return piece }, time.Duration(ms)*time.Millisecond)
}

func chunks(w http.ResponseWriter, r *http.Request, parts []string) {
	pieces(w, r, talk.Chunks(parts[1]), func(piece int) int { return 1 + piece*37%211 }, 0)
}

// post answers /post/<id> and /upload/<id>. The arrival is written down when the head is here, before the body: a
// second one counts even where its body never comes.
func (s *Service) post(w http.ResponseWriter, r *http.Request, parts []string) {
	if r.Method != http.MethodPost {
		http.Error(w, "wanted POST", http.StatusMethodNotAllowed)
		return
	}
	s.arrivals.add("%s %s", parts[1], orDash(r.Header.Get("X-Request-Id")))
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "the body was cut off", http.StatusBadRequest)
		return
	}
	if sum := r.Header.Get(talk.Checksum); sum != talk.Sum(body) {
		whole(w, http.StatusUnprocessableEntity, []byte(fmt.Sprintf("%d bytes of %s, not %s", len(body), talk.Sum(body), sum)))
		return
	}
	whole(w, http.StatusCreated, talk.Posted(parts[0], parts[1], body))
}

func (s *Service) events(w http.ResponseWriter, r *http.Request, parts []string) {
	ms, _ := strconv.Atoi(r.URL.Query().Get("every"))
	if ms <= 0 {
		ms = 100
	}
	every := time.Duration(ms) * time.Millisecond
	next := talk.TickAt(time.Now(), every)
	if last, err := strconv.ParseInt(r.Header.Get("Last-Event-ID"), 10, 64); err == nil && last < next {
		next = last + 1
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	for {
		for ; next <= talk.TickAt(time.Now(), every); next++ {
			fmt.Fprintf(w, "id: %d\ndata: %s\n\n", next, talk.EventData(next))
		}
		w.(http.Flusher).Flush()
		select {
		case <-time.After(time.Until(time.Unix(0, next*int64(every)))):
		case <-r.Context().Done():
			return
		case <-s.stopping:
			return
		}
	}
}

// tunnel talks WebSocket, or lines where `Upgrade: lines` was asked. It answers each message by one, both numbered.
func (s *Service) tunnel(w http.ResponseWriter, r *http.Request, parts []string) {
	kind := strings.ToLower(r.Header.Get("Upgrade"))
	if kind != "websocket" && kind != talk.Lines {
		w.Header().Set("Upgrade", "websocket, "+talk.Lines)
		http.Error(w, "wanted an upgrade", http.StatusUpgradeRequired)
		return
	}
	connection, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer connection.Close()
	head := "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + kind + "\r\n"
	if kind == "websocket" {
		head += "Sec-WebSocket-Accept: " + talk.AcceptKey(r.Header.Get("Sec-WebSocket-Key")) + "\r\n"
	}
	head += talk.Number + ": " + r.Header.Get(talk.Number) + "\r\n\r\n"
	if _, err := io.WriteString(connection, head); err != nil {
		return
	}
	wire := talk.Wire{R: bufio.NewReader(buffered), W: connection, WebSocket: kind == "websocket", FromMask: true}
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-s.stopping:
			connection.Close()
		case <-ended:
		}
	}()
	for m := 0; ; m++ {
		said, err := wire.Read()
		if err != nil || wire.Write(talk.Echoed(m, said)) != nil {
			return
		}
	}
}
