package judge

import (
	"fmt"
	"io"
	"sort"
	"time"
)

// Kind is what became of one kind of request.
type Kind struct {
	Sent         int     `json:"sent"`
	OK           int     `json:"ok"`
	Failed       int     `json:"failed"`
	Broken       int     `json:"broken"`
	P50Ms        float64 `json:"p50_ms"` // Of those that succeeded.
	P99Ms        float64 `json:"p99_ms"`
	MaxMs        float64 `json:"max_ms"`
	AddedMaxMs   float64 `json:"added_max_ms"` // Beyond what the request itself takes.
	Messages     int     `json:"messages"`     // Of tunnels and event streams.
	MessageMaxMs float64 `json:"message_max_ms"`
}

// Report is the outcome of a run.
type Report struct {
	Passed     bool            `json:"passed"`
	Error      string          `json:"error,omitempty"` // The books could not be closed.
	Target     string          `json:"target"`
	Kind       string          `json:"kind"`
	Run        string          `json:"run"` // Begins all numbers of this run.
	Began      time.Time       `json:"began"`
	Seed       int64           `json:"seed"`
	RateAsked  float64         `json:"rate_asked"`
	Seconds    float64         `json:"seconds"`
	Requests   int             `json:"requests"`
	OK         int             `json:"ok"`
	Failed     int             `json:"failed"`
	Broken     int             `json:"broken"`
	PostsSent  int             `json:"posts_sent"`
	Lost       int             `json:"lost"`    // POSTs answered as done that never arrived; among the failed.
	Doubled    int             `json:"doubled"` // POSTs that arrived more than once; among the failed.
	Tunnels    int             `json:"tunnels_broken"`
	Gaps       int             `json:"gaps"` // Messages or events missing, twice or out of order.
	Messages   int             `json:"messages"`
	AddedMaxMs float64         `json:"added_max_ms"` // The longest added wait of what succeeded, or was late.
	AddedMaxOf string          `json:"added_max_of"`
	NewShare   float64         `json:"new_connections"` // Share of requests on a connection of their own.
	LateStarts int64           `json:"late_starts"`     // The client's own fault, not the target's.
	LateMaxMs  float64         `json:"late_max_ms"`
	Kinds      map[string]Kind `json:"kinds"`
	Faults     []*Entry        `json:"faults"` // Every request that is not ok.
	Begun      *Begun          `json:"begun,omitempty"`
}

// Run offers the load, waits for what is open, and closes the books.
func Run(options *Options) *Report {
	l := newLoad(options)
	l.began = time.Now()
	for _, kind := range keys(options.Hold) {
		for count := 0; count < options.Hold[kind]; count++ {
			l.active.Add(1)
			go l.hold(kind)
		}
	}
	l.offer()
	offered := time.Since(l.began)
	close(l.ending)
	l.active.Wait()
	l.client.CloseIdle()
	time.Sleep(settle)
	return l.close(offered)
}

func (l *load) close(offered time.Duration) *Report {
	r := &Report{Target: l.options.Target, Kind: l.options.Kind, Run: l.run, Began: l.began, Seed: l.options.Seed,
		RateAsked: l.options.Rate, Seconds: offered.Seconds(), Tunnels: int(l.tunnelsBroken), Gaps: int(l.gaps),
		LateStarts: l.lateCount, LateMaxMs: float64(l.lateMaxUs) / 1000, PostsSent: len(l.books.posts)}
	arrived, err := l.arrivals()
	if err != nil {
		r.Error = err.Error()
	}
	r.Lost, r.Doubled = l.books.closePosts(arrived)
	if l.options.Begun != "" && err == nil {
		if r.Begun, err = l.compareBegun(); err != nil {
			r.Error = err.Error()
		}
	}
	l.books.fill(r)
	r.Passed = r.Error == "" && r.Failed == 0 && r.Broken <= l.options.AllowBroken && r.Requests > 0 &&
		(r.Begun == nil || len(r.Begun.OnlyEdge)+len(r.Begun.OnlyClient) == 0)
	return r
}

func (b *Books) fill(r *Report) {
	r.Kinds = map[string]Kind{}
	for _, name := range keys(b.kinds) {
		tally := b.kinds[name]
		r.Kinds[name] = tally.shown()
		r.Requests += tally.sent
		r.OK += tally.ok
		r.Failed += tally.failed
		r.Broken += tally.broken
		r.Messages += tally.messages
	}
	r.Faults = append([]*Entry{}, b.faults...)
	r.AddedMaxMs, r.AddedMaxOf = b.longest.AddedMs, b.longest.Kind+" "+b.longest.Number
	if all := b.conns[0] + b.conns[1]; all > 0 {
		r.NewShare = float64(b.conns[0]) / float64(all)
	}
}

func (t *tally) shown() Kind {
	kind := Kind{Sent: t.sent, OK: t.ok, Failed: t.failed, Broken: t.broken, AddedMaxMs: t.added,
		Messages: t.messages, MessageMaxMs: t.messageMax}
	sort.Slice(t.latencies, func(i, j int) bool { return t.latencies[i] < t.latencies[j] })
	if count := len(t.latencies); count > 0 {
		kind.P50Ms = float64(t.latencies[count/2])
		kind.P99Ms = float64(t.latencies[count*99/100])
		kind.MaxMs = float64(t.latencies[count-1])
	}
	return kind
}

const faultsShown = 40 // In the text; the JSON has all.

// Text is the report for people.
func (r *Report) Text(w io.Writer) {
	fmt.Fprintf(w, "%-10s %8s %8s %7s %7s %9s %9s %9s %9s\n", "kind", "sent", "ok", "failed", "broken", "p50 ms",
		"p99 ms", "max ms", "added ms")
	for _, name := range keys(r.Kinds) {
		k := r.Kinds[name]
		fmt.Fprintf(w, "%-10s %8d %8d %7d %7d %9.1f %9.1f %9.1f %9.1f\n", name, k.Sent, k.OK, k.Failed, k.Broken,
			k.P50Ms, k.P99Ms, k.MaxMs, k.AddedMaxMs)
	}
	for at, fault := range r.Faults {
		if at == faultsShown {
			fmt.Fprintf(w, "… and %d more\n", len(r.Faults)-at)
			break
		}
		fmt.Fprintf(w, "%8.3f s %s %s (%s, id %s) %s: %s\n", fault.EndedS, fault.Verdict, fault.Kind, fault.Number,
			fault.RequestID, fault.Reason, fault.Detail)
	}
	if r.Begun != nil {
		fmt.Fprintf(w, "begun: %d listed by the edge, %d broke here, %d only listed, %d only here\n", r.Begun.Listed,
			r.Begun.Matched, len(r.Begun.OnlyEdge), len(r.Begun.OnlyClient))
	}
	if r.Error != "" {
		fmt.Fprintf(w, "the books could not be closed: %s\n", r.Error)
	}
	fmt.Fprintf(w, "%d requests in %.1f s (%.0f %% on new connections, %d started late), %d messages, seed %d\n",
		r.Requests, r.Seconds, 100*r.NewShare, r.LateStarts, r.Messages, r.Seed)
	fmt.Fprintf(w, "%d failed (%d lost, %d doubled, %d gaps), %d broken unsafe (%d tunnels); longest added wait %.0f ms (%s)\n",
		r.Failed, r.Lost, r.Doubled, r.Gaps, r.Broken, r.Tunnels, r.AddedMaxMs, r.AddedMaxOf)
}
