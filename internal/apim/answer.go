package apim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"apim-dr/internal/dr"
)

// document is what ARM writes: a resource, the state of an operation, or an error in one of its two shapes.
type document struct {
	ID         string     `json:"id"`
	Type       string     `json:"type"`
	Location   string     `json:"location"`
	ETag       string     `json:"etag"`
	SKU        sku        `json:"sku"`
	Status     string     `json:"status"`
	Properties properties `json:"properties"`

	Error *armError `json:"error"`
	armError
}

type properties struct {
	State      string `json:"provisioningState"`
	SKU        sku    `json:"sku"` // api-version 2014-02-14 has it here (recorded)
	Constraint struct {
		Min string `json:"minApiVersion"`
	} `json:"apiVersionConstraint"`
}

type sku struct {
	Name     string `json:"name"`
	Capacity int    `json:"capacity"`
}

// armError is {"code","message"}: bare up to api-version 2019-01-01, inside "error" since (recorded).
type armError struct {
	Code    string     `json:"code"`
	Message string     `json:"message"`
	Details []armError `json:"details"`
}

var errNotARM = errors.New("not an answer of ARM")

// parse reads a body. An empty one is an empty document. A field of an unexpected type is left out, not an error.
func (r reply) parse() (document, error) {
	var d document
	if r.broken != nil {
		return d, fmt.Errorf("the answer is not whole: %w", r.broken)
	}
	body := bytes.TrimSpace(bytes.TrimPrefix(r.body, []byte("\ufeff")))
	if len(body) == 0 {
		return d, nil
	}
	err := json.Unmarshal(body, &d)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && wrong.Field != "" {
		err = nil
	}
	if err != nil {
		return document{}, errNotARM
	}
	return d, nil
}

// state is how the body says that things stand, or "". The shape {"status": …} is that of operationsStatuses.
func (d document) state() string {
	if d.Status != "" {
		return d.Status
	}
	return d.Properties.State
}

// view is the instance that the document shows; false when it shows none.
func (d document) view(h http.Header) (dr.ServiceView, bool) {
	if !strings.EqualFold(d.Type, "Microsoft.ApiManagement/service") || d.Properties.State == "" {
		return dr.ServiceView{}, false
	}
	tier, etag := d.SKU, d.ETag
	if tier.Name == "" {
		tier = d.Properties.SKU
	}
	if etag == "" {
		etag = strings.Trim(strings.TrimPrefix(h.Get("ETag"), "W/"), `"`)
	}
	return dr.ServiceView{
		ETag: etag, State: d.Properties.State, SKU: tier.Name, Capacity: tier.Capacity, Region: d.Location, MinVersion: d.Properties.Constraint.Min,
	}, true
}

// words is the error in the document of this reply, whole but for secrets; nil when it has none. A code is not always there.
func (r reply) words(d document) *dr.Error {
	e := d.armError
	if d.Error != nil {
		e = *d.Error
	}
	if e.Code == "" && e.Message == "" {
		return nil
	}
	var lines []string
	e.lines(&lines)
	return &dr.Error{Source: "arm", Code: r.clean(e.Code), Message: r.clean(strings.Join(lines, "\n")), Status: r.status}
}

func (e armError) lines(to *[]string) {
	if e.Message != "" {
		*to = append(*to, e.Message)
	}
	for _, d := range e.Details {
		if d.Message == e.Message {
			d.Message = ""
		} else if d.Code != "" && d.Code != e.Code {
			d.Message = d.Code + ": " + d.Message
		}
		d.lines(to)
	}
}

// failure is an error answer in ARM's words or, where there are none, in what was answered instead. named: ARM gave a code.
func (r reply) failure() (e *dr.Error, named bool) {
	d, err := r.parse()
	if err == nil {
		e = r.words(d)
	}
	if e == nil {
		e = &dr.Error{Source: "arm", Status: r.status}
	}
	if named = e.Code != ""; !named {
		e.Code = statusWord(r.status)
	}
	if e.Message == "" {
		e.Message = fmt.Sprintf("HTTP %d without an error text", r.status)
		if !named && len(r.body) > 0 {
			e.Message = clip(fmt.Sprintf("HTTP %d, %s (%s)", r.status, r.clean(strings.Join(strings.Fields(strings.ToValidUTF8(string(r.body), "?")), " ")), r.header.Get("Content-Type")))
		}
	}
	return e, named
}

// statusWord stands in for an error code, in the manner of ARM's: 502 is BadGateway.
func statusWord(status int) string {
	if text := http.StatusText(status); text != "" {
		return strings.NewReplacer(" ", "", "-", "", "'", "").Replace(text)
	}
	return "Http" + strconv.Itoa(status)
}

// maxRetry bounds what a Retry-After can ask for: an operation is not to sleep past its deadline because of one header.
const maxRetry = time.Hour

// retryAfter is how long ARM asks to wait, 0 when it does not say: seconds or an HTTP date (RFC 9110, 10.2.3).
func (c *Client) retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 63); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(seconds, uint64(maxRetry/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(at.Sub(c.now()), 0), maxRetry)
	}
	return 0
}

// next is where an answer says that the operation is to be found; "" when it names no place that is trusted. ARM's rules know
// Azure-AsyncOperation beside Location; backup and restore have Location as the final one (2024-05-01 swagger).
func (c *Client) next(h http.Header) string {
	for _, name := range []string{"Location", "Azure-AsyncOperation"} {
		if at := h.Get(name); at != "" && c.Trusts(at) {
			return at
		}
	}
	return ""
}
