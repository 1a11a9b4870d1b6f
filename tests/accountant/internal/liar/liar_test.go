package liar_test

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"accountant/internal/echo"
	"accountant/internal/judge"
	"accountant/internal/liar"
)

const (
	requests = 10_000
	rate     = 500 // A third of one core for client, liar and service: others may keep the machine busy meanwhile.
	addedMax = 8 * time.Second
)

// mix is that of every run, but for more tunnels and streams, so that there is room for all lies among them.
func mix() map[string]int {
	mix := judge.DefaultMix("echo")
	mix["websocket"], mix["lines"], mix["events"] = 3, 3, 3
	return mix
}

func serve(t *testing.T, handler http.Handler) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return listener.Addr().String()
}

// expected is how many of each kind there will be.
func expected() map[string]int {
	sum := 0
	for _, weight := range mix() {
		sum += weight
	}
	counts := map[string]int{}
	for kind, weight := range mix() {
		counts[kind] = requests * weight / sum
	}
	return counts
}

func run(t *testing.T, seed int64, lies bool) (*judge.Report, *liar.Liar) {
	t.Helper()
	service, err := echo.New(echo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	upstream := serve(t, service)
	counts := expected()
	if !lies {
		counts = nil
	}
	between := liar.New(upstream, seed, counts, addedMax+time.Second)
	report := judge.Run(&judge.Options{
		Target: serve(t, between), Kind: "echo", Rate: rate, Seed: seed, Mix: mix(), NewShare: 0.6, SlowMs: 500,
		Duration: requests * time.Second / rate, Timeout: 20 * time.Second, AddedMax: addedMax,
		Arrivals: []judge.Source{{Name: "service", Place: "http://" + upstream + "/arrivals"}},
	})
	if report.Error != "" {
		t.Fatal(report.Error)
	}
	if report.NewShare < 0.5 {
		t.Errorf("%.0f %% on new connections", 100*report.NewShare)
	}
	return report, between
}

func text(report *judge.Report) string {
	var out bytes.Buffer
	report.Text(&out)
	return out.String()
}

// A judge that finds faults where there are none would be switched off.
func TestHonestProxyIsFoundHonest(t *testing.T) {
	report, _ := run(t, 1, false)
	if !report.Passed || report.OK != report.Requests {
		t.Fatal(text(report))
	}
}

// A judge that overlooks one kind of fault would let an edge pass that loses money.
func TestEachLieIsFoundOnceAndAtItsRequest(t *testing.T) {
	for _, seed := range []int64{11, 22, 33} {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			report, between := run(t, seed, true)
			planted := between.Planted()
			told := map[liar.Lie]int{}
			for _, lie := range planted {
				told[lie]++
			}
			for _, lie := range liar.Lies {
				want := 1
				if lie.Reason == "swapped" {
					want = 2
				}
				if told[lie] != want {
					t.Errorf("%q among %s was planted %d times", lie.Name, lie.Among, told[lie])
				}
			}
			for _, fault := range report.Faults {
				lie, was := planted[fault.Number]
				delete(planted, fault.Number)
				if !was {
					t.Errorf("found where nothing was: %+v", *fault)
				} else if lie.Verdict != string(fault.Verdict) || lie.Reason != fault.Reason {
					t.Errorf("%q among %s was taken for %s, %s: %s", lie.Name, lie.Among, fault.Verdict, fault.Reason,
						fault.Detail)
				}
			}
			for number, lie := range planted {
				t.Errorf("%q among %s at %s was not found", lie.Name, lie.Among, number)
			}
			if report.Lost != 2 || report.Doubled != 2 || report.Passed {
				t.Errorf("%d lost, %d doubled", report.Lost, report.Doubled)
			}
			if t.Failed() && os.Getenv("SHOW") != "" {
				t.Log(text(report))
			}
		})
	}
}
