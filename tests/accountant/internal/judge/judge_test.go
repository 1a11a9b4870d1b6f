package judge

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"accountant/internal/client"
	"accountant/internal/echo"
	"accountant/internal/talk"
)

func echoService(t *testing.T) *echo.Service {
	t.Helper()
	service, err := echo.New(echo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return service
}

func options(server *httptest.Server, mix map[string]int) *Options {
	return &Options{Target: strings.TrimPrefix(server.URL, "http://"), Kind: "echo", Rate: 200, Duration: time.Second,
		Seed: 1, Mix: mix, NewShare: 0.6, SlowMs: 100, Timeout: 10 * time.Second, AddedMax: 8 * time.Second,
		Arrivals: []Source{{"service", server.URL + "/arrivals"}}}
}

func shown(r *Report) string {
	var out bytes.Buffer
	r.Text(&out)
	return out.String()
}

// A client that waits for answers offers less when the target stalls, and so hides the stall.
func TestLoadIsOfferedWhileTargetAnswersNothing(t *testing.T) {
	var arrived int32
	release := make(chan struct{})
	service := echoService(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if atomic.AddInt32(&arrived, 1) == 200 {
			close(release) // Only when all are here is the first one answered.
		}
		<-release
		service.ServeHTTP(w, r)
	}))
	defer server.Close()
	o := options(server, map[string]int{"get": 1})
	o.AddedMax = 100 * time.Millisecond
	report := Run(o)
	if report.Requests != 200 || report.Kinds["get"].AddedMaxMs < 500 {
		t.Error(shown(report))
	}
	for _, fault := range report.Faults {
		if fault.Reason != "late" {
			t.Fatal(shown(report))
		}
	}
}

func TestRefusedConnectionsAreFailures(t *testing.T) {
	server := httptest.NewServer(echoService(t))
	o := options(server, map[string]int{"get": 1, "post": 1, "lines": 1, "events": 1})
	o.Arrivals, o.Duration = nil, 200*time.Millisecond
	server.Close()
	report := Run(o)
	if report.Failed != report.Requests || report.Requests != 40 || report.Passed {
		t.Error(shown(report))
	}
	for _, fault := range report.Faults {
		if fault.Reason != "refused" || fault.Written != 0 {
			t.Errorf("%+v", *fault)
		}
	}
}

// A service that dies breaks what is open; what is opened after that goes on where the last one was.
func TestHeldStreamsAndTunnelsComeBackAndEventsHaveNoGap(t *testing.T) {
	service := echoService(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/sse") {
			ctx, cancel := context.WithTimeout(r.Context(), 700*time.Millisecond)
			defer cancel()
			service.ServeHTTP(w, r.WithContext(ctx))
			panic(http.ErrAbortHandler)
		}
		service.ServeHTTP(w, r)
	}))
	defer server.Close()
	o := options(server, map[string]int{"get": 1})
	o.Duration, o.Hold = 2500*time.Millisecond, map[string]int{"events": 2, "websocket": 2, "lines": 2}
	o.AllowBroken = 100
	report := Run(o)
	events := report.Kinds["events"]
	if !report.Passed || events.Broken < 4 || report.Gaps != 0 || events.Messages < 30 ||
		report.Kinds["websocket"].OK != 2 || report.Kinds["lines"].OK != 2 {
		t.Error(shown(report))
	}
}

func TestAnswersThatLackAnExpectedHeaderFail(t *testing.T) {
	server := httptest.NewServer(echoService(t))
	defer server.Close()
	o := options(server, map[string]int{"get": 1, "websocket": 1, "events": 1})
	o.Duration, o.ExpectHeaders = 100*time.Millisecond, []string{"X-Request-Id"}
	report := Run(o)
	if report.OK != 0 || report.Failed != 20 {
		t.Error(shown(report))
	}
}

func TestBooksThatCannotBeClosedAreNoSuccess(t *testing.T) {
	server := httptest.NewServer(echoService(t))
	defer server.Close()
	o := options(server, map[string]int{"post": 1})
	o.Duration, o.Arrivals = 100*time.Millisecond, []Source{{"service", filepath.Join(t.TempDir(), "none.log")}}
	if report := Run(o); report.Passed || report.Error == "" {
		t.Error(shown(report))
	}
}

// Where two services must each get it once, copies of one service share the count.
func TestArrivalsAddUpWithinAServiceAndNotBetweenTwo(t *testing.T) {
	folder := t.TempDir()
	file := func(name, lines string) Source {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(lines), 0o600); err != nil {
			t.Fatal(err)
		}
		return Source{strings.SplitN(name, "-", 2)[0], path}
	}
	l := newLoad(&Options{})
	l.run = "run"
	l.options.Arrivals = []Source{file("orders-1", "run-1 x\nrun-2 x\n"), file("orders-2", "run-3 x\nold-1 x\nrun-2 y\n"),
		file("billing-1", "run-1 x\nrun-2 x\n")}
	for _, id := range []string{"run-1", "run-2", "run-3"} {
		l.books.add(&Entry{Number: id, Kind: "order", Verdict: OK, isPost: true, Status: 201})
	}
	l.books.add(&Entry{Number: "run-4", Kind: "order", Verdict: Failed, Reason: "status", isPost: true, Status: 503})
	arrived, err := l.arrivals()
	if err != nil {
		t.Fatal(err)
	}
	if lost, doubled := l.books.closePosts(arrived); lost != 1 || doubled != 1 {
		t.Errorf("%d lost, %d doubled", lost, doubled)
	}
	if order := l.books.kinds["order"]; order.ok != 1 || order.failed != 3 {
		t.Errorf("%+v", *order)
	}
}

func TestWhatIsInFlightAndUnsafeIsToldFromWhatFailed(t *testing.T) {
	for _, c := range []struct {
		entry  Entry
		reason client.Reason
		want   Verdict
	}{
		{Entry{Written: 10}, client.Closed, Failed},                            // A GET: could have been sent again.
		{Entry{Written: 10, Answered: 1}, client.Cut, Broken},                  // Its answer had begun.
		{Entry{Written: 10, isPost: true}, client.Reset, Broken},               // May have been done.
		{Entry{Written: 0, isPost: true}, client.Reset, Failed},                // Never left.
		{Entry{Written: 10, isPost: true}, client.TimedOut, Failed},            // Should have been answered 504.
		{Entry{Written: 10, isPost: true, Status: 504}, client.Status, Broken}, // As here.
		{Entry{Written: 10, isPost: true, Status: 503}, client.Status, Failed}, // Says that it was not done.
		{Entry{Written: 10, Status: 502}, client.Status, Failed},
		{Entry{Written: 10, Answered: 300, isPost: true}, client.Body, Failed},
	} {
		entry := c.entry
		if entry.judged(client.Wrong(c.reason, "")); entry.Verdict != c.want {
			t.Errorf("%+v, %s: %s", c.entry, c.reason, entry.Verdict)
		}
	}
}

func TestBegunListIsComparedByEveryIdOfARequest(t *testing.T) {
	l := newLoad(&Options{})
	l.run = "run"
	l.books.faults = []*Entry{
		{Number: "run-1", Verdict: Broken, Reason: "closed", RequestID: SentID("run-1")}, // Known by what the service saw.
		{Number: "run-2", Verdict: Broken, Reason: "cut", RequestID: "edge-2"},           // Known by its answer.
		{Number: "run-3", Verdict: Failed, Reason: "reset", RequestID: SentID("run-3")},  // Nobody read it.
		{Number: "run-4", Verdict: Broken, Reason: "broken", RequestID: "edge-4"},        // Forgotten by the edge.
		{Number: "run-5", Verdict: Failed, Reason: "body", RequestID: "edge-5"},          // Not a matter of this list.
	}
	got := l.match([]string{"edge-1 POST", "edge-2", "edge-6", ""}, map[string][]string{"run-1": {"edge-1"}, "run-4": {"edge-4"}})
	want := &Begun{Listed: 3, Matched: 2, OnlyEdge: []string{"edge-6"}, OnlyClient: []string{"run-3", "run-4"},
		NeverSeen: []string{"run-3"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

// A shop's answers are checked by what does not move; without this a page of another product would do.
func TestShopAnswersOfAnotherProductOrOrderAreWrong(t *testing.T) {
	ok := &client.Answer{Status: 200}
	item := `{"id":"oar","name":"Ash oar, 2.4 m","price_cents":8900}`
	oar := asJSON(func(p shopProduct) bool { return p.ID == "oar" })
	order := `{"id":"run-1","status":"paid","total_cents":10,"lines":[{"name":"Hemp rope, 20 m","count":2,"price_cents":5}]}`
	mine := func(id, product string) func(shopOrder) bool {
		return func(o shopOrder) bool { return isOrder(o, id, product) }
	}
	for name, c := range map[string]struct {
		fault *client.Fault
		right bool
	}{
		"item":          {oar(ok, []byte(item)), true},
		"another item":  {oar(ok, []byte(strings.Replace(item, "oar", "rope", 1))), false},
		"half an item":  {oar(ok, []byte(item[:20])), false},
		"page":          {page("Ash oar")(ok, []byte("<html>Ash oar</html>")), true},
		"half a page":   {page("Ash oar")(ok, []byte("<html>Ash oar")), false},
		"another page":  {page("Ash oar")(ok, []byte("<html>Hemp rope</html>")), false},
		"order":         {decoded([]byte(order), mine("run-1", "rope")), true},
		"another order": {decoded([]byte(order), mine("run-2", "rope")), false},
		"other goods":   {decoded([]byte(order), mine("run-1", "oar")), false},
		"report cut":    {report(ok, []byte("sales report\npart 1 of 8\n")), false},
	} {
		if (c.fault == nil) != c.right {
			t.Errorf("%s: %v", name, c.fault)
		}
	}
}

func raw(t *testing.T, answer string) (*client.Answer, []byte, *client.Fault) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		if conn, err := listener.Accept(); err == nil {
			conn.Read(make([]byte, 1000))
			conn.Write([]byte(answer))
			conn.Close()
		}
	}()
	c := client.Client{Address: listener.Addr().String()}
	conn, fault := c.Take(true)
	if fault != nil {
		t.Fatal(fault)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	conn.Send(&client.Request{Method: "GET", Path: "/"})
	head, fault := conn.ReadHead("GET")
	if fault != nil {
		return head, nil, fault
	}
	body, fault := conn.ReadBody(head)
	return head, body, fault
}

// net/http forgives much of this; a judge must not.
func TestAnswersThatAreNotHTTPAreFound(t *testing.T) {
	for answer, want := range map[string]client.Reason{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok":                                        "",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok":           "",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=1\r\nok\r\n0\r\nT: 1\r\n\r\n": "",
		"HTTP/1.1 200 OK\r\n\r\nok":     "",
		"":                              client.Closed,
		"HTTP/1.1 200 OK\r\nContent-Le": client.Cut,
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok":                                                 client.Cut,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n":                               client.Cut,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n":                          client.Cut,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n0\r\n\r\n":                    client.Malformed,
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok!":                                                client.Malformed,
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok":                            client.Malformed,
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n": client.Malformed,
		"HTTP/1.1 200 OK\nContent-Length: 2\n\nok":                                                       client.Malformed,
		"ok": client.Cut,
	} {
		_, body, fault := raw(t, answer)
		switch {
		case want == "" && (fault != nil || string(body) != "ok"):
			t.Errorf("%q: %q, %v", answer, body, fault)
		case want != "" && (fault == nil || fault.Reason != want):
			t.Errorf("%q: %v instead of %s", answer, fault, want)
		}
	}
}

func TestTunnelsTellMissingFromChanged(t *testing.T) {
	for got, want := range map[string]client.Reason{
		talk.Echoed(6, talk.Said("t", 6)):       client.Gap, // 5 is missing on its way back.
		talk.Echoed(5, talk.Said("t", 6)):       client.Gap, // 5 never got there.
		talk.Echoed(4, talk.Said("t", 4)):       client.Gap, // Twice.
		talk.Echoed(5, talk.Said("u", 5)):       client.Message,
		talk.Echoed(5, talk.Said("t", 5)) + "x": client.Message,
	} {
		if fault := misplaced("t", 5, got); fault.Reason != want {
			t.Errorf("%q: %v", got, fault)
		}
	}
}

func TestCountsAreReadWholeOrRefused(t *testing.T) {
	for text, right := range map[string]bool{"get=1,post=0": true, "get": false, "gets=1": false, "get=1x": false,
		"get=-1": false, "": false, "get=0,post=0": false} {
		if _, err := ParseCounts(text, DefaultMix("echo")); (err == nil) != right {
			t.Error(fmt.Sprintf("%q: %v", text, err))
		}
	}
}
