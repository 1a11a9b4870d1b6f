package liar

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"

	"accountant/internal/talk"
)

const spoiledMessage = 5 // The one that is lied about; a swap is with the next.

// tunnel passes messages on, one by one, in both directions.
func (l *Liar) tunnel(w http.ResponseWriter, r *http.Request, lie Lie) {
	service, err := net.Dial("tcp", l.upstream)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer service.Close()
	r.Write(service)
	client, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer client.Close()
	isWebSocket := strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
	fromService := bufio.NewReader(service)
	if !passHead(fromService, client) {
		return
	}
	both := sync.WaitGroup{}
	both.Add(2)
	end := func() { service.Close(); client.Close(); both.Done() }
	go func() {
		defer end()
		pump(talk.Wire{R: fromService, WebSocket: isWebSocket},
			talk.Wire{W: client, WebSocket: isWebSocket}, told(lie, "to the client"))
	}()
	go func() {
		defer end()
		pump(talk.Wire{R: bufio.NewReader(buffered), WebSocket: isWebSocket, FromMask: true},
			talk.Wire{W: service, WebSocket: isWebSocket, Mask: mask}, told(lie, "to the service"))
	}()
	both.Wait()
}

func mask() []byte {
	out := make([]byte, 4)
	rand.Read(out)
	return out
}

func passHead(from *bufio.Reader, to net.Conn) bool {
	for {
		line, err := from.ReadString('\n')
		if err != nil {
			return false
		}
		if _, err := to.Write([]byte(line)); err != nil {
			return false
		}
		if line == "\r\n" {
			return true
		}
	}
}

// told is what is done to the messages of one direction.
func told(lie Lie, direction string) string {
	if lie.Name == "closed" && direction == "to the client" {
		return "closed"
	}
	if !strings.Contains(lie.Name, direction) {
		return ""
	}
	words := strings.Fields(lie.Name)
	return words[len(words)-1]
}

func pump(from, to talk.Wire, act string) {
	from.W = nowhere{}
	held := ""
	for count := 1; ; count++ {
		message, err := from.Read()
		if err == talk.ErrClosed {
			to.SayGoodbye()
			return
		}
		if err != nil {
			return
		}
		out := []string{message}
		switch {
		case held != "":
			out, held = []string{message, held}, ""
		case count == spoiledMessage && act == "dropped":
			out = nil
		case count == spoiledMessage && act == "doubled":
			out = append(out, message)
		case count == spoiledMessage && act == "changed":
			last := len(message) - 1
			out = []string{message[:last] + string(message[last]^1)}
		case count == spoiledMessage && act == "exchanged":
			held, out = message, nil
		case count == spoiledMessage && act == "closed":
			return
		}
		for _, message := range out {
			if to.Write(message) != nil {
				return
			}
		}
	}
}

// nowhere takes the answers to pings and closes: the other end gives its own.
type nowhere struct{}

func (nowhere) Write(data []byte) (int, error) { return len(data), nil }

const spoiledEvent = 2

// events passes a stream on event by event.
func (l *Liar) events(w http.ResponseWriter, r *http.Request, lie Lie) {
	answer, err := l.ask(r, nil)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer answer.Body.Close()
	copyHeader(w.Header(), answer.Header)
	lines := bufio.NewReader(answer.Body)
	for count := 1; ; count++ {
		id, err1 := lines.ReadString('\n')
		data, err2 := lines.ReadString('\n')
		if _, err := lines.ReadString('\n'); err != nil || err1 != nil || err2 != nil {
			panic(http.ErrAbortHandler)
		}
		times := 1
		if count == spoiledEvent {
			switch lie.Name {
			case "event dropped":
				times = 0
			case "event doubled":
				times = 2
			case "event changed":
				data = data[:len(data)-2] + string(data[len(data)-2]^1) + "\n"
			case "closed":
				panic(http.ErrAbortHandler)
			}
		}
		for ; times > 0; times-- {
			fmt.Fprintf(w, "%s%s\n", id, data)
		}
		w.(http.Flusher).Flush()
	}
}
