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
		return map[string]int{"page": 15, "product": 15, "list": 15, "item": 10, "reread": 10, "order": 15,
			"form": 5, "report": 2, "ticker": 1}
	}
	return map[string]int{"get": 60, "post": 20, "slow": 3, "upload": 5, "stream": 6, "chunks": 3, "websocket": 1,
		"lines": 1, "events": 1}
}

// ParseCounts reads "get=60,post=20" with the kinds that may stand there.
func ParseCounts(text string, known map[string]int) (map[string]int, error) {
	counts := map[string]int{}
	for _, part := range strings.Split(text, ",") {
		kind, number, _ := strings.Cut(part, "=")
		count, err := strconv.Atoi(number)
		if _, is := known[kind]; !is || err != nil || count < 0 {
			return nil, fmt.Errorf("%q: wanted <kind>=<number>, the kinds being %s", part, strings.Join(keys(known), ", "))
		}
		counts[kind] = count
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
