package walkthrough

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"apim-dr/internal/standin/devstack"
)

// examples runs the subscribers of examples/: the one for a terminal on the events of the demo, the other until it has told of a restore that is rejected. A
// chat that fails once gets its message all the same.
func (r *reader) examples() {
	for _, name := range []string{"terminal", "chatwebhook"} {
		cmd := exec.Command("go", "build", "-o", filepath.Join(r.home, name), "./examples/"+name)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			r.t.Fatalf("%v\n%s", err, out)
		}
	}
	posted := make(chan string, 10)
	var failed atomic.Bool
	chat := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		b, _ := io.ReadAll(q.Body)
		if failed.CompareAndSwap(false, true) {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		posted <- q.Header.Get("Content-Type") + " " + string(b)
	}))
	defer chat.Close()
	r.t.Run("examples/terminal", func(t *testing.T) {
		lines := r.start(t, "terminal")
		for range 3 { // the demo's first
			if line := next(t, lines); !strings.Contains(line, "apimdr.backup.succeeded") || !strings.Contains(line, "contoso-") {
				t.Errorf("%q is no backup that succeeded", line)
			}
		}
	})
	// The first may hold events of the demo that it has not completed, which come again when their locks run out: what is waited for is new.
	r.t.Run("examples/chatwebhook", func(t *testing.T) {
		r.start(t, "chatwebhook", "WEBHOOK_URL="+chat.URL)
		if err := r.stack.Bus.DeliverTwice("results/Subscriptions/" + devstack.Examples); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second shows that the first was not posted again
			if err := r.refused(); err != nil {
				t.Fatal(err)
			}
		}
		for seen, restores := map[string]bool{}, 0; restores < 2; {
			text := next(t, posted)
			if seen[text] || !strings.HasPrefix(text, `application/json {"text":"`) {
				t.Fatalf("again, or not what a chat takes: %s", text)
			}
			if seen[text] = true; strings.Contains(text, "restore of contoso-us: rejected") {
				restores++
			}
		}
	})
}

// refused has something that did not succeed: a restore of a recovery point that is not there.
func (r *reader) refused() error {
	resp, err := r.stack.Post(r.t.Context(), "/api/restores", `{"service":"contoso-us","confirm":"contoso-us","recoveryPoint":"2001-01-01T00:00:00Z"}`, nil)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// start runs an example until the test ends, and returns what it prints.
func (r *reader) start(t *testing.T, name string, environ ...string) <-chan string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, filepath.Join(r.home, name))
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Env = append(os.Environ(), append(environ, "SERVICEBUS="+r.stack.BusConnection(), "SUBSCRIPTION="+devstack.Examples)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 100)
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
		close(lines)
	}()
	t.Cleanup(func() {
		cancel()
		for range lines { // until it has ended
		}
		if err := cmd.Wait(); err != nil && ctx.Err() == nil {
			t.Errorf("%s: %v", name, err)
		}
		if code := cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("%s ended with %d on Ctrl-C", name, code)
		}
	})
	return lines
}

func next(t *testing.T, from <-chan string) string {
	t.Helper()
	select {
	case s := <-from:
		return s
	case <-time.After(time.Minute):
		t.Fatal("nothing within a minute")
		return ""
	}
}
