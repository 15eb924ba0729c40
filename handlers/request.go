package handlers

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"apim-dr/internal/customhandler"
	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

const (
	maxName   = 50  // characters, as API Management has it
	maxPoint  = 100 // characters: an id, a time or "latest"
	maxReason = 500 // characters
	maxShort  = 100 // characters of a ticket or of who asks
	maxKey    = 255 // characters of an Idempotency-Key
)

// correct tells what to do about errors.
const correct = "Correct what errors names; nothing was begun."

// read decodes a body into body, a pointer to its defaults, and has check look at it. When it returns false it has answered.
func read(w http.ResponseWriter, r *http.Request, body any, check func(*mistakes)) bool {
	if p := customhandler.DecodeJSON(r, body); p != nil {
		customhandler.WriteProblem(w, r, *p)
		return false
	}
	var wrong mistakes
	check(&wrong)
	return !wrong.answer(w, r, customhandler.Problem{Title: "The request is not valid", Detail: correct})
}

// complete adds to what the body asks for where it comes from, and what tells a retry from another call: the same key on another route, or of somebody
// else, is another one.
func complete(req *engine.Request, r *http.Request, route string, o origin, body any) {
	req.RequestedBy, req.Reason, req.Ticket = o.by(r), o.Reason, o.Ticket
	req.Traceparent, req.BodyHash = customhandler.InvocationFrom(r.Context()).TraceParent, hashOf(body)
	if key := idempotencyKey(r); key != "" {
		parts := []string{"POST " + route, key}
		if who, ok := caller(r); ok {
			parts = append(parts, who.ID)
		}
		req.KeyHash = hashOf(parts)
	}
}

// accepted answers with an operation that goes its own way from here on; 200 if it has ended, as that of a repeated Idempotency-Key may have.
func accepted(w http.ResponseWriter, op dr.Operation) {
	w.Header().Set("Location", "/api/operations/"+op.ID)
	hint(w, op)
	status := http.StatusAccepted
	if op.Phase == dr.Done {
		status = http.StatusOK
	}
	writeJSON(w, status, viewOf(op))
}

// idempotencyKey is "" when there is none. Of two the line break between them makes a mistake.
func idempotencyKey(r *http.Request) string {
	return strings.Join(r.Header.Values("Idempotency-Key"), "\n")
}

// mistakes is all that is wrong with a request, to be told at once.
type mistakes []customhandler.FieldError

func (m *mistakes) add(field, detail string) {
	*m = append(*m, customhandler.FieldError{Field: field, Detail: detail})
}

// answer answers with p if there is a mistake, and tells whether there is.
func (m mistakes) answer(w http.ResponseWriter, r *http.Request, p customhandler.Problem) bool {
	if len(m) > 0 {
		p.Status, p.Errors = http.StatusBadRequest, m
		customhandler.WriteProblem(w, r, p)
	}
	return len(m) > 0
}

func (m *mistakes) name(field, s string) {
	if s == "" || len(s) > maxName || strings.ContainsFunc(s, unprintable) {
		m.add(field, "is missing or too long; accepted: the name of a service of the fleet, up to 50 printable ASCII characters")
	}
}

func (m *mistakes) optionalName(field, s string) {
	if s != "" {
		m.name(field, s)
	}
}

func (m *mistakes) line(field, s string, most int) {
	if len([]rune(s)) > most || strings.ContainsFunc(s, deceives) {
		m.add(field, fmt.Sprintf("accepted: up to %d characters in one line, none of them invisible", most))
	}
}

func (m *mistakes) origin(r *http.Request, o origin) {
	m.line("reason", o.Reason, maxReason)
	m.line("ticket", o.Ticket, maxShort)
	m.line("requestedBy", o.RequestedBy, maxShort)
	if _, known := caller(r); known && o.RequestedBy != "" {
		m.add("requestedBy", "leave it out: your token tells who you are")
	}
}

// reason asks for one where nobody else could tell later.
func (m *mistakes) reason(o origin, what string) {
	if o.Reason == "" {
		m.add("reason", "is missing; accepted: "+what+", in one line")
	}
}

func (m *mistakes) key(r *http.Request) {
	if key := idempotencyKey(r); len(key) > maxKey || strings.ContainsFunc(key, unprintable) {
		m.add("Idempotency-Key (header)", "accepted: up to 255 printable ASCII characters")
	}
}

func (m *mistakes) point(s string) {
	if len(s) > maxPoint || strings.ContainsFunc(s, unprintable) {
		m.add("recoveryPoint", `accepted: the id of a recovery point, a time as in RFC 3339, or "latest"`)
	}
}

func (m *mistakes) override(names []string) {
	known := dr.Overridable()
	for i, name := range names {
		if !slices.Contains(known, name) || slices.Contains(names[:i], name) {
			m.add("override", fmt.Sprintf("%.50q cannot be overridden, or stands there twice; accepted, each once: %s", name, strings.Join(known, ", ")))
			return
		}
	}
}

// wait reads maxWait; absent it is zero. How long it may be, the engine knows.
func (m *mistakes) wait(s string) dr.Duration {
	if s == "" {
		return 0
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		m.add("maxWait", `accepted: a duration such as "10m" or "90s"`)
	}
	return dr.Duration(d)
}

func (m *mistakes) final(mode dr.FinalMode) {
	if modes := []dr.FinalMode{dr.FinalNever, dr.FinalAuto, dr.FinalRequire}; !slices.Contains(modes, mode) {
		m.add("finalBackup", fmt.Sprintf("accepted: %s, %s or %s", dr.FinalNever, dr.FinalAuto, dr.FinalRequire))
	}
}

// deceives tells of a character whether it ends a line, or is not seen and may turn around what is (a bidirectional override).
func deceives(c rune) bool {
	return unicode.In(c, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

// unprintable is anything but printable ASCII, which is all that a name, a header or a cursor of ours holds.
func unprintable(c rune) bool { return c < ' ' || c > '~' }

// hashOf tells two values apart; the values here always marshal.
func hashOf(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
