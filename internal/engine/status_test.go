package engine_test

import (
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
