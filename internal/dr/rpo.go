package dr

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"
)

// The states of an RPOWatch. Each is entered once for a breach, and told by one event.
const (
	RPOBreached  = "breached"
	RPORecovered = "recovered"
)

// RPOWatch is what is remembered, of a service of the fleet, between two looks at the age of its newest good recovery point.
type RPOWatch struct {
	From  time.Time `json:"from"`            // the first look: where there is no good recovery point yet, the age is counted from then
	State string    `json:"state,omitempty"` // "": it was never breached
	Since time.Time `json:"since,omitzero"`  // when the newest good recovery point became too old
	At    time.Time `json:"at,omitzero"`     // when the state was entered
	Told  bool      `json:"told,omitempty"`  // its event was published
	// What the event tells: kept, so that it is the same however often it is published.
	Active string   `json:"active,omitempty"`
	Newest PointRef `json:"newestGood,omitzero"`
	RPO    Duration `json:"rpo,omitempty"`
}

// Next looks once more: what is remembered from now on, and whether that is anything else. A state that was not told yet stays until it is.
func (w RPOWatch) Next(g Guard, now time.Time) (RPOWatch, bool) {
	if g.Unread != "" || w.State != "" && !w.Told {
		return w, false
	}
	now = now.UTC().Round(0) // as a record gives it back: what was saved is compared with what is there
	before := w
	if w.From.IsZero() {
		w.From = now
	}
	newest := g.State.NewestGood
	since := w.From.Add(g.RPO)
	if newest.ID != "" {
		since = newest.At().Add(g.RPO)
		if expires := newest.CreatedAt.Add(BackupLife); expires.Before(since) {
			since = expires
		}
	}
	switch breached := now.After(since); {
	case breached && w.State != RPOBreached:
		w.State, w.Since = RPOBreached, since
	case !breached && w.State == RPOBreached:
		w.State = RPORecovered
	default:
		return w, w != before
	}
	w.At, w.Told, w.Active, w.Newest, w.RPO = now, false, g.Active.Name, newest, Duration(g.RPO)
	return w, true
}

// RPOChange is the data of an event about a service's RPO.
type RPOChange struct {
	Service    string    `json:"service"`
	ResourceID string    `json:"resourceId"`
	Plan       string    `json:"plan"`
	State      string    `json:"state"`
	Since      time.Time `json:"since"`  // when the newest good recovery point became older than the RPO
	At         time.Time `json:"at"`     // when that, or its end, was seen
	Active     string    `json:"active"` // the instance whose recovery points count: the service itself, or what a failover made the active one
	RPOSeconds float64   `json:"rpoSeconds"`
	NewestGood *PointRef `json:"newestGood,omitempty"` // none: there was never a good one
	AgeSeconds float64   `json:"ageSeconds,omitempty"` // of NewestGood, At
}

// Event tells of the state, from what is remembered alone.
func (w RPOWatch) Event(s Instance, plan string) Event {
	kind := "apimdr.rpo." + w.State
	sum := sha256.Sum256(fmt.Appendf(nil, "%s|%s|%d", s.Name, w.State, w.At.UnixNano()))
	change := RPOChange{
		Service: s.Name, ResourceID: s.ResourceID, Plan: plan, State: w.State, Since: w.Since, At: w.At, Active: w.Active, RPOSeconds: time.Duration(w.RPO).Seconds(),
	}
	if w.Newest.ID != "" {
		change.NewestGood, change.AgeSeconds = &w.Newest, w.At.Sub(w.Newest.At()).Round(time.Second).Seconds()
	}
	return Event{
		ID: w.At.UTC().Format("20060102") + "-rpo-" + hex.EncodeToString(sum[:10]), Type: kind, Subject: s.ResourceID, Time: w.At,
		Properties: map[string]string{"type": kind, "kind": "rpo", "outcome": w.State, "service": s.Name},
		Data:       change,
	}
}
