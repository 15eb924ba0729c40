package customhandler

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections are net.Pipes, so that a server runs within a synctest bubble.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
	addr  net.Addr
	dials int
}

func newPipes() *pipes {
	return &pipes{conns: make(chan net.Conn), done: make(chan struct{}), addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}}
}

func (p *pipes) Addr() net.Addr { return p.addr }
func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	server, client := net.Pipe()
	select {
	case p.conns <- server:
		p.dials++
		return client, nil
	case <-p.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) client(t *testing.T) *http.Client {
	tr := &http.Transport{DialContext: p.dial}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// get sends the status of GET / to the channel, or the error.
func get(c *http.Client) <-chan any {
	out := make(chan any, 1)
	go func() {
		resp, err := c.Get("http://handler/")
		if err != nil {
			out <- err
			return
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			out <- err
			return
		}
		out <- resp.StatusCode
	}()
	return out
}

func quiet() ServeOptions { return ServeOptions{Log: slog.New(slog.DiscardHandler)} }

// serving runs Serve and returns a function that ends its context, and the channel of its result.
func serving(t *testing.T, l net.Listener, o ServeOptions, h http.HandlerFunc) (stop context.CancelFunc, result <-chan error) {
	ctx, cancel := context.WithCancel(t.Context())
	out := make(chan error, 1)
	go func() { out <- Serve(ctx, l, h, o) }()
	return cancel, out
}

func TestARunningInvocationFinishesWithinTheGracePeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		stop, result := serving(t, l, quiet(), func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(1500 * time.Millisecond)
			if r.Context().Err() != nil {
				w.WriteHeader(http.StatusInternalServerError)
			}
		})
		client := l.client(t)
		answer := get(client)
		time.Sleep(time.Second)
		stop()
		synctest.Wait()
		if err, ok := (<-get(client)).(error); !ok || !errors.Is(err, net.ErrClosed) {
			t.Errorf("a new request after the end: got %v, want it refused", err)
		}
		if got := <-answer; got != 200 {
			t.Errorf("got %v", got)
		}
		client.CloseIdleConnections()
		if err := <-result; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

func TestAnInvocationIsCancelledBeforeTheGracePeriodEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		o := quiet()
		o.Grace = 4 * time.Second
		stop, result := serving(t, l, o, func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			w.WriteHeader(http.StatusInternalServerError)
		})
		client := l.client(t)
		answer := get(client)
		synctest.Wait()
		stop()
		start := time.Now()
		if got, took := <-answer, time.Since(start); got != 500 || took != 3*time.Second {
			t.Errorf("got %v after %v, want 500 after 3 s", got, took)
		}
		client.CloseIdleConnections()
		if err := <-result; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

func TestAStubbornInvocationIsCutOffAndReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		stop, result := serving(t, l, quiet(), func(http.ResponseWriter, *http.Request) { time.Sleep(time.Minute) })
		answer := get(l.client(t))
		synctest.Wait()
		stop()
		start := time.Now()
		if err, took := <-result, time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != 900*time.Millisecond {
			t.Errorf("got %v after %v", err, took)
		}
		if _, failed := (<-answer).(error); !failed {
			t.Error("the caller got an answer")
		}
		time.Sleep(time.Minute) // the goroutine of the invocation has to end within the bubble
	})
}

func TestTheServersTimeoutsCutNoLongInvocationButASlowRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		stop, result := serving(t, l, quiet(), func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.ReadAll(r.Body); err != nil {
				panic(http.ErrAbortHandler)
			}
			select {
			case <-r.Context().Done():
				w.WriteHeader(http.StatusInternalServerError)
			case <-time.After(102 * time.Second):
			}
		})
		client := l.client(t)
		if got := <-get(client); got != 200 {
			t.Errorf("after 102 s: got %v", got)
		}
		time.Sleep(2 * time.Minute) // as long as .NET keeps an idle connection
		dials := l.dials
		if got := <-get(client); got != 200 || l.dials != dials {
			t.Errorf("got %v over a new connection: %v", got, l.dials != dials)
		}
		for sent, want := range map[string]time.Duration{"GET / HT": 10 * time.Second, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n{": 30 * time.Second} {
			conn, err := l.dial(t.Context(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			if _, err := io.WriteString(conn, sent); err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, conn)
			if took := time.Since(start); took != want {
				t.Errorf("%q and then nothing was kept for %v, want %v", sent, took, want)
			}
		}
		client.CloseIdleConnections()
		stop()
		if err := <-result; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

func TestAnInvocationWithALongerTimeoutIsAnsweredAfterIt(t *testing.T) {
	for want, o := range map[time.Duration]Options{102 * time.Second: {}, 292 * time.Second: {Timeout: 290 * time.Second}, time.Minute: {Timeout: time.Minute, ErrorPause: -1}} {
		if got := NewRouter(o).Longest(); got != want {
			t.Errorf("%+v: %v, want %v", o, got, want)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		log := slog.New(slog.DiscardHandler)
		router := NewRouter(Options{Log: log, Timeout: 290 * time.Second})
		router.HTTP("Slow", "GET /api/slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		stop, result := serving(t, l, ServeOptions{Log: log, Longest: router.Longest()}, router.ServeHTTP)
		client := l.client(t)
		resp, err := client.Get("http://handler/api/slow")
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%v, %v", resp, err)
		}
		resp.Body.Close()
		client.CloseIdleConnections()
		stop()
		if err := <-result; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

func TestAnAbortBreaksTheConnectionWithoutALine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		var log bytes.Buffer
		stop, result := serving(t, l, ServeOptions{Log: slog.New(slog.NewTextHandler(&log, nil))}, func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "half")
			panic(http.ErrAbortHandler)
		})
		if got, failed := (<-get(l.client(t))).(error); !failed {
			t.Errorf("got %v", got)
		}
		stop()
		if err := <-result; err != nil || log.Len() > 0 {
			t.Errorf("Serve: %v, logged %s", err, &log)
		}
	})
}

func TestAListenerOthersCanReachIsRefused(t *testing.T) {
	l := newPipes()
	l.addr = &net.TCPAddr{IP: net.IPv4zero, Port: 7071}
	if err := Serve(t.Context(), l, http.NotFoundHandler(), quiet()); err == nil || !strings.Contains(err.Error(), "not a loopback address") {
		t.Errorf("got %v", err)
	}
	select {
	case <-l.done:
	default:
		t.Error("the listener is still open")
	}
}

func TestServeReportsAListenerThatBreaks(t *testing.T) {
	l := newPipes()
	l.Close()
	if err := Serve(t.Context(), l, http.NotFoundHandler(), quiet()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestTheHandlerAnswersOnLoopback(t *testing.T) {
	l, err := Listen(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().(*net.TCPAddr)
	if !addr.IP.Equal(net.IPv4(127, 0, 0, 1)) {
		t.Errorf("got %v", addr)
	}
	if second, err := Listen(t.Context(), addr.Port); err == nil {
		second.Close()
		t.Error("the port could be opened twice")
	} else if !strings.Contains(err.Error(), "FUNCTIONS_CUSTOMHANDLER_PORT cannot be opened") {
		t.Error(err)
	}
	stop, result := serving(t, l, quiet(), NewRouter(Options{}).ServeHTTP)
	resp, err := http.Get("http://" + addr.String() + "/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	stop()
	if err := <-result; err != nil || resp.StatusCode != 200 {
		t.Errorf("got %d, Serve: %v", resp.StatusCode, err)
	}
	if _, err := Listen(t.Context(), 70000); err == nil {
		t.Error("70000 is no port")
	}
}
