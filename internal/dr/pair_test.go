package dr

import (
	"testing"
	"time"
)

// restoredInto is a restore into contoso-us of a recovery point of a service, which has ended.
func restoredInto(service string, at time.Time) Operation {
	return newRestore(func(op *Operation) {
		p := point
		p.ID, p.Service, p.CreatedAt = NewID(KindBackup, at, service, at.String())+"-s0-a1", service, at
		op.bind(&p)
		op.ID, op.Kind, op.Recovery.Role = NewID(KindRestore, at, service), KindRestore, ""
		op.Phase, op.Outcome, op.EndedAt = Done, Succeeded, at.Add(time.Hour)
		op.Legs[0].Outcome, op.Legs[0].Attempt = Succeeded, 1
	})
}

// A warm sync is superseded by what the standby is known to hold: what ended last counts, in whatever order it is merged, and only data of the active
// instance do.
func TestWhatTheStandbyHolds(t *testing.T) {
	older, newer := restoredInto("contoso-eu", t0), restoredInto("contoso-eu", t0.Add(24*time.Hour))
	for name, order := range map[string][]Operation{"in order": {older, newer}, "backwards": {newer, older}, "again": {older, newer, older}} {
		p := NewPair("contoso-eu", "contoso-us")
		for _, op := range order {
			p, _ = p.After(op)
		}
		if p.Standby.ID != newer.Recovery.Bound.ID || !p.StandbyAt.Equal(newer.EndedAt) {
			t.Errorf("%s: %+v", name, p)
		}
	}
	for _, service := range []string{"contoso-us", "contoso-asia"} {
		p, _ := NewPair("contoso-eu", "contoso-us").After(newer)
		if p, _ = p.After(restoredInto(service, t0.Add(48*time.Hour))); p.Standby != (PointRef{}) {
			t.Errorf("with the data of %s it passes for up to date: %+v", service, p.Standby)
		}
	}
}
