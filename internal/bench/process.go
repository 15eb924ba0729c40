package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"apim-dr/internal/standin/devstack"
)

// process is a program that serves on FUNCTIONS_CUSTOMHANDLER_PORT.
type process struct {
	path, dir string
	environ   []string
	answers   int // the status of its first answer: what answers another one has not started as it should
}

// first starts the process, waits for its first answer, and tells what it holds in memory half a second later, in KiB.
func (p process) first(ctx context.Context) (took time.Duration, rss int, err error) {
	port, err := devstack.FreePort()
	if err != nil {
		return 0, 0, err
	}
	cmd := exec.CommandContext(ctx, p.path)
	cmd.Dir, cmd.Env = p.dir, append(p.environ, "FUNCTIONS_CUSTOMHANDLER_PORT="+strconv.Itoa(port), "PATH="+os.Getenv("PATH"))
	transport := &http.Transport{DisableKeepAlives: true}
	client := &http.Client{Transport: transport, Timeout: time.Second}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, cmd.Process.Kill()); _ = cmd.Wait() }()
	for time.Since(began) < 10*time.Second {
		// The body is refused before anything is asked, so that the answer is the process's own.
		resp, err := client.Post(fmt.Sprintf("http://127.0.0.1:%d/api/backups", port), "application/json", strings.NewReader("["))
		if err != nil {
			time.Sleep(200 * time.Microsecond)
			continue
		}
		took = time.Since(began)
		resp.Body.Close()
		if resp.StatusCode != p.answers {
			return 0, 0, fmt.Errorf("%s answers %s, want %d", p.path, resp.Status, p.answers)
		}
		time.Sleep(500 * time.Millisecond)
		rss, err = resident(cmd.Process.Pid)
		return took, rss, err
	}
	return 0, 0, fmt.Errorf("%s has not answered within 10 s", p.path)
}

// resident is the memory that a process holds, in KiB (Linux).
func resident(pid int) (int, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "VmRSS:"); ok {
			return strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(text, "kB")))
		}
	}
	return 0, errors.New("no VmRSS in /proc")
}
