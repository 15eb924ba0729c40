package customhandler

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"
)

// MaxEnvelope is the largest envelope in bytes that Timer and Message functions accept.
const MaxEnvelope = 1 << 20

// Options are the settings of a Router; the zero value is ready to use.
type Options struct {
	// Log gets one line for each invocation; slog.Default() if nil.
	Log *slog.Logger
	// Timeout is the longest an invocation's context lives; 100 s if zero. The host cancels nothing on its own.
	Timeout time.Duration
	// ErrorPause is how long the answer to a failed Timer or Message invocation is held back, so that the ten deliveries of a
	// message are not gone in five seconds; 2 s if zero, none if negative. It ends early when the request does.
	ErrorPause time.Duration
	// HTTPBodyLimit is the largest body in bytes an HTTP route can read; 64 KiB if zero.
	HTTPBodyLimit int64
	// Rand is the source of new trace ids; crypto/rand if nil. Reads do not overlap.
	Rand io.Reader
	// Now is the clock of the durations in the log; time.Now if nil.
	Now func() time.Time
}

// Router gives each invocation to the function registered for it. Register everything before serving.
type Router struct {
	opts      Options
	randMu    sync.Mutex
	mux       *http.ServeMux
	envelopes map[string]decoder // by function; nil for an HTTP function
}

// call is what an envelope asks for.
type call struct {
	run         func(context.Context) error
	args        []any  // what its log lines are to carry
	traceparent string // of the message; it may be anything
}

// decoder reads an envelope.
type decoder func(body []byte) (call, error)

// route marks the handlers of HTTP functions among those the mux makes itself.
type route struct{ http.Handler }

// NewRouter returns a Router without functions.
func NewRouter(o Options) *Router {
	o.Log = cmp.Or(o.Log, slog.Default())
	o.Timeout = cmp.Or(o.Timeout, 100*time.Second)
	o.ErrorPause = cmp.Or(o.ErrorPause, 2*time.Second)
	o.HTTPBodyLimit = cmp.Or(o.HTTPBodyLimit, 64<<10)
	o.Rand = cmp.Or(o.Rand, rand.Reader)
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Router{opts: o, mux: http.NewServeMux(), envelopes: map[string]decoder{}}
}

// Longest is how long an answer may take, for ServeOptions: a server that ends earlier would cut off an invocation that is within its time.
func (rt *Router) Longest() time.Duration { return rt.opts.Timeout + max(rt.opts.ErrorPause, 0) }

// HTTP registers a function with an httpTrigger that the host proxies (enableProxyingHttpRequest). The pattern is one of
// http.ServeMux with a method, such as "GET /api/operations/{id}"; it panics on a bad or taken pattern or name. The context of a
// request carries the invocation, its logger and a deadline; its body is limited to Options.HTTPBodyLimit.
func (rt *Router) HTTP(function, pattern string, h func(http.ResponseWriter, *http.Request)) {
	rt.register(function, nil)
	if method, path, _ := strings.Cut(pattern, " "); method == "" || !strings.HasPrefix(path, "/") || path == "/" {
		panic(fmt.Sprintf(`customhandler: the pattern %q of %s must be "METHOD /path"`, pattern, function))
	}
	rt.mux.Handle(pattern, route{rt.httpHandler(function, h)})
}

// Timer registers a function with a timerTrigger. It panics if the name is taken.
func (rt *Router) Timer(function string, h func(context.Context, TimerInvocation) error) {
	rt.register(function, func(body []byte) (call, error) {
		req, err := DecodeInvokeRequest(body)
		if err != nil {
			return call{}, err
		}
		t, err := req.Timer()
		return call{run: func(ctx context.Context) error { return h(ctx, t) }}, err
	})
}

// Message registers a function with a serviceBusTrigger of dataType binary and cardinality one. An error abandons the message.
// It panics if the name is taken.
func (rt *Router) Message(function string, h func(context.Context, MessageInvocation) error) {
	rt.register(function, func(body []byte) (call, error) {
		req, err := DecodeInvokeRequest(body)
		if err != nil {
			return call{}, err
		}
		m, err := req.Message()
		return call{
			run: func(ctx context.Context) error { return h(ctx, m) }, args: []any{KeyMessage, m.MessageID, KeyDelivery, m.DeliveryCount}, traceparent: m.traceparent(),
		}, err
	})
}

func (rt *Router) register(function string, d decoder) {
	if _, taken := rt.envelopes[function]; taken || function == "" || strings.Contains(function, "/") {
		panic(fmt.Sprintf("customhandler: %q is no function name, or registered twice", function))
	}
	rt.envelopes[function] = d
}

// ServeHTTP implements http.Handler. GET / is the host's readiness check, sent every 25 ms until it is answered and again as a
// status check: any answer will do, and it is not logged.
func (rt *Router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	h, _ := rt.mux.Handler(r)
	switch _, isRoute := h.(route); {
	case name == "" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		w.WriteHeader(http.StatusOK)
	case rt.envelopes[name] != nil && r.Method == http.MethodPost:
		rt.serveEnvelope(w, r, name)
	case isRoute:
		rt.mux.ServeHTTP(w, r) // not h: the mux sets the path values
	case rt.envelopes[name] != nil:
		w.Header().Set("Allow", http.MethodPost)
		rt.refuse(w, r, http.StatusMethodNotAllowed, "the host invokes this function with POST")
	default:
		rt.serveNothing(w, r, h)
	}
}

// serveNothing answers 404 or 405. h, the mux's own handler for such a request, tells which; where it would redirect to the clean
// path the answer is 404, since a redirect can turn a POST into a GET.
func (rt *Router) serveNothing(w http.ResponseWriter, r *http.Request, h http.Handler) {
	probe := probeWriter{header: http.Header{}}
	h.ServeHTTP(&probe, r)
	if probe.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", probe.header.Get("Allow"))
		rt.refuse(w, r, http.StatusMethodNotAllowed, "this path accepts "+probe.header.Get("Allow"))
		return
	}
	rt.refuse(w, r, http.StatusNotFound, "no route or function of this name is registered; names are case-sensitive, and HTTP functions "+
		"need customHandler.enableProxyingHttpRequest in host.json")
}

// refuse answers a request that belongs to no function. The query is not logged, since it may carry a function key.
func (rt *Router) refuse(w http.ResponseWriter, r *http.Request, status int, reason string) {
	rt.opts.Log.Info("request refused", KeyStatus, status, "method", r.Method, "path", r.URL.Path, KeyInvocation, invocationID(r))
	WriteProblem(w, r, Problem{Status: status, Detail: reason})
}

// probeWriter keeps the status and headers of an answer and drops the rest.
type probeWriter struct {
	header http.Header
	status int
}

func (p *probeWriter) Header() http.Header         { return p.header }
func (p *probeWriter) Write(b []byte) (int, error) { return len(b), nil }
func (p *probeWriter) WriteHeader(status int)      { p.status = status }
