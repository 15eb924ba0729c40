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
// resource. An error means that the message is no such event.
func Parse(body []byte) ([]dr.Change, error) {
	body = bytes.TrimPrefix(bytes.TrimSpace(body), []byte("\ufeff"))
	var events []event
	if bytes.HasPrefix(body, []byte("[")) {
		if err := json.Unmarshal(body, &events); err != nil {
			return nil, fmt.Errorf("not a list of events: %w", err)
		}
	} else {
		events = make([]event, 1)
		if err := json.Unmarshal(body, &events[0]); err != nil {
			return nil, fmt.Errorf("not an event: %w", err)
		}
	}
	if len(events) > most {
		return nil, fmt.Errorf("%d events, at most %d are accepted", len(events), most)
	}
	var list []dr.Change
	for i, e := range events {
		c, ok, err := e.change()
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", i, err)
		}
		if ok {
			list = append(list, c)
		}
	}
	return list, nil
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
	case "microsoft.resources.resourcewritesuccess", "microsoft.resources.resourcedeletesuccess", "microsoft.resources.resourceactionsuccess":
		return cmp.Or(operation, kind), true
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
