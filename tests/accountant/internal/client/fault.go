package client

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
)

// Reason is why a request counts as not answered as it must be. The first group is how a connection can fail; with
// the second the answer came and was wrong; the third shows only in the books at the end.
type Reason string

const (
	Refused   Reason = "refused"   // The connection was.
	Connect   Reason = "connect"   // There was none for another reason.
	Closed    Reason = "closed"    // Ended in order, before a byte of the answer.
	Reset     Reason = "reset"     // Reset before a byte of the answer.
	Cut       Reason = "cut"       // Ended or reset within the answer.
	TimedOut  Reason = "timeout"   // No end of the answer in time.
	Broken    Reason = "broken"    // A tunnel or an event stream ended by the other side.
	Malformed Reason = "malformed" // Not HTTP, or not that protocol.

	Status  Reason = "status"  // Another one than it must be.
	Body    Reason = "body"    // Not the bytes it must be.
	Swapped Reason = "swapped" // The answer to another request.
	Header  Reason = "header"  // One is missing.
	Late    Reason = "late"    // All right, but the wait added is above the limit.
	Gap     Reason = "gap"     // Of an event or a message: missing, twice or out of order.
	Message Reason = "message" // Of an event or a message: its bytes changed.

	Lost    Reason = "lost"    // Answered as done, and never arrived.
	Doubled Reason = "doubled" // Arrived more than once.
)

// Fault is what went wrong with one request.
type Fault struct {
	Reason Reason
	Detail string
}

func (f *Fault) Error() string { return string(f.Reason) + ": " + f.Detail }

// Wrong makes a Fault.
func Wrong(reason Reason, format string, values ...any) *Fault {
	return &Fault{reason, fmt.Sprintf(format, values...)}
}

// OfConnection says whether the connection failed, rather than that a wrong answer came.
func (f *Fault) OfConnection() bool {
	switch f.Reason {
	case Closed, Reset, Cut, Broken:
		return true
	}
	return false
}

func dialFault(err error) *Fault {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return Wrong(Refused, "%v", err)
	case errors.Is(err, os.ErrDeadlineExceeded) || isTimeout(err):
		return Wrong(TimedOut, "connecting: %v", err)
	}
	return Wrong(Connect, "%v", err)
}

func isTimeout(err error) bool {
	var network net.Error
	return errors.As(err, &network) && network.Timeout()
}

// broke says what a failed read or write means after `answered` bytes of the answer.
func broke(err error, answered int64) *Fault {
	switch {
	case isTimeout(err):
		return Wrong(TimedOut, "after %d bytes of the answer", answered)
	case answered > 0:
		return Wrong(Cut, "after %d bytes of the answer: %v", answered, err)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return Wrong(Closed, "no byte of an answer")
	}
	return Wrong(Reset, "no byte of an answer: %v", err)
}
