package handlers

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"apim-dr/internal/customhandler"
	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// pollHint is the Retry-After of an operation in flight, in seconds: a backup takes minutes.
const pollHint = "15"

// operationView is an operation as callers see it.
type operationView struct {
	ID          string     `json:"id"`
	Kind        dr.Kind    `json:"kind"`
	Service     string     `json:"service"`
	Plan        string     `json:"plan,omitempty"`
	Trigger     dr.Trigger `json:"trigger"`
	RequestedBy string     `json:"requestedBy,omitempty"`
	Reason      string     `json:"reason,omitempty"`
	Traceparent string     `json:"traceparent,omitempty"`
	Phase       dr.Phase   `json:"phase"`
	Waiting     string     `json:"waiting,omitempty"` // why it is not begun yet
	Outcome     dr.Outcome `json:"outcome,omitempty"`
	Error       *dr.Error  `json:"error,omitempty"`
	CreatedAt   time.Time  `json:"createdAt"`
	NotAfter    time.Time  `json:"notAfter"`
	EndedAt     time.Time  `json:"endedAt,omitzero"`
	Legs        []legView  `json:"legs"`
	Evidence    []dr.Note  `json:"evidence,omitempty"`
}

type legView struct {
	Verb          dr.Verb    `json:"verb"`
	Service       string     `json:"service"`
	ResourceID    string     `json:"resourceId"`
	Storage       dr.Storage `json:"storage"`
	Attempt       int        `json:"attempt"`
	PostedAt      time.Time  `json:"postedAt,omitzero"`
	Deadline      time.Time  `json:"deadline,omitzero"`
	EndedAt       time.Time  `json:"endedAt,omitzero"`
	Outcome       dr.Outcome `json:"outcome,omitempty"`
	Error         *dr.Error  `json:"error,omitempty"`
	RecoveryPoint string     `json:"recoveryPoint,omitempty"`
}

func viewOf(op dr.Operation) operationView {
	v := operationView{
		ID: op.ID, Kind: op.Kind, Service: op.Service, Plan: op.Plan, Trigger: op.Trigger, RequestedBy: op.RequestedBy, Reason: op.Reason,
		Traceparent: op.Traceparent, Phase: op.Phase, Waiting: op.Waiting, Outcome: op.Outcome, Error: op.Error,
		CreatedAt: op.CreatedAt, NotAfter: op.NotAfter, EndedAt: op.EndedAt, Evidence: op.Evidence,
	}
	for _, l := range op.Legs {
		v.Legs = append(v.Legs, legView{
			Verb: l.Verb, Service: l.Service, ResourceID: l.ResourceID, Storage: l.Storage, Attempt: l.Attempt,
			PostedAt: l.PostedAt, Deadline: l.Deadline, EndedAt: l.EndedAt, Outcome: l.Outcome, Error: l.Error,
		})
	}
	for _, p := range dr.Points(op) {
		v.Legs[p.Leg].RecoveryPoint = p.ID
	}
	return v
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // the views always marshal; the router answers 500
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // the caller went away: nobody to tell
}

// refuse is the one place where an error becomes a status.
func (a *App) refuse(w http.ResponseWriter, r *http.Request, err error) {
	p := customhandler.Problem{Status: http.StatusServiceUnavailable, Title: "Something that this needs cannot be reached",
		Detail: "Try again in a minute, with the same Idempotency-Key if you gave one."}
	switch {
	case errors.Is(err, engine.ErrUnknownService):
		p = customhandler.Problem{Status: http.StatusNotFound, Title: "Unknown service", Detail: err.Error()}
	case errors.Is(err, engine.ErrKeyReused):
		p = customhandler.Problem{Status: http.StatusUnprocessableEntity, Title: "Idempotency-Key reused", Detail: err.Error() + ". Take a new key."}
	case errors.Is(err, engine.ErrNotFound):
		p = customhandler.Problem{Status: http.StatusNotFound, Title: "No such operation", Detail: "List the operations of a day with GET /api/operations?day=2006-01-02."}
	case errors.Is(err, engine.ErrCursor):
		p = customhandler.Problem{Status: http.StatusBadRequest, Title: "The query is not valid", Errors: []customhandler.FieldError{afterIsWrong}}
	case errors.Is(err, engine.ErrNewer), errors.Is(err, engine.ErrUnreadable):
		p = customhandler.Problem{Status: http.StatusInternalServerError, Title: "The record cannot be read", Detail: err.Error()}
	default:
		w.Header().Set("Retry-After", "60")
	}
	level := slog.LevelInfo // a caller's mistake is nothing to wake anybody for
	if p.Status >= http.StatusInternalServerError {
		level = slog.LevelWarn
	}
	a.Log.Log(r.Context(), level, "refused", "status", p.Status, "error", err)
	customhandler.WriteProblem(w, r, p)
}
