package usage

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"apim-dr/internal/dr"
)

// State is what is remembered of the exports of an instance.
type State struct {
	V       int             `json:"v"`
	Service string          `json:"service"`
	Reports map[Report]Mark `json:"reports,omitempty"`
	Run     Run             `json:"run"` // the newest
}

// Mark is how far a report is exported.
type Mark struct {
	Through Day     `json:"through,omitempty"` // the newest exported day; all before it are exported, too, as far as they were caught up
	Missing *Absent `json:"missing,omitempty"` // the instance has no such report, as its tier may not
}

// Absent is a report that the instance does not have. It is asked for again once a run.
type Absent struct {
	Since time.Time `json:"since"`
	Asked time.Time `json:"asked"` // run that asked last
	Why   Why       `json:"why"`
}

// Why is an answer that was no report, in the words of ARM.
type Why struct {
	Status  int    `json:"status,omitempty"`
	Code    string `json:"code,omitempty"`
	Message string `json:"message"`
}

// Run is what one firing of the timer led to for an instance, as its event tells it.
type Run struct {
	At     time.Time `json:"at"`
	Days   []Day     `json:"days,omitempty"`    // with at least one file, ascending
	Files  []Count   `json:"reports,omitempty"` // by report
	Failed []Failure `json:"failed,omitempty"`  // given up until the next run
	Told   bool      `json:"told,omitempty"`    // its event is published
}

// Count is what was exported of a report.
type Count struct {
	Report Report `json:"report"`
	Days   int    `json:"days"`
	Rows   int64  `json:"rows"`
	Bytes  int64  `json:"bytes"` // of the files
}

// Failure is a report of which a day could not be exported.
type Failure struct {
	Report Report `json:"report"`
	Day    Day    `json:"day"`
	Why    Why    `json:"why"`
}

// Check tells what is wrong with a state as it was read.
func (s State) Check() error {
	for r, m := range s.Reports {
		if !r.known() || !m.Through.valid() {
			return fmt.Errorf("it holds report %q through %q", r, m.Through)
		}
	}
	for _, d := range s.Run.Days {
		if !d.valid() || d == "" {
			return fmt.Errorf("it holds day %q", d)
		}
	}
	return nil
}

// task is a day of a report that is to be exported.
type task struct {
	report Report
	day    Day
}

// due lists what is to be exported in a turn of the run that is at work: the oldest day for which something is left, of all reports that it is left of.
func (s State) due(reports []Report) []task {
	var list []task
	for _, r := range reports {
		d := first(s.Reports[r].Through, s.Run.At)
		if d == "" || s.given(r) {
			continue
		}
		if len(list) > 0 && d < list[0].day {
			list = nil
		}
		if len(list) == 0 || d == list[0].day {
			list = append(list, task{r, d})
		}
	}
	return list
}

// given tells whether this run asks no more for a report.
func (s State) given(r Report) bool {
	m := s.Reports[r].Missing
	return m != nil && m.Asked.Equal(s.Run.At) || slices.ContainsFunc(s.Run.Failed, func(f Failure) bool { return f.Report == r })
}

// notable tells whether the run has anything to tell.
func (s State) notable() bool {
	return len(s.Run.Files)+len(s.Run.Failed)+len(s.absent()) > 0
}

// absent lists the reports that the run found missing, in the order of their names.
func (s State) absent() []Report {
	var list []Report
	for _, r := range slices.Sorted(maps.Keys(s.Reports)) {
		if m := s.Reports[r].Missing; m != nil && m.Asked.Equal(s.Run.At) {
			list = append(list, r)
		}
	}
	return list
}

// begun is the state in which the run of that time is at work; false when that or a later one has begun. What a clock that was ahead has left is not
// believed: its run is none, and the days that it took for exported are due again.
func (s State) begun(at, now time.Time) (State, bool) {
	ahead := s.Run.At.After(now.Add(skew))
	if !ahead && !at.After(s.Run.At) {
		return s, false
	}
	for r, m := range s.Reports {
		if ahead && m.Through > last(now) {
			s = s.mark(r, func(m *Mark) { m.Through = "" })
		}
	}
	s.Run = Run{At: at}
	return s, true
}

// mark is the state with another mark of a report; nothing of the old one is written to.
func (s State) mark(r Report, change func(*Mark)) State {
	s.Reports = maps.Clone(s.Reports)
	if s.Reports == nil {
		s.Reports = map[Report]Mark{}
	}
	m := s.Reports[r]
	change(&m)
	s.Reports[r] = m
	return s
}

// after is the state after an export in the run of that time; false when it says nothing new: another invocation was there first.
func (s State) after(at time.Time, t task, e exported) (State, bool) {
	if !s.Run.At.Equal(at) || s.given(t.report) || t.day <= s.Reports[t.report].Through {
		return s, false
	}
	switch e.Verdict {
	case dr.OK:
		s = s.mark(t.report, func(m *Mark) { *m = Mark{Through: t.day} })
		if !slices.Contains(s.Run.Days, t.day) {
			s.Run.Days = slices.Sorted(slices.Values(append(slices.Clone(s.Run.Days), t.day)))
		}
		s.Run.Files = slices.Clone(s.Run.Files)
		i := slices.IndexFunc(s.Run.Files, func(c Count) bool { return c.Report == t.report })
		if i < 0 {
			i, s.Run.Files = len(s.Run.Files), append(s.Run.Files, Count{Report: t.report})
		}
		c := &s.Run.Files[i]
		c.Days, c.Rows, c.Bytes = c.Days+1, c.Rows+e.rows, c.Bytes+e.bytes
	case dr.Refused:
		s = s.mark(t.report, func(m *Mark) {
			since := at
			if m.Missing != nil {
				since = m.Missing.Since
			}
			m.Missing = &Absent{Since: since, Asked: at, Why: why(e.Answer)}
		})
	default:
		s.Run.Failed = append(slices.Clone(s.Run.Failed), Failure{t.report, t.day, why(e.Answer)})
	}
	return s, true
}

// told is the state after the event of a run.
func (s State) told(at time.Time) (State, bool) {
	if !s.Run.At.Equal(at) || s.Run.Told {
		return s, false
	}
	s.Run.Told = true
	return s, true
}

// maxWords bounds what is kept of ARM's words, in bytes: they stand in the record and in the event.
const maxWords = 1000

func why(a dr.Answer) Why {
	w := Why{Message: a.Reason}
	if a.Error != nil {
		w = Why{Status: a.Error.Status, Code: short(a.Error.Code), Message: a.Error.Message}
	}
	w.Message = short(w.Message)
	return w
}

func short(text string) string {
	if len(text) <= maxWords {
		return text
	}
	return strings.ToValidUTF8(text[:maxWords], "") + "…"
}

// Event tells what a run has exported.
type Event struct {
	ID      string // also the Service Bus MessageID: publishing twice is one event
	Subject string // ARM id of the instance
	Time    time.Time
	Data    Result
}

// Result is the data of the event.
type Result struct {
	Service    string    `json:"service"`
	ResourceID string    `json:"resourceId"`
	Run        time.Time `json:"run"` // when the timer fired
	Days       []Day     `json:"days"`
	Reports    []Count   `json:"reports"`
	Rows       int64     `json:"rows"`
	Bytes      int64     `json:"bytes"`
	Missing    []Missing `json:"missing,omitempty"`
	Failed     []Failure `json:"failed,omitempty"`
}

// Missing is a report that the instance does not have.
type Missing struct {
	Report Report    `json:"report"`
	Since  time.Time `json:"since"`
	Why    Why       `json:"why"`
}

// EventType is the type of the event.
const EventType = "apimdr.usage.exported"

// Properties are those of the event's message, for subscription filters. outcome is failed when something was given up, so that a subscriber of what
// went wrong hears of it.
func (e Event) Properties() map[string]string {
	outcome := "succeeded"
	if len(e.Data.Failed) > 0 {
		outcome = "failed"
	}
	return map[string]string{"type": EventType, "kind": "usage", "outcome": outcome, "service": e.Data.Service, "trigger": "timer"}
}

// event is made from the record alone: whoever publishes it, and whenever, it is the same.
func (s State) event(in Instance) Event {
	d := Result{Service: in.Name, ResourceID: in.ResourceID, Run: s.Run.At, Days: append([]Day{}, s.Run.Days...), Reports: append([]Count{}, s.Run.Files...), Failed: s.Run.Failed}
	for _, c := range d.Reports {
		d.Rows += c.Rows
		d.Bytes += c.Bytes
	}
	for _, r := range s.absent() {
		m := s.Reports[r].Missing
		d.Missing = append(d.Missing, Missing{r, m.Since, m.Why})
	}
	return Event{ID: runID(in.Name, s.Run.At) + ":result", Subject: in.ResourceID, Time: s.Run.At, Data: d}
}

func runID(service string, at time.Time) string {
	return "usage:" + strings.ToLower(service) + ":" + at.UTC().Format("20060102T150405Z")
}
