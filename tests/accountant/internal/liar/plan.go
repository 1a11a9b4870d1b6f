// Package liar is a proxy that is honest but for one fault of each kind, at requests drawn from a seed: the proof that
// the accountant finds them.
package liar

import "math/rand"

// Lie is a kind of fault: the kind of request it is planted in, and what the accountant must make of it.
type Lie struct {
	Name    string
	Among   string // First part of the path: get, post, ...; of tunnels the kind.
	Verdict string
	Reason  string
}

// Lies are all of them. Where the other request of a swap is found, too, it is planted as SwapPartner.
var Lies = []Lie{
	{"answer never given", "get", "failed", "closed"},
	{"connection reset", "get", "failed", "reset"},
	{"answer cut in the middle", "get", "broken-unsafe", "cut"},
	{"answer shortened, its length too", "get", "failed", "body"},
	{"byte changed", "get", "failed", "body"},
	{"502 instead", "get", "failed", "status"},
	{"delayed beyond the limit", "get", "failed", "late"},
	{"header dropped", "get", "failed", "header"},
	{"answers exchanged", "get", "failed", "swapped"},
	{"bodies exchanged", "get", "failed", "swapped"},

	{"sent twice", "post", "failed", "doubled"},
	{"sent twice, the first answer dropped", "upload", "failed", "doubled"},
	{"swallowed, answered all the same", "post", "failed", "lost"},
	{"done, its answer never given", "post", "broken-unsafe", "closed"},
	{"done, 502 instead", "post", "broken-unsafe", "status"},
	{"503 instead, not done", "post", "failed", "status"},
	{"byte changed on its way in", "upload", "failed", "status"},
	{"swallowed, answered all the same", "upload", "failed", "lost"},

	{"cut before its end", "stream", "broken-unsafe", "cut"},
	{"ended early, as if whole", "stream", "failed", "body"},
	{"byte changed", "stream", "failed", "body"},
	{"two pieces exchanged", "chunks", "failed", "body"},
	{"byte changed", "slow", "failed", "body"},

	{"message to the client dropped", "websocket", "failed", "gap"},
	{"message to the service dropped", "websocket", "failed", "gap"},
	{"messages to the client exchanged", "websocket", "failed", "gap"},
	{"message to the client changed", "websocket", "failed", "message"},
	{"closed", "websocket", "broken-unsafe", "broken"},
	{"message to the client dropped", "lines", "failed", "gap"},
	{"messages to the service exchanged", "lines", "failed", "gap"},
	{"message to the client doubled", "lines", "failed", "gap"},
	{"message to the service changed", "lines", "failed", "message"},
	{"closed", "lines", "broken-unsafe", "broken"},

	{"event dropped", "events", "failed", "gap"},
	{"event doubled", "events", "failed", "gap"},
	{"event changed", "events", "failed", "message"},
	{"closed", "events", "broken-unsafe", "broken"},
}

const (
	firstPlace = 3
	apart      = 2 // So that a swap's partner is no other lie's request.
	reached    = 6 // Tenths of what is expected: so many do come, whatever the order drawn.
)

// plan says which request of each kind, counted as they come, is lied to.
func plan(seed int64, expected map[string]int) map[string]map[int]Lie {
	chance := rand.New(rand.NewSource(seed))
	places := map[string]map[int]Lie{}
	for _, lie := range Lies {
		if places[lie.Among] == nil {
			places[lie.Among] = map[int]Lie{}
		}
		taken := places[lie.Among]
		for {
			place := firstPlace + chance.Intn(expected[lie.Among]*reached/10-firstPlace)
			if isFree(taken, place) {
				taken[place] = lie
				break
			}
		}
	}
	return places
}

func isFree(taken map[int]Lie, place int) bool {
	for other := range taken {
		if other-place < apart && place-other < apart {
			return false
		}
	}
	return true
}
