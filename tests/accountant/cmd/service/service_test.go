package main

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test's own binary is the service where RUN_SERVICE is set.
func TestMain(m *testing.M) {
	if os.Getenv("RUN_SERVICE") != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const patience = 20 * time.Second

type running struct {
	*exec.Cmd
	out   *bufio.Reader
	ended chan error
}

func start(t *testing.T, environment ...string) *running {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(append(os.Environ(), "RUN_SERVICE=1", "PORT=0"), environment...)
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out.SetReadDeadline(time.Now().Add(patience))
	command.Stdout = in
	err = command.Start()
	in.Close()
	if err != nil {
		t.Fatal(err)
	}
	r := &running{command, bufio.NewReader(out), make(chan error, 1)}
	go func() {
		state, err := command.Process.Wait()
		if err == nil && !state.Success() {
			err = &exec.ExitError{ProcessState: state}
		}
		r.ended <- err
	}()
	t.Cleanup(func() { command.Process.Kill() })
	return r
}

// line waits for a line that begins so, and gives the rest.
func (r *running) line(t *testing.T, begin string) string {
	t.Helper()
	for {
		line, err := r.out.ReadString('\n')
		if err != nil {
			t.Fatalf("no line %q: %v", begin, err)
		}
		if strings.HasPrefix(line, begin) {
			return strings.TrimSpace(line[len(begin):])
		}
	}
}

func (r *running) end(t *testing.T) error {
	t.Helper()
	select {
	case err := <-r.ended:
		return err
	case <-time.After(patience):
		t.Fatal("it does not end")
		return nil
	}
}

func ask(t *testing.T, method, url, id string) (int, string, error) {
	t.Helper()
	request, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Request-Id", id)
	request.Header.Set("X-Checksum", "00000000")
	direct := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	answer, err := direct.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(body), err
}

func TestServiceEndsOnSigtermUnlessToldToIgnoreIt(t *testing.T) {
	good := start(t)
	good.line(t, "listening on ")
	good.Process.Signal(syscall.SIGTERM)
	if err := good.end(t); err != nil {
		t.Error(err)
	}
	plain := start(t, "NO_SIGTERM_HANDLER=1")
	plain.line(t, "listening on ")
	plain.Process.Signal(syscall.SIGTERM)
	if err := plain.end(t); err == nil || !strings.Contains(err.Error(), "terminated") {
		t.Error(err)
	}
	deaf := start(t, "IGNORE_SIGTERM=1")
	place := "http://" + deaf.line(t, "listening on ")
	deaf.Process.Signal(syscall.SIGTERM)
	if status, _, err := ask(t, "GET", place+"/healthz", ""); status != 200 {
		t.Error(status, err)
	}
}

func TestServiceThatIsToldToExitSaysSo(t *testing.T) {
	if err := start(t, "EXIT_AT_START=1").end(t); err == nil || !strings.Contains(err.Error(), "exit status 1") {
		t.Error(err)
	}
}

func TestOneThatPassesOnTriesACallOnce(t *testing.T) {
	called := start(t)
	at := "http://" + called.line(t, "listening on ")
	caller := start(t, "PASS_ON=ECHO", "ECHO_URL="+at)
	place := "http://" + caller.line(t, "listening on ")
	if status, body, err := ask(t, "POST", place+"/post/one", "a"); status != 201 || err != nil {
		t.Error(status, body, err)
	}
	if _, body, err := ask(t, "GET", at+"/arrivals", ""); body != "one a\n" {
		t.Error(body, err)
	}
	called.Process.Kill()
	called.end(t)
	if status, body, err := ask(t, "GET", place+"/get/two", "b"); status != 502 {
		t.Error(status, body, err)
	}
}

// What arrived must be known when the one it arrived at was killed, and a second time must not be smoothed over.
func TestArrivalsAreRawAndOutliveTheProcess(t *testing.T) {
	folder := t.TempDir()
	service := start(t, "ARRIVALS_DIR="+folder)
	place := "http://" + service.line(t, "listening on ")
	for _, id := range []string{"a", "b"} {
		if status, body, err := ask(t, "POST", place+"/post/one", id); status != 201 || err != nil {
			t.Error(status, body, err)
		}
	}
	service.Process.Kill()
	service.end(t)
	again := start(t, "ARRIVALS_DIR="+folder)
	place = "http://" + again.line(t, "listening on ")
	if _, body, err := ask(t, "GET", place+"/arrivals", ""); body != "one a\none b\n" {
		t.Errorf("%q %v", body, err)
	}
}

func TestRequestsThatAreNotAllowedAreAbortedAndWrittenDown(t *testing.T) {
	folder := t.TempDir()
	service := start(t, "ALLOWED_IDS_FILE="+folder+"/allowed.{pid}.{port}")
	place := "http://" + service.line(t, "listening on ")
	allowed := filepath.Join(folder, "allowed."+strconv.Itoa(service.Process.Pid)+".0")
	if status, _, err := ask(t, "GET", place+"/get/1", "x"); status != 200 {
		t.Error(status, err)
	}
	if err := os.WriteFile(allowed, []byte("y\nz\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _, err := ask(t, "POST", place+"/post/2", "y"); status != 201 {
		t.Error(status, err)
	}
	if status, _, err := ask(t, "POST", place+"/post/3", "x"); err == nil {
		t.Error(status, "was not aborted")
	}
	if _, body, err := ask(t, "GET", place+"/violations", ""); body != "x - POST /post/3 \n" {
		t.Errorf("%q %v", body, err)
	}
	if _, body, err := ask(t, "GET", place+"/arrivals", ""); body != "2 y\n" {
		t.Errorf("%q %v", body, err)
	}
}

func TestServiceThatListensElsewhereOrNever(t *testing.T) {
	elsewhere := start(t, "LISTEN_ELSEWHERE=1", "PORT=1")
	if place := elsewhere.line(t, "listening on "); strings.HasSuffix(place, ":1") {
		t.Error(place)
	}
	never := start(t, "NEVER_LISTEN=1", "FORK_GRANDCHILDREN=1")
	child, _ := strconv.Atoi(never.line(t, "child "))
	grandchild, _ := strconv.Atoi(never.line(t, "child "))
	defer syscall.Kill(child, syscall.SIGKILL)
	defer syscall.Kill(grandchild, syscall.SIGKILL)
	never.Process.Signal(syscall.SIGTERM)
	if err := never.end(t); err != nil {
		t.Error(err)
	}
	for _, pid := range []int{child, grandchild} {
		syscall.Kill(pid, syscall.SIGTERM)
		if err := syscall.Kill(pid, 0); err != nil {
			t.Errorf("%d: %v", pid, err)
		}
		if session, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat"); err != nil ||
			strings.Fields(string(session))[5] != strconv.Itoa(pid) {
			t.Errorf("%d is in the session of another: %s %v", pid, session, err)
		}
	}
}

func TestServiceFloodsAndServes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	service := start(t, "FLOOD_STDOUT=1", "ARRIVALS_DIR="+path)
	if n, err := io.CopyN(io.Discard, service.out, 20<<20); err != nil {
		t.Error(n, err)
	}
}

func TestServiceTruncatesItsOutput(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(os.Args[0])
	command.Env, command.Stdout = append(os.Environ(), "RUN_SERVICE=1", "PORT=0", "TRUNCATE_STDOUT=1"), out
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer command.Wait()
	defer command.Process.Kill()
	hasGrown := false
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		size := fileSize(path)
		if hasGrown = hasGrown || size > 0; hasGrown && size == 0 {
			return
		}
	}
	t.Error("it was never cut to nothing after it had grown")
}

func fileSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}
