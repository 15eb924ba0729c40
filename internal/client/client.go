// Package client calls the Function App over HTTP. It sends a call again that was not answered, as the same call, and tells what came back.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"
)

// Options is what a Client needs. URL, Now and NewKey must be set.
type Options struct {
	URL   string                                    // of the app, without /api
	Key   string                                    // of the function or of the host; empty: none is sent
	Token func(ctx context.Context) (string, error) // nil: none is sent
	// Transport nil: that of net/http.
	Transport http.RoundTripper
	Now       func() time.Time
	NewKey    func() string // makes an Idempotency-Key
	Say       func(string)  // is told why a call is sent again; nil: nobody is
}

// Client calls one Function App.
type Client struct {
	o    Options
	http *http.Client
}

// New makes a Client. It follows no redirection: the key would go along.
func New(o Options) *Client {
	if o.Say == nil {
		o.Say = func(string) {}
	}
	return &Client{o, &http.Client{Transport: o.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// KnowsCaller tells whether the app knows by a token who calls.
func (c *Client) KnowsCaller() bool { return c.o.Token != nil }

// Answer is a success of the app.
type Answer struct {
	Body       json.RawMessage // empty: 204
	RetryAfter time.Duration   // zero: not told
	At         time.Time       // by the clock of the app, to the second
}

const (
	within       = 2 * time.Minute  // for one answer: the app works on it for 100 s at most, and perhaps starts first
	retryFor     = 90 * time.Second // nothing is sent again later than this after the first time
	firstPause   = time.Second
	longestPause = 20 * time.Second
	mostBody     = 64 << 20
)

// Do sends a call until it is answered, and decodes the answer into into. While there is no connection, or the answer is 429, 502, 503 or 504, it is sent
// again, with pauses that grow and are never shorter than Retry-After, for a minute and a half; a POST always with the same Idempotency-Key. The error is a
// *Refusal, a *Foreign, a *Lost, or that of Token.
func (c *Client) Do(ctx context.Context, call Call, into any) (Answer, error) {
	began, pause, key, heard := c.o.Now(), firstPause, "", false
	if call.method == http.MethodPost {
		key = c.o.NewKey()
	}
	for {
		a, err := c.once(ctx, call, key, into)
		if heard = heard || Perhaps(err); heard && Passing(err) && !Perhaps(err) { // this one was not taken, but an earlier one may have been
			err = &Lost{URL: c.o.URL, Err: err, Heard: true}
		}
		wait := max(pause, a.RetryAfter)
		if !Passing(err) || ctx.Err() != nil || c.o.Now().Add(wait).Sub(began) > retryFor {
			return a, err
		}
		c.o.Say(fmt.Sprintf("%s; asked again in %s", brief(err), wait))
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return a, &Lost{URL: c.o.URL, Err: ctx.Err(), Heard: heard}
		}
		pause = min(2*pause, longestPause)
	}
}

// Look sends a call that changes nothing once.
func (c *Client) Look(ctx context.Context, call Call, into any) (Answer, error) {
	return c.once(ctx, call, "", into)
}

func (c *Client) once(ctx context.Context, call Call, key string, into any) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	r, err := c.request(ctx, call, key)
	if err != nil {
		return Answer{}, err
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return Answer{}, lost(c.o.URL, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostBody+1))
	if err != nil {
		return Answer{}, lost(c.o.URL, err)
	}
	a := Answer{RetryAfter: c.retryAfter(resp.Header)}
	a.At, _ = http.ParseTime(resp.Header.Get("Date"))
	if resp.StatusCode == http.StatusNoContent {
		return a, nil
	}
	if !isJSON(resp.Header) || len(body) > mostBody || !json.Valid(body) {
		return a, c.notOurs(call, resp, body)
	}
	if resp.StatusCode >= 300 {
		return a, c.refusal(call, resp.StatusCode, body)
	}
	if a.Body = body; into != nil {
		if err := json.Unmarshal(body, into); err != nil {
			return a, c.foreign(resp, body)
		}
	}
	return a, nil
}

func (c *Client) request(ctx context.Context, call Call, key string) (*http.Request, error) {
	var body io.Reader
	if call.body != nil {
		b, err := json.Marshal(call.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	address := c.o.URL + call.path
	if len(call.query) > 0 {
		address += "?" + call.query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, call.method, address, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json, application/problem+json")
	r.Header.Set("User-Agent", "apim-dr")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	if c.o.Key != "" {
		r.Header.Set("X-Functions-Key", c.o.Key)
	}
	if c.o.Token != nil {
		token, err := c.o.Token(ctx)
		if err != nil {
			return nil, err
		}
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r, nil
}

// retryAfter reads seconds or a date.
func (c *Client) retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil {
		return max(time.Duration(seconds)*time.Second, 0)
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(c.o.Now()), 0)
	}
	return 0
}

func isJSON(h http.Header) bool {
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	return kind == "application/json" || kind == "application/problem+json"
}
