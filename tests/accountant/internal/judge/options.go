// Package judge asks, listens, and keeps the books: for every request exactly one verdict.
package judge

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Options say what is asked of whom, and what counts as failed.
type Options struct {
	Target   string // host:port
	Kind     string // echo or shop
	Rate     float64
	Duration time.Duration
	Until    <-chan struct{} // Where not nil it ends the load, instead of Duration.
	Seed     int64

	Mix      map[string]int // Weights by kind of request.
	NewShare float64        // Of requests on a connection of their own.
	SlowMs   int
	Hold     map[string]int // Tunnels and event streams that are open all the time, by kind.

	Timeout       time.Duration // Beyond what the request itself takes.
	AddedMax      time.Duration
	AllowBroken   int
	ExpectHeaders []string // That each answer must have.

	Arrivals []Source // What arrived, raw: each name must have each POST exactly once.
	Seen     []Source // "request-id number ..." per request: how the edge's ids are told from ours.
	Begun    string   // The edge's list of what may have broken, one id a line.
}

// Source is where lines are read from: a URL or a file. Sources of one name add up.
type Source struct{ Name, Place string }

// ParseSource reads "name=place", or a place whose name is "service".
func ParseSource(text string) Source {
	name, place, found := strings.Cut(text, "=")
	if !found || strings.ContainsAny(name, "/:?") {
		return Source{"service", text}
	}
	return Source{name, place}
}

// DefaultMix is Harness L, as far as single requests go.
func DefaultMix(kind string) map[string]int {
	if kind == "shop" {
		// One report a second at 200 rps: each holds one of the 32 threads of orders for 8 s.
		return map[string]int{"page": 150, "product": 150, "list": 200, "item": 150, "reread": 120, "order": 170,
			"form": 30, "report": 5, "ticker": 25}
	}
	return map[string]int{"get": 60, "post": 20, "slow": 3, "upload": 5, "stream": 6, "chunks": 3, "websocket": 1,
		"lines": 1, "events": 1}
}

// Sessions are the kinds that can be held open.
func Sessions(kind string) map[string]int {
	if kind == "shop" {
		return map[string]int{"ticker": 0}
	}
	return map[string]int{"websocket": 0, "lines": 0, "events": 0}
}

// ParseCounts reads "get=60,post=20" with the kinds that may stand there.
func ParseCounts(text string, known map[string]int) (map[string]int, error) {
	counts, sum := map[string]int{}, 0
	for _, part := range strings.Split(text, ",") {
		kind, number, _ := strings.Cut(part, "=")
		count, err := strconv.Atoi(number)
		if _, is := known[kind]; !is || err != nil || count < 0 {
			return nil, fmt.Errorf("%q: wanted <kind>=<number>, the kinds being %s", part, strings.Join(keys(known), ", "))
		}
		counts[kind] = count
		sum += count
	}
	if sum == 0 {
		return nil, fmt.Errorf("%q asks for nothing", text)
	}
	return counts, nil
}

func keys[V any](of map[string]V) []string {
	names := make([]string, 0, len(of))
	for name := range of {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
