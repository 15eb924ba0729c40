package dr

import (
	"strings"
	"time"
)

// Change is a report that the configuration of an instance was changed.
type Change struct {
	ResourceID string    // ARM id of the instance
	At         time.Time // when, as the reporter says
	What       string    // type of the event or ARM operation, such as Microsoft.ApiManagement.APIUpdated
}

// ours are the ARM operations that apim-dr itself, or somebody in its place, begins. They change nothing that a backup would have to hold.
var ours = []string{"/backup/action", "/restore/action"}

// reads begin the last part of the names of ARM actions that only read, or let somebody in: ARM reports them like those that change something. A token of a
// user (users/token, users/generateSsoUrl) is made whenever somebody opens the developer portal as an administrator, or signs in by delegation.
var reads = []string{"list", "get", "check", "validate", "export", "token", "generate", "performconnectivitycheck"}

// Counts tells whether what is reported is a change. Backups must not lead to backups.
func (c Change) Counts() bool {
	what := strings.ToLower(c.What)
	for _, end := range ours {
		if strings.HasSuffix(what, end) {
			return false
		}
	}
	verb, isAction := strings.CutSuffix(what, "/action")
	if !isAction {
		return true
	}
	verb = verb[strings.LastIndex(verb, "/")+1:]
	for _, read := range reads {
		if strings.HasPrefix(verb, read) {
			return false
		}
	}
	return true
}

// Pending is what is remembered of the changes of a service since the last backup after changes was created. Zero FirstAt: there are none.
type Pending struct {
	V       int       `json:"v"`
	Service string    `json:"service"`
	FirstAt time.Time `json:"firstAt,omitzero"` // when the first was heard of
	LastAt  time.Time `json:"lastAt,omitzero"`  // and the last
	From    time.Time `json:"from,omitzero"`    // of these changes, the earliest and the latest that was made
	To      time.Time `json:"to,omitzero"`
	Events  int       `json:"events,omitempty"`
	What    string    `json:"what,omitempty"` // the last
	// Restoring names the restore at work on the service, and counts what was reported meanwhile: most of that is the restore itself.
	Restoring string `json:"restoring,omitempty"`
	Meanwhile int    `json:"meanwhile,omitempty"`
}

// Empty tells whether there is nothing to remember.
func (p Pending) Empty() bool { return p.FirstAt.IsZero() && p.Restoring == "" }

// With takes in a change that is heard of now.
func (p Pending) With(c Change, now time.Time) Pending {
	at := c.At
	if at.IsZero() || at.After(now) {
		at = now
	}
	if p.FirstAt.IsZero() {
		p.FirstAt, p.From = now, at
	}
	if at.Before(p.From) {
		p.From = at
	}
	if at.After(p.To) {
		p.To = at
	}
	p.LastAt, p.What = now, c.What
	p.Events++
	return p
}

// Due is when a backup is to be taken: after a quiet time, but not later than longest after the first change.
func (p Pending) Due(quiet, longest time.Duration) time.Time {
	due := p.LastAt.Add(quiet)
	if most := p.FirstAt.Add(longest); due.After(most) {
		return most
	}
	return due
}

// Taken is what is left when the backup for seen was created at a time: what was heard of later needs another one.
func (p Pending) Taken(seen Pending, created time.Time) Pending {
	if p.FirstAt.Equal(seen.FirstAt) && !p.LastAt.After(seen.LastAt) && !p.LastAt.After(created) {
		return p.cleared()
	}
	if p.FirstAt.Equal(seen.FirstAt) {
		p.FirstAt = p.LastAt
	}
	return p
}

// Covered is what is left when a backup was begun at a time: nothing, if no change was made after it.
func (p Pending) Covered(begun time.Time) Pending {
	if p.To.After(begun.Add(-ReportSkew)) {
		return p
	}
	return p.cleared()
}

func (p Pending) cleared() Pending {
	return Pending{V: p.V, Service: p.Service, Restoring: p.Restoring, Meanwhile: p.Meanwhile}
}

// Within tells whether a change was made, or may have been, between two times.
func (p Pending) Within(from, to time.Time) bool {
	return !p.FirstAt.IsZero() && !p.From.After(to) && !p.To.Before(from)
}

// ReportSkew is how far the clocks of whoever reports changes and of ARM may differ.
const ReportSkew = 2 * time.Minute
