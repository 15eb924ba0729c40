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
		if got := traceOf(zeros(), headers...); got != made || trace.Parent(got) != got {
			t.Errorf("%q: got %s, want %s", headers, got, made)
		}
	}
	if got := traceOf(Options{Rand: bytes.NewReader(nil)}); got != "" {
		t.Errorf("without randomness: got %s", got)
	}
	if a, b := traceOf(Options{}), traceOf(Options{}); a == b || trace.Parent(a) != a {
		t.Errorf("got %s and %s", a, b)
	}
}

// Whether the host goes on with a message's trace is not ours to decide, and a message may hold anything.
func TestAMessageIsHandledInItsOwnTrace(t *testing.T) {
	const host, other = "00-4bf92f3577b34da6a3ce929d0e0e4736-aaaaaaaaaaaaaaaa-00", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for name, tc := range map[string]struct{ properties, header, want string }{
		"none":                          {`{}`, host, host},
		"its own":                       {`{"traceparent":"` + other + `","Diagnostic-Id":"` + parent + `"}`, host, other},
		"as Diagnostic-Id":              {`{"Diagnostic-Id":"` + other + `"}`, host, other},
		"no traceparent, Diagnostic-Id": {`{"traceparent":"x","Diagnostic-Id":"` + other + `"}`, host, other},
		"the host goes on with it":      {`{"traceparent":"` + parent + `"}`, host, host},
		"malformed":                     {`{"traceparent":"00-` + strings.Repeat("0", 32) + `-b7ad6b7169203331-01","Diagnostic-Id":"|4bf92f.1."}`, host, host},
		"no header":                     {`{"traceparent":"` + other + `"}`, "", other},
	} {
		b := newBench(Options{})
		var got, carried string
		b.Message("F", func(ctx context.Context, _ MessageInvocation) error {
			got, carried = InvocationFrom(ctx).TraceParent, trace.From(ctx)
			return nil
		})
		r := httptest.NewRequest("POST", "/F", strings.NewReader(`{"Data":{"m":"e30="},"Metadata":{"ApplicationProperties":`+tc.properties+`}}`))
		if tc.header != "" {
			r.Header.Set("Traceparent", tc.header)
		}
		b.ServeHTTP(httptest.NewRecorder(), r)
		if got != tc.want || carried != tc.want {
			t.Errorf("%s: got %s and %s, want %s", name, got, carried, tc.want)
		}
		if line := b.log.String(); !strings.Contains(line, `"trace":"`+trace.ID(tc.want)+`"`) {
			t.Errorf("%s: %s", name, line)
		}
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
