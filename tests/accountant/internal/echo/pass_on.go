package echo

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"accountant/internal/client"
	"accountant/internal/talk"
)

const passWithin = 60 * time.Second

// PassOn is a service that calls another one for each of its requests, once: a call that fails is answered as 502,
// with what went wrong.
type PassOn struct{ callee client.Client }

// NewPassOn calls the one at this URL.
func NewPassOn(url string) *PassOn {
	return &PassOn{client.Client{Address: strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/")}}
}

func (p *PassOn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "the body was cut off", http.StatusBadRequest)
		return
	}
	answer, said, fault := p.call(&client.Request{Method: r.Method, Path: r.URL.RequestURI(), Headers: passedOn(r), Body: body})
	if fault != nil {
		whole(w, http.StatusBadGateway, []byte(fmt.Sprintf("the call: %v", fault)))
		return
	}
	w.Header().Set(talk.Number, answer.Header[strings.ToLower(talk.Number)])
	whole(w, answer.Status, said)
}

func passedOn(r *http.Request) []string {
	var lines []string
	for _, name := range []string{talk.Number, talk.Checksum, "X-Request-Id", "Traceparent"} {
		if value := r.Header.Get(name); value != "" {
			lines = append(lines, name+": "+value)
		}
	}
	return lines
}

func (p *PassOn) call(request *client.Request) (*client.Answer, []byte, *client.Fault) {
	conn, fault := p.callee.Take(false)
	if fault != nil {
		return nil, nil, fault
	}
	conn.SetDeadline(time.Now().Add(passWithin))
	sendError := conn.Send(request)
	answer, fault := conn.ReadHead(request.Method)
	var body []byte
	if fault == nil {
		body, fault = conn.ReadBody(answer)
	}
	if fault == nil && answer.Keep && sendError == nil {
		p.callee.Give(conn)
	} else {
		conn.Close()
	}
	return answer, body, fault
}
