package judge

import (
	"bytes"
	"fmt"
	"math/rand"
	"strings"
	"time"

	"accountant/internal/client"
	"accountant/internal/talk"
)

// exchange is one request, and what its answer must be.
type exchange struct {
	request   client.Request
	isPost    bool // May not be sent twice, and its arrivals are counted.
	asks      time.Duration
	check     func(answer *client.Answer, body []byte) *client.Fault
	whenRight func(body []byte)
}

// catalogue makes the exchanges of one kind of target.
type catalogue interface {
	exchange(kind, name string, chance *rand.Rand) exchange
	eventsPath(name string) string
	every() time.Duration // Between two events.
	checkEvent(tick int64, data string) *client.Fault
}

type echoTarget struct{ options *Options }

const (
	streamPause = 30 * time.Millisecond
	uploadPause = 5 * time.Millisecond
	uploadParts = 6
)

func (e echoTarget) exchange(kind, name string, chance *rand.Rand) exchange {
	switch kind {
	case "post":
		body := talk.PostBody(name)
		return e.post(kind, name, client.Request{Body: body}, body)
	case "upload":
		body := talk.UploadBody(name, 1000+chance.Intn(60_000))
		x := e.post(kind, name, client.Request{Chunks: parts(body, uploadParts), Pause: uploadPause}, body)
		x.asks = uploadParts * uploadPause
		return x
	case "slow":
		ms := e.options.SlowMs
		x := e.get(fmt.Sprintf("/slow/%d/%s", ms, name), name, talk.Slow(ms, name))
		x.asks = time.Duration(ms) * time.Millisecond
		return x
	case "stream":
		size := 1000 + chance.Intn(200_000)
		path := fmt.Sprintf("/stream/%s/%d?pause=%d", name, size, streamPause.Milliseconds())
		x := e.get(path, name, talk.Stream(name, size))
		x.asks = (talk.PiecesOfStream - 1) * streamPause
		return x
	case "chunks":
		return e.get("/chunks/"+name, name, talk.Chunks(name))
	}
	return e.get("/get/"+name, name, talk.Get(name))
}

func (e echoTarget) get(path, name string, want []byte) exchange {
	return exchange{request: client.Request{Method: "GET", Path: path}, check: e.expect(200, name, want)}
}

func (e echoTarget) post(kind, name string, request client.Request, body []byte) exchange {
	request.Method, request.Path = "POST", "/"+kind+"/"+name
	request.Headers = []string{talk.Checksum + ": " + talk.Sum(body)}
	return exchange{request: request, isPost: true, check: e.expect(201, name, talk.Posted(kind, name, body))}
}

func parts(body []byte, count int) [][]byte {
	size := (len(body) + count - 1) / count
	var out [][]byte
	for len(body) > size {
		out, body = append(out, body[:size]), body[size:]
	}
	return append(out, body)
}

func (e echoTarget) expect(status int, name string, want []byte) func(*client.Answer, []byte) *client.Fault {
	return func(answer *client.Answer, body []byte) *client.Fault {
		if answer.Status != status {
			return client.Wrong(client.Status, "%d instead of %d: %.100q", answer.Status, status, body)
		}
		if fault := compare(want, body); fault != nil {
			return fault
		}
		return belongs(answer, name)
	}
}

// belongs says whether the answer's head is that of the request.
func belongs(answer *client.Answer, name string) *client.Fault {
	switch got, has := answer.Header[strings.ToLower(talk.Number)]; {
	case !has:
		return client.Wrong(client.Header, "%s is missing", talk.Number)
	case got != name:
		return client.Wrong(client.Swapped, "the head of the answer to %s", got)
	}
	return nil
}

// compare tells a body that is another request's from one that is damaged.
func compare(want, got []byte) *client.Fault {
	if bytes.Equal(want, got) {
		return nil
	}
	words := strings.SplitN(string(got), " ", 3)
	mine := strings.SplitN(string(want), " ", 3)
	if len(words) == 3 && len(mine) == 3 && words[0] == mine[0] && words[1] != mine[1] &&
		bytes.Equal(got, talk.Get(words[1])) {
		return client.Wrong(client.Swapped, "the body of the answer to %s", words[1])
	}
	at := 0
	for at < len(want) && at < len(got) && want[at] == got[at] {
		at++
	}
	return client.Wrong(client.Body, "%d bytes for %d, differing from byte %d on", len(got), len(want), at)
}

const eventsEvery = 100 * time.Millisecond

func (e echoTarget) every() time.Duration { return eventsEvery }

func (e echoTarget) eventsPath(name string) string {
	return fmt.Sprintf("/sse/%s?every=%d", name, eventsEvery.Milliseconds())
}

func (e echoTarget) checkEvent(tick int64, data string) *client.Fault {
	if data != talk.EventData(tick) {
		return client.Wrong(client.Message, "event %d carries %.60q", tick, data)
	}
	return nil
}
