package customhandler

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"apim-dr/internal/trace"
)

const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestOnlyAValidTraceParentPassesThrough(t *testing.T) {
	for s, want := range map[string]bool{
		parent:                            true,
		parent[:53] + "00":                true,
		"cc" + parent[2:]:                 true,
		"cc" + parent[2:] + "-what-comes": true,
		parent + "-more":                  false, // version 00 ends here
		"cc" + parent[2:] + "more":        false,
		"ff" + parent[2:]:                 false,
		strings.ToUpper(parent):           false,
		parent[:54]:                       false,
		parent + "\n":                     false,
		"":                                false,
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01": false,
		"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01": false,
	} {
		if got := validTraceParent(s); got != want {
			t.Errorf("%q: got %v", s, got)
		}
	}
}

// traceOf returns the traceparent an invocation with these headers gets.
func traceOf(o Options, headers ...string) string {
	b := newBench(o)
	var got string
	b.HTTP("F", "GET /api/f", func(_ http.ResponseWriter, r *http.Request) { got = InvocationFrom(r.Context()).TraceParent })
	r := httptest.NewRequest("GET", "/api/f", nil)
	r.Header["Traceparent"] = headers
	b.ServeHTTP(httptest.NewRecorder(), r)
	return got
}

func TestANewTraceParentComesFromRand(t *testing.T) {
	zeros := func() Options { return Options{Rand: bytes.NewReader(make([]byte, 24))} }
	const made = "00-01000000000000000000000000000000-0100000000000000-01"
	if got := traceOf(zeros(), parent); got != parent {
		t.Errorf("got %s", got)
	}
	for _, headers := range [][]string{nil, {"nonsense"}, {parent, parent}} {
		if got := traceOf(zeros(), headers...); got != made || !validTraceParent(got) {
			t.Errorf("%q: got %s, want %s", headers, got, made)
		}
	}
	if got := traceOf(Options{Rand: bytes.NewReader(nil)}); got != "" {
		t.Errorf("without randomness: got %s", got)
	}
	if a, b := traceOf(Options{}), traceOf(Options{}); a == b || !validTraceParent(a) {
		t.Errorf("got %s and %s", a, b)
	}
}

// oneAtATime fails the race detector if two reads overlap.
type oneAtATime struct{ n byte }

func (o *oneAtATime) Read(p []byte) (int, error) {
	o.n++
	for i := range p {
		p[i] = o.n
	}
	return len(p), nil
}

func TestReadsOfRandDoNotOverlap(t *testing.T) {
	rt := NewRouter(Options{Rand: &oneAtATime{}})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := rt.newTraceParent(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestWithAddsToTheLinesOfItsContextOnly(t *testing.T) {
	b := newBench(Options{})
	b.Message("RunOperation", func(ctx context.Context, _ MessageInvocation) error {
		b.opts.Log.InfoContext(trace.Annotate(ctx, trace.KeyOperation, "op-1", trace.KeyService, "contoso-apim"), "inside")
		return nil
	})
	b.do(t, "POST", "/RunOperation", anyMessage)
	lines := strings.Split(strings.TrimSpace(b.log.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `"function":"RunOperation"`) || !strings.Contains(lines[0], `"message":"m-1"`) ||
		!strings.Contains(lines[0], `"operation":"op-1","service":"contoso-apim"`) || strings.Contains(lines[1], "op-1") {
		t.Errorf("got %q", lines)
	}
}

func TestAnOverlongInvocationIDIsNotTaken(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("X-Azure-Functions-InvocationId", strings.Repeat("a", 129))
	if got := invocationID(r); got != "" {
		t.Errorf("got %q", got)
	}
}
