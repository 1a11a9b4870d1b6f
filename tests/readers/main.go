// What Go's net/http reads in each line of standard input: base64 of all bytes of one connection. A line of JSON for
// each: the requests it holds, and why it is not a whole number of them. With the argument "answers": the final answer to
// a GET, with its status as the method.
package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
)

type request struct {
	Method string `json:"method"`
	Target string `json:"target"`
	Host   string `json:"host"`
	Body   string `json:"body"`
}

type reading struct {
	Requests []request `json:"requests"`
	Problem  string    `json:"problem"`
}

func read(text []byte) reading {
	found := reading{Requests: []request{}}
	from := bufio.NewReader(bytes.NewReader(text))
	for {
		got, err := http.ReadRequest(from)
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			found.Problem = err.Error()
			return found
		}
		body, err := io.ReadAll(got.Body)
		if err != nil {
			found.Problem = err.Error()
			return found
		}
		found.Requests = append(found.Requests, request{got.Method, got.RequestURI, got.Host,
			base64.StdEncoding.EncodeToString(body)})
	}
}

func readAnswer(text []byte) reading {
	from := bufio.NewReader(bytes.NewReader(text))
	for {
		got, err := http.ReadResponse(from, nil)
		if err != nil {
			return reading{[]request{}, err.Error()}
		}
		body, err := io.ReadAll(got.Body)
		if err != nil {
			return reading{[]request{}, err.Error()}
		}
		if got.StatusCode < 200 {
			continue
		}
		found := reading{[]request{{strconv.Itoa(got.StatusCode), "", "", base64.StdEncoding.EncodeToString(body)}}, ""}
		if _, err := from.ReadByte(); err == nil {
			found.Problem = "more behind it"
		}
		return found
	}
}

func main() {
	way := read
	if len(os.Args) > 1 && os.Args[1] == "answers" {
		way = readAnswer
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	to := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		text, err := base64.StdEncoding.DecodeString(lines.Text())
		if err != nil {
			panic(err)
		}
		if err := to.Encode(way(text)); err != nil {
			panic(err)
		}
	}
}
