package dr

import (
	"fmt"
	"time"
)

// Event is a result event before it is put into its envelope (CloudEvents 1.0).
type Event struct {
	ID          string // also the Service Bus MessageID: publishing twice is one event
	Type        string // apimdr.<kind>.<outcome>
	Subject     string // ARM id of the service
	Time        time.Time
	Traceparent string
	Properties  map[string]string // for subscription filters
	Data        Result
}

// Result is the data of a result event.
type Result struct {
	Operation       string          `json:"operation"`
	Kind            Kind            `json:"kind"`
	Service         string          `json:"service"`
	ResourceID      string          `json:"resourceId"`
	Plan            string          `json:"plan,omitempty"`
	Trigger         Trigger         `json:"trigger"`
	RequestedBy     string          `json:"requestedBy,omitempty"`
	Reason          string          `json:"reason,omitempty"`
	Outcome         Outcome         `json:"outcome"`
	CreatedAt       time.Time       `json:"createdAt"`
	EndedAt         time.Time       `json:"endedAt"`
	DurationSeconds float64         `json:"durationSeconds"` // from creation to end
	Attempts        int             `json:"attempts"`        // POSTs of the last leg
	RecoveryPoints  []RecoveryPoint `json:"recoveryPoints,omitempty"`
	Error           *Error          `json:"error,omitempty"`
	Evidence        []Note          `json:"evidence,omitempty"`
}

// ResultEvent is made from the stored record alone: whoever publishes it, and whenever, it is the same event.
func ResultEvent(op Operation) Event {
	return Event{
		ID: op.ID + ":result", Type: fmt.Sprintf("apimdr.%s.%s", op.Kind, op.Outcome), Subject: op.Leg().ResourceID, Time: op.EndedAt,
		Traceparent: op.Traceparent,
		Properties: map[string]string{
			"type": fmt.Sprintf("apimdr.%s.%s", op.Kind, op.Outcome), "kind": string(op.Kind), "outcome": string(op.Outcome),
			"service": op.Service, "trigger": string(op.Trigger),
		},
		Data: Result{
			Operation: op.ID, Kind: op.Kind, Service: op.Service, ResourceID: op.Leg().ResourceID, Plan: op.Plan, Trigger: op.Trigger,
			RequestedBy: op.RequestedBy, Reason: op.Reason, Outcome: op.Outcome, CreatedAt: op.CreatedAt, EndedAt: op.EndedAt,
			DurationSeconds: op.EndedAt.Sub(op.CreatedAt).Round(time.Millisecond).Seconds(), Attempts: op.Leg().Attempt, RecoveryPoints: Points(op),
			Error: op.Error, Evidence: op.Evidence,
		},
	}
}
