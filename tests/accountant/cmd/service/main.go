// service is what the accountant asks: it listens on 127.0.0.1:$PORT, and can be told to behave badly.
//
//	STATE_DIR or ARRIVALS_DIR  where arrivals.log, seen.log and violations.log are appended to; else in memory
//	ALLOWED_IDS_FILE     once this file exists (renamed into place), every request whose X-Request-Id it does not
//	                     name is a violation, and aborted; {port} and {pid} in its name stand for this process's
//	IGNORE_SIGTERM=1     SIGTERM changes nothing
//	NO_SIGTERM_HANDLER=1 SIGTERM ends it at once, as in a program that never thought of it
//	START_MS=300         so long until it listens
//	EXIT_AT_START=1      exit code 1 at once
//	NEVER_LISTEN=1       runs, and never listens
//	LISTEN_ELSEWHERE=1   listens on another port than it was told
//	FLOOD_STDOUT=1       binary garbage as fast as it is taken; FLOOD_STDOUT=<n>: n MB/s
//	FORK_GRANDCHILDREN=1 two generations of children in sessions of their own, deaf to SIGTERM
//	TRUNCATE_STDOUT=1    truncates its own standard output ten times a second
//	PASS_ON=ECHO         keeps no records and has no answers of its own: each request is passed on to $ECHO_URL
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"accountant/internal/echo"
)

func asked(name string) bool { return os.Getenv(name) != "" && os.Getenv(name) != "0" }

func number(name string) int {
	value, _ := strconv.Atoi(os.Getenv(name))
	return value
}

// own is a path that only this process has.
func own(path, port string) string {
	return strings.NewReplacer("{port}", port, "{pid}", strconv.Itoa(os.Getpid())).Replace(path)
}

func fail(format string, values ...any) {
	fmt.Fprintf(os.Stderr, "service: "+format+"\n", values...)
	os.Exit(1)
}

func main() {
	if os.Getenv("GRANDCHILD") != "" {
		beGrandchild()
	}
	if asked("EXIT_AT_START") {
		fail("told to exit at once")
	}
	asksToEnd := signals()
	misbehave()
	time.Sleep(time.Duration(number("START_MS")) * time.Millisecond)
	if asked("NEVER_LISTEN") {
		<-asksToEnd
		return
	}
	port := os.Getenv("PORT")
	if port == "" {
		fail("PORT is not set\n  try: PORT=3000 service")
	}
	if asked("LISTEN_ELSEWHERE") {
		port = "0"
	}
	handler, stop := answering(port)
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		fail("%v", err)
	}
	fmt.Println("listening on", listener.Addr())
	server := &http.Server{Handler: handler}
	go server.Serve(listener)
	<-asksToEnd
	stop()
	server.Shutdown(context.Background()) // What was begun is finished.
}

// answering is who answers, and what ends that which never ends by itself.
func answering(port string) (http.Handler, func()) {
	if callee := os.Getenv("PASS_ON"); callee != "" {
		url := os.Getenv(callee + "_URL")
		if url == "" {
			fail("%s_URL is not set\n  try: calls: [%s]", callee, strings.ToLower(callee))
		}
		return echo.NewPassOn(url), func() {}
	}
	folder := os.Getenv("ARRIVALS_DIR")
	if folder == "" {
		folder = os.Getenv("STATE_DIR")
	}
	service, err := echo.New(echo.Options{Folder: folder, Allowed: own(os.Getenv("ALLOWED_IDS_FILE"), port)})
	if err != nil {
		fail("%v", err)
	}
	return service, service.Stop
}

// signals is what asks this process to end: from before it listens, so that there is no moment at which SIGTERM
// just kills it, unless that is what was wanted.
func signals() <-chan os.Signal {
	asksToEnd := make(chan os.Signal, 1)
	switch {
	case asked("IGNORE_SIGTERM"):
		signal.Ignore(syscall.SIGTERM)
		go sleepForEver()
	case asked("NO_SIGTERM_HANDLER"):
		go sleepForEver()
	default:
		signal.Notify(asksToEnd, syscall.SIGTERM, syscall.SIGINT)
	}
	return asksToEnd
}
