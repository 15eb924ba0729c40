package handlers

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"unicode"

	"apim-dr/internal/customhandler"
	"apim-dr/internal/engine"
)

// backupRequest is the body of POST /api/backups.
type backupRequest struct {
	Service string `json:"service"` // name of a service of the fleet
	Reason  string `json:"reason"`  // optional; kept with the operation
}

const (
	maxService = 50  // characters, as API Management has it
	maxReason  = 500 // characters
	maxKey     = 255 // characters of an Idempotency-Key
)

// startBackup answers 202 with the operation, which then goes its own way.
func (a *App) startBackup(w http.ResponseWriter, r *http.Request) {
	var body backupRequest
	if p := customhandler.DecodeJSON(r, &body); p != nil {
		customhandler.WriteProblem(w, r, *p)
		return
	}
	key := strings.Join(r.Header.Values("Idempotency-Key"), "\n") // of two of them the line break makes a mistake
	if wrong := body.mistakes(key); len(wrong) > 0 {
		customhandler.WriteProblem(w, r, customhandler.Problem{Status: http.StatusBadRequest, Title: "The request is not valid", Detail: "Correct what errors names; nothing was started.", Errors: wrong})
		return
	}
	req := engine.Request{
		Service: body.Service, Reason: body.Reason, RequestedBy: "http",
		Traceparent: customhandler.InvocationFrom(r.Context()).TraceParent, BodyHash: hashOf(body),
	}
	if key != "" {
		req.KeyHash = hashOf([]string{"POST backups", key})
	}
	op, err := a.Engine.Backup(r.Context(), req)
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	w.Header().Set("Location", "/api/operations/"+op.ID)
	w.Header().Set("Retry-After", pollHint)
	writeJSON(w, http.StatusAccepted, viewOf(op))
}

func (b backupRequest) mistakes(key string) []customhandler.FieldError {
	var wrong []customhandler.FieldError
	if b.Service == "" || len(b.Service) > maxService {
		wrong = append(wrong, customhandler.FieldError{Field: "service", Detail: "is missing or too long; accepted: the name of a service of the fleet"})
	}
	if len([]rune(b.Reason)) > maxReason || strings.ContainsFunc(b.Reason, unicode.IsControl) {
		wrong = append(wrong, customhandler.FieldError{Field: "reason", Detail: "accepted: up to 500 characters in one line"})
	}
	if len(key) > maxKey || strings.ContainsFunc(key, unprintable) {
		wrong = append(wrong, customhandler.FieldError{Field: "Idempotency-Key (header)", Detail: "accepted: up to 255 printable ASCII characters"})
	}
	return wrong
}

// unprintable is anything but printable ASCII, which is all that a header or a cursor of ours holds.
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
