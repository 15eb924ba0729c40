package funchost

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
)

// serve is the host's HTTP side: its own few routes, then the functions'.
func (h *Host) serve(w http.ResponseWriter, r *http.Request) {
	name, admin := strings.CutPrefix(r.URL.Path, "/admin/functions/")
	switch {
	case r.URL.Path == identityPath && h.opts.Token != nil:
		h.serveToken(w, r)
	case r.URL.Path == "/" || r.URL.Path == "/admin/host/ping":
	case admin && r.Method == http.MethodPost:
		h.serveAdmin(w, r, name)
	default:
		if _, pattern := h.app.routes.Handler(r); pattern == "" {
			http.NotFound(w, r) // for a wrong method too, where ServeMux would answer 405
			return
		}
		h.app.routes.ServeHTTP(w, r)
	}
}

func (h *Host) serveFunction(w http.ResponseWriter, r *http.Request, f *function) {
	if !h.identified(r) || !h.authorized(r, f) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	custom := h.app.host.CustomHandler
	proxied := f.output.Type != "" && custom.EnableProxyingHTTPRequest
	ctx := r.Context()
	if !proxied { // the proxy (YARP) drops the request of a caller who went away, the host's own client never does
		ctx = context.WithoutCancel(ctx)
	}
	ctx, cancel := joined(ctx, h.stop)
	defer cancel()
	r.Body = http.MaxBytesReader(w, r.Body, 100<<20) // the host's limit
	if proxied || f.output.Type != "" && custom.EnableForwardingHTTPRequest {
		if !proxied && r.ContentLength < 0 {
			r.Body, r.ContentLength, r.TransferEncoding = http.NoBody, 0, nil // the legacy forwarding loses chunked bodies
		}
		h.proxy(ctx, w, r, f)
		return
	}
	h.envelopeHTTP(ctx, w, r, f)
}

// identified is built-in authentication, which lies before the host, so that no header of its own comes through from outside.
func (h *Host) identified(r *http.Request) bool {
	if h.opts.Principal == nil {
		return true
	}
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Ms-Client-Principal") {
			delete(r.Header, name)
		}
	}
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	principal, ok := h.opts.Principal(token)
	r.Header.Set("X-Ms-Client-Principal", principal)
	return ok
}

// authorized compares the key of the request with those that open the function; f is nil for the admin API.
func (h *Host) authorized(r *http.Request, f *function) bool {
	key := r.Header.Get("X-Functions-Key")
	if key == "" {
		key = r.URL.Query().Get("code")
	}
	accepted := []string{h.opts.MasterKey}
	if f != nil && f.trigger.AuthLevel == "anonymous" {
		return true
	} else if f != nil && f.trigger.AuthLevel == "function" {
		accepted = append(accepted, h.opts.HostKey)
		for name, k := range h.opts.FunctionKeys {
			if strings.EqualFold(name, f.name) {
				accepted = append(accepted, k)
			}
		}
	}
	for _, k := range accepted {
		if k != "" && subtle.ConstantTimeCompare([]byte(k), []byte(key)) == 1 {
			return true
		}
	}
	return false
}

// serveAdmin runs a timer function once: POST /admin/functions/<name> with the master key and {"input": "…"}.
func (h *Host) serveAdmin(w http.ResponseWriter, r *http.Request, name string) {
	f := h.app.function(name)
	var body struct{ Input string }
	switch {
	case !h.authorized(r, nil):
		w.WriteHeader(http.StatusUnauthorized)
	case f == nil:
		http.NotFound(w, r)
	case json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&body) != nil:
		http.Error(w, `the body must be {"input": "…"}`, http.StatusBadRequest)
	case f.trigger.Type != timerTrigger:
		http.Error(w, "this stand-in fires timer functions only", http.StatusBadRequest)
	default:
		h.running.Go(func() { _ = h.fireTimer(h.stop, f, onTime, nil) }) // its failure is logged and observed as any other
		w.WriteHeader(http.StatusAccepted)
	}
}

// proxy streams the request to the handler with everything it carries, the Host header included.
func (h *Host) proxy(ctx context.Context, w http.ResponseWriter, r *http.Request, f *function) {
	h.run(ctx, f, "", func(ctx context.Context, id string) (res result) {
		target, err := h.acquire(ctx)
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return result{err: err}
		}
		proxy := httputil.ReverseProxy{
			Transport:     h.client.Transport,
			FlushInterval: -1,
			ErrorLog:      slog.NewLogLogger(h.opts.Log.Handler(), slog.LevelWarn),
			Rewrite: func(pr *httputil.ProxyRequest) {
				pr.Out.URL.Scheme, pr.Out.URL.Host, pr.Out.URL.RawQuery, pr.Out.Host = "http", target.addr, pr.In.URL.RawQuery, pr.In.Host
				for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
					if v, ok := pr.In.Header[name]; ok {
						pr.Out.Header[name] = v
					}
				}
				stamp(pr.Out.Header, id)
			},
			ModifyResponse: func(answer *http.Response) error {
				res.status = answer.StatusCode
				return nil
			},
			ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
				if r.Context().Err() != nil {
					return // the caller is gone, which the host does not count as a failure
				}
				res.err = fmt.Errorf("proxy to %s: %w", f.name, err)
				status := http.StatusBadGateway
				if ctx.Err() != nil {
					status = http.StatusInternalServerError
				}
				w.WriteHeader(status)
			},
		}
		proxy.ServeHTTP(w, r.WithContext(ctx))
		return res
	})
}

// envelopeHTTP invokes a function that is not pure HTTP, or any when the host neither proxies nor forwards. A body that does not tell
// its length is lost.
func (h *Host) envelopeHTTP(ctx context.Context, w http.ResponseWriter, r *http.Request, f *function) {
	query, params, meta := map[string]string{}, map[string]string{}, sys(f, h.opts.Now())
	for name, values := range r.URL.Query() {
		query[name] = strings.Join(values, ",")
	}
	for _, name := range f.params {
		params[name], meta[name] = r.PathValue(name), twice(r.PathValue(name))
	}
	headers := r.Header.Clone()
	headers.Set("Host", r.Host) // net/http keeps it apart
	address := url.URL{Scheme: "http", Host: r.Host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
	req := map[string]any{
		"Url": address.String(), "Method": r.Method, "Query": query, "Headers": headers, "Params": params, "Identities": []any{},
	}
	if r.ContentLength > 0 {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if req["Body"] = any(string(body)); binary(r) {
			req["Body"] = body // base64
		}
	}
	res := h.invoke(ctx, f, "", envelope{Data: map[string]any{f.trigger.Name: req}, Metadata: meta})
	if res.err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	raw := res.answer.Outputs[f.output.Name]
	if f.output.Name == "$return" {
		raw = res.answer.ReturnValue
	}
	if f.output.Type == "" || len(raw) == 0 || string(raw) == "null" {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	writeOutput(w, f.output, raw)
}

// binary tells whether the host takes a body for bytes.
func binary(r *http.Request) bool {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return kind == "application/octet-stream" || strings.HasPrefix(kind, "multipart/")
}

// writeOutput turns the http output of an answer ({statusCode|status, headers, body}, or the body itself) into the response.
func writeOutput(w http.ResponseWriter, output binding, raw json.RawMessage) {
	var res struct {
		StatusCode, Status any
		Headers            map[string]any
		Body               json.RawMessage
	}
	if !bytes.HasPrefix(raw, []byte("{")) || json.Unmarshal(raw, &res) != nil {
		res.Body = raw
	}
	for name, value := range res.Headers {
		w.Header().Set(name, fmt.Sprint(value))
	}
	body := []byte(res.Body)
	var text string
	if json.Unmarshal(res.Body, &text) == nil {
		body = decoded(text, output)
	} else if len(body) > 0 && w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
	}
	for _, given := range []any{res.StatusCode, res.Status} {
		if status, err := strconv.Atoi(fmt.Sprint(given)); err == nil && status >= 200 && status <= 999 {
			w.WriteHeader(status)
			break
		}
	}
	_, _ = w.Write(body) // when the caller is gone nobody is left to tell
}
