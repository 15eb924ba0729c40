package engine_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

func TestWhatIsInFlightIsToldWithWhatItUsuallyTakes(t *testing.T) {
	w := newWorld(t, "contoso-eu", "contoso-us")
	for range 3 {
		w.backedUp("contoso-eu")
	}
	known, unknown := w.backup("contoso-eu"), w.backup("contoso-us")
	w.run(time.Minute)
	list, notShown, err := w.e.InFlight(t.Context(), 200)
	if err != nil || len(list) != 2 || notShown != 0 {
		t.Fatalf("%d, not shown %d, %v", len(list), notShown, err)
	}
	for _, op := range list {
		want := map[string]bool{known.ID: true, unknown.ID: false}[op.ID]
		if leg := op.AtWork(); leg == nil || leg.PostedAt.IsZero() || want != (op.UsualSeconds >= 300 && op.UsualSeconds < 400) { // ARM takes five minutes
			t.Errorf("%+v usually takes %v s", op.Operation, op.UsualSeconds)
		}
	}
	if list, notShown, err = w.e.InFlight(t.Context(), 1); err != nil || len(list) != 1 || notShown != 1 {
		t.Errorf("%d, not shown %d, %v", len(list), notShown, err)
	}
	w.run(time.Hour)
	if list, _, err = w.e.InFlight(t.Context(), 200); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	if usual := w.e.Usual(t.Context(), w.operation(known.ID)); usual != 0 {
		t.Errorf("one that has ended takes %v s", usual)
	}
}

func TestOfOperationsInFlightThoseThatCanBeReadAreListed(t *testing.T) {
	w := newWorld(t, "contoso-eu", "contoso-us", "contoso-asia")
	for _, s := range []string{"contoso-eu", "contoso-us", "contoso-asia"} {
		w.backup(s)
	}
	reads := map[error]int{engine.ErrUnreadable: 2, engine.ErrNewer: 2, engine.ErrNotFound: 2}
	for cause, want := range reads {
		var failed atomic.Bool
		w.store.Fail(func(op, key string) error {
			if op == "read" && failed.CompareAndSwap(false, true) {
				return cause
			}
			return nil
		})
		if list, notShown, err := w.e.InFlight(t.Context(), 200); err != nil || len(list) != want || notShown != 0 {
			t.Errorf("%v: %d, not shown %d, %v", cause, len(list), notShown, err)
		}
	}
	outage := errors.New("no route to host")
	w.store.Fail(func(op, key string) error { return outage })
	if _, _, err := w.e.InFlight(t.Context(), 200); !errors.Is(err, outage) {
		t.Errorf("an outage passes for an empty list: %v", err)
	}
	if usual := w.e.Usual(t.Context(), dr.Operation{Legs: []dr.Leg{{Service: "contoso-eu"}}}); usual != 0 {
		t.Errorf("%v", usual)
	}
}
