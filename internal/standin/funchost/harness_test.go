package funchost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const controlVar = "TEST_CONTROL"

// The handler under the host is this test binary again: it relays every request to the test and does what the answer's headers say.
func TestMain(m *testing.M) {
	if control := os.Getenv(controlVar); control != "" {
		os.Exit(handlerMain(control))
	}
	os.Exit(m.Run())
}

// hello is what the handler tells of itself before it listens.
type hello struct {
	Env, Args []string
	Dir       string
}

func handlerMain(control string) int {
	go func(parent int) { // a test binary that panics cannot end its handlers
		for range time.Tick(200 * time.Millisecond) {
			if os.Getppid() != parent {
				os.Exit(6)
			}
		}
	}(os.Getppid())
	dir, _ := os.Getwd()
	raw, _ := json.Marshal(hello{Env: os.Environ(), Args: os.Args[1:], Dir: dir})
	res, err := http.Post(control+"/hello", "application/json", strings.NewReader(string(raw)))
	if err != nil {
		fmt.Fprintln(os.Stderr, "the test is gone:", err)
		return 3
	}
	obey(res)
	res.Body.Close()
	to, err := url.Parse(control)
	if err != nil {
		return 4
	}
	relay := httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.SetURL(to)
			pr.Out.Host = pr.In.Host
			if v, ok := pr.In.Header["X-Forwarded-For"]; ok {
				pr.Out.Header["X-Forwarded-For"] = v
			}
			pr.Out.URL.RawQuery = pr.In.URL.RawQuery
		},
		ModifyResponse: func(res *http.Response) error { obey(res); return nil },
	}
	fmt.Fprintln(os.Stderr, http.ListenAndServe("127.0.0.1:"+os.Getenv("FUNCTIONS_CUSTOMHANDLER_PORT"), &relay))
	return 5
}

// obey does what the test asked for.
func obey(res *http.Response) {
	for _, line := range res.Header["X-Test-Stdout"] {
		fmt.Println(line)
	}
	for _, line := range res.Header["X-Test-Stderr"] {
		fmt.Fprintln(os.Stderr, line)
	}
	if command := res.Header.Get("X-Test-Spawn"); command != "" {
		child := exec.Command("sh", "-c", command)
		child.Stdout = os.Stdout
		if err := child.Start(); err != nil {
			panic(err)
		}
	}
	if code := res.Header.Get("X-Test-Exit"); code != "" {
		n, _ := strconv.Atoi(code)
		os.Exit(n)
	}
	for _, name := range []string{"X-Test-Stdout", "X-Test-Stderr", "X-Test-Spawn"} {
		res.Header.Del(name)
	}
}

const plainHost = `{"version":"2.0","customHandler":{"description":{"defaultExecutablePath":"handler"},"enableProxyingHttpRequest":true}}`

const minuteTimer = `{"bindings":[{"type":"timerTrigger","direction":"in","name":"timer","schedule":"0 0 3 * * *"}]}`

// stage writes a staged folder: host.json, one function.json a function, and the handler.
func stage(t *testing.T, host string, functions map[string]string) string {
	t.Helper()
	root := t.TempDir()
	write(t, filepath.Join(root, "host.json"), host)
	for name, text := range functions {
		write(t, filepath.Join(root, name, "function.json"), text)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(root, "handler")); err != nil {
		t.Fatal(err)
	}
	return root
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// rig is a running host and what it showed.
type rig struct {
	*Host
	t      *testing.T
	cancel context.CancelFunc
	ended  chan struct{}
	runErr error // valid when ended

	mu     sync.Mutex
	change chan struct{}
	events []Event
	lines  []string // "<stream>: <line>"
	hellos []hello
}

// run starts a host whose handler's requests answer serves.
func run(t *testing.T, o Options, answer http.HandlerFunc) *rig {
	t.Helper()
	r := &rig{t: t, ended: make(chan struct{}), change: make(chan struct{})}
	control := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/" {
			if req.Method != http.MethodGet {
				t.Errorf("%s / to see whether the handler is ready", req.Method)
			}
			http.NotFound(w, req)
			return
		}
		if req.URL.Path == "/hello" {
			var h hello
			if err := json.NewDecoder(req.Body).Decode(&h); err != nil {
				t.Error(err)
			}
			r.note(func() { r.hellos = append(r.hellos, h) })
		} else if !strings.HasPrefix(req.URL.Path, "/api/") {
			raw, _ := io.ReadAll(req.Body) // the end of a request shows in its context only when its body is read
			req.Body = io.NopCloser(strings.NewReader(string(raw)))
		}
		answer(w, req)
	}))
	t.Cleanup(control.Close)
	settings := map[string]string{controlVar: control.URL, "GORACE": "atexit_sleep_ms=0"}
	for k, v := range o.Settings {
		settings[k] = v
	}
	o.Settings = settings
	o.Event = func(e Event) { r.note(func() { r.events = append(r.events, e) }) }
	o.Output = func(stream, line string) { r.note(func() { r.lines = append(r.lines, stream+": "+line) }) }
	o.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = h
	ctx, cancel := context.WithCancel(t.Context())
	r.cancel = cancel
	go func() { r.runErr = h.Run(ctx); close(r.ended) }()
	t.Cleanup(r.shut)
	return r
}

// runReady is run, and waits for the handler.
func runReady(t *testing.T, o Options, answer http.HandlerFunc) *rig {
	t.Helper()
	r := run(t, o, answer)
	select {
	case <-r.Ready():
	case <-r.ended:
		t.Fatalf("the host ended: %v", r.runErr)
	case <-time.After(20 * time.Second):
		t.Fatal("the handler is not ready")
	}
	return r
}

// shut ends the host and fails the test when a process is left.
func (r *rig) shut() {
	r.cancel()
	r.await("end of Run", func() bool {
		select {
		case <-r.ended:
			return true
		default:
			return false
		}
	})
	for _, e := range r.events {
		if e.Kind == ProcessStarted && groupLives(r.t, e.PID) {
			r.t.Errorf("process group %d is left", e.PID)
		}
	}
}

// groupLives looks for a member of the process group that is not merely waiting to be reaped.
func groupLives(t *testing.T, group int) bool {
	if errors.Is(syscall.Kill(-group, 0), syscall.ESRCH) {
		return false
	}
	out, err := exec.Command("ps", "-A", "-o", "pgid=,stat=").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); f[0] == strconv.Itoa(group) && !strings.HasPrefix(f[1], "Z") {
			return true
		}
	}
	return false
}

func (r *rig) note(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	close(r.change)
	r.change = make(chan struct{})
}

// await waits until the condition holds; it is looked at after every event and line.
func (r *rig) await(what string, holds func() bool) {
	r.t.Helper()
	deadline := time.After(15 * time.Second)
	for {
		r.mu.Lock()
		change := r.change
		r.mu.Unlock()
		if holds() {
			return
		}
		select {
		case <-change:
		case <-r.ended:
			if !holds() {
				r.t.Fatalf("the host ended (%v) before: %s", r.runErr, what)
			}
			return
		case <-deadline:
			r.t.Fatalf("in vain: %s; lines %q", what, r.output())
		}
	}
}

func (r *rig) output() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lines)
}

func (r *rig) count(kind EventKind) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

func (r *rig) greetings() []hello {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.hellos)
}

func (r *rig) awaitCount(kind EventKind, n int) {
	r.t.Helper()
	r.await(fmt.Sprintf("%d × %s", n, kind), func() bool { return r.count(kind) >= n })
}

// endsOf returns the ended invocations of a function.
func (r *rig) endsOf(function string) (list []Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Kind == InvocationEnded && e.Function == function {
			list = append(list, e)
		}
	}
	return list
}

func fine(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, `{}`) }

func reply(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// send makes a request to the host and returns the status and the body.
func (r *rig) send(method, path, body string, header ...string) (*http.Response, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.URL()+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return res, string(raw)
}

func contextOf(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithCancel(t.Context())
}
