package dr

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// How much of what has ended is remembered of a service.
const (
	historyDays   = 30
	historyTook   = 10 // for each verb
	historyDrills = 12
)

// History is what a person wants to see of the last weeks of a service. Its size does not grow with the operations. A History is never changed once it is
// made: After makes another.
type History struct {
	Days   []BackupDay  `json:"days,omitempty"`   // the last that had a backup that ended, the oldest first
	Took   []Took       `json:"took,omitempty"`   // by the last backups of the service and the last restores into it that succeeded, the oldest first
	Drills []DrillEnded `json:"drills,omitempty"` // the last of its recovery points, the oldest first
	ByHand ByHandOf     `json:"byHand,omitzero"`  // of its newest good recovery point
}

// BackupDay tells how the backups of a service ended on a day. Both may be: then one succeeded, and one did not.
type BackupDay struct {
	Date string `json:"date"` // UTC, 2006-01-02
	Good bool   `json:"good,omitempty"`
	Bad  bool   `json:"bad,omitempty"` // failed, rejected or unknown
}

// Took is how long ARM took for a leg that succeeded, from its POST until that was seen.
type Took struct {
	Operation string    `json:"operation"`
	Verb      Verb      `json:"verb"`
	EndedAt   time.Time `json:"endedAt"`
	Seconds   float64   `json:"seconds"`
}

// DrillEnded is one drill.
type DrillEnded struct {
	Operation       string    `json:"operation"`
	Outcome         Outcome   `json:"outcome"`
	EndedAt         time.Time `json:"endedAt"`
	RecoverySeconds float64   `json:"recoverySeconds,omitempty"` // of one that succeeded: from the restore's POST to its verification
}

// ByHandOf is what a restore of a recovery point leaves to be done by hand.
type ByHandOf struct {
	Point     string    `json:"recoveryPoint"`
	CreatedAt time.Time `json:"createdAt"`
	List      []string  `json:"list"`
}

// Usual is how long a backup of a service, and a restore into it, usually take: the medians of the last that succeeded. Zero: none has.
type Usual struct {
	BackupSeconds  float64 `json:"backupSeconds,omitempty"`
	RestoreSeconds float64 `json:"restoreSeconds,omitempty"`
}

// Of is what a leg with that verb usually takes.
func (u Usual) Of(v Verb) float64 {
	if v == VerbRestore {
		return u.RestoreSeconds
	}
	return u.BackupSeconds
}

// Usual is what work on the service usually takes.
func (s ServiceState) Usual() Usual {
	h := s.history()
	return Usual{h.median(VerbBackup), h.median(VerbRestore)}
}

func (h *History) median(v Verb) float64 {
	var all []float64
	for _, t := range h.Took {
		if t.Verb == v {
			all = append(all, t.Seconds)
		}
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)/2]
}

func (s *ServiceState) history() History {
	if s.History == nil {
		return History{}
	}
	return *s.History
}

// recall takes an ended operation into the history. Repetition and order do not matter, but for what is too old to be kept.
func (s *ServiceState) recall(op Operation) {
	h, changed := s.history(), false
	if op.Kind == KindBackup && op.Service == s.Service {
		changed = h.day(op)
	}
	for i := range op.Legs {
		if leg := &op.Legs[i]; leg.Outcome == Succeeded && leg.Service == s.Service && !leg.PostedAt.IsZero() {
			changed = h.took(op.ID, leg) || changed
		}
	}
	if op.Kind == KindDrill && s.owns(op) {
		changed = h.drilled(op) || changed
	}
	for _, p := range Points(op) {
		if p.Service == s.Service {
			changed = h.left(p) || changed
		}
	}
	if changed {
		s.History = &h
	}
}

func (h *History) day(op Operation) bool {
	d := BackupDay{Date: op.EndedAt.UTC().Format(time.DateOnly), Good: op.Outcome == Succeeded, Bad: op.Outcome != Succeeded}
	i, there := slices.BinarySearchFunc(h.Days, d.Date, func(d BackupDay, date string) int { return strings.Compare(d.Date, date) })
	days := slices.Clone(h.Days)
	if there {
		d.Good, d.Bad = d.Good || days[i].Good, d.Bad || days[i].Bad
		days[i] = d
	} else {
		days = newest(slices.Insert(days, i, d), historyDays)
	}
	changed := !slices.Equal(days, h.Days)
	h.Days = days
	return changed
}

func (h *History) took(operation string, leg *Leg) bool {
	if slices.ContainsFunc(h.Took, func(t Took) bool { return t.Operation == operation && t.Verb == leg.Verb }) {
		return false
	}
	var same, others []Took
	for _, t := range append(slices.Clone(h.Took), Took{operation, leg.Verb, leg.EndedAt, leg.EndedAt.Sub(leg.PostedAt).Round(time.Second).Seconds()}) {
		if t.Verb == leg.Verb {
			same = append(same, t)
		} else {
			others = append(others, t)
		}
	}
	byEnd := func(a, b Took) int {
		return cmp.Or(a.EndedAt.Compare(b.EndedAt), strings.Compare(a.Operation, b.Operation))
	}
	slices.SortFunc(same, byEnd)
	list := append(others, newest(same, historyTook)...)
	slices.SortFunc(list, byEnd)
	changed := !slices.Equal(list, h.Took)
	h.Took = list
	return changed
}

func (h *History) drilled(op Operation) bool {
	if slices.ContainsFunc(h.Drills, func(d DrillEnded) bool { return d.Operation == op.ID }) {
		return false
	}
	seconds, _ := drillSeconds(op)
	list := append(slices.Clone(h.Drills), DrillEnded{op.ID, op.Outcome, op.EndedAt, seconds})
	slices.SortFunc(list, func(a, b DrillEnded) int {
		return cmp.Or(a.EndedAt.Compare(b.EndedAt), strings.Compare(a.Operation, b.Operation))
	})
	list = newest(list, historyDrills)
	changed := !slices.Equal(list, h.Drills)
	h.Drills = list
	return changed
}

// left takes in a recovery point of the service.
func (h *History) left(p RecoveryPoint) bool {
	if p.State != Good || p.Safety || !p.CreatedAt.After(h.ByHand.CreatedAt) {
		return false
	}
	h.ByHand = ByHandOf{p.ID, p.CreatedAt, ByHand(p)}
	return true
}

// since leaves out the days that are too long ago to be told.
func since(days []BackupDay, now time.Time) []BackupDay {
	first := now.UTC().AddDate(0, 0, 1-historyDays).Format(time.DateOnly)
	i, _ := slices.BinarySearchFunc(days, first, func(d BackupDay, date string) int { return strings.Compare(d.Date, date) })
	return days[i:]
}

// newest are the last n of a list.
func newest[T any](list []T, n int) []T { return list[max(0, len(list)-n):] }
