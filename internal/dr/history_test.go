package dr

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// ended is the nth backup of a service: begun a day after the one before, taking n minutes.
func endedBackup(n int, outcome Outcome) Operation {
	at := t0.Add(time.Duration(n) * 24 * time.Hour)
	op := newOp()
	op.ID, op.Phase, op.Outcome, op.EndedAt = fmt.Sprintf("backup-%03d", n), Done, outcome, at.Add(time.Duration(n)*time.Minute)
	op.Legs[0].PostedAt, op.Legs[0].EndedAt, op.Legs[0].Outcome = at, op.EndedAt, outcome
	return op
}

func TestTheHistoryIsTheSameInWhateverOrderAndHoweverOftenItComes(t *testing.T) {
	var ops []Operation
	for n := range 60 {
		outcome := Succeeded
		if n%7 == 0 {
			outcome = Failed
		}
		ops = append(ops, endedBackup(n, outcome))
	}
	ops = append(ops, endedBackup(58, Unknown)) // a second one of that day
	ops[60].ID = "another"
	var inOrder ServiceState
	for _, op := range ops {
		inOrder, _ = inOrder.After(op, "contoso-eu")
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		var s ServiceState
		for _, i := range append(random.Perm(len(ops)), random.Perm(len(ops))...) {
			s, _ = s.After(ops[i], "contoso-eu")
		}
		if diff := cmp.Diff(inOrder.History, s.History); diff != "" {
			t.Fatal(diff)
		}
		if again, changed := s.After(ops[60], "contoso-eu"); changed || again.History != s.History {
			t.Fatal("a repetition is a change")
		}
	}
	h := inOrder.History
	if len(h.Days) != 30 || len(h.Took) != 10 || h.Days[28] != (BackupDay{"2026-03-04", true, true}) || h.Days[29] != (BackupDay{"2026-03-05", true, false}) {
		t.Errorf("%d days, the last two %+v; %d took", len(h.Days), h.Days[28:], len(h.Took))
	}
	if got := inOrder.Usual(); got != (Usual{BackupSeconds: 54 * 60}) { // of 49 (failed) to 59, without 56 (failed)
		t.Errorf("usual %+v", got)
	}
}

func TestThePostureTellsTheDaysThatAreNotTooLongAgo(t *testing.T) {
	var s ServiceState
	for n := range 3 {
		s, _ = s.After(endedBackup(n, Succeeded), "contoso-eu")
	}
	for days, want := range map[int]int{2: 3, 29: 3, 30: 2, 31: 1, 32: 0} {
		p := Assess(Guard{State: s, Owner: s, Service: Instance{Name: "contoso-eu"}}, t0.Add(time.Duration(days)*24*time.Hour))
		if len(p.Days) != want {
			t.Errorf("after %d days: %+v", days, p.Days)
		}
	}
	p := Assess(Guard{State: s, Owner: s}, t0)
	if want := t0.Add(32 * 24 * time.Hour); !p.ExpiresAt.Equal(want) {
		t.Errorf("expires at %s, want %s", p.ExpiresAt, want)
	}
	if len(p.NotCovered) == 0 || p.Usual.BackupSeconds != 60 {
		t.Errorf("%+v", p)
	}
	other := s
	other.NewestGood.ID = "another"
	if p := Assess(Guard{State: other, Owner: other}, t0); p.NotCovered != nil {
		t.Errorf("of another recovery point: %q", p.NotCovered)
	}
}

func TestDrillsOfAServiceAreRemembered(t *testing.T) {
	var s ServiceState
	for n := range 15 {
		drill := endedBackup(n, Succeeded)
		if n == 14 {
			drill = endedBackup(n, Failed)
		}
		drill.Kind, drill.Service = KindDrill, "contoso-drill"
		drill.Legs[0].Verb, drill.Legs[0].Service, drill.Legs[0].Attempt = VerbRestore, "contoso-drill", 1
		drill.Recovery = &Recovery{Intent: Intent{Kind: KindDrill, Source: Instance{Name: "contoso-eu"}}, Bound: &RecoveryPoint{ID: "p", Service: "contoso-eu"}}
		s, _ = s.After(drill, "contoso-eu")
	}
	got := Assess(Guard{Owner: s}, t0).Drills
	if len(got) != 12 || got[0].RecoverySeconds != 180 || got[11].Outcome != Failed || got[11].RecoverySeconds != 0 {
		t.Errorf("%+v", got)
	}
	if len(s.History.Days) != 0 || s.Usual() != (Usual{}) {
		t.Errorf("a drill counts as a backup of the service or a restore into it: %+v", s.History)
	}
}
