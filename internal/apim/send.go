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
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"apim-dr/internal/trace"
)

const (
	maxBody      = 1 << 20          // bytes; an instance is shown in some 10 KB
	maxErrorBody = 64 << 10         // bytes
	getWithin    = 30 * time.Second // a dead region must not hold up an invocation
)

// call is one request.
type call struct {
	verb  string // for the log
	url   string
	body  *request // nil: a GET
	point string
}

// reply is what came back. header is never nil.
type reply struct {
	status int
	header http.Header
	body   []byte
	broken error  // the body is not whole
	secret string // went out with the request
}

// result is how a call went: err, or a reply. unsent: it is certain that nobody heard the request.
type result struct {
	reply  reply
	err    error
	unsent bool
}

// why is the error in words that name no URL and no secret.
func (r result) why() string {
	err := r.err
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // its text holds the URL, and that may be signed
	}
	return clip(redact(err.Error()))
}

func (c *Client) get(ctx context.Context, k call) result {
	ctx, cancel := context.WithTimeout(ctx, getWithin)
	defer cancel()
	return c.send(ctx, k)
}

// send makes the call, once, and logs it.
func (c *Client) send(ctx context.Context, k call) result {
	began := c.now()
	id := c.newID()
	got := c.exchange(ctx, k, id)
	level := slog.LevelDebug
	if k.body != nil || got.err != nil || got.reply.status >= http.StatusBadRequest {
		level = slog.LevelInfo
	}
	attrs := []slog.Attr{
		slog.String("verb", k.verb), slog.String("service", serviceIn(k.url)), slog.Duration("duration", c.now().Sub(began)),
		slog.String("clientRequestId", id),
	}
	if k.point != "" {
		attrs = append(attrs, slog.String("point", k.point))
	}
	if t := trace.From(ctx); t != "" {
		attrs = append(attrs, slog.String("traceparent", t))
	}
	if got.err != nil {
		attrs = append(attrs, slog.String("error", got.why()), slog.Bool("sent", !got.unsent))
	} else {
		attrs = append(attrs, slog.Int("status", got.reply.status), slog.String("requestId", got.reply.header.Get("x-ms-request-id")),
			slog.String("correlationId", got.reply.header.Get("x-ms-correlation-request-id")))
	}
	c.log.LogAttrs(ctx, level, "arm", attrs...)
	return got
}

var traceparentShape = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

func (c *Client) exchange(ctx context.Context, k call, id string) result {
	if !c.Trusts(k.url) { // the one gate that every token passes
		return result{err: errors.New("the URL does not lead to the configured endpoint"), unsent: true}
	}
	method := http.MethodGet
	if k.body != nil {
		method = http.MethodPost
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
	try := &attempt{begun: release}
	req, err := runtime.NewRequest(context.WithValue(ctx, attemptKey{}, try), method, k.url)
	if err != nil {
		return result{err: err, unsent: true}
	}
	if k.body != nil {
		if err := runtime.MarshalAsJSON(req, k.body); err != nil {
			return result{err: err, unsent: true}
		}
	}
	h := req.Raw().Header
	h.Set("Accept", "application/json")
	h.Set("x-ms-client-request-id", id)
	if t := trace.From(ctx); traceparentShape.MatchString(t) { // net/http refuses a request with a malformed header
		h.Set("traceparent", t)
	}
	_, err = c.pipeline.Do(req) // wire has read and closed the body
	if try.reply == nil {
		return result{err: err, unsent: !try.heard()}
	}
	// Even beside an error: the pipeline drops an answer that comes as the context ends.
	if k.body != nil {
		try.reply.secret = k.body.AccessKey
	}
	return result{reply: *try.reply}
}

// attempt follows a request through the pipeline. The pipeline may send it twice: after a 401 with a claims challenge, which ARM
// has then not acted on. Only the last sending counts.
type attempt struct {
	begun           func() // the token is there
	sent            bool
	dialed, reached atomic.Bool // set from net/http's goroutines
	refused         bool        // the dial failed
	reply           *reply
}

// heard tells whether somebody may have heard the request: from the moment on that a connection was at hand.
func (a *attempt) heard() bool {
	switch {
	case !a.sent, a.refused && !a.reached.Load():
		return false
	case a.dialed.Load():
		return a.reached.Load()
	}
	return true // a transport that tells nothing
}

type attemptKey struct{}

// wire is the end of the pipeline. It reads the answer with a bound before azcore would read it without, and keeps it.
type wire struct{ next policy.Transporter }

// Do implements policy.Transporter.
func (w wire) Do(req *http.Request) (*http.Response, error) {
	try, _ := req.Context().Value(attemptKey{}).(*attempt)
	if try == nil {
		return nil, errors.New("a request that this client did not make")
	}
	try.begun()
	try.sent, try.refused, try.reply = true, false, nil
	try.dialed.Store(false)
	try.reached.Store(false)
	ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GetConn: func(string) { try.dialed.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { try.reached.Store(true) },
	})
	resp, err := w.next.Do(req.WithContext(ctx))
	if err == nil && resp == nil {
		err = errors.New("the transport gave no answer")
	}
	if err != nil {
		op, ok := errors.AsType[*net.OpError](err)
		try.refused = ok && op.Op == "dial"
		return nil, err
	}
	got := reply{status: resp.StatusCode, header: resp.Header}
	if got.header == nil {
		got.header = http.Header{}
	}
	if resp.Body != nil {
		got.body, got.broken = readBody(resp)
		resp.Body.Close()
	}
	resp.Body = io.NopCloser(bytes.NewReader(got.body))
	try.reply = &got
	return resp, nil
}

func readBody(resp *http.Response) ([]byte, error) {
	limit := maxBody
	if resp.StatusCode >= http.StatusBadRequest {
		limit = maxErrorBody
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(limit)+1))
	if err == nil && len(body) > limit {
		body, err = body[:limit], fmt.Errorf("longer than %d bytes", limit)
	}
	return body, err
}

// serviceIn is the name of the instance that a URL speaks of, or "".
func serviceIn(url string) string {
	const marker = "/microsoft.apimanagement/service/"
	i := strings.Index(strings.ToLower(url), marker)
	if i < 0 {
		return ""
	}
	name := url[i+len(marker):]
	if end := strings.IndexAny(name, "/?"); end >= 0 {
		name = name[:end]
	}
	return name
}

const redacted = "[redacted]"

// secrets are storage account keys (64 bytes in base64) and bearer tokens, wherever a server or a library quotes them.
var secrets = regexp.MustCompile(`[A-Za-z0-9+/]{86}==|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*`)

func redact(text string) string { return secrets.ReplaceAllString(text, redacted) }

// clean is text without secrets: ARM's errors quote parameters (recorded).
func (r reply) clean(text string) string {
	if r.secret != "" {
		text = strings.ReplaceAll(text, r.secret, redacted)
	}
	return redact(text)
}

const maxReason = 1000 // bytes; the words of ARM are whole in Error

func clip(text string) string {
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + "…"
	}
	return text
}
