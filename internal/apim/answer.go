package apim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"apim-dr/internal/dr"
)

// reply is what came back.
type reply struct {
	status int
	header http.Header
	body   []byte
	broken error // the body is not whole
	mask   func(string) string
	stream io.ReadCloser // in place of body, see call
}

// document is what ARM writes: a resource, a list, the state of an operation, or an error.
type document struct {
	Type       string   `json:"type"`
	Location   string   `json:"location"`
	ETag       string   `json:"etag"`
	SKU        sku      `json:"sku"`
	Identity   identity `json:"identity"`
	Status     string   `json:"status"`
	Properties struct {
		State      string `json:"provisioningState"`
		SKU        sku    `json:"sku"` // api-version 2014-02-14 has it here (recorded)
		Constraint struct {
			Min string `json:"minApiVersion"`
		} `json:"apiVersionConstraint"`
		settings
	} `json:"properties"`
	list
	armError           // bare up to api-version 2019-01-01 (recorded)
	Error    *armError `json:"error"` // since then
}

type sku struct {
	Name     string `json:"name"`
	Capacity int    `json:"capacity"`
}

type armError struct {
	Code    string     `json:"code"`
	Message string     `json:"message"`
	Details []armError `json:"details"`
}

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
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); err == nil || ok && wrong.Field != "" {
		return d, nil
	}
	return document{}, errors.New("not an answer of ARM")
}

// state is how the body says that things stand, or "". The shape {"status": …} is that of operationsStatuses.
func (d document) state() string {
	if d.Status != "" {
		return d.Status
	}
	return d.Properties.State
}

// view is the instance that the document shows; false when it shows none.
func (r reply) view(d document) (dr.ServiceView, bool) {
	if !strings.EqualFold(d.Type, "Microsoft.ApiManagement/service") || d.Properties.State == "" {
		return dr.ServiceView{}, false
	}
	tier, etag := d.SKU, d.ETag
	if tier.Name == "" {
		tier = d.Properties.SKU
	}
	if etag == "" {
		etag = strings.Trim(r.header.Get("ETag"), `"`)
	}
	kept := func(text string) string { return r.upTo(maxSetting, text) } // they stand in the record several times, which must stay storable whatever was answered
	return dr.ServiceView{
		ETag: kept(etag), State: kept(d.Properties.State), SKU: kept(tier.Name), Capacity: tier.Capacity,
		Region: kept(d.Location), MinVersion: kept(d.Properties.Constraint.Min), Settings: d.Properties.settings.read(d.Identity, r.upTo),
	}, true
}

// words is the error in a document of this reply, up to maxErrorBody and without secrets. Code and message may be missing.
func (r reply) words(d document) *dr.Error {
	e := d.armError
	if d.Error != nil {
		e = *d.Error
	}
	// It stands twice in the record, which must stay readable.
	return &dr.Error{Source: "arm", Code: r.upTo(maxReason, e.Code), Message: r.upTo(maxErrorBody, strings.Join(e.lines(), "\n")), Status: r.status}
}

func (e armError) lines() (lines []string) {
	if e.Message != "" {
		lines = append(lines, e.Message)
	}
	for _, d := range e.Details {
		if d.Code != "" && d.Code != e.Code {
			d.Message = d.Code + ": " + d.Message
		}
		lines = append(lines, d.lines()...)
	}
	return lines
}

// failure is an error answer in ARM's words or, where there are none, in what was answered instead. named: ARM gave a code.
func (r reply) failure() (e *dr.Error, named bool) {
	d, err := r.parse()
	e = r.words(d)
	if named = e.Code != ""; !named {
		e.Code = "Http" + strconv.Itoa(r.status)
	}
	if e.Message == "" {
		e.Message = http.StatusText(r.status) + ", without an error text"
	}
	if err != nil {
		text := strings.Join(strings.Fields(strings.ToValidUTF8(string(r.body), "?")), " ")
		e.Message = clip(fmt.Sprintf("%s, %v: %s", http.StatusText(r.status), err, r.mask(text)))
	}
	return e, named
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
		return min(max(at.Sub(c.o.Now()), 0), maxRetry)
	}
	return 0
}

// next is where an answer says that the operation is to be found, or otherwise if it names no place that is trusted. Location is what
// backup and restore end with (final-state-via in the 2024-05-01 swagger), also where Azure-AsyncOperation stands beside it (recorded); alone, that
// is as good (ARM's rules for asynchronous operations).
func (c *Client) next(h http.Header, otherwise string) string {
	for _, name := range []string{"Location", "Azure-AsyncOperation"} {
		if at := h.Get(name); c.Trusts(at) {
			return at
		}
	}
	return otherwise
}

// upTo masks a text, since ARM's errors quote parameters (recorded), and shortens it to most bytes. It is cut once before, far enough behind that no half
// of a secret remains: masking takes its time.
func (r reply) upTo(most int, text string) string {
	return shorten(r.mask(text[:min(len(text), 2*most)]), most)
}

const maxReason = 1000 // bytes

// clip shortens a reason. Error has more of ARM's own words, see upTo.
func clip(text string) string { return shorten(text, maxReason) }

func shorten(text string, most int) string {
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
