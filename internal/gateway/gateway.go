// Package gateway asks the gateways of API Management whether they answer, as a person would after a restore. What it finds decides
// nothing: a gateway inside a virtual network cannot be reached from everywhere.
package gateway

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"apim-dr/internal/dr"
)

// status is the address at which every gateway tells its health: 200 with an empty body (Azure docs, integrate API Management in an
// internal virtual network with Application Gateway).
const status = "/status-0123456789abcdef"

const (
	maxURLs  = 20
	within   = 10 * time.Second
	maxError = 200 // bytes; it stands in a record for each gateway
)

// Client asks gateways. It is safe for concurrent use.
type Client struct{ http http.Client }

// New returns a Client that sends with the transport of c; nil: net/http. No redirect is followed and no cookie kept.
func New(c *http.Client) *Client {
	if c == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.DisableKeepAlives = true // one request each, hours apart
		t.MaxResponseHeaderBytes = 64 << 10
		c = &http.Client{Transport: t}
	}
	return &Client{http: http.Client{Transport: c.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// Probe asks each URL's status address once, all at the same time, and returns before ctx ends, after 10 s at the latest. The order is
// that of urls. Accepted are the addresses of gateways: https, plain http on this machine only, without user or query; others, and those
// beyond 20, are not asked, and Error says so. No token is sent and no body read.
func (c *Client) Probe(ctx context.Context, urls []string) []dr.Gateway {
	limit := within
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		limit = min(limit, left-min(left/10, time.Second)) // what was found can still be told
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	found := make([]dr.Gateway, len(urls))
	var wg sync.WaitGroup
	for i, at := range urls {
		switch target, ok := address(at); {
		case !ok:
			found[i] = dr.Gateway{URL: bare(at), Error: "not the address of a gateway; accepted: https://host"}
		case i >= maxURLs:
			found[i] = dr.Gateway{URL: at, Error: "not asked: these are too many gateways"}
		default:
			wg.Go(func() {
				code, err := c.ask(ctx, target)
				found[i] = dr.Gateway{URL: at, Status: code, Error: why(err)}
			})
		}
	}
	wg.Wait()
	return found
}

func (c *Client) ask(ctx context.Context, target string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("User-Agent", "apim-dr")
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, err
	}
	resp.Body.Close() // unread
	return resp.StatusCode, nil
}

// address is where the gateway at a URL tells its status.
func address(gateway string) (string, bool) {
	u, err := url.Parse(gateway)
	if err != nil || u.Hostname() == "" || u.User != nil || len(gateway) > 1000 || strings.ContainsAny(gateway, "?#") {
		return "", false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	if local := u.Hostname() == "localhost" || err == nil && ip.IsLoopback(); u.Scheme != "https" && (u.Scheme != "http" || !local) {
		return "", false
	}
	return strings.TrimRight(gateway, "/") + status, true
}

// bare is a URL that is not asked, without what may be secret in it.
func bare(gateway string) string {
	gateway, _, _ = strings.Cut(gateway, "?")
	return short(gateway[strings.LastIndex(gateway, "@")+1:])
}

// why is an error in one short line, without the URL.
func why(err error) string {
	switch u, ok := errors.AsType[*url.Error](err); {
	case err == nil:
		return ""
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case ok:
		err = u.Err
	}
	return short(err.Error())
}

func short(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxError {
		text = text[:maxError] + "…"
	}
	return strings.ToValidUTF8(text, "")
}
