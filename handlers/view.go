package handlers

import (
	"encoding/json"
	"net/http"
	"time"

	"apim-dr/internal/dr"
)

// hint sets Retry-After for an operation in flight, in seconds. Both kinds take minutes, but after a restore somebody waits.
func hint(w http.ResponseWriter, op dr.Operation) {
	switch {
	case op.Phase == dr.Done:
	case op.Recovery != nil:
		w.Header().Set("Retry-After", "5")
	default:
		w.Header().Set("Retry-After", "15")
	}
}

// operationView is an operation as callers see it.
type operationView struct {
	ID          string     `json:"id"`
	Kind        dr.Kind    `json:"kind"`
	Service     string     `json:"service"`
	Plan        string     `json:"plan,omitempty"`
	Trigger     dr.Trigger `json:"trigger"`
	RequestedBy string     `json:"requestedBy,omitempty"`
	Reason      string     `json:"reason,omitempty"`
	Ticket      string     `json:"ticket,omitempty"`
	Traceparent string     `json:"traceparent,omitempty"`
	Phase       dr.Phase   `json:"phase"`
	Waiting     string     `json:"waiting,omitempty"` // why it is not begun yet
	Outcome     dr.Outcome `json:"outcome,omitempty"`
	Error       *dr.Error  `json:"error,omitempty"`
	CreatedAt   time.Time  `json:"createdAt"`
	NotAfter    time.Time  `json:"notAfter"`
	EndedAt     time.Time  `json:"endedAt,omitzero"`
	// In flight: when the leg at work was accepted by ARM, and what it usually takes on that instance (absent: none has succeeded yet).
	StartedAt    time.Time `json:"startedAt,omitzero"`
	UsualSeconds float64   `json:"usualSeconds,omitempty"`
	Legs         []legView `json:"legs"`
	Evidence     []dr.Note `json:"evidence,omitempty"`

	Recovery *recoveryView `json:"recovery,omitempty"` // of what restores
}

// recoveryView is what a result event tells of an operation that restores, and how it came to that.
type recoveryView struct {
	dr.Recovered
	Intent         dr.Intent `json:"intent"` // what was asked for
	FinalOperation string    `json:"finalBackupOperation,omitempty"`
	Pair           string    `json:"pair,omitempty"`
	Role           dr.Role   `json:"role,omitempty"` // what it does to the pair
	Plan           *dr.Plan  `json:"plan,omitempty"` // left out of lists
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
	RecoveryPoint string     `json:"recoveryPoint,omitempty"` // written by a backup, read by a restore
	Safety        bool       `json:"safety,omitempty"`        // a backup so that the restore after it can be undone
	Adopted       string     `json:"adopted,omitempty"`       // operation whose restore of the same recovery point this one follows
}

func viewOf(op dr.Operation) operationView {
	v := operationView{
		ID: op.ID, Kind: op.Kind, Service: op.Service, Plan: op.Plan, Trigger: op.Trigger, RequestedBy: op.RequestedBy, Reason: op.Reason, Ticket: op.Ticket,
		Traceparent: op.Traceparent, Phase: op.Phase, Waiting: op.Waiting, Outcome: op.Outcome, Error: op.Error,
		CreatedAt: op.CreatedAt, NotAfter: op.NotAfter, EndedAt: op.EndedAt, Evidence: op.Evidence,
	}
	if leg := op.AtWork(); leg != nil {
		v.StartedAt = leg.PostedAt
	}
	for _, l := range op.Legs {
		v.Legs = append(v.Legs, legView{
			Verb: l.Verb, Service: l.Service, ResourceID: l.ResourceID, Storage: l.Storage, Attempt: l.Attempt,
			PostedAt: l.PostedAt, Deadline: l.Deadline, EndedAt: l.EndedAt, Outcome: l.Outcome, Error: l.Error,
			RecoveryPoint: l.Point, Safety: l.Safety, Adopted: l.Adopted,
		})
	}
	for _, p := range dr.Points(op) {
		v.Legs[p.Leg].RecoveryPoint = p.ID
	}
	if rec := op.Recovery; rec != nil {
		v.Recovery = &recoveryView{
			Recovered: *dr.RecoveredBy(op), Intent: rec.Intent, FinalOperation: rec.Final.Operation, Pair: rec.Pair, Role: rec.Role, Plan: rec.Plan,
		}
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
