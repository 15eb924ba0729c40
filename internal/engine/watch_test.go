package engine_test

import (
	"slices"
	"testing"
	"time"

	"apim-dr/internal/dr"
)

// A lock can be handed to an operation that has ended while it was next in line, and then no marker leads to it.
func TestTheWatchdogFreesTheLockOfWhatIsDone(t *testing.T) {
	w := newWorld(t, "contoso-eu", "contoso-us")
	done, works := w.backedUp("contoso-eu").Operation, w.backup("contoso-us")
	w.run(2 * time.Minute)
	w.aside(func() error { _, err := w.store.Lock(t.Context(), "contoso-eu", done, "n"); return err })
	if err := w.e.Watch(t.Context()); err != nil {
		t.Fatal(err)
	}
	locks, err := w.store.Locks(t.Context())
	if err != nil || len(locks) != 1 || locks["contoso-us"] != works.ID {
		t.Errorf("%v, %v", locks, err)
	}
}

// The Location that ARM named last travels in messages and in the marker: who is woken goes on with that one.
func TestTheWatchdogWakesWithTheLastLocation(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	w.takes = 2 * time.Hour
	last := armHost + "operationresults/later"
	w.onPoll = func() *dr.Answer { return &dr.Answer{Verdict: dr.Still, Location: last, Retry: 20 * time.Minute} }
	op := w.backup("contoso-eu")
	w.run(4 * time.Minute) // one poll; the next is late enough for the lease to be moved
	w.queue = nil          // and gets lost
	w.run(40 * time.Minute)
	healed := slices.IndexFunc(w.past, func(m message) bool { return m.wake != nil && m.wake.ID == op.ID && m.wake.Epoch > 0 })
	if healed < 0 {
		t.Fatal("it was not woken")
	}
	if got := w.past[healed].wake; got.Location != last || got.Attempt != 1 {
		t.Errorf("woken with %+v", got)
	}
}

// A storage account for backups that stays away holds lock and event back for a while, and not for ever.
func TestAnAccountThatStaysAwayHoldsNoEventBackForLong(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	w.failing("before create", nightly.Account+"/", -1)
	op := w.backup("contoso-eu")
	w.run(20 * time.Minute)
	if len(w.events[op.ID]) > 0 || w.operation(op.ID).Outcome != dr.Succeeded {
		t.Fatalf("%s, %d events: the recovery point may still be recorded", w.operation(op.ID).Outcome, len(w.events[op.ID]))
	}
	w.run(time.Hour)
	w.mustHold(1)
}

// A tick that could not be carried out comes again as another message: as the same it would be dropped as a duplicate.
func TestATickThatFailsComesAgain(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	w.failing("read", "services/", 3)
	if err := w.e.SendTicks(t.Context(), dr.KindBackup); err != nil {
		t.Fatal(err)
	}
	if w.run(4 * time.Minute); len(w.posts) != 1 {
		t.Errorf("%d backups within four minutes", len(w.posts))
	}
}
