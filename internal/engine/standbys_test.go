package engine_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/store"
)

func to(target string, change func(*engine.RecoverRequest)) engine.RecoverRequest {
	r := failover(change)
	r.Target, r.Confirm = target, target
	return r
}

// Of two standbys one has taken over. The way back is open, and a standby that follows after a re-arm is, although the home still stands as the active
// instance in its other pair.
func TestTheWayBackOfAPrimaryWithTwoStandbys(t *testing.T) {
	w := newPair(t, true)
	w.standby("contoso-ap", false)
	w.backedUp("contoso-eu")
	w.run(2 * time.Hour)
	w.ended(w.ask(to("contoso-us", nil)).Operation.ID, 2*time.Hour)
	if _, err := w.rearm("contoso-eu", dr.Rearm{Active: "contoso-us"}); err != nil {
		t.Fatal(err)
	}
	w.restores = nil
	p := w.backedUp("contoso-us")
	if w.run(2 * time.Hour); !slices.Equal(w.restores, []string{p.ID + " into contoso-eu"}) {
		t.Errorf("the standby gets %v", w.restores)
	}
	if back := w.ended(w.ask(failback(nil)).Operation.ID, 2*time.Hour); back.Outcome != dr.Succeeded {
		t.Errorf("%s %v", back.Outcome, back.Error)
	}
	if got := w.ask(to("contoso-ap", func(r *engine.RecoverRequest) { r.DryRun = true })); got.Plan.Refusal() != nil {
		t.Errorf("afterwards the other standby is closed: %v", got.Plan.Refusal())
	}
}

// Whoever was let through goes on, and who comes later gives way, however their steps fall between each other's.
func TestOfTwoFailoversThatCrossOneGoesOn(t *testing.T) {
	for name, first := range map[string]bool{"one is under way": true, "both begin": false} {
		w := newPair(t, false)
		w.standby("contoso-ap", false)
		w.backedUp("contoso-eu")
		w.takes = 8 * time.Minute
		a := w.ask(to("contoso-us", func(r *engine.RecoverRequest) { r.Final = dr.FinalAuto })).Operation
		b := w.ask(to("contoso-ap", nil)).Operation
		knock := func(id string) {
			if err := w.e.Knock(t.Context(), dr.Wake{V: 1, ID: id}); err != nil {
				t.Error(err)
			}
		}
		if first {
			knock(a.ID)
		}
		crossed := false
		w.hook = func(op, at string) error { // between the rival's note in its pair and its look at the others
			if !crossed && strings.HasPrefix(at, "pairs/contoso-ap") && (op == "after create" || op == "after replace") {
				crossed = true
				w.store.Fail(nil)
				knock(a.ID)
				w.store.Fail(w.hook)
			}
			return nil
		}
		w.store.Fail(w.hook)
		knock(b.ID)
		w.store.Fail(nil)
		w.hook = nil
		w.run(3 * time.Hour)
		a, b = w.operation(a.ID), w.operation(b.ID)
		if !crossed || (a.Outcome == dr.Succeeded) == (b.Outcome == dr.Succeeded) || first && a.Outcome != dr.Succeeded {
			t.Errorf("%s: crossed %v; %s %v; %s %v", name, crossed, a.Outcome, a.Error, b.Outcome, b.Error)
		}
		for _, p := range w.pairs() {
			if p.BusyBy != "" {
				t.Errorf("%s: %+v", name, p)
			}
		}
	}
}

// Both have noted themselves before either looks at the other, and both look before either says what it saw.
func TestOfTwoFailoversThatSeeEachOtherOneGoesOn(t *testing.T) {
	for _, swap := range []bool{false, true} {
		w := newPair(t, false)
		w.standby("contoso-ap", false)
		w.backedUp("contoso-eu")
		one := w.ask(to("contoso-us", nil)).Operation
		two := w.ask(to("contoso-ap", nil)).Operation
		if swap {
			one, two = two, one
		}
		knock := func(id string) {
			if err := w.e.Knock(t.Context(), dr.Wake{V: 1, ID: id}); err != nil {
				t.Error(err)
			}
		}
		noted, crossed := 0, false
		w.hook = func(call, at string) error {
			if strings.HasPrefix(at, "pairs/") && call == "after create" && noted < 2 {
				noted++
				return errors.New("killed right after its note")
			}
			if noted == 2 && !crossed && call == "before replace" && strings.HasPrefix(at, "operations/") && strings.Contains(at, two.ID) {
				crossed = true
				knock(one.ID)
			}
			return nil
		}
		w.store.Fail(w.hook)
		knock(one.ID)
		knock(two.ID)
		knock(two.ID)
		w.hook = nil
		w.store.Fail(nil)
		w.run(3 * time.Hour)
		if one, two = w.operation(one.ID), w.operation(two.ID); !crossed || (one.Outcome == dr.Succeeded) == (two.Outcome == dr.Succeeded) {
			t.Errorf("crossed %v; %s %v; %s %v", crossed, one.Outcome, one.Error, two.Outcome, two.Error)
		}
	}
}

// One send that fails does not cost a failover its final backup: the watchdog would come too late.
func TestTheFirstWakeOfAFinalBackupIsSentAgain(t *testing.T) {
	w := newPair(t, false)
	w.backedUp("contoso-eu")
	op := w.ask(failover(func(r *engine.RecoverRequest) { r.Final = dr.FinalRequire })).Operation
	written, refused := false, false
	w.store.Fail(func(call, at string) error {
		written = written || call == "after create" && strings.Contains(at, dr.FinalID(op))
		return nil
	})
	w.busDown = func() error { // the send right after the final backup's record
		if !written || refused {
			return nil
		}
		refused = true
		return errors.New("bus 503")
	}
	if op = w.ended(op.ID, 3*time.Hour); op.Outcome != dr.Succeeded || !refused {
		t.Errorf("%s %v, refused %v", op.Outcome, op.Error, refused)
	}
}

// A plan that passes is not thrown away because the next standby could not be looked at.
func TestAPlanThatPassesIsKept(t *testing.T) {
	w := newPair(t, false)
	w.standby("contoso-ap", false)
	w.backedUp("contoso-eu")
	w.asleep["contoso-us"] = true
	reads := 0
	w.hook = func(op, at string) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if strings.HasPrefix(at, "services/") || strings.HasPrefix(at, "recovery-points") {
			if reads++; reads > 2 {
				return errors.New("storage 503")
			}
		}
		return nil
	}
	w.store.Fail(w.hook)
	got, err := w.e.Recover(t.Context(), failover(func(r *engine.RecoverRequest) { r.DryRun = true }))
	if err != nil || got.Plan.Target.Name != "contoso-us" || reads < 3 {
		t.Errorf("%v, target %s after %d reads", err, got.Plan.Target.Name, reads)
	}
}

// The copy of another pair's roles that cannot be read keeps one standby from following, and the event is told once.
func TestAnotherPairsRolesThatCannotBeReadAreNoReasonToRepeat(t *testing.T) {
	w := newPair(t, true)
	w.standby("contoso-ap", true)
	w.failing("read", "roles/contoso-ap", -1)
	op := w.backup("contoso-eu")
	if w.run(6 * time.Hour); len(w.events[op.ID]) != 1 || !w.atRest() {
		t.Errorf("%d events, at rest %v", len(w.events[op.ID]), w.atRest())
	}
}

// The event of a failover, with its next steps, does not wait for the copy of the roles.
func TestTheEventDoesNotWaitForTheCopyOfTheRoles(t *testing.T) {
	w := newPair(t, false)
	w.backedUp("contoso-eu")
	w.failing("before", "/roles/", -1)
	op := w.ask(failover(nil)).Operation
	w.run(10 * time.Minute)
	if len(w.events[op.ID]) == 0 || w.thePair().Active != "contoso-us" {
		t.Errorf("%d events, pair %+v", len(w.events[op.ID]), w.thePair())
	}
	err := w.store.MergePair(t.Context(), w.thePair().Name, func(p dr.Pair) (dr.Pair, bool) {
		p.BusyBy = "somebody"
		return p, true
	})
	w.hook = nil
	w.store.Fail(nil)
	w.run(time.Hour)
	beside, err2 := w.store.Vault.Role(t.Context(), nightly, w.thePair().Name)
	if beside.Active != "contoso-us" || beside.BusyBy != "" {
		t.Errorf("beside the backups: %+v %v", beside, errors.Join(err, err2))
	}
}

// Nothing is repeated for a failover that was refused before the pair had a record, or whose record cannot be read.
func TestARefusedFailoverIsToldOnce(t *testing.T) {
	for name, spoil := range map[string]bool{"no record": false, "unreadable": true} {
		w := newPair(t, false)
		if spoil {
			if _, err := w.store.State.Create(t.Context(), "pairs/contoso-eu~7Econtoso-us", store.Content{Body: []byte("nonsense")}); err != nil {
				t.Fatal(err)
			}
		}
		got, err := w.e.Recover(t.Context(), failover(nil))
		if err == nil {
			t.Fatalf("%s: it passed", name)
		}
		w.run(time.Minute)
		if op := w.operation(got.Operation.ID); op.Outcome != dr.Rejected || len(w.events[op.ID]) != 1 || !w.atRest() {
			t.Errorf("%s: %s, %d events, at rest %v", name, op.Outcome, len(w.events[op.ID]), w.atRest())
		}
	}
}

// Where no standby will do, the plan that is refused is that of the one which the caller named.
func TestOfPlansThatFailTheConfirmedOneIsTold(t *testing.T) {
	w := newPair(t, false)
	w.standby("contoso-ap", false)
	w.backedUp("contoso-eu")
	w.services["contoso-us"].view.SKU, w.services["contoso-ap"].view.SKU = "Premium", "Premium"
	for _, target := range []string{"contoso-us", "contoso-ap"} {
		got, err := w.e.Recover(t.Context(), failover(func(r *engine.RecoverRequest) { r.Confirm = target }))
		if !errors.Is(err, engine.ErrRefused) || got.Operation.Service != target {
			t.Errorf("%s confirmed, %s told: %v", target, got.Operation.Service, err)
		}
	}
}
