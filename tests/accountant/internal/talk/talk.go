// Package talk says what the echo service answers: client, service and liar agree on it here and nowhere else.
// Nothing of src/ is used: the judge shares no mistake with what it judges.
package talk

import (
	"fmt"
	"hash/crc32"
	"strings"
	"time"
)

// Number is the header by which a request is known; the service gives it back in its answer. It is not
// X-Request-Id, because an edge sets that one anew.
const Number = "X-Accountant"

// Checksum is the header in which an upload says what its bytes must add up to.
const Checksum = "X-Checksum"

// PiecesOfStream is how many pieces a streamed answer comes in.
const PiecesOfStream = 8

// Pattern is `size` bytes that no other name has: whatever is cut, shifted, changed or exchanged shows.
func Pattern(name string, size int) []byte {
	out := make([]byte, size)
	state := crc32.ChecksumIEEE([]byte(name)) | 1
	for at := range out {
		state ^= state << 13
		state ^= state >> 17
		state ^= state << 5
		out[at] = 'a' + byte(state>>8)%26
	}
	return out
}

// SizeOf is 64 to 2111, for the answers and bodies that are small.
func SizeOf(name string) int { return 64 + int(crc32.ChecksumIEEE([]byte(name))%2048) }

func named(kind, name string, size int) []byte {
	return append([]byte(kind+" "+name+" "), Pattern(name, size)...)
}

// Get is the answer to GET /get/<n>.
func Get(n string) []byte { return named("get", n, SizeOf(n)) }

// Slow is the answer to GET /slow/<ms>.
func Slow(ms int, n string) []byte { return named("slow", fmt.Sprintf("%d-%s", ms, n), 100) }

// Stream is the answer to GET /stream/<n>/<bytes>.
func Stream(n string, size int) []byte { return Pattern("stream "+n, size) }

// Chunks is the answer to GET /chunks/<n>: many chunks of uneven size.
func Chunks(n string) []byte { return named("chunks", n, 3000) }

// PostBody is what a POST with this id carries.
func PostBody(id string) []byte { return named("body", id, SizeOf(id)) }

// UploadBody is what an upload with this id carries.
func UploadBody(id string, size int) []byte { return Pattern("upload "+id, size) }

// Sum is how bytes are summed up in answers and in the header Checksum.
func Sum(data []byte) string { return fmt.Sprintf("%08x", crc32.ChecksumIEEE(data)) }

// Posted is the answer to POST /post/<id> and POST /upload/<id>.
func Posted(kind, id string, body []byte) []byte {
	return []byte(fmt.Sprintf("%s %s %d %s\n", kind, id, len(body), Sum(body)))
}

// Said is message n of a tunnel on its way to the service.
func Said(tunnel string, n int) string {
	return fmt.Sprintf("c %s %d %s", tunnel, n, Pattern(fmt.Sprintf("%s %d", tunnel, n), 24+n%40))
}

// Echoed is the service's message m, in answer to what it read.
func Echoed(m int, said string) string {
	return fmt.Sprintf("s %d %s %s", m, Sum([]byte(said)), strings.TrimPrefix(said, "c "))
}

// TickAt is the number of the event that is due: a function of time, so that another copy goes on where one ended.
func TickAt(now time.Time, every time.Duration) int64 { return now.UnixNano() / int64(every) }

// EventData is what event `tick` carries.
func EventData(tick int64) string {
	return fmt.Sprintf("%d %s", tick, Pattern(fmt.Sprint("event ", tick), 40))
}
