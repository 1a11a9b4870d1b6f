package talk

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
)

// RFC 6455, as far as two ends need it that send whole text messages below 64 KiB:
//
//	byte 0: FIN and opcode | byte 1: MASK and length (126: two more bytes hold it) | 4 bytes of mask | payload
const (
	Text  = 1
	Close = 8
	Ping  = 9
	Pong  = 10
)

var errFrame = errors.New("not a frame that this end sends")

// AcceptKey answers a Sec-WebSocket-Key.
func AcceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Frame is a whole message as bytes. A client's mask is never nil, a service's always.
func Frame(opcode byte, payload []byte, mask []byte) []byte {
	out := []byte{0x80 | opcode, byte(len(payload))}
	if len(payload) > 125 {
		out[1] = 126
		out = binary.BigEndian.AppendUint16(out, uint16(len(payload)))
	}
	if mask == nil {
		return append(out, payload...)
	}
	out[1] |= 0x80
	out = append(out, mask...)
	for at, b := range payload {
		out = append(out, b^mask[at%4])
	}
	return out
}

// ReadFrame reads one frame; wantMask says whether it comes from a client, and must then be masked.
func ReadFrame(r *bufio.Reader, wantMask bool) (opcode byte, payload []byte, err error) {
	var head [2]byte
	if _, err = io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	if head[0]&0xf0 != 0x80 || (head[1]&0x80 != 0) != wantMask || head[1]&0x7f == 127 {
		return 0, nil, errFrame
	}
	size := int(head[1] & 0x7f)
	var more [4]byte
	if size == 126 {
		if _, err = io.ReadFull(r, more[:2]); err != nil {
			return 0, nil, unexpected(err)
		}
		size = int(binary.BigEndian.Uint16(more[:2]))
	}
	if wantMask {
		if _, err = io.ReadFull(r, more[:]); err != nil {
			return 0, nil, unexpected(err)
		}
	}
	payload = make([]byte, size)
	if _, err = io.ReadFull(r, payload); err != nil {
		return 0, nil, unexpected(err)
	}
	if wantMask {
		for at := range payload {
			payload[at] ^= more[at%4]
		}
	}
	return head[0] & 0x0f, payload, nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Lines is the other kind of tunnel: `Upgrade: lines`, a message a line.
const Lines = "lines"

// Wire reads and writes messages of a tunnel, whichever kind it is.
type Wire struct {
	R         *bufio.Reader
	W         io.Writer
	WebSocket bool
	FromMask  bool          // What is read comes from a client.
	Mask      func() []byte // Nil in a service.
}

// ErrClosed is a close frame: the other end said goodbye.
var ErrClosed = errors.New("closed by a close frame")

// Read gives the next message. Pings are answered on the way.
func (w *Wire) Read() (string, error) {
	if !w.WebSocket {
		line, err := w.R.ReadString('\n')
		if err != nil {
			if line != "" {
				err = unexpected(err)
			}
			return "", err
		}
		return line[:len(line)-1], nil
	}
	for {
		opcode, payload, err := ReadFrame(w.R, w.FromMask)
		if err != nil {
			return "", err
		}
		switch opcode {
		case Text:
			return string(payload), nil
		case Close:
			w.send(Close, payload)
			return "", ErrClosed
		case Ping:
			w.send(Pong, payload)
		case Pong:
		default:
			return "", errFrame
		}
	}
}

func (w *Wire) send(opcode byte, payload []byte) error {
	var mask []byte
	if w.Mask != nil {
		mask = w.Mask()
	}
	_, err := w.W.Write(Frame(opcode, payload, mask))
	return err
}

// Write sends one message, whole.
func (w *Wire) Write(message string) error {
	if !w.WebSocket {
		_, err := io.WriteString(w.W, message+"\n")
		return err
	}
	return w.send(Text, []byte(message))
}

// SayGoodbye sends a close frame with "normal closure".
func (w *Wire) SayGoodbye() {
	if w.WebSocket {
		w.send(Close, []byte{0x03, 0xe8})
	}
}
