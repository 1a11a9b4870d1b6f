package judge

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

const (
	settle       = 300 * time.Millisecond // What a broken connection still carries arrives meanwhile.
	sourceWithin = 10 * time.Second
)

// lines reads a source; one that does not answer is asked again for a while.
func (s Source) lines() ([]string, error) {
	if !strings.HasPrefix(s.Place, "http://") {
		data, err := os.ReadFile(s.Place)
		return strings.Split(string(data), "\n"), err
	}
	direct := http.Client{Timeout: sourceWithin, Transport: &http.Transport{DisableKeepAlives: true}}
	for deadline := time.Now().Add(sourceWithin); ; time.Sleep(100 * time.Millisecond) {
		data, err := get(&direct, s.Place)
		if err == nil || time.Now().After(deadline) {
			return strings.Split(string(data), "\n"), err
		}
	}
}

func get(direct *http.Client, url string) ([]byte, error) {
	answer, err := direct.Get(url)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != 200 {
		return nil, fmt.Errorf("%s: %s", url, answer.Status)
	}
	return io.ReadAll(answer.Body)
}

// arrivals counts, by name of source, how often each id of this run arrived.
func (l *load) arrivals() (map[string]map[string]int, error) {
	counts := map[string]map[string]int{}
	for _, source := range l.options.Arrivals {
		lines, err := source.lines()
		if err != nil {
			return nil, fmt.Errorf("arrivals at %s: %w", source.Name, err)
		}
		if counts[source.Name] == nil {
			counts[source.Name] = map[string]int{}
		}
		for _, line := range lines {
			id, _, _ := strings.Cut(line, " ")
			if strings.HasPrefix(id, l.run+"-") {
				counts[source.Name][id]++
			}
		}
	}
	return counts, nil
}

// Begun compares the edge's list with what broke at the client.
type Begun struct {
	Listed     int      `json:"listed"`
	Matched    int      `json:"matched"`
	OnlyEdge   []string `json:"only_edge"`   // Ids listed, of which nothing broke here.
	OnlyClient []string `json:"only_client"` // Our numbers: broke here, and not listed.
	NeverSeen  []string `json:"never_seen"`  // Those of only_client that no service saw.
}

// compareBegun matches by the id that was sent or answered, and by those under which services saw the request. A
// request breaks where its connection did, or where it is a POST answered 502 or 504.
func (l *load) compareBegun() (*Begun, error) {
	listed, err := Source{"begun", l.options.Begun}.lines()
	if err != nil {
		return nil, err
	}
	seen := map[string][]string{} // Request ids by number.
	for _, source := range append(append([]Source(nil), l.options.Seen...), l.options.Arrivals...) {
		lines, err := source.lines()
		if err != nil {
			return nil, fmt.Errorf("seen at %s: %w", source.Name, err)
		}
		for _, line := range lines {
			words := strings.Fields(line)
			for at := 0; at < 2 && len(words) >= 2; at++ { // "id number ..." and "number id".
				if strings.HasPrefix(words[at], l.run+"-") {
					seen[words[at]] = append(seen[words[at]], words[1-at])
				}
			}
		}
	}
	return l.match(listed, seen), nil
}

func (l *load) match(listed []string, seen map[string][]string) *Begun {
	found := &Begun{OnlyEdge: []string{}, OnlyClient: []string{}, NeverSeen: []string{}}
	open := map[string]bool{}
	for _, line := range listed {
		if words := strings.Fields(line); len(words) > 0 {
			open[words[0]] = true
		}
	}
	found.Listed = len(open)
	for _, entry := range l.books.faults {
		if !entry.mayHaveBegun() {
			continue
		}
		isListed := false
		for _, id := range append([]string{entry.RequestID, SentID(entry.Number)}, seen[entry.Number]...) {
			isListed = isListed || open[id]
			delete(open, id)
		}
		switch {
		case isListed:
			found.Matched++
		default:
			found.OnlyClient = append(found.OnlyClient, entry.Number)
			if len(seen[entry.Number]) == 0 {
				found.NeverSeen = append(found.NeverSeen, entry.Number)
			}
		}
	}
	found.OnlyEdge = append(found.OnlyEdge, keys(open)...)
	return found
}

func (e *Entry) mayHaveBegun() bool {
	switch e.Reason {
	case "closed", "reset", "cut", "broken":
		return true
	}
	return e.Verdict == Broken
}
