package engine_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

func TestATickBacksEveryServiceUpOnce(t *testing.T) {
	w := newWorld(t, "contoso-eu", "contoso-us")
	for range 3 { // the timer, again, and the watchdog
		if err := w.e.SendTicks(t.Context(), dr.KindBackup); err != nil {
			t.Fatal(err)
		}
	}
	w.run(time.Hour)
	if err := w.e.SendTicks(t.Context(), dr.KindBackup); err != nil {
		t.Fatal(err)
	}
	w.run(time.Hour)
	w.mustHold(2)
	for _, op := range w.ops() {
		if op.ID != dr.TickID(dr.KindBackup, "nightly", op.Service, t0) || op.Outcome != dr.Succeeded || op.Trigger != dr.TriggerTimer {
			t.Errorf("%s %s %s", op.ID, op.Outcome, op.Trigger)
		}
	}
	w.now = t0.Add(24*time.Hour - 20*time.Second) // timers fire a little early
	if err := w.e.SendTicks(t.Context(), dr.KindBackup); err != nil {
		t.Fatal(err)
	}
	w.run(time.Hour)
	w.mustHold(4)
}

// The process stands still between marker and record until the watchdog has swept up the marker: the first wake marks the operation again.
func TestAnOperationThatWasCreatedTooSlowlyIsMarkedAgain(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	w.hook = func(op, key string) error {
		if op != "before create" || !strings.HasPrefix(key, "operations/") {
			return nil
		}
		w.hook = nil
		w.now = w.now.Add(2 * time.Hour)
		w.aside(func() error { return w.e.Watch(t.Context()) })
		if left := w.markers(); len(left) > 0 {
			t.Errorf("it is marked still: %+v", left)
		}
		return nil
	}
	w.store.Fail(w.hook)
	op, err := w.e.Backup(t.Context(), engine.Request{Service: "contoso-eu"})
	w.must(err)
	w.onStart = func(dr.Leg) *dr.Answer {
		if left := w.markers(); len(left) != 1 || left[0].Wake.ID != op.ID || !left[0].Wake.Lease.After(w.now.Add(w.e.Timing.PostWindow)) {
			t.Errorf("%+v", left)
		}
		return nil
	}
	w.run(30 * time.Second)
	if len(w.posts) != 1 {
		t.Errorf("%d POSTs", len(w.posts))
	}
}

// The first wake comes when the lease that it was sent with has almost run out: the watchdog would come in the middle of the POST.
func TestAWakeThatComesLateIsMarkedAnewBeforeItsPOST(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	w.backup("contoso-eu")
	w.now = w.now.Add(w.e.Timing.Lease - time.Second)
	w.onStart = func(dr.Leg) *dr.Answer {
		if left := w.markers(); len(left) != 1 || !left[0].Wake.Lease.After(w.now.Add(w.e.Timing.PostWindow)) {
			t.Errorf("%+v", left)
		}
		return nil
	}
	if w.run(time.Minute); len(w.posts) != 1 {
		t.Errorf("%d POSTs", len(w.posts))
	}
}

// The same tick is carried out twice at once: what the other one creates after this one has looked what there is stays as it is.
func TestATickThatComesTwiceAtOnceMakesOneOperation(t *testing.T) {
	for _, moment := range []string{"active/", "operations/"} {
		w := newWorld(t, "contoso-eu")
		twice := 0
		w.hook = func(op, key string) error {
			if op == "before create" && strings.HasPrefix(key, moment) && twice == 0 {
				twice++
				w.aside(func() error { return w.e.RunTick(t.Context(), dr.Tick{V: dr.Version, Plan: "nightly", At: t0}, "") })
			}
			return nil
		}
		w.store.Fail(w.hook)
		w.must(w.e.RunTick(t.Context(), dr.Tick{V: dr.Version, Plan: "nightly", At: t0}, ""))
		if twice != 1 {
			t.Errorf("%s: %d times", moment, twice)
		}
		w.run(time.Hour)
		w.mustHold(1)
	}
}

func TestTheWatchdogCatchesAMissedTickUpButStartsNoNewPlan(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	if err := w.e.Watch(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.run(time.Hour)
	w.mustHold(0)
	w.now = t0.Add(25 * time.Hour) // the next night's timer never fired
	if err := w.e.Watch(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.run(time.Hour)
	w.mustHold(1)
}

func TestATickThatNoPlanHasIsDropped(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	w.now = t0.Add(time.Hour)
	for _, tick := range []dr.Tick{
		{Plan: "nightly", At: t0.AddDate(-20, 0, 0)}, {Plan: "nightly", At: t0.AddDate(0, 0, -1)},
		{Plan: "weekly", At: t0}, {Plan: "nightly", At: t0.Add(time.Minute)}, {Plan: "nightly", At: t0.AddDate(0, 0, 1)},
	} {
		if err := w.e.RunTick(t.Context(), tick, ""); err != nil {
			t.Error(err)
		}
	}
	w.mustHold(0)
}

func TestATickIsFinishedAfterAnOutage(t *testing.T) {
	w := newWorld(t, "contoso-a", "contoso-b", "contoso-c")
	if err := w.e.SendTicks(t.Context(), dr.KindBackup); err != nil {
		t.Fatal(err)
	}
	var creates atomic.Int32
	w.hook = func(op, key string) error {
		if op == "before create" && strings.HasPrefix(key, "operations/") {
			if creates.Add(1) == 2 {
				return errors.New("no route to host")
			}
		}
		return nil
	}
	w.store.Fail(w.hook)
	w.run(24*time.Hour - time.Minute)
	w.mustHold(3)
}

func TestStartsAreSpreadOverTheWindow(t *testing.T) {
	var names []string
	for i := range 60 {
		names = append(names, fmt.Sprint("contoso-", i))
	}
	w := newWorld(t, names...)
	w.e.Fleet.Plans[0].Spread = time.Hour
	if err := w.e.RunTick(t.Context(), dr.Tick{Plan: "nightly", At: t0}, ""); err != nil {
		t.Fatal(err)
	}
	quarters := map[int]int{}
	for _, m := range w.queue {
		quarters[int(m.due.Sub(t0)/(15*time.Minute))]++
	}
	for q := range 4 {
		if quarters[q] < 5 {
			t.Errorf("quarter %d of the window has %d of 60 starts", q, quarters[q])
		}
	}
}

func TestAnIdempotencyKeyIsOneOperation(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	r := engine.Request{Service: "contoso-eu", KeyHash: strings.Repeat("a", 64), BodyHash: "b1"}
	first, err := w.e.Backup(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	again, err := w.e.Backup(t.Context(), r)
	if err != nil || again.ID != first.ID {
		t.Errorf("again: %s, %v", again.ID, err)
	}
	r.BodyHash = "b2"
	if _, err := w.e.Backup(t.Context(), r); !errors.Is(err, engine.ErrKeyReused) {
		t.Errorf("another body: %v", err)
	}
	w.run(time.Hour)
	w.mustHold(1)
	r.BodyHash = "b1"
	if done, err := w.e.Backup(t.Context(), r); err != nil || done.ID != first.ID || done.Outcome != dr.Succeeded {
		t.Errorf("after its end: %+v, %v", done, err)
	}
	w.run(time.Hour)
	w.mustHold(1)
}

// It was accepted with its record: the caller's retry hears that, even if no message can be sent.
func TestARetryDuringAnOutageOfTheBusIsAccepted(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	w.busDown = func() error { return errors.New("no route to host") }
	r := engine.Request{Service: "contoso-eu", KeyHash: strings.Repeat("a", 64), BodyHash: "b1"}
	for range 2 {
		if _, err := w.e.Backup(t.Context(), r); err != nil {
			t.Error(err)
		}
	}
	w.busDown = nil
	w.run(time.Hour)
	w.mustHold(1)
}

// A caller that asks again and again, while the service is busy, does not multiply the work.
func TestRetriesWithAKeyMakeNoFurtherWakes(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	w.services["contoso-eu"].view.State = "Updating"
	r := engine.Request{Service: "contoso-eu", KeyHash: strings.Repeat("a", 64), BodyHash: "b1"}
	for range 30 {
		if _, err := w.e.Backup(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		w.run(11 * time.Minute)
	}
	if len(w.queue) != 1 {
		t.Errorf("%d wakes for one operation", len(w.queue))
	}
}

// Killed anywhere while it is created: the caller got no answer, and its retry with the same key is the same operation.
func TestAKilledCreationIsRepaired(t *testing.T) {
	for k := 1; ; k++ {
		w := newWorld(t, "contoso-eu")
		w.killAt = map[int]bool{k: true}
		r := engine.Request{Service: "contoso-eu", KeyHash: strings.Repeat("a", 64), BodyHash: "b1"}
		create := func() error { _, err := w.e.Backup(t.Context(), r); return err }
		err := w.survive(create)
		if err == nil {
			break
		}
		if !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		if err := w.survive(create); err != nil {
			t.Fatal(err)
		}
		w.run(24*time.Hour - time.Minute)
		if wrong := w.check(1); len(wrong) > 0 || w.only().Outcome != dr.Succeeded {
			t.Fatalf("killed at call %d: %s", k, strings.Join(wrong, "\n"))
		}
	}
}

func TestAnUnknownServiceIsNamedWithThoseThatAreKnown(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	_, err := w.e.Backup(t.Context(), engine.Request{Service: "contoso-asia"})
	if !errors.Is(err, engine.ErrUnknownService) || !strings.Contains(err.Error(), "contoso-eu") {
		t.Error(err)
	}
	w.mustHold(0)
}

func TestAMarkerWithoutARecordIsSweptUpLate(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	id := dr.NewID(dr.KindBackup, t0, "killed before its record")
	if err := w.store.Mark(t.Context(), dr.Wake{V: 1, ID: id, Lease: t0.Add(10 * time.Minute)}); err != nil {
		t.Fatal(err)
	}
	w.now = t0.Add(50 * time.Minute)
	if err := w.e.Watch(t.Context()); err != nil || w.atRest() {
		t.Fatalf("swept up while its creation may be under way: %v", err)
	}
	w.now = t0.Add(61 * time.Minute)
	if err := w.e.Watch(t.Context()); err != nil || !w.atRest() {
		t.Fatalf("not swept up: %v", err)
	}
}

func TestADeadLetterOfAQueuedOperationFailsItWithTheReason(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	op := w.backup("contoso-eu")
	w.queue = nil
	if err := w.e.Bury(t.Context(), dr.Wake{V: 1, ID: op.ID}, dr.Failure("DeadLettered", "MaxDeliveryCountExceeded")); err != nil {
		t.Fatal(err)
	}
	w.mustHold(1)
	if got := w.only(); got.Outcome != dr.Failed || got.Error.Message != "MaxDeliveryCountExceeded" {
		t.Errorf("%s %v", got.Outcome, got.Error)
	}
}
