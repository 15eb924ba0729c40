package funchost

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Host is one Functions host with one handler process.
type Host struct {
	opts           Options
	app            *app
	client         *http.Client // to the handler
	identityHeader string
	ready          chan struct{}
	running        sync.WaitGroup // triggers and their invocations

	mu      sync.Mutex
	url     string
	stop    context.Context // of Run, nil before; ends the invocations when the host stops
	current *worker
	changed chan struct{} // closed when current is replaced
}

// New reads and validates the staged folder. Its error lists all mistakes, one a line.
func New(o Options) (*Host, error) {
	a, err := readApp(o)
	if err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Event == nil {
		o.Event = func(Event) {}
	}
	if o.Output == nil {
		o.Output = func(stream, line string) { o.Log.Info(line, "stream", stream) }
	}
	h := &Host{
		opts: o, app: a,
		client: &http.Client{
			Transport:     &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		identityHeader: cmp.Or(o.IdentityHeader, rand.Text()),
		ready:          make(chan struct{}),
		current:        &worker{},
		changed:        make(chan struct{}),
	}
	a.onRequest = h.serveFunction
	if o.Listener != nil {
		h.url = "http://" + o.Listener.Addr().String()
	}
	return h, nil
}

// Run starts the handler and serves until ctx ends (nil) or the host stops itself (ErrCrashLoop, or why it cannot start). The
// handler's process group is gone and the listener closed when it returns. A Host runs once.
func (h *Host) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ln, err := h.begin(ctx)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           http.HandlerFunc(h.serve),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(h.opts.Log.Handler(), slog.LevelWarn),
	}
	h.running.Go(func() {
		if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			h.opts.Log.Error("listener failed", "error", err)
			cancel()
		}
	})
	h.running.Go(func() { h.runTriggers(ctx) })
	err = h.supervise(ctx)
	cancel()
	// The invocations are ended; their callers hear of it.
	closing, done := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer done()
	if server.Shutdown(closing) != nil {
		_ = server.Close() // an error tells nothing new
	}
	h.running.Wait()
	h.client.CloseIdleConnections()
	return err
}

func (h *Host) begin(ctx context.Context) (net.Listener, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stop != nil {
		return nil, errors.New("this host has run already: make a new one")
	}
	h.stop = ctx
	if h.opts.Listener != nil {
		return h.opts.Listener, nil
	}
	addr := h.opts.Addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for HTTP triggers: %w", err)
	}
	h.url = "http://" + ln.Addr().String()
	return ln, nil
}

// runTriggers starts the timers and the Service Bus listeners when the handler has answered for the first time.
func (h *Host) runTriggers(ctx context.Context) {
	select {
	case <-h.ready:
	case <-ctx.Done():
		return
	}
	for _, f := range h.app.functions {
		switch f.trigger.Type {
		case timerTrigger:
			h.running.Go(func() { h.runTimer(ctx, f, h.fireTimer) })
		case busTrigger:
			h.running.Go(func() { h.listenBus(ctx, f) })
		}
	}
}

// Ready is closed when the handler has answered its first GET /. It stays closed over restarts.
func (h *Host) Ready() <-chan struct{} { return h.ready }

// URL is the address of the host, without a path; empty before Run when it chooses the port itself.
func (h *Host) URL() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.url
}

// PID is the handler's process id, 0 while none runs.
func (h *Host) PID() int {
	if w, _ := h.snapshot(); w.alive() {
		return w.cmd.Process.Pid
	}
	return 0
}

// Kill ends the handler's process group with SIGKILL. The host takes it for a crash.
func (h *Host) Kill() error {
	w, _ := h.snapshot()
	if !w.alive() {
		return errors.New("no handler process runs")
	}
	return w.kill()
}

// Invoke fires a timer function now, whatever its schedule, and returns when it ended: nil, or why it failed. Like the real host's
// admin request it may overlap a scheduled run.
func (h *Host) Invoke(ctx context.Context, function string) error {
	f := h.app.function(function)
	if f == nil || f.trigger.Type != timerTrigger {
		return fmt.Errorf("there is no timer function %q", function)
	}
	h.mu.Lock()
	stop := h.stop
	h.mu.Unlock()
	if stop == nil {
		return errors.New("the host does not run")
	}
	ctx, cancel := joined(ctx, stop)
	defer cancel()
	return h.fireTimer(ctx, f, onTime, nil)
}

// joined is ctx, ended by stop as well.
func joined(ctx, stop context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	unhook := context.AfterFunc(stop, cancel)
	return ctx, func() { unhook(); cancel() }
}

func (h *Host) event(e Event) {
	e.At = h.opts.Now()
	h.opts.Event(e)
}
