// Package record keeps what was asked of Azure Resource Manager and what it answered, for somebody who shows it to others: what tells whose it is, or
// opens anything, is left out at once and never held. See Redacted for the rules.
package record

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	maxBody      = 1 << 20 // bytes of an answer that are looked at; an instance is shown in some 10 KB
	maxExchanges = 2000    // the longest recorded backup takes 76 polls
)

// Exchange is a request and its answer without what is left out, in the form of the recordings in internal/apim/testdata.
type Exchange struct {
	Method          string            `json:"method"`
	URL             string            `json:"url"`
	RequestBody     any               `json:"requestBody"`
	Status          int               `json:"status"`          // 0: there was no answer
	ResponseHeaders map[string]string `json:"responseHeaders"` // names in lower case
	ResponseBody    any               `json:"responseBody"`
	Date            string            `json:"date"` // of the answer, else of the request (RFC 9110)
	Note            string            `json:"note,omitempty"`
}

// Options is what a Recorder needs. All fields but Next must be set.
type Options struct {
	Next     http.RoundTripper // nil: http.DefaultTransport
	Endpoint string            // of Resource Manager, such as https://management.azure.com: the one address that is kept
	Mask     func(text string) string
	Now      func() time.Time
}

// Recorder is a RoundTripper that keeps what passes. It is safe for concurrent use.
type Recorder struct {
	o     Options
	names *names

	mu      sync.Mutex
	all     []Exchange
	dropped int
	file    io.WriterAt // nil: none
	written int         // of all, in the file
	end     int64       // of them in the file, in bytes
}

// New returns a Recorder that has seen nothing.
func New(o Options) *Recorder {
	if o.Next == nil {
		o.Next = http.DefaultTransport
	}
	return &Recorder{o: o, names: newNames(strings.TrimSuffix(o.Endpoint, "/"), o.Mask)}
}

// Know tells names that are to be replaced wherever they stand; what a URL or a request's body names is known by itself.
func (r *Recorder) Know(kind Kind, names ...string) {
	for _, name := range names {
		r.names.of(kind, name)
	}
}

// KnowID tells the names in an ARM id.
func (r *Recorder) KnowID(ids ...string) {
	for _, id := range ids {
		r.names.path(id)
	}
}

// RoundTrip implements http.RoundTripper.
func (r *Recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	began := r.o.Now()
	resp, err := r.o.Next.RoundTrip(req)
	x := Exchange{Method: req.Method, URL: r.names.url(req.URL.String()), RequestBody: r.requestBody(req), ResponseHeaders: map[string]string{}, Date: httpDate(began)}
	if err != nil {
		x.Note = "no answer" // the error may quote anything
		r.keep(x)
		return resp, err
	}
	text, broken := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	resp.Body = rest{io.MultiReader(bytes.NewReader(text), again{broken, resp.Body}), resp.Body}
	x.Status, x.ResponseHeaders = resp.StatusCode, r.names.headers(resp.Header)
	switch {
	case broken != nil:
		x.ResponseBody = fmt.Sprintf("%s: not whole, %d bytes came", Redacted, len(text))
	case len(text) > maxBody:
		x.ResponseBody = fmt.Sprintf("%s: longer than %d bytes", Redacted, maxBody)
	default:
		x.ResponseBody = r.names.body(text)
	}
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		x.Date = httpDate(at)
	}
	r.keep(x)
	return resp, nil
}

func httpDate(t time.Time) string { return t.UTC().Format(http.TimeFormat) }

// requestBody reads a body that can be read a second time; another one is the request's alone.
func (r *Recorder) requestBody(req *http.Request) any {
	switch {
	case req.Body == nil, req.Body == http.NoBody:
		return nil
	case req.GetBody == nil:
		return Redacted
	}
	body, err := req.GetBody()
	if err != nil {
		return Redacted
	}
	defer body.Close()
	text, err := io.ReadAll(io.LimitReader(body, maxBody))
	if err != nil {
		return Redacted
	}
	return r.names.request(text)
}

// rest is a body that was read in part.
type rest struct {
	io.Reader
	io.Closer
}

// again gives the error that a body was read with, or reads on.
type again struct {
	err  error
	body io.Reader
}

func (a again) Read(p []byte) (int, error) {
	if a.err != nil {
		return 0, a.err
	}
	return a.body.Read(p)
}

func (r *Recorder) keep(x Exchange) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.all) >= maxExchanges {
		r.dropped++
		return
	}
	r.all = append(r.all, x)
	_ = r.write() // Flush tries again, and tells
}

// Exchanges are what was kept, in the order of the answers.
func (r *Recorder) Exchanges() []Exchange {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Exchange(nil), r.all...)
}

// WriteInto has a file, which is empty, hold what is kept from now on, after each answer: one JSON array, an exchange a line. It is whole at any moment, so
// that it can be read although the process was killed. No request fails because the file cannot be written; Flush tells.
func (r *Recorder) WriteInto(file io.WriterAt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.file = file
}

// Flush writes what could not be written before. The error says that the file is not whole.
func (r *Recorder) Flush() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.write()
}

const ending = "\n]\n"

// write puts what the file does not have yet in the place of its ending, in one write. After an error it begins at the same place again.
func (r *Recorder) write() error {
	if r.file == nil || r.written == len(r.all) {
		return nil
	}
	var out bytes.Buffer
	for i, x := range r.all[r.written:] {
		out.WriteString(map[bool]string{true: "[\n", false: ",\n"}[r.written+i == 0])
		e := json.NewEncoder(&out)
		e.SetEscapeHTML(false) // URLs are to be read
		if err := e.Encode(x); err != nil {
			return err
		}
		out.Truncate(out.Len() - 1) // Encode ends the line
	}
	end := int64(out.Len())
	out.WriteString(ending)
	if _, err := r.file.WriteAt(out.Bytes(), r.end); err != nil {
		return err
	}
	r.end += end
	r.written = len(r.all)
	return nil
}
