package engine_test

import (
	"errors"
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

// A storage account for backups that stays away holds the event back for a while, and not for ever.
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

// Where a restore's POST went unanswered the service tells enough: that the backups' storage is out of reach holds nothing up.
func TestALostRestoreIsLookedIntoWithoutTheStorage(t *testing.T) {
	w := newPair(t, false)
	w.backedUp("contoso-eu")
	w.onPost = func() (*dr.Answer, bool) { w.onPost = nil; return &dr.Answer{Verdict: dr.Lost, Reason: "reset"}, false }
	w.failing("head", nightly.Account+"/", -1)
	if op := w.ended(w.ask(failover(nil)).Operation.ID, 2*time.Hour); op.Outcome != dr.Succeeded || len(w.restores) != 2 {
		t.Errorf("%s %v, restores %v", op.Outcome, op.Error, w.restores)
	}
}

// Roles that can no longer be read once a warm sync was let through keep it from overwriting anything until they can.
func TestAWarmSyncWhoseRolesGetLostWaits(t *testing.T) {
	w := newPair(t, true)
	w.backup("contoso-eu")
	w.run(3 * time.Minute)
	noted, lost := false, 0
	w.hook = func(call, at string) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if at != "pairs/contoso-eu~7Econtoso-us" {
			return nil
		}
		noted = noted || call == "after create" || call == "after replace" // by the sync: it is at work
		if noted && call == "read" && lost < 2 {
			lost++
			if len(w.restores) > 0 {
				t.Error("it was POSTed before they were looked at")
			}
			return errors.New("storage 503")
		}
		return nil
	}
	w.store.Fail(w.hook)
	w.run(4 * time.Minute)
	if lost != 2 {
		t.Fatalf("%d reads failed", lost)
	}
	sync := slices.IndexFunc(w.ops(), func(op dr.Operation) bool { return op.Trigger == dr.TriggerBackup })
	if op := w.ops()[sync]; op.Yields == 0 {
		t.Errorf("it did not wait: %s, %q, restores %v", op.Phase, op.Waiting, w.restores)
	}
	if w.run(time.Hour); len(w.restores) != 1 {
		t.Errorf("restores %v", w.restores)
	}
}

// The wake that is to finish what was abandoned is a new send: under the id of the first wake it would be dropped as its duplicate.
func TestWhatWasAbandonedIsFinishedSoon(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	op := w.backup("contoso-eu")
	w.queue = nil
	down := true
	w.busDown = func() error {
		defer func() { down = false }()
		if down { // the event cannot be published, and the wake after it can be sent
			return errors.New("no route to host")
		}
		return nil
	}
	if _, err := w.e.Abandon(t.Context(), op.ID, "ann", ""); err != nil {
		t.Fatal(err)
	}
	if len(w.queue) != 1 {
		t.Fatalf("%d messages", len(w.queue))
	}
	w.run(time.Minute)
	w.mustHold(1)
}
