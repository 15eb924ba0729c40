// Package changes reads what Event Grid says of changes: API Management's own events and Azure Resource Manager's, in the Event Grid schema or as
// CloudEvents 1.0, one or an array.
package changes

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"apim-dr/internal/dr"
)

// most is how many events a message may hold. Event Grid sends one; a Service Bus message has room for some hundred.
const most = 1000

// event has the fields of both schemas that tell something (Azure docs, "Event Grid event schema", "CloudEvents v1.0 schema"; "API Management" and
// "Resource group" as Event Grid sources).
type event struct {
	Type, EventType string
	Time, EventTime string
	Source, Topic   string
	Subject         string
	Data            json.RawMessage
}

type data struct {
	ResourceURI   string
	OperationName string
}

var instance = regexp.MustCompile(`(?i)^/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.ApiManagement/service/[^/]+`)

// Parse returns the changes that a message reports, in its order. Events about something else are left out: a failed write, a gateway's token, another
// resource. An error means that the message, or one of its events, is none: the changes beside it are those of the others.
func Parse(body []byte) ([]dr.Change, error) {
	body = bytes.TrimPrefix(bytes.TrimSpace(body), []byte("\ufeff"))
	var events []json.RawMessage
	if !bytes.HasPrefix(body, []byte("[")) {
		events = []json.RawMessage{body}
	} else if err := json.Unmarshal(body, &events); err != nil {
		return nil, fmt.Errorf("not a list of events: %w", err)
	}
	if len(events) > most {
		return nil, fmt.Errorf("%d events, at most %d are accepted", len(events), most)
	}
	var list []dr.Change
	var bad error // the first
	for i, raw := range events {
		c, ok, err := read(raw)
		if err != nil {
			bad = cmp.Or(bad, fmt.Errorf("event %d: %w", i, err))
		} else if ok {
			list = append(list, c)
		}
	}
	return list, bad
}

func read(raw json.RawMessage) (dr.Change, bool, error) {
	var e event
	if err := json.Unmarshal(raw, &e); err != nil {
		return dr.Change{}, false, fmt.Errorf("not an event: %w", err)
	}
	return e.change()
}

func (e event) change() (dr.Change, bool, error) {
	kind, when := cmp.Or(e.Type, e.EventType), cmp.Or(e.Time, e.EventTime)
	if kind == "" || when == "" {
		return dr.Change{}, false, errors.New("it has neither type and time (CloudEvents) nor eventType and eventTime (Event Grid)")
	}
	at, err := time.Parse(time.RFC3339, when)
	if err != nil {
		return dr.Change{}, false, fmt.Errorf("its time: %w", err)
	}
	if at = at.UTC(); at.Year() < 1 { // as some zones are, it could be in no record
		return dr.Change{}, false, fmt.Errorf("its time: %s", at)
	}
	var d data
	_ = json.Unmarshal(e.Data, &d) // the data of other events have other shapes
	what, ok := meaning(kind, d.OperationName)
	for _, id := range []string{d.ResourceURI, e.Subject, e.Source, e.Topic} {
		if found := instance.FindString(id); ok && found != "" {
			return dr.Change{ResourceID: found, At: at, What: named(what)}, true, nil
		}
	}
	return dr.Change{}, false, nil
}

// meaning is what an event of a type reports; false: no change.
func meaning(kind, operation string) (what string, ok bool) {
	lower := strings.ToLower(kind) // types are written in more than one case
	switch lower {
	case "microsoft.resources.resourcewritesuccess", "microsoft.resources.resourcedeletesuccess":
		return cmp.Or(operation, kind), true
	case "microsoft.resources.resourceactionsuccess":
		return operation, operation != "" // which one is not told: it may be our own backup, and would lead to the next
	}
	if strings.HasPrefix(lower, "microsoft.apimanagement.") {
		for _, end := range []string{"created", "updated", "deleted", "added", "removed"} {
			if strings.HasSuffix(lower, end) {
				return kind, true
			}
		}
	}
	return "", false
}

// named is what is reported in words that fit into a message and a reason.
func named(what string) string {
	if len(what) > 200 || strings.ContainsFunc(what, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "a change of an odd name"
	}
	return what
}
