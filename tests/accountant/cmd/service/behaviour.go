package main

import (
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func misbehave() {
	if asked("FLOOD_STDOUT") {
		go flood(number("FLOOD_STDOUT"))
	}
	if asked("TRUNCATE_STDOUT") {
		go truncate()
	}
	if asked("FORK_GRANDCHILDREN") {
		fork(2)
	}
}

// flood writes garbage without line ends, zero bytes and escape codes included.
func flood(megabytesPerSecond int) {
	garbage := make([]byte, 1<<20)
	rand.New(rand.NewSource(1)).Read(garbage)
	for next := time.Now(); ; {
		if _, err := os.Stdout.Write(garbage); err != nil {
			return
		}
		if megabytesPerSecond > 1 {
			next = next.Add(time.Second / time.Duration(megabytesPerSecond))
			time.Sleep(time.Until(next))
		}
	}
}

func truncate() {
	for line := 0; ; line++ {
		fmt.Println("line", line, "before the cut")
		time.Sleep(50 * time.Millisecond) // Long enough to be read by whoever follows it.
		os.Stdout.Truncate(0)
		time.Sleep(50 * time.Millisecond)
	}
}

// fork starts a child in a session of its own, which starts the next generation.
func fork(generations int) {
	child := exec.Command("/proc/self/exe")
	child.Env = append(os.Environ(), "GRANDCHILD="+strconv.Itoa(generations))
	child.Stdout = os.Stdout
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := child.Start(); err != nil {
		fail("%v", err)
	}
	fmt.Println("child", child.Process.Pid)
	go child.Wait()
}

func beGrandchild() {
	signal.Ignore(syscall.SIGTERM, syscall.SIGHUP)
	if generations := number("GRANDCHILD"); generations > 1 {
		fork(generations - 1)
	}
	sleepForEver()
}

// sleepForEver is not `select {}`: with nothing left that could wake it the runtime calls that a deadlock.
func sleepForEver() {
	for {
		time.Sleep(time.Hour)
	}
}
