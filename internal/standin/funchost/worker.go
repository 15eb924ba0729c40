package funchost

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"apim-dr/internal/standin/child"
)

const (
	readyEvery     = 25 * time.Millisecond
	crashesAllowed = 2
	crashMemory    = 30 * time.Minute
	exitRestart    = 200 // the exit code of an intentional restart
)

// worker is one run of the handler process.
type worker struct {
	cmd      *exec.Cmd     // nil in the placeholder before the first run
	addr     string        // 127.0.0.1:<port>
	ready    chan struct{} // closed at the first answer
	ended    chan struct{} // closed when the process has ended and its output is read
	gone     chan struct{} // closed when that was told, too: now another may start
	code     int           // valid when ended; -1 after a signal
	recycled atomic.Bool   // killed by the host for a function timeout
}

func (w *worker) alive() bool {
	if w.cmd == nil {
		return false
	}
	select {
	case <-w.ended:
		return false
	default:
		return true
	}
}

// kill takes the whole process group; an error says that it is gone already.
func (w *worker) kill() error { return syscall.Kill(-w.cmd.Process.Pid, syscall.SIGKILL) }

func (h *Host) snapshot() (*worker, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.current, h.changed
}

// supervise runs the handler and restarts it by the host's rules.
func (h *Host) supervise(ctx context.Context) error {
	var crashes []time.Time
	for ctx.Err() == nil {
		w, err := h.start()
		if err != nil {
			return fmt.Errorf("start the handler: %w", err)
		}
		answered := h.watch(ctx, w)
		log := h.opts.Log.With("pid", w.cmd.Process.Pid, "exitCode", w.code)
		switch {
		case ctx.Err() != nil:
		case w.recycled.Load():
			log.Warn("the handler is restarted after a function timeout")
		case w.code == exitRestart:
			log.Info("the handler asked to be restarted")
		case w.code == 0:
			log.Error("the handler ended itself with code 0 and is not restarted")
			<-ctx.Done()
		default:
			now := h.opts.Now()
			crashes = append(slices.DeleteFunc(crashes, func(t time.Time) bool { return now.Sub(t) > crashMemory }), now)
			log.Error("the handler crashed", "crashes", len(crashes))
			if len(crashes) > crashesAllowed && !h.opts.UnlimitedRestarts {
				return fmt.Errorf("%w (last exit code %d)", ErrCrashLoop, w.code)
			}
			if !answered {
				pause(ctx, 10*readyEvery) // unlimited restarts of what cannot start would spin
			}
		}
	}
	return nil
}

// watch follows one process until it is gone and reports whether it ever answered. The end of ctx, or no answer in time, kills it.
func (h *Host) watch(ctx context.Context, w *worker) (answered bool) {
	err := h.awaitAnswer(ctx, w)
	if err == nil {
		close(w.ready)
		h.event(Event{Kind: ProcessReady, PID: w.cmd.Process.Pid})
		select {
		case <-h.ready:
		default:
			close(h.ready)
		}
		select {
		case <-w.gone:
		case <-ctx.Done():
		}
	} else if ctx.Err() == nil {
		h.opts.Log.Error("the handler did not answer GET /", "error", err)
	}
	if w.alive() {
		_ = w.kill()
	}
	<-w.gone
	return err == nil
}

// awaitAnswer sends GET / until anything answers.
func (h *Host) awaitAnswer(ctx context.Context, w *worker) error {
	ctx, cancel := context.WithTimeout(ctx, h.app.startLimit)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.addr+"/", nil)
		if err != nil {
			return err
		}
		if res, err := h.client.Do(req); err == nil {
			return res.Body.Close()
		}
		if !w.alive() {
			return errors.New("it ended before")
		}
		if !pause(ctx, readyEvery) {
			return ctx.Err()
		}
	}
}

// start starts the process and makes it the current one.
func (h *Host) start() (*worker, error) {
	// As in the real host the port is free when it is chosen; nothing keeps it until the handler listens.
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &worker{addr: ln.Addr().String(), ready: make(chan struct{}), ended: make(chan struct{}), gone: make(chan struct{})}
	_ = ln.Close()
	w.cmd = exec.Command(h.app.executable, h.app.arguments...)
	w.cmd.Env = h.environment(w.addr)
	if w.cmd.Dir = h.app.host.CustomHandler.Description.WorkingDirectory; !strings.HasPrefix(w.cmd.Dir, "/") {
		w.cmd.Dir = h.app.root + "/" + w.cmd.Dir
	}
	w.cmd.SysProcAttr = child.Attr()
	stdout, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	stderr, err := w.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := w.cmd.Start(); err != nil {
		return nil, err
	}
	h.event(Event{Kind: ProcessStarted, PID: w.cmd.Process.Pid})
	go h.reap(w, stdout, stderr)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.current = w
	close(h.changed)
	h.changed = make(chan struct{})
	return w, nil
}

// reap reads the output, waits for the end of the process, and takes what it left behind in its group along.
func (h *Host) reap(w *worker, stdout, stderr io.ReadCloser) {
	var lines sync.WaitGroup
	lines.Go(func() { h.readLines(StreamStdout, stdout) })
	lines.Go(func() { h.readLines(StreamStderr, stderr) })
	state, err := w.cmd.Process.Wait() // not cmd.Wait, which would close the pipes under their readers
	_ = w.kill()
	// A descendant that left the group may hold the pipes open: do not wait for it.
	time.AfterFunc(time.Second, func() { _, _ = stdout.Close(), stderr.Close() })
	lines.Wait()
	if w.code = -1; err == nil {
		w.code = state.ExitCode()
	}
	close(w.ended) // whoever hears of the event below finds no handler
	h.event(Event{Kind: ProcessExited, PID: w.cmd.Process.Pid, ExitCode: w.code})
	close(w.gone)
}

func (h *Host) readLines(stream string, from io.Reader) {
	r := bufio.NewReader(from)
	for {
		line, err := r.ReadString('\n')
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			h.opts.Output(stream, line)
		}
		if err != nil {
			return
		}
	}
}

// environment is what the handler sees: the settings, and what the host says about itself.
func (h *Host) environment(addr string) []string {
	env := map[string]string{}
	for _, name := range []string{"PATH", "HOME", "TMPDIR"} {
		if value, ok := os.LookupEnv(name); ok {
			env[name] = value
		}
	}
	maps.Copy(env, h.app.settings)
	_, port, _ := net.SplitHostPort(addr)
	id := rand.Text()
	env["FUNCTIONS_CUSTOMHANDLER_PORT"], env["FUNCTIONS_CUSTOMHANDLER_WORKER_ID"] = port, id
	env["FUNCTIONS_HTTPWORKER_PORT"], env["FUNCTIONS_HTTPWORKER_ID"] = port, id
	env["FUNCTIONS_APP_ROOT_PATH"] = h.app.root
	if h.opts.Token != nil {
		env["IDENTITY_ENDPOINT"], env["IDENTITY_HEADER"] = h.URL()+identityPath, h.identityHeader
	}
	if h.opts.Principal != nil {
		env["WEBSITE_AUTH_ENABLED"] = "True"
	}
	list := make([]string, 0, len(env))
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	return list
}

// acquire waits for a handler that is ready. While one restarts invocations wait, as in the real host.
func (h *Host) acquire(ctx context.Context) (*worker, error) {
	for {
		w, changed := h.snapshot()
		ready := w.ready
		if w.cmd != nil && !w.alive() {
			if w.code == 0 && !w.recycled.Load() {
				return nil, errors.New("the handler exited with code 0 and is not restarted")
			}
			ready = nil
		}
		gone := w.ended
		if ready == nil {
			gone = nil // known already: wait for the successor
		}
		select {
		case <-ready:
			return w, nil
		case <-gone:
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// recycle kills the current handler so that it is restarted without counting as a crash.
func (h *Host) recycle() {
	if w, _ := h.snapshot(); w.alive() && !w.recycled.Swap(true) {
		_ = w.kill()
	}
}

// pause reports whether it lasted; the end of ctx cuts it short.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
