// catalog: what the shop sells, and what it costs this second.
//
// It keeps nothing: a price is a function of the product and the tick (the Unix second), so three
// copies agree without talking, and a reader cut off at tick 17 goes on at 18 with any other copy.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

type product struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Icon  string `json:"icon"`
	About string `json:"about"`
	Base  int    `json:"-"` // Cents, around which the price moves.
	Price int    `json:"price_cents"`
}

var products = []product{
	{ID: "oar", Name: "Ash oar, 2.4 m", Icon: "🛶", Base: 8900,
		About: "Steam-bent white ash with a leathered collar. Light enough for a long day."},
	{ID: "thole-pin", Name: "Thole pins, pair", Icon: "🪵", Base: 1450,
		About: "Turned from locust. They hold the oar, take the strain, and give before the boat does."},
	{ID: "lantern", Name: "Storm lantern", Icon: "🏮", Base: 4200,
		About: "Burns eleven hours on one filling. Does not blow out; we tried."},
	{ID: "rope", Name: "Hemp rope, 20 m", Icon: "🪢", Base: 2600,
		About: "Three strands, tarred, spliced by hand. Smells of harbours."},
	{ID: "compass", Name: "Brass compass", Icon: "🧭", Base: 6800,
		About: "Liquid-damped, in a case that has seen worse weather than you will."},
	{ID: "anchor", Name: "Folding anchor", Icon: "⚓", Base: 5400,
		About: "Six kilos, four flukes. Holds in sand, mud and arguments."},
	{ID: "jumper", Name: "Fisherman's jumper", Icon: "🧶", Base: 11900,
		About: "Oiled wool, knitted so tight that rain gives up."},
	{ID: "mug", Name: "Enamel mug", Icon: "☕", Base: 1200,
		About: "Chips with dignity. Half a litre, for those who mean it."},
}

const ticksKept = 300 // How far back a reader may go on from.

// price is the same in every copy: two slow waves per product, at most 12 % off its base.
func price(index int, tick int64) int {
	t, phase := float64(tick), float64(index)*1.7
	wave := 0.08*math.Sin(t/17+phase) + 0.04*math.Sin(t/5.3+2*phase)
	return int(math.Round(float64(products[index].Base) * (1 + wave)))
}

func at(tick int64) []product {
	now := make([]product, len(products))
	for i, p := range products {
		p.Price = price(i, tick)
		now[i] = p
	}
	return now
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

func listProducts(w http.ResponseWriter, r *http.Request) {
	tick := time.Now().Unix()
	reply(w, 200, map[string]any{"tick": tick, "by": whoami(), "products": at(tick)})
}

func oneProduct(w http.ResponseWriter, r *http.Request) {
	for _, p := range at(time.Now().Unix()) {
		if p.ID == strings.TrimPrefix(r.URL.Path, "/products/") {
			reply(w, 200, p)
			return
		}
	}
	reply(w, 404, map[string]string{"error": "there is no such product"})
}

// streamPrices sends one event a second, numbered by tick, without a gap after Last-Event-ID.
func streamPrices(stopping <-chan struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		flusher := w.(http.Flusher)
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Cache-Control", "no-store")
		fmt.Fprint(w, "retry: 300\n\n")

		next := time.Now().Unix()
		if last, err := strconv.ParseInt(r.Header.Get("Last-Event-ID"), 10, 64); err == nil {
			if last < next && last >= next-ticksKept {
				next = last + 1
			}
		}
		for {
			for ; next <= time.Now().Unix(); next++ {
				prices := map[string]int{}
				for _, p := range at(next) {
					prices[p.ID] = p.Price
				}
				line, _ := json.Marshal(map[string]any{"tick": next, "prices": prices})
				if _, err := fmt.Fprintf(w, "id: %d\ndata: %s\n\n", next, line); err != nil {
					return
				}
			}
			flusher.Flush()
			select {
			case <-time.After(time.Until(time.Unix(next, 0))):
			case <-r.Context().Done():
				return
			case <-stopping:
				return
			}
		}
	}
}

func whoami() map[string]any {
	return map[string]any{"service": "catalog", "pid": os.Getpid(),
		"release": os.Getenv("THOLE_RELEASE"), "instance": os.Getenv("THOLE_INSTANCE")}
}

func say(fields map[string]any) {
	fields["time"] = time.Now().UTC().Format(time.RFC3339Nano)
	line, _ := json.Marshal(fields)
	fmt.Println(string(line))
}

// logged writes one line per request, with the ids by which it can be followed through the shop.
func logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		next.ServeHTTP(w, r)
		if r.URL.Path == "/readyz" || r.URL.Path == "/healthz" {
			return
		}
		say(map[string]any{"level": "info", "message": r.Method + " " + r.URL.Path,
			"took_ms": time.Since(began).Milliseconds(), "request_id": r.Header.Get("X-Request-Id"),
			"traceparent": r.Header.Get("Traceparent")})
	})
}

func main() {
	port := os.Getenv("PORT")
	if port == "" {
		fmt.Fprintln(os.Stderr, "catalog: PORT is not set\n  try: PORT=3003 ./catalog")
		os.Exit(2)
	}
	stopping := make(chan struct{})
	ok := func(w http.ResponseWriter, r *http.Request) { reply(w, 200, map[string]bool{"ok": true}) }
	routes := http.NewServeMux()
	routes.HandleFunc("/healthz", ok)
	routes.HandleFunc("/readyz", ok)
	routes.HandleFunc("/whoami", func(w http.ResponseWriter, r *http.Request) { reply(w, 200, whoami()) })
	routes.HandleFunc("/products", listProducts)
	routes.HandleFunc("/products/", oneProduct)
	routes.HandleFunc("/prices", streamPrices(stopping))

	server := &http.Server{Addr: "127.0.0.1:" + port, Handler: logged(routes)}
	server.RegisterOnShutdown(func() { close(stopping) }) // Streams never end by themselves.
	stopped := make(chan struct{})
	go func() {
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
		<-signals
		say(map[string]any{"level": "info", "message": "finishing what was begun"})
		server.Shutdown(context.Background())
		close(stopped)
	}()
	say(map[string]any{"level": "info", "message": "listening on " + server.Addr})
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		fmt.Fprintln(os.Stderr, "catalog:", err)
		os.Exit(1)
	}
	<-stopped
}
