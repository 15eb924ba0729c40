package apim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"apim-dr/internal/trace"
)

const (
	maxBody      = 1 << 20          // bytes; an instance is shown in some 10 KB
	maxList      = 32 << 20         // bytes; of the instances of a subscription, of which a fleet may have a thousand
	maxErrorBody = 64 << 10         // bytes
	getWithin    = 30 * time.Second // a dead region must not hold up an invocation
)

// call is one request: a POST if it has a body.
type call struct {
	verb   string // for the log
	url    string
	body   *request
	stream bool // a 200 comes with reply.stream in place of a body; the caller bounds the time
	long   bool // the body of a 200 may have maxList bytes
}

// result is how a call went: err, or a reply. unsent: it is certain that nobody heard the request.
type result struct {
	reply  reply
	err    error
	unsent bool
}

// why is the error without the URL, which may be signed, and without secrets.
func (c *Client) why(r result) string {
	if u, ok := errors.AsType[*url.Error](r.err); ok {
		return clip(c.o.Mask(u.Err.Error()))
	}
	return clip(c.o.Mask(r.err.Error()))
}

var serviceShape = regexp.MustCompile(`(?i)/microsoft\.apimanagement/service/([^/?]*)`)

// send makes the call, once, and logs it.
func (c *Client) send(ctx context.Context, k call) result {
	began, id := c.o.Now(), c.o.NewID()
	if k.body == nil && !k.stream {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, getWithin)
		defer cancel()
	}
	got := c.exchange(ctx, k, id)
	c.tell(ctx, k, id, got, c.o.Now().Sub(began))
	return got
}

// tell logs how a call went.
func (c *Client) tell(ctx context.Context, k call, id string, got result, took time.Duration) {
	level, service := slog.LevelInfo, ""
	if got.err == nil && k.body == nil && got.reply.status < http.StatusBadRequest {
		level = slog.LevelDebug // polls are many
	}
	if !c.o.Log.Enabled(ctx, level) {
		return
	}
	if match := serviceShape.FindStringSubmatch(k.url); match != nil {
		service = match[1]
	}
	log := c.o.Log.With("verb", k.verb, "target", service, "durationMs", took.Milliseconds(), "clientRequestId", id)
	if got.err != nil {
		log.InfoContext(ctx, "ARM did not answer", "error", c.why(got), "sent", !got.unsent)
		return
	}
	request := got.reply.upTo(maxSetting, got.reply.header.Get("x-ms-request-id"))
	correlation := got.reply.upTo(maxSetting, got.reply.header.Get("x-ms-correlation-request-id"))
	log.Log(ctx, level, "ARM answered", "status", got.reply.status, "requestId", request, "correlationId", correlation)
}

func (c *Client) exchange(ctx context.Context, k call, id string) result {
	if !c.Trusts(k.url) { // the one gate that every token passes
		return result{err: errors.New("the URL does not lead to " + c.base), unsent: true}
	}
	// azcore lets a second caller that needs a token wait for the first one's without regard to its own context (temporal.Resource.Get),
	// which would carry a POST past the end of its window. So only one at a time goes in.
	select {
	case c.token <- struct{}{}:
	case <-ctx.Done():
		return result{err: ctx.Err(), unsent: true}
	}
	release := sync.OnceFunc(func() { <-c.token })
	defer release()
	try := &attempt{begun: release, stream: k.stream, long: k.long}
	req, err := c.build(context.WithValue(ctx, attemptKey{}, try), k, id)
	if err != nil {
		return result{err: err, unsent: true}
	}
	_, err = c.pipeline.Do(req) // wire has read and closed the body
	if try.reply == nil {
		return result{err: err, unsent: !try.heard()}
	}
	try.reply.mask = c.o.Mask
	return result{reply: *try.reply} // even beside an error: the pipeline drops an answer that comes as the context ends
}

func (c *Client) build(ctx context.Context, k call, id string) (*policy.Request, error) {
	method := http.MethodGet
	if k.body != nil {
		method = http.MethodPost
	}
	req, err := runtime.NewRequest(ctx, method, k.url)
	if err != nil {
		return nil, err
	}
	if k.stream {
		runtime.SkipBodyDownload(req)
	}
	h := req.Raw().Header
	h.Set("Accept", "application/json")
	h.Set("x-ms-client-request-id", id)
	if t := trace.From(ctx); t != "" {
		h.Set("traceparent", t)
	}
	if k.body != nil {
		err = runtime.MarshalAsJSON(req, k.body)
	}
	return req, err
}

// attempt follows a request through the pipeline. The pipeline sends it twice after a 401 with a claims challenge, which ARM has then
// not acted on. Only the last sending counts.
type attempt struct {
	begun           func()      // the token is there
	sent, refused   bool        // given to the transport; its dial failed
	dialed, reached atomic.Bool // a connection was asked for, was had; from net/http's goroutines
	stream          bool        // the body of a 200 is the caller's to read
	long            bool        // it may have maxList bytes
	reply           *reply
}

// heard tells whether somebody may have heard the request: from the moment on that a connection was at hand, and always with a
// transport that tells nothing.
func (a *attempt) heard() bool {
	return a.sent && (a.reached.Load() || !a.refused && !a.dialed.Load())
}

type attemptKey struct{}

// wire is the end of the pipeline. It reads the answer with a bound, before azcore would read it without one, and keeps it.
type wire struct{ next policy.Transporter }

// Do implements policy.Transporter.
func (w wire) Do(req *http.Request) (*http.Response, error) {
	try, ok := req.Context().Value(attemptKey{}).(*attempt)
	if !ok {
		return nil, errors.New("a request that this client did not make")
	}
	try.begun()
	if err := req.Context().Err(); err != nil { // the token took too long
		return nil, err
	}
	try.sent, try.refused, try.reply = true, false, nil
	try.dialed.Store(false)
	try.reached.Store(false)
	req, err := rewindable(req)
	if err != nil {
		return nil, err
	}
	resp, err := w.next.Do(req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GetConn: func(string) { try.dialed.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { try.reached.Store(true) },
	})))
	if err != nil {
		op, ok := errors.AsType[*net.OpError](err)
		try.refused = ok && op.Op == "dial"
		return nil, err
	}
	if resp.Body == nil { // net/http always gives one
		resp.Body = http.NoBody
	}
	got := reply{status: resp.StatusCode, header: resp.Header}
	if try.stream && got.status == http.StatusOK {
		got.stream, try.reply = resp.Body, &got
		return resp, nil
	}
	defer resp.Body.Close()
	limit := maxBody
	switch {
	case got.status >= http.StatusBadRequest:
		limit = maxErrorBody
	case try.long:
		limit = maxList
	}
	got.body, got.broken = io.ReadAll(io.LimitReader(resp.Body, int64(limit)+1))
	if got.broken == nil && len(got.body) > limit {
		got.body, got.broken = got.body[:limit], fmt.Errorf("longer than %d bytes", limit)
	}
	resp.Body = io.NopCloser(bytes.NewReader(got.body))
	try.reply = &got
	return resp, nil
}

// rewindable gives each reading of the body a reader of its own. net/http asks for a second one when a connection turns out to be dead before anything
// was written, and before it looks whether a redirect shall be followed; azcore rewinds the one reader that may still be in use.
func rewindable(req *http.Request) (*http.Request, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return req, nil
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	req = req.Clone(req.Context())
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	req.Body, err = req.GetBody()
	return req, err
}
