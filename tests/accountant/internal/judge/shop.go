package judge

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand"
	"net/url"
	"strings"
	"sync"
	"time"

	"accountant/internal/client"
)

// shopTarget asks examples/shop through its web. Prices move, so answers are checked by what does not.
type shopTarget struct {
	mutex sync.Mutex
	paid  []paidOrder // The last ones, to be read again.
}

type paidOrder struct {
	id   string
	body []byte
}

const (
	paidKept   = 200
	reportTime = 8 * time.Second
)

var shopNames = map[string]string{"oar": "Ash oar", "thole-pin": "Thole pins", "lantern": "Storm lantern",
	"rope": "Hemp rope", "compass": "Brass compass", "anchor": "Folding anchor", "jumper": "jumper", "mug": "Enamel mug"}

type answered = func(*client.Answer, []byte) *client.Fault

func (s *shopTarget) exchange(kind, name string, chance *rand.Rand) exchange {
	all := keys(shopNames)
	product := all[chance.Intn(len(all))]
	switch kind {
	case "page":
		return shopGet("/", page("Ash oar", "Enamel mug"))
	case "product":
		return shopGet("/products/"+product, page(shopNames[product]))
	case "item":
		return shopGet("/api/products/"+product, asJSON(func(item shopProduct) bool {
			return item.ID == product && strings.Contains(item.Name, shopNames[product]) && item.Price > 0
		}))
	case "reread":
		return s.reread(chance)
	case "order":
		return s.order(name, product)
	case "form":
		return shopForm(name, product)
	case "report":
		x := shopGet("/api/report", report)
		x.asks = reportTime
		return x
	}
	return shopGet("/api/products", asJSON(func(list shopList) bool {
		return len(list.Products) == len(shopNames) && list.Products[0].ID == "oar" && list.Tick > 0
	}))
}

type shopProduct struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Price int    `json:"price_cents"`
}

type shopList struct {
	Tick     int64         `json:"tick"`
	Products []shopProduct `json:"products"`
}

type shopOrder struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	Total  int    `json:"total_cents"`
	Lines  []struct {
		Name  string `json:"name"`
		Count int    `json:"count"`
		Price int    `json:"price_cents"`
	} `json:"lines"`
}

func shopGet(path string, check answered) exchange {
	return exchange{request: client.Request{Method: "GET", Path: path}, check: check}
}

func (s *shopTarget) order(id, product string) exchange {
	x := exchange{isPost: true, request: client.Request{Method: "POST", Path: "/api/orders",
		Headers: []string{"Content-Type: application/json"},
		Body:    []byte(fmt.Sprintf(`{"id": "%s", "items": {"%s": 2}}`, id, product))}}
	x.check = func(answer *client.Answer, body []byte) *client.Fault {
		if answer.Status == 200 { // Only a second POST of this id finds it known.
			return client.Wrong(client.Doubled, "the order was known already")
		}
		if answer.Status != 201 {
			return client.Wrong(client.Status, "%d instead of 201: %.100q", answer.Status, body)
		}
		return decoded(body, func(order shopOrder) bool { return isOrder(order, id, product) })
	}
	x.whenRight = func(body []byte) { s.remember(paidOrder{id, body}) }
	return x
}

func isOrder(order shopOrder, id, product string) bool {
	return order.ID == id && order.Status == "paid" && len(order.Lines) == 1 && order.Lines[0].Count == 2 &&
		strings.Contains(order.Lines[0].Name, shopNames[product]) && order.Total == 2*order.Lines[0].Price
}

func shopForm(id, product string) exchange {
	x := exchange{isPost: true, request: client.Request{Method: "POST", Path: "/orders",
		Headers: []string{"Content-Type: application/x-www-form-urlencoded", "Cookie: cart=" + product + ":2"},
		Body:    []byte(url.Values{"id": {id}}.Encode())}}
	x.check = func(answer *client.Answer, body []byte) *client.Fault {
		if answer.Status != 303 {
			return client.Wrong(client.Status, "%d instead of 303: %.100q", answer.Status, body)
		}
		if place := answer.Header["location"]; place != "/orders/"+id {
			return client.Wrong(client.Swapped, "sent on to %q", place)
		}
		return nil
	}
	return x
}

func (s *shopTarget) remember(order paidOrder) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if len(s.paid) == paidKept {
		s.paid = s.paid[1:]
	}
	s.paid = append(s.paid, order)
}

// reread asks for an order again: what was paid stays paid, and its lines stay as they were answered.
func (s *shopTarget) reread(chance *rand.Rand) exchange {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if len(s.paid) == 0 {
		return shopGet("/api/products/oar", asJSON(func(item shopProduct) bool { return item.ID == "oar" }))
	}
	order := s.paid[chance.Intn(len(s.paid))]
	return shopGet("/api/orders/"+order.id, func(answer *client.Answer, body []byte) *client.Fault {
		if answer.Status != 200 {
			return client.Wrong(client.Status, "%d instead of 200: %.100q", answer.Status, body)
		}
		if !bytes.Equal(bytes.TrimSpace(body), bytes.TrimSpace(order.body)) {
			return client.Wrong(client.Body, "order %s was answered as %.200q, now as %.200q", order.id, order.body, body)
		}
		return nil
	})
}

func page(words ...string) answered {
	return func(answer *client.Answer, body []byte) *client.Fault {
		if answer.Status != 200 {
			return client.Wrong(client.Status, "%d instead of 200: %.100q", answer.Status, body)
		}
		for _, word := range append(words, "</html>") {
			if !bytes.Contains(body, []byte(word)) {
				return client.Wrong(client.Body, "a page of %d bytes without %q", len(body), word)
			}
		}
		return nil
	}
}

func report(answer *client.Answer, body []byte) *client.Fault {
	if answer.Status != 200 {
		return client.Wrong(client.Status, "%d instead of 200: %.100q", answer.Status, body)
	}
	text := string(body)
	if !strings.HasPrefix(text, "sales report\n") || !strings.HasSuffix(text, "end of report\n") ||
		strings.Count(text, " of 8\n") != 8 {
		return client.Wrong(client.Body, "not a whole report: %.300q", text)
	}
	return nil
}

func asJSON[T any](right func(T) bool) answered {
	return func(answer *client.Answer, body []byte) *client.Fault {
		if answer.Status != 200 {
			return client.Wrong(client.Status, "%d instead of 200: %.100q", answer.Status, body)
		}
		return decoded(body, right)
	}
}

func decoded[T any](body []byte, right func(T) bool) *client.Fault {
	var value T
	if err := json.Unmarshal(body, &value); err != nil {
		return client.Wrong(client.Body, "%v: %.100q", err, body)
	}
	if !right(value) {
		return client.Wrong(client.Body, "not what was asked for: %.200q", body)
	}
	return nil
}

func (s *shopTarget) eventsPath(string) string { return "/prices" }

func (s *shopTarget) every() time.Duration { return time.Second }

func (s *shopTarget) checkEvent(tick int64, data string) *client.Fault {
	var event struct {
		Tick   int64          `json:"tick"`
		Prices map[string]int `json:"prices"`
	}
	if err := json.Unmarshal([]byte(data), &event); err != nil || event.Tick != tick || len(event.Prices) != len(shopNames) {
		return client.Wrong(client.Message, "event %d carries %.100q", tick, data)
	}
	return nil
}
