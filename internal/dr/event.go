package dr

import (
	"fmt"
	"time"
)

// Event is a result event before it is put into its envelope (CloudEvents 1.0).
type Event struct {
	ID          string // also the Service Bus MessageID: publishing twice is one event
	Type        string // apimdr.<kind>.<outcome>, apimdr.rpo.<state>
	Subject     string // ARM id of the service
	Time        time.Time
	Traceparent string
	Properties  map[string]string // for subscription filters
	Data        any               // Result, RPOChange
}

// Result is the data of a result event; zero for another one.
func (e Event) Result() Result {
	r, _ := e.Data.(Result)
	return r
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
	Ticket          string          `json:"ticket,omitempty"`
	Outcome         Outcome         `json:"outcome"`
	CreatedAt       time.Time       `json:"createdAt"`
	EndedAt         time.Time       `json:"endedAt"`
	DurationSeconds float64         `json:"durationSeconds"` // from creation to end
	Attempts        int             `json:"attempts"`        // POSTs of the last leg
	RecoveryPoints  []RecoveryPoint `json:"recoveryPoints,omitempty"`
	Recovery        *Recovered      `json:"recovery,omitempty"` // of what restores
	Error           *Error          `json:"error,omitempty"`
	Evidence        []Note          `json:"evidence,omitempty"`
}

// Recovered is what a restore, failover or drill came to.
type Recovered struct {
	Source         string    `json:"source"` // service whose data they are
	RecoveryPoint  string    `json:"recoveryPoint,omitempty"`
	PointCreatedAt time.Time `json:"recoveryPointCreatedAt,omitzero"`
	// RTOSeconds is the recovery time: from the call to the verified end; only of one that succeeded.
	RTOSeconds float64 `json:"rtoSeconds,omitempty"`
	// RPOSeconds is how old the data were when the operation was asked for.
	RPOSeconds float64   `json:"rpoSeconds"`
	Final      FinalMode `json:"finalBackup,omitempty"`
	FinalTold  string    `json:"finalBackupNote,omitempty"` // why there is none
	Adopted    string    `json:"adopted,omitempty"`         // operation whose restore this one followed
	Overridden []string  `json:"overridden,omitempty"`      // failing checks that the caller let pass
	Findings   []Finding `json:"findings,omitempty"`        // what the plan warned of or could not see
	Gateways   []Gateway `json:"gateways,omitempty"`
	NotCovered []string  `json:"notCovered,omitempty"`
	NextSteps  []string  `json:"nextSteps,omitempty"`
}

// RecoveredBy tells what an operation that restores came to; nil for a backup.
func RecoveredBy(op Operation) *Recovered {
	r := op.Recovery
	if r == nil {
		return nil
	}
	out := &Recovered{Source: r.Intent.Source.Name, Final: r.Intent.Final, FinalTold: r.Final.Reason}
	if b := r.Bound; b != nil {
		out.RecoveryPoint, out.PointCreatedAt = b.ID, b.CreatedAt
		out.RPOSeconds = max(op.CreatedAt.Sub(b.CreatedAt), 0).Round(time.Millisecond).Seconds()
	}
	if op.Outcome == Succeeded {
		out.RTOSeconds = op.EndedAt.Sub(op.CreatedAt).Round(time.Millisecond).Seconds()
	}
	if leg := op.restored(); leg != nil {
		out.Adopted, out.Gateways = leg.Adopted, leg.Gateways
	}
	if p := r.Plan; p != nil {
		for _, c := range p.Checks {
			switch {
			case c.Overridden:
				out.Overridden = append(out.Overridden, c.Name)
			case c.Result == Warn, c.Result == Unseen:
				out.Findings = append(out.Findings, c)
			}
		}
		out.NotCovered = p.NotCovered
		if op.Outcome == Succeeded {
			out.NextSteps = p.NextSteps
		}
	}
	return out
}

// ResultEvent is made from the stored record alone: whoever publishes it, and whenever, it is the same event.
func ResultEvent(op Operation) Event {
	data := Result{
		Operation: op.ID, Kind: op.Kind, Service: op.Service, ResourceID: op.Leg().ResourceID, Plan: op.Plan, Trigger: op.Trigger,
		RequestedBy: op.RequestedBy, Reason: op.Reason, Ticket: op.Ticket, Outcome: op.Outcome, CreatedAt: op.CreatedAt, EndedAt: op.EndedAt,
		DurationSeconds: op.EndedAt.Sub(op.CreatedAt).Round(time.Millisecond).Seconds(), Attempts: op.Leg().Attempt, RecoveryPoints: Points(op),
		Recovery: RecoveredBy(op), Error: op.Error, Evidence: op.Evidence,
	}
	for i := range data.RecoveryPoints {
		data.RecoveryPoints[i] = data.RecoveryPoints[i].withoutSettings()
	}
	e := Event{
		ID: op.ID + ":result", Type: fmt.Sprintf("apimdr.%s.%s", op.Kind, op.Outcome), Subject: op.Leg().ResourceID, Time: op.EndedAt,
		Traceparent: op.Traceparent,
		Properties: map[string]string{
			"type": fmt.Sprintf("apimdr.%s.%s", op.Kind, op.Outcome), "kind": string(op.Kind), "outcome": string(op.Outcome),
			"service": op.Service, "trigger": string(op.Trigger),
		},
		Data: data,
	}
	if source := op.Source(); source != "" {
		e.Properties["source"] = source
	}
	return e
}
