package engine_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/store"
)

// A deployment goes by it: the backup of a tick that has come begins later, and one that a hold keeps away begins when that ends.
func TestTheNextBackupIsWhenItBegins(t *testing.T) {
	for name, held := range map[string]time.Duration{"spread": 0, "held": 6 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "contoso-eu")
			w.e.Fleet.Plans[0].Spread = 4 * time.Hour
			w.now = t0.Add(-time.Hour)
			if held > 0 {
				w.hold("contoso-eu", held)
			}
			before := w.busy("contoso-eu").NextBackup
			w.now = t0
			w.due()
			w.run(time.Minute)
			after := w.busy("contoso-eu").NextBackup
			w.run(12 * time.Hour)
			if len(w.postedAt) != 1 || !w.postedAt[0].Equal(before) || !w.postedAt[0].Equal(after) {
				t.Errorf("told before its tick: %s, after it: %s, POSTed: %v", before, after, w.postedAt)
			}
		})
	}
}

// What cannot be read of the active instance is no breach of its RPO, and the status says that it cannot be read.
func TestARecordThatCannotBeReadIsNoBreachOfTheRPO(t *testing.T) {
	for _, body := range []string{`{"v":2}`, "nonsense"} {
		w := newPair(t, true)
		if err := w.e.Guard(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.backedUp("contoso-eu")
		w.run(2 * time.Hour)
		failover := w.ask(engine.RecoverRequest{Request: engine.Request{Service: "contoso-eu"}, Kind: dr.KindFailover, Confirm: "contoso-us"})
		if op := w.ended(failover.Operation.ID, 3*time.Hour); op.Outcome != dr.Succeeded {
			t.Fatal(op.Outcome, op.Error)
		}
		w.now = w.now.Add(48 * time.Hour)
		w.aside(func() error {
			if err := w.store.State.Delete(t.Context(), "services/contoso-us", ""); err != nil {
				return err
			}
			_, err := w.store.State.Create(t.Context(), "services/contoso-us", store.Content{Body: []byte(body)})
			return err
		})
		if err := w.e.Guard(t.Context()); err != nil || len(w.told()) != 0 {
			t.Errorf("%s: told %v, %v", body, w.told(), err)
		}
		s, err := w.e.Status(t.Context())
		if p := s.Services[0]; err != nil || p.Protected || len(p.Why) != 1 || !strings.Contains(p.Why[0], "cannot be read") || p.Active != "contoso-us" {
			t.Errorf("%s: %v %q %s, %v", body, p.Protected, p.Why, p.Active, err)
		}
	}
}

// Nor is a pair that cannot be read: the instance that it had made the active one is not known then.
func TestAPairThatCannotBeReadProtectsNobody(t *testing.T) {
	w := newPair(t, false)
	w.backedUp("contoso-eu")
	w.aside(func() error {
		_, err := w.store.State.Create(t.Context(), "pairs/contoso-eu~7Econtoso-us", store.Content{Body: []byte("nonsense")})
		return err
	})
	s, err := w.e.Status(t.Context())
	if p := s.Services[0]; err != nil || p.Protected || len(p.Why) != 1 || !strings.Contains(p.Why[0], "cannot be read") {
		t.Errorf("%v %q, %v", p.Protected, p.Why, err)
	}
	if err := w.e.Guard(t.Context()); err != nil || len(w.told()) != 0 {
		t.Errorf("told %v, %v", w.told(), err)
	}
}

// A failover that is given up during its safety backup has overwritten nothing: the pair is as it was.
func TestAFailoverAbandonedInItsSafetyBackupWasNeverBegun(t *testing.T) {
	w := newPair(t, true)
	w.backedUp("contoso-eu")
	w.run(2 * time.Hour)
	id := w.ask(engine.RecoverRequest{Request: engine.Request{Service: "contoso-eu"}, Kind: dr.KindFailover, Confirm: "contoso-us", Safety: true}).Operation.ID
	w.run(90 * time.Second)
	if op := w.operation(id); op.Phase != dr.Running || op.Step != 0 {
		t.Fatalf("%s, step %d", op.Phase, op.Step)
	}
	if _, err := w.e.Abandon(t.Context(), id, "ann", "wrong region"); err != nil {
		t.Fatal(err)
	}
	if op, p := w.operation(id), w.pairs()[0]; op.Outcome != dr.Rejected || op.Legs[0].Outcome != dr.Unknown || p.Suspended || p.BusyBy != "" {
		t.Errorf("%s, its leg %s, pair %+v", op.Outcome, op.Legs[0].Outcome, p)
	}
}

// The wake that finishes an abandoned operation is no repetition of its first one, which duplicate detection would drop.
func TestAnAbandonedOperationIsFinishedSoonAfterAnOutage(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	op := w.backup("contoso-eu")
	w.queue = nil
	w.store.Fail(func(_, key string) error {
		if strings.HasPrefix(key, "services/") {
			return errors.New("storage 503")
		}
		return w.call()
	})
	if _, err := w.e.Abandon(t.Context(), op.ID, "ann", "no longer needed"); err != nil {
		t.Fatal(err)
	}
	w.store.Fail(w.hook)
	w.run(3 * time.Hour)
	if took := w.now.Sub(t0); len(w.events[op.ID]) != 1 || took > time.Minute {
		t.Errorf("%d events after %s", len(w.events[op.ID]), took)
	}
}

// Also when the answer to an earlier POST was lost, a throttled one uses up nothing and is waited for.
func TestAThrottledPOSTAfterALostOneUsesUpNothing(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	var at []time.Time
	w.onPost = func() (*dr.Answer, bool) {
		at = append(at, w.now)
		switch n := len(at); {
		case n == 1:
			return &dr.Answer{Verdict: dr.Lost, Reason: "reset"}, false
		case n < 5:
			return &dr.Answer{Verdict: dr.Later, Reason: "429 TooManyRequests", Retry: 45 * time.Minute}, false
		}
		return nil, true
	}
	id := w.backup("contoso-eu").ID
	w.run(8 * time.Hour)
	if op := w.operation(id); op.Outcome != dr.Succeeded || op.Leg().Lost != 1 {
		t.Errorf("%s %v, lost %d", op.Outcome, op.Error, op.Leg().Lost)
	}
	for i := 2; i < len(at); i++ {
		if at[i].Sub(at[i-1]) < 45*time.Minute {
			t.Errorf("POSTed at %v", at)
		}
	}
}
