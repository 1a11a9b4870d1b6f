// Package client is an HTTP/1.1 client that hides nothing: no retry, no redirect, and it knows how many bytes were
// written and read when something breaks. net/http tries idempotent requests again by itself, which would hide faults.
package client

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	headMax     = 64 << 10
	pooledMax   = 256
	idleMax     = 2 * time.Second // Below any server's keep-alive time that is not meant as a trap.
	connectTime = 10 * time.Second
)

// Client keeps connections that may be used again.
type Client struct {
	Address string
	mutex   sync.Mutex
	idle    []*Conn // The one used last stands last.
}

// Conn is one connection. Written and Answered count what belongs to the request in hand.
type Conn struct {
	net.Conn
	R        *bufio.Reader
	Reused   bool
	Written  int64
	Answered int64
	since    time.Time
}

func (c *Conn) Write(data []byte) (int, error) {
	n, err := c.Conn.Write(data)
	c.Written += int64(n)
	return n, err
}

// counted is what the bufio.Reader reads from.
type counted struct{ *Conn }

func (c counted) Read(data []byte) (int, error) {
	n, err := c.Conn.Conn.Read(data)
	c.Conn.Answered += int64(n)
	return n, err
}

// Take gives a pooled connection that is still open, unless a new one is asked for or none is there.
func (c *Client) Take(wantNew bool) (*Conn, *Fault) {
	for !wantNew {
		conn := c.pop()
		if conn == nil {
			break
		}
		if time.Since(conn.since) < idleMax && isOpen(conn.Conn) {
			conn.Reused, conn.Written, conn.Answered = true, 0, 0
			return conn, nil
		}
		conn.Close()
	}
	raw, err := net.DialTimeout("tcp", c.Address, connectTime)
	if err != nil {
		return nil, dialFault(err)
	}
	conn := &Conn{Conn: raw}
	conn.R = bufio.NewReaderSize(counted{conn}, 8<<10)
	return conn, nil
}

func (c *Client) pop() *Conn {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if len(c.idle) == 0 {
		return nil
	}
	conn := c.idle[len(c.idle)-1]
	c.idle = c.idle[:len(c.idle)-1]
	return conn
}

// Give puts a connection back whose answer was read to its end.
func (c *Client) Give(conn *Conn) {
	conn.since = time.Now()
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if len(c.idle) >= pooledMax {
		conn.Close()
		return
	}
	c.idle = append(c.idle, conn)
}

// CloseIdle closes what is pooled.
func (c *Client) CloseIdle() {
	for conn := c.pop(); conn != nil; conn = c.pop() {
		conn.Close()
	}
}

// isOpen looks without waiting: a connection that the other side ended, or on which it said something unasked, is
// not used again.
func isOpen(conn net.Conn) bool {
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return false
	}
	open := false
	err = raw.Read(func(fd uintptr) bool {
		var one [1]byte
		_, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		open = err == syscall.EAGAIN
		return true
	})
	return err == nil && open
}

// Request is one to send. Chunks, where not nil, are sent as a chunked body, with Pause between them.
type Request struct {
	Method, Path string
	Headers      []string // "Name: value"
	Body         []byte
	Chunks       [][]byte
	Pause        time.Duration
}

// Send writes it. It stops where the other side has already closed: the answer may be there all the same.
func (c *Conn) Send(request *Request) error {
	var head strings.Builder
	fmt.Fprintf(&head, "%s %s HTTP/1.1\r\nHost: %s\r\n", request.Method, request.Path, c.RemoteAddr())
	for _, line := range request.Headers {
		head.WriteString(line + "\r\n")
	}
	if request.Chunks != nil {
		head.WriteString("Transfer-Encoding: chunked\r\n\r\n")
		return c.sendChunks(head.String(), request)
	}
	if request.Method == "POST" {
		fmt.Fprintf(&head, "Content-Length: %d\r\n", len(request.Body))
	}
	head.WriteString("\r\n")
	head.Write(request.Body)
	_, err := io.WriteString(c, head.String())
	return err
}

func (c *Conn) sendChunks(head string, request *Request) error {
	if _, err := io.WriteString(c, head); err != nil {
		return err
	}
	for _, chunk := range request.Chunks {
		time.Sleep(request.Pause)
		if _, err := fmt.Fprintf(c, "%x\r\n%s\r\n", len(chunk), chunk); err != nil {
			return err
		}
	}
	_, err := io.WriteString(c, "0\r\n\r\n")
	return err
}

// Answer is a head; Body reads what follows it.
type Answer struct {
	Status int
	Header map[string]string // Names in lower case.
	Body   io.Reader
	Keep   bool // The connection may be used again once Body has ended.
}

// ReadHead reads an answer's head; 1xx but 101 are passed over.
func (c *Conn) ReadHead(method string) (*Answer, *Fault) {
	for {
		answer, err := c.readOneHead()
		if err != nil {
			if fault, ok := err.(*Fault); ok {
				return nil, fault
			}
			return nil, broke(err, c.Answered)
		}
		if answer.Status >= 200 || answer.Status == 101 {
			return answer, c.frame(answer, method)
		}
	}
}

func (c *Conn) line(left *int) (string, error) {
	line, err := c.R.ReadString('\n')
	if err != nil {
		return "", err
	}
	if *left -= len(line); *left < 0 {
		return "", Wrong(Malformed, "a head of more than %d bytes", headMax)
	}
	if !strings.HasSuffix(line, "\r\n") {
		return "", Wrong(Malformed, "a line without CR LF: %.60q", line)
	}
	return line[:len(line)-2], nil
}

func (c *Conn) readOneHead() (*Answer, error) {
	left := headMax
	first, err := c.line(&left)
	if err != nil {
		return nil, err
	}
	words := strings.SplitN(first, " ", 3)
	if len(words) < 2 || words[0] != "HTTP/1.1" || len(words[1]) != 3 {
		return nil, Wrong(Malformed, "not a status line: %.60q", first)
	}
	answer := &Answer{Header: map[string]string{}}
	if answer.Status, err = strconv.Atoi(words[1]); err != nil {
		return nil, Wrong(Malformed, "not a status line: %.60q", first)
	}
	for {
		line, err := c.line(&left)
		if err != nil || line == "" {
			return answer, err
		}
		name, value, found := strings.Cut(line, ":")
		name = strings.ToLower(name)
		if !found || strings.ContainsAny(name, " \t") {
			return nil, Wrong(Malformed, "not a header: %.60q", line)
		}
		if _, twice := answer.Header[name]; twice && (name == "content-length" || name == "transfer-encoding") {
			return nil, Wrong(Malformed, "%s twice", name)
		}
		answer.Header[name] = strings.TrimSpace(value)
	}
}

// frame finds out where the body ends (RFC 9112 §6.3).
func (c *Conn) frame(answer *Answer, method string) *Fault {
	length, hasLength := answer.Header["content-length"]
	coding, hasCoding := answer.Header["transfer-encoding"]
	answer.Keep = !strings.EqualFold(answer.Header["connection"], "close")
	switch {
	case answer.Status == 101:
		answer.Keep, answer.Body = false, c.R
	case method == "HEAD" || answer.Status == 204 || answer.Status == 304:
		answer.Body = strings.NewReader("")
	case hasCoding && hasLength:
		return Wrong(Malformed, "a length and a transfer coding")
	case hasCoding:
		if !strings.EqualFold(coding, "chunked") {
			return Wrong(Malformed, "transfer coding %q", coding)
		}
		answer.Body = &chunkedBody{conn: c}
	case hasLength:
		size, err := strconv.ParseInt(length, 10, 64)
		if err != nil || size < 0 {
			return Wrong(Malformed, "length %q", length)
		}
		answer.Body = &sizedBody{c.R, size}
	default:
		answer.Keep, answer.Body = false, c.R
	}
	return nil
}

// sizedBody differs from io.LimitReader: ending early is an error.
type sizedBody struct {
	r    io.Reader
	left int64
}

func (b *sizedBody) Read(data []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	if int64(len(data)) > b.left {
		data = data[:b.left]
	}
	n, err := b.r.Read(data)
	b.left -= int64(n)
	if err == io.EOF && b.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

type chunkedBody struct {
	conn *Conn
	left int64 // Of the chunk in hand.
	last bool
}

func (b *chunkedBody) Read(data []byte) (int, error) {
	if b.last {
		return 0, io.EOF
	}
	if b.left == 0 {
		if err := b.nextChunk(); err != nil || b.last {
			return 0, eofIf(err)
		}
	}
	if int64(len(data)) > b.left {
		data = data[:b.left]
	}
	n, err := b.conn.R.Read(data)
	if b.left -= int64(n); b.left == 0 && err == nil {
		err = b.lineEnd()
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func eofIf(err error) error {
	switch err {
	case nil:
		return io.EOF
	case io.EOF:
		return io.ErrUnexpectedEOF
	}
	return err
}

func (b *chunkedBody) lineEnd() error {
	left := 2
	line, err := b.conn.line(&left)
	if err == nil && line != "" {
		err = Wrong(Malformed, "no CR LF after a chunk")
	}
	return err
}

func (b *chunkedBody) nextChunk() error {
	left := headMax
	line, err := b.conn.line(&left)
	if err != nil {
		return err
	}
	size, _, _ := strings.Cut(line, ";")
	if b.left, err = strconv.ParseInt(strings.TrimSpace(size), 16, 64); err != nil || b.left < 0 {
		return Wrong(Malformed, "not a chunk's size: %.40q", line)
	}
	if b.left > 0 {
		return nil
	}
	for { // Trailers, up to the empty line.
		line, err := b.conn.line(&left)
		if err != nil {
			return err
		}
		if line == "" {
			b.last = true
			return nil
		}
	}
}

// ReadBody reads it to its end. What was read is given also where a fault is.
func (c *Conn) ReadBody(answer *Answer) ([]byte, *Fault) {
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.Keep && c.R.Buffered() > 0 {
		return body, Wrong(Malformed, "%d bytes after the answer", c.R.Buffered())
	}
	return body, c.Broke(err)
}

// Broke is the Fault that a failed read is.
func (c *Conn) Broke(err error) *Fault {
	if err == nil {
		return nil
	}
	if fault, ok := err.(*Fault); ok {
		return fault
	}
	return broke(err, c.Answered)
}
