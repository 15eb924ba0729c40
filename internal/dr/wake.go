package dr

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// MaxLocation bounds a Location in bytes: it travels in messages. ARM's rules speak of URLs of 4 KB and more.
const MaxLocation = 8 << 10

// Wake is a message that knocks at an operation. It decides nothing: the record knows what comes next. A wake message is input
// from outside; its Location is only followed to the configured ARM endpoint.
type Wake struct {
	V        int       `json:"v"`
	ID       string    `json:"id"`
	Epoch    int       `json:"epoch"`
	N        int       `json:"n"`             // counts the wakes of an epoch
	Try      int       `json:"try"`           // how often in a row something could not be reached
	Leg      int       `json:"leg,omitempty"` // index of the leg that Attempt counts for
	Attempt  int       `json:"attempt,omitempty"`
	Location string    `json:"location,omitempty"` // the latest of attempt Attempt
	Lease    time.Time `json:"lease,omitzero"`     // what the marker's lease was set to: saves reading it
}

// MessageID is the same for a retry of the same send and new for every deliberate one, so that duplicate detection drops the former
// and never a heal.
func (w Wake) MessageID() string {
	id := fmt.Sprintf("%s:w:%d:%d", w.ID, w.Epoch, w.N)
	if w.Try > 0 {
		id += fmt.Sprintf(":%d", w.Try)
	}
	return id
}

// Next is the wake that follows w in the same operation.
func (w Wake) Next(op Operation, a Action) Wake {
	next := Wake{V: Version, ID: op.ID, Epoch: op.Epoch, N: w.N + 1, Try: a.Try, Leg: op.Step, Attempt: op.Leg().Attempt, Lease: w.Lease}
	if op.Epoch != w.Epoch {
		next.N = 0
	}
	if next.Location = a.Location; next.Location == "" && next.Epoch == w.Epoch {
		next.Location = w.locationFor(op)
	}
	return next
}

// locationFor is the Location to GET: the message's, when it belongs to the attempt at work, else the stored one.
func (w Wake) locationFor(op Operation) string {
	if w.Belongs(op) && w.Location != "" {
		return w.Location
	}
	return op.Leg().Location
}

// Belongs tells whether the message speaks of the attempt at work: the first attempt of one leg is not that of another.
func (w Wake) Belongs(op Operation) bool { return w.Leg == op.Step && w.Attempt == op.Leg().Attempt }

// Foreign tells whether the Location is that of another instance than resourceID, or of another subscription. Not every Location names its instance.
func (w Wake) Foreign(resourceID string) bool {
	u, err := url.Parse(w.Location)
	if err != nil {
		return true
	}
	location, own := strings.ToLower(u.Path), strings.ToLower(resourceID)
	if strings.Contains(location, "/service/") {
		return !strings.Contains(location, own+"/")
	}
	subscription, _, _ := strings.Cut(own, "/resourcegroups/")
	return strings.Contains(location, "/subscriptions/") && !strings.Contains(location, subscription+"/")
}

// repairs tells whether the message carries the Location of the attempt at work, of which the record says nothing: the POST was heard, and only
// the save after it was lost. That is a fact, whatever the message's epoch.
func (w Wake) repairs(op Operation) bool {
	return op.Phase == Starting && w.Location != "" && w.Belongs(op)
}

// Tick is a message that says that a plan's time has come.
type Tick struct {
	V    int       `json:"v"`
	Plan string    `json:"plan"`
	At   time.Time `json:"at"`
	Try  int       `json:"try"`
	// Service: it is for this one alone.
	Service string `json:"service,omitempty"`
	// Change is what was changed at At and could not be noted yet; "": the tick is no change.
	Change string `json:"change,omitempty"`
}

// MessageID is derived from plan and time: the timer and the watchdog may both send it. One that stands for a change is none of those that look after them.
func (t Tick) MessageID() string {
	id := fmt.Sprintf("tick:%s:%s", t.Plan, t.At.UTC().Format("20060102T150405Z"))
	if t.Service != "" {
		id += ":" + t.Service
	}
	if t.Change != "" {
		id += ":change"
	}
	if t.Try > 0 {
		id += fmt.Sprintf(":%d", t.Try)
	}
	return id
}
