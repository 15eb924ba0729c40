package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"apim-dr/internal/dr"
)

// Refusal is an answer that is no success, of the app (RFC 9457) or of the host that stands before it and says less.
type Refusal struct {
	Function      string // that was called
	Status        int    `json:"status"`
	Title, Detail string
	Errors        []struct{ Field, Detail string }
	Plan          *dr.Plan
	Operation     string          // that records the attempt
	Body          json.RawMessage `json:"-"` // whole; empty: there was none
}

func (r *Refusal) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s", r.Status, cmp.Or(r.Title, http.StatusText(r.Status)))
	if r.Detail != "" {
		b.WriteString("\n" + r.Detail)
	}
	for _, e := range r.Errors {
		fmt.Fprintf(&b, "\n  %s: %s", e.Field, e.Detail)
	}
	if r.Operation != "" {
		fmt.Fprintf(&b, "\nIt is recorded as operation %s.", r.Operation)
	}
	return b.String()
}

// Foreign is an answer that is not apim-dr's.
type Foreign struct {
	URL, Kind string // Kind is its Content-Type
	Status    int
	To        string // host of a redirection
	Says      string // its first words
}

func (f *Foreign) Error() string {
	what := fmt.Sprintf("What answers at %s is not apim-dr: %d", f.URL, f.Status)
	if f.Kind != "" {
		what += " " + f.Kind
	}
	if f.To != "" {
		what += ", and sends callers to " + f.To
	}
	if f.Says != "" {
		what += fmt.Sprintf(": %q", f.Says)
	}
	return what
}

// Lost is a call without an answer.
type Lost struct {
	URL   string
	Err   error
	Heard bool // the app may have taken the call all the same
}

func (l *Lost) Error() string {
	cause := l.Err
	if wrapped, ok := errors.AsType[*url.Error](cause); ok {
		cause = wrapped.Err // the call is told already
	}
	if errors.Is(cause, context.DeadlineExceeded) {
		cause = fmt.Errorf("nothing came within %v", within)
	}
	return fmt.Sprintf("No answer from %s: %v", l.URL, cause)
}

func (l *Lost) Unwrap() error { return l.Err }

// lost tells whether a call without an answer may have been heard: one that got no connection was not.
func lost(url string, err error) *Lost {
	dial, _ := errors.AsType[*net.OpError](err)
	return &Lost{URL: url, Err: err, Heard: (dial == nil || dial.Op != "dial") && !distrusted(err)}
}

func distrusted(err error) bool {
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	_, record := errors.AsType[tls.RecordHeaderError](err)
	return certificate || record
}

// Passing tells whether the same call may be answered a moment later.
func Passing(err error) bool {
	if l, ok := errors.AsType[*Lost](err); ok {
		name, _ := errors.AsType[*net.DNSError](err)
		return !distrusted(l.Err) && (name == nil || !name.IsNotFound)
	}
	switch status(err) {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// Perhaps tells of the error of a call that begins something whether it may have begun all the same.
func Perhaps(err error) bool {
	if l, ok := errors.AsType[*Lost](err); ok {
		return l.Heard
	}
	return status(err) >= http.StatusInternalServerError
}

// status is that of an answer; zero: there was none.
func status(err error) int {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r.Status
	}
	if f, ok := errors.AsType[*Foreign](err); ok {
		return f.Status
	}
	return 0
}

// refusal reads a problem.
func (c *Client) refusal(call Call, status int, body []byte) error {
	r := &Refusal{Body: body}
	if json.Unmarshal(body, r) != nil {
		r = &Refusal{Detail: string(body)}
	}
	r.Status, r.Function = status, call.Function
	return r
}

// notOurs is the error for an answer that is no JSON. Where a key is missing or wrong the host answers without a body.
func (c *Client) notOurs(call Call, resp *http.Response, body []byte) error {
	if resp.StatusCode == http.StatusUnauthorized || len(body) == 0 && resp.StatusCode >= 400 && resp.StatusCode != http.StatusNotFound {
		return &Refusal{Function: call.Function, Status: resp.StatusCode}
	}
	return c.foreign(resp, body)
}

const firstWords = 200 // characters

var pageTitle = regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title>`)

func (c *Client) foreign(resp *http.Response, body []byte) error {
	f := &Foreign{URL: c.o.URL, Status: resp.StatusCode, Kind: resp.Header.Get("Content-Type"), Says: string(body)}
	if m := pageTitle.FindSubmatch(body); m != nil {
		f.Says = html.UnescapeString(string(m[1]))
	}
	if words := []rune(strings.Join(strings.Fields(f.Says), " ")); len(words) > firstWords {
		f.Says = string(words[:firstWords]) + "…"
	} else {
		f.Says = string(words)
	}
	if to, err := resp.Location(); err == nil {
		f.To = to.Scheme + "://" + to.Host
	}
	return f
}

// brief is an error in one line.
func brief(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
