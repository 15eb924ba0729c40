package customhandler

import (
	"cmp"
	"encoding/json"
	"net/http"
)

// Problem is an error answer of an HTTP route, application/problem+json as in RFC 9457.
type Problem struct {
	// Type is a URI reference for the kind of problem; "about:blank" if empty.
	Type string `json:"type"`
	// Title is the kind of problem in a few words; the status text if empty.
	Title string `json:"title"`
	// Status is the HTTP status, 400 to 599; anything else becomes 500.
	Status int `json:"status"`
	// Detail tells the caller what to do about this occurrence. Never a secret, never a stack.
	Detail string `json:"detail,omitempty"`
	// Instance names this occurrence; the request's path if empty.
	Instance string `json:"instance,omitempty"`
	// Errors has one entry for each mistake in the request's body.
	Errors []FieldError `json:"errors,omitempty"`
	// Extra is what else the answer says, beside the members above and under other names. Its values must marshal.
	Extra map[string]any `json:"-"`
}

// MarshalJSON puts Extra beside the other members, as RFC 9457 has it in section 3.2.
func (p Problem) MarshalJSON() ([]byte, error) {
	type members Problem
	body, err := json.Marshal(members(p))
	if err != nil || len(p.Extra) == 0 {
		return body, err
	}
	extra, err := json.Marshal(p.Extra)
	if err != nil {
		return nil, err
	}
	return append(append(body[:len(body)-1], ','), extra[1:]...), nil
}

// FieldError is one mistake in a request's body.
type FieldError struct {
	// Field is the path to the field, its names joined by dots.
	Field string `json:"field"`
	// Detail says what the field accepts.
	Detail string `json:"detail"`
}

// WriteProblem answers r with p. Headers set on w before (Allow, Retry-After) are kept.
func WriteProblem(w http.ResponseWriter, r *http.Request, p Problem) {
	if p.Status < 400 || p.Status > 599 {
		p.Status = http.StatusInternalServerError
	}
	p.Type = cmp.Or(p.Type, "about:blank")
	p.Title = cmp.Or(p.Title, http.StatusText(p.Status), "Error")
	p.Instance = cmp.Or(p.Instance, r.URL.EscapedPath())
	writeJSON(w, "application/problem+json", p.Status, p)
}

// writeJSON writes v, one of this package's own types, which marshal; if not, the router answers 500. An error of Write means the caller is gone.
func writeJSON(w http.ResponseWriter, contentType string, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	h := w.Header()
	h.Del("Content-Length") // what a panicked function may have left
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}
