package devstack

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// Story tells on a writer what happens, one line a hop. Its Output is for Options.Output.
type Story struct {
	mu    sync.Mutex
	to    io.Writer
	begin time.Time
}

// NewStory begins a story now.
func NewStory(to io.Writer) *Story { return &Story{to: to, begin: time.Now()} }

// Tell writes one line.
func (s *Story) Tell(who, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.to, "%8.3fs  %-9s %s\n", time.Since(s.begin).Seconds(), who, fmt.Sprintf(format, args...))
}

// line is what the story reads of the handler's own log.
type line struct {
	Level, Msg, Operation, Service, Target, Kind, Trigger, Phase, Outcome, Reason, Error, Verb, Method string
	Status, Attempt                                                                                    int
	Why                                                                                                []string
}

// hops are the verbs of ARM that a story tells of.
var hops = map[string]bool{"backup": true, "restore": true, "check": true}

// Output tells the hops that show in the handler's log lines; warnings and what is no log line it passes on whole.
func (s *Story) Output(stream, text string) {
	var l line
	if json.Unmarshal([]byte(text), &l) != nil {
		s.Tell(stream, "%s", text)
		return
	}
	switch {
	case l.Msg == "created":
		s.Tell("trigger", "%s: %s %s created by %s → queue operations", l.Service, l.Kind, l.Operation, l.Trigger)
	case l.Msg == "phase" && l.Phase == "starting":
		s.Tell("operation", "%s: locked, checked, intent saved", l.Service)
	case l.Msg == "phase" && l.Phase == "running":
		s.Tell("operation", "%s: accepted, Location saved → queue polls", l.Service)
	case l.Msg == "phase" && l.Phase == "verifying" && strings.Contains(l.Operation, "-backup-"):
		s.Tell("operation", "%s: ARM is done; looking at the blob", l.Service)
	case l.Msg == "phase" && l.Phase == "verifying":
		s.Tell("operation", "%s: ARM is done; looking at the instance and its gateways", l.Service)
	case l.Msg == "phase" && l.Phase == "done":
		s.Tell("operation", "%s: %s", l.Service, strings.TrimSpace(l.Outcome+" "+l.Reason))
	case l.Msg == "result published":
		s.Tell("operation", "%s: event → topic results, lock and marker removed", l.Service)
	case l.Msg == "ARM answered" && hops[l.Verb]:
		s.Tell("arm", "%s: %s → %d", l.Service, l.Verb, l.Status)
	case l.Msg == "ARM did not answer":
		s.Tell("arm", "%s: %s → no answer", l.Target, l.Verb)
	case l.Level == "WARN" || l.Level == "ERROR":
		s.Tell(strings.ToLower(l.Level), "%s: %s", cmp.Or(l.Service, "handler"), strings.TrimSuffix(l.Msg+": "+cmp.Or(l.Error, strings.Join(l.Why, "; ")), ": "))
	}
}

// Event tells of an event and writes it to events as one line of JSON.
func (s *Story) Event(e Event, events io.Writer) error {
	s.Tell("event", "%s: %s, as a subscriber of results receives it", e.Data.Service, e.Type)
	_, err := fmt.Fprintf(events, "%s\n", compact(e.Raw))
	return err
}

func compact(raw []byte) []byte {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return raw
	}
	return b.Bytes()
}

// Plan tells the steps and checks of a plan.
func (s *Story) Plan(p plan) {
	for i, step := range p.Steps {
		s.Tell("plan", "%d. %s", i+1, step)
	}
	for _, c := range p.Checks {
		s.Tell("plan", "%-19s %-7s %s", c.Name, c.Result, c.Detail)
	}
}

// plan is what a story reads of a plan.
type plan struct {
	Steps  []string
	Checks []check
}

type check struct{ Name, Result, Detail string }
