package engine_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

func (w *world) status() dr.Posture {
	w.t.Helper()
	s, err := w.e.Status(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return s.Services[0]
}

// Azure does not mind the case of names, so that a fleet may write one in two ways: what is remembered of an instance is found all the same.
func TestTheActiveInstanceIsFoundHoweverTheFleetWritesIt(t *testing.T) {
	w := newPair(t, false)
	w.services["Contoso-US"] = w.services["contoso-us"] // the same instance
	w.e.Fleet.Services = append(w.e.Fleet.Services, engine.Service{Name: "Contoso-US", ResourceID: "/x/contoso-us", Plan: "nightly"})
	w.backedUp("contoso-eu")
	w.ended(w.ask(failover(nil)).Operation.ID, 2*time.Hour)
	p := w.backedUp("contoso-us")
	if got := w.status(); !got.Protected || got.NewestGood.ID != p.ID {
		t.Errorf("%s is active, protected %v: %q", got.Active, got.Protected, got.Why)
	}
}

func TestAServiceWhoseRecordsCannotBeReadIsStillNamed(t *testing.T) {
	w := newPair(t, false)
	w.failing("read", "services/", -1)
	if got := w.status(); got.Active != "contoso-eu" || got.Protected || strings.Contains(strings.Join(got.SurvivesPrimaryLoss.Reasons, "\n"), "of  ") {
		t.Errorf("active %q, protected %v, %q", got.Active, got.Protected, got.SurvivesPrimaryLoss.Reasons)
	}
}

// Somebody went back to an older recovery point. Once that is gone, nothing automatic takes what was undone.
func TestWhatWasUndoneIsNotTheNewestGood(t *testing.T) {
	w := newPair(t, false)
	p := w.backedUp("contoso-eu")
	w.now = w.now.Add(time.Hour)
	w.backedUp("contoso-eu")
	back := engine.RecoverRequest{Request: engine.Request{Service: "contoso-eu"}, Kind: dr.KindRestore, Confirm: "contoso-eu", Point: p.ID}
	w.ended(w.ask(back).Operation.ID, time.Hour)
	latest := func() *dr.RecoveryPoint {
		got, err := w.e.Recover(t.Context(), engine.RecoverRequest{Request: engine.Request{Service: "contoso-eu"}, Kind: dr.KindDrill, DryRun: true})
		if err != nil {
			t.Fatal(err)
		}
		return got.Plan.Point
	}
	if got := latest(); got == nil || got.ID != p.ID {
		t.Fatalf("got %+v, want %s", got, p.ID)
	}
	w.aside(func() error {
		return w.store.State.Delete(t.Context(), "recovery-points/contoso-eu/"+p.ID+".json", "")
	})
	if got := latest(); got != nil {
		t.Errorf("got %s of before the restore", got.ID)
	}
}

func TestADrillInstanceIsNotBackedUp(t *testing.T) {
	w := newPair(t, false)
	var invalid *engine.Invalid
	if _, err := w.e.Backup(t.Context(), engine.Request{Service: "contoso-drill"}); !errors.As(err, &invalid) || invalid.Field != "service" {
		t.Errorf("got %v", err)
	}
	w.mustHold(0)
}
