package customhandler

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// bench is a router whose log can be read.
type bench struct {
	*Router
	log bytes.Buffer
}

func newBench(o Options) *bench {
	b := &bench{}
	o.Log = slog.New(NewLogHandler(&b.log, &b.log, slog.LevelInfo))
	b.Router = NewRouter(o)
	return b
}

func (b *bench) do(t *testing.T, method, target, body string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	b.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body)))
	return w
}

// line returns the only line in the log.
func (b *bench) line(t *testing.T) map[string]any {
	t.Helper()
	var line map[string]any
	if err := json.Unmarshal(b.log.Bytes(), &line); err != nil {
		t.Fatalf("want one line in the log: %v\n%s", err, &b.log)
	}
	return line
}

func isJSON(t *testing.T, w *httptest.ResponseRecorder, status int, contentType string) map[string]any {
	t.Helper()
	var m map[string]any
	if w.Code != status || w.Header().Get("Content-Type") != contentType || json.Unmarshal(w.Body.Bytes(), &m) != nil {
		t.Fatalf("got %d %s %s, want %d %s", w.Code, w.Header().Get("Content-Type"), w.Body, status, contentType)
	}
	return m
}

const (
	anyTimer   = `{"Data":{"timer":{"IsPastDue":true}}}`
	anyMessage = `{"Data":{"msg":"e30="},"Metadata":{"MessageId":"\"m-1\"","DeliveryCount":"2"}}`
)

func TestRequestsReachTheirFunctionOrAProblem(t *testing.T) {
	b := newBench(Options{ErrorPause: -1})
	b.HTTP("StartBackup", "POST /api/backups", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "backup") })
	b.HTTP("GetOperation", "GET /api/operations/{id}", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.PathValue("id")) })
	b.HTTP("Any", "POST /{name}", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "any") })
	b.Timer("Nightly", func(_ context.Context, in TimerInvocation) error {
		if !in.IsPastDue {
			return errors.New("not decoded")
		}
		return nil
	})
	b.Message("RunOperation", func(_ context.Context, in MessageInvocation) error {
		if string(in.Body) != "{}" || in.MessageID != "m-1" {
			return errors.New("not decoded")
		}
		return nil
	})
	const done, problem = `{"Outputs":{},"Logs":[],"ReturnValue":null}` + "\n", "application/problem+json"
	for _, c := range []struct {
		method, target, body string
		status               int
		want, allow          string
	}{
		{"POST", "/api/backups?code=x", "", 200, "backup", ""},
		{"GET", "/api/operations/op%2F1", "", 200, "op/1", ""},
		{"POST", "/Nightly", anyTimer, 200, done, ""},
		{"POST", "/RunOperation", anyMessage, 200, done, ""}, // and not Any
		{"POST", "/runoperation", anyMessage, 200, "any", ""},
		{"GET", "/", "", 200, "", ""},
		{"HEAD", "/", "", 200, "", ""},
		{"GET", "/api/backups", "", 405, problem, "POST"},
		{"DELETE", "/api/operations/x", "", 405, problem, "GET, HEAD"},
		{"GET", "/Nightly", "", 405, problem, "POST"},
		{"POST", "/", "", 404, problem, ""},
		{"POST", "//api/backups", "", 404, problem, ""}, // no redirect
		{"POST", "/api/../api/backups", "", 404, problem, ""},
		{"POST", "/api/backups/", "", 404, problem, ""},
		{"GET", "/api/operations/", "", 404, problem, ""},
		{"POST", "/Nightly/x", anyTimer, 404, problem, ""},
		{"OPTIONS", "*", "", 404, problem, ""},
	} {
		w := b.do(t, c.method, c.target, c.body)
		if c.want == problem {
			if p := isJSON(t, w, c.status, problem); p["status"] != float64(c.status) || p["type"] != "about:blank" || p["title"] != http.StatusText(c.status) {
				t.Errorf("%s %s: got %v", c.method, c.target, p)
			}
		} else if w.Code != c.status || w.Body.String() != c.want {
			t.Errorf("%s %s: got %d %q, want %d %q", c.method, c.target, w.Code, w.Body, c.status, c.want)
		}
		if got := w.Header().Get("Allow"); got != c.allow {
			t.Errorf("%s %s: got Allow %q, want %q", c.method, c.target, got, c.allow)
		}
	}
}

func TestFunctionNamesAreCaseSensitive(t *testing.T) {
	b := newBench(Options{ErrorPause: -1})
	b.Timer("Nightly", func(context.Context, TimerInvocation) error { return nil })
	isJSON(t, b.do(t, "POST", "/nightly?code=s3cret", anyTimer), 404, "application/problem+json")
	if line := b.line(t); line["level"] != "INFO" || line["path"] != "/nightly" { // and no function key
		t.Errorf("got %v", line)
	}
}

func TestThePingIsNotLogged(t *testing.T) {
	b := newBench(Options{})
	b.do(t, "GET", "/", "")
	b.do(t, "HEAD", "/", "")
	if b.log.Len() != 0 {
		t.Errorf("got %s", &b.log)
	}
}

func TestAProxiedRequestArrivesWhole(t *testing.T) {
	b := newBench(Options{})
	b.HTTP("StartBackup", "POST /api/backups/{service}", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Service string }
		p := DecodeJSON(r, &in)
		inv := InvocationFrom(r.Context())
		fmt.Fprint(w, p, in.Service, r.PathValue("service"), r.FormValue("dryRun"), inv)
	})
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(payload(t, "proxied.http"))))
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	want := "<nil>contoso-apimcontoso-apim1{3f6b8c8e-2d0e-4a33-9d3c-0a2f5c7b9e10 StartBackup 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00}"
	if got := strings.ReplaceAll(w.Body.String(), " contoso", "contoso"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	line := b.line(t)
	if line["function"] != "StartBackup" || line["invocation"] != "3f6b8c8e-2d0e-4a33-9d3c-0a2f5c7b9e10" ||
		line["trace"] != "4bf92f3577b34da6a3ce929d0e0e4736" || line["status"] != 200.0 || line["level"] != "INFO" {
		t.Errorf("got %v", line)
	}
	if strings.Contains(b.log.String(), "s3cret") {
		t.Error("the function key is in the log")
	}
}

func TestAFailedMessageIsLoggedAtOnceAndAnsweredAfterThePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(Options{})
		b.Message("RunOperation", func(context.Context, MessageInvocation) error {
			time.Sleep(3 * time.Second)
			return errors.New("the storage account cannot be reached")
		})
		start := time.Now()
		answered := make(chan *httptest.ResponseRecorder)
		go func() { answered <- b.do(t, "POST", "/RunOperation", anyMessage) }()
		time.Sleep(3500 * time.Millisecond)
		synctest.Wait()
		line := b.line(t)
		if line["level"] != "ERROR" || line["error"] != "the storage account cannot be reached" || line["status"] != 500.0 ||
			line["durationMs"] != 3000.0 || line["message"] != "m-1" || line["delivery"] != 2.0 {
			t.Errorf("got %v", line)
		}
		w := <-answered
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("answered after %v, want 3 s of work and 2 s of pause", took)
		}
		if m := isJSON(t, w, 500, "application/json"); fmt.Sprint(m) != "map[Logs:[the storage account cannot be reached] Outputs:map[] ReturnValue:<nil>]" {
			t.Errorf("got %v", m)
		}
		b.line(t) // still one
	})
}

func TestThePauseEndsWithTheRequestAndNotWithTheInvocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(Options{Timeout: time.Minute})
		b.Timer("Nightly", func(ctx context.Context, _ TimerInvocation) error {
			<-ctx.Done()
			return ctx.Err()
		})
		start := time.Now()
		b.do(t, "POST", "/Nightly", anyTimer)
		if took := time.Since(start); took != 62*time.Second {
			t.Errorf("timed out: answered after %v, want a minute of work and the pause", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		b.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "POST", "/Nightly", strings.NewReader(anyTimer)))
		if took := time.Since(start); took != time.Second {
			t.Errorf("caller gone: returned after %v, want 1 s", took)
		}
	})
}

func TestEveryInvocationHasADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(Options{ErrorPause: -1})
		check := func(ctx context.Context) error {
			if d, ok := ctx.Deadline(); !ok || time.Until(d) != 100*time.Second {
				t.Errorf("got deadline %v %v", d, ok)
			}
			return nil
		}
		b.Timer("T", func(ctx context.Context, _ TimerInvocation) error { return check(ctx) })
		b.Message("M", func(ctx context.Context, _ MessageInvocation) error { return check(ctx) })
		b.HTTP("H", "GET /api/h", func(w http.ResponseWriter, r *http.Request) { check(r.Context()) })
		for _, c := range [][3]string{{"POST", "/T", anyTimer}, {"POST", "/M", anyMessage}, {"GET", "/api/h", ""}} {
			if w := b.do(t, c[0], c[1], c[2]); w.Code != 200 {
				t.Errorf("%v: got %d", c, w.Code)
			}
		}
	})
}

func TestAPanicIsAnsweredWithoutItsTextAndLoggedWithItsStack(t *testing.T) {
	b := newBench(Options{ErrorPause: -1})
	boom := func() { panic("boom-7") }
	b.Timer("Nightly", func(context.Context, TimerInvocation) error { boom(); return nil })
	b.HTTP("Status", "GET /api/status", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Content-Length", "7")
		boom()
	})
	for _, c := range [][4]string{{"POST", "/Nightly", anyTimer, "application/json"}, {"GET", "/api/status", "", "application/problem+json"}} {
		b.log.Reset()
		w := b.do(t, c[0], c[1], c[2])
		isJSON(t, w, 500, c[3])
		if w.Header().Get("Content-Length") != "" {
			t.Errorf("%s: the answer would be cut off after %s bytes", c[1], w.Header().Get("Content-Length"))
		}
		if strings.Contains(w.Body.String(), "boom-7") || strings.Contains(w.Body.String(), "goroutine") {
			t.Errorf("%s: the panic is in the answer: %s", c[1], w.Body)
		}
		line := b.line(t)
		if stack, _ := line["stack"].(string); line["level"] != "ERROR" || line["error"] != "panic: boom-7" || !strings.Contains(stack, "router_test.go") {
			t.Errorf("%s: got %v", c[1], line)
		}
	}
}

func recovered(f func()) (v any) {
	defer func() { v = recover() }()
	f()
	return nil
}

func TestErrAbortHandlerPassesThroughAndIsLogged(t *testing.T) {
	b := newBench(Options{})
	b.Timer("T", func(context.Context, TimerInvocation) error { panic(http.ErrAbortHandler) })
	b.HTTP("H", "GET /api/h", func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) })
	b.HTTP("Half", "GET /api/half", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "half")
		panic("then this")
	})
	for _, c := range [][3]string{{"POST", "/T", anyTimer}, {"GET", "/api/h", ""}, {"GET", "/api/half", ""}} {
		b.log.Reset()
		if v := recovered(func() { b.do(t, c[0], c[1], c[2]) }); v != http.ErrAbortHandler {
			t.Errorf("%v: got %v", c, v)
		}
		if b.line(t)["level"] != "ERROR" {
			t.Errorf("%v: got %s", c, &b.log)
		}
	}
}

func TestBodiesOverTheLimitAre413(t *testing.T) {
	b := newBench(Options{ErrorPause: -1})
	b.Timer("T", func(context.Context, TimerInvocation) error { t.Error("called"); return nil })
	b.HTTP("H", "POST /api/h", func(w http.ResponseWriter, r *http.Request) {
		if p := DecodeJSON(r, &struct{}{}); p != nil {
			WriteProblem(w, r, *p)
		}
	})
	m := isJSON(t, b.do(t, "POST", "/T", strings.Repeat(" ", MaxEnvelope+1)), 413, "application/json")
	if !strings.Contains(fmt.Sprint(m["Logs"]), "larger than 1048576 bytes") {
		t.Errorf("got %v", m)
	}
	m = isJSON(t, b.do(t, "POST", "/api/h", strings.Repeat(" ", 64<<10+1)), 413, "application/problem+json")
	if m["detail"] != "the body is larger than 65536 bytes" {
		t.Errorf("got %v", m)
	}
}

func TestAnEnvelopeThatCannotBeReadIs400AfterThePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(Options{})
		b.Message("M", func(context.Context, MessageInvocation) error { t.Error("called"); return nil })
		start := time.Now()
		isJSON(t, b.do(t, "POST", "/M", `{"Data":7}`), 400, "application/json")
		if took := time.Since(start); took != 2*time.Second || b.line(t)["level"] != "ERROR" {
			t.Errorf("took %v, logged %s", took, &b.log)
		}
	})
}

func TestAnErrorOfAFunctionIs500WhateverItWraps(t *testing.T) {
	b := newBench(Options{ErrorPause: -1})
	b.Timer("T", func(context.Context, TimerInvocation) error { return &http.MaxBytesError{Limit: 1} })
	isJSON(t, b.do(t, "POST", "/T", anyTimer), 500, "application/json")
}

func TestTheStatusOfAnHTTPFunctionIsLogged(t *testing.T) {
	b := newBench(Options{})
	b.HTTP("Silent", "GET /api/silent", func(http.ResponseWriter, *http.Request) {})
	b.HTTP("Flushed", "GET /api/flushed", func(w http.ResponseWriter, _ *http.Request) { http.NewResponseController(w).Flush() })
	b.HTTP("Late", "GET /api/late", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	b.HTTP("Missing", "GET /api/missing", func(w http.ResponseWriter, r *http.Request) { WriteProblem(w, r, Problem{Status: 404}) })
	b.HTTP("Broken", "GET /api/broken", func(w http.ResponseWriter, r *http.Request) { WriteProblem(w, r, Problem{}) })
	for path, want := range map[string][2]any{"/api/broken": {500.0, "ERROR"}, "/api/silent": {200.0, "INFO"}, "/api/flushed": {200.0, "INFO"}, "/api/late": {503.0, "ERROR"}, "/api/missing": {404.0, "INFO"}} {
		b.log.Reset()
		b.do(t, "GET", path, "")
		if line := b.line(t); line["status"] != want[0] || line["level"] != want[1] {
			t.Errorf("%s: got %v, want %v", path, line, want)
		}
	}
}

func TestRegistrationMistakesPanic(t *testing.T) {
	timer := func(context.Context, TimerInvocation) error { return nil }
	h := func(http.ResponseWriter, *http.Request) {}
	for name, f := range map[string]func(*Router){
		"no name":         func(r *Router) { r.Timer("", timer) },
		"name with slash": func(r *Router) { r.Timer("a/b", timer) },
		"twice":           func(r *Router) { r.Timer("A", timer); r.HTTP("A", "GET /a", h) },
		"no method":       func(r *Router) { r.HTTP("A", "/a", h) },
		"the root":        func(r *Router) { r.HTTP("A", "GET /", h) },
		"taken pattern":   func(r *Router) { r.HTTP("A", "GET /a", h); r.HTTP("B", "GET /a", h) },
	} {
		if recovered(func() { f(NewRouter(Options{})) }) == nil {
			t.Errorf("%s: no panic", name)
		}
	}
}
