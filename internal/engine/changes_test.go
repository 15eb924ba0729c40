package engine_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// change reports a change of contoso-eu that was made now.
func (w *world) change() error { return w.changeAt(w.now) }

func (w *world) changeAt(at time.Time) error {
	return w.e.Changed(w.t.Context(), dr.Change{ResourceID: "/x/contoso-eu/apis/echo", At: at, What: "Microsoft.ApiManagement.APIUpdated"})
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// afterChanges lists the backups after changes, in the order of their creation, and fails if anything is left to be remembered.
func (w *world) afterChanges() (list []dr.Operation) {
	w.t.Helper()
	for _, op := range w.ops() {
		if op.Trigger == dr.TriggerChange {
			list = append(list, op)
		}
	}
	w.aside(func() error {
		if names, err := w.store.Pendings(w.t.Context()); err != nil || len(names) > 0 {
			w.t.Errorf("left over: %q, %v", names, err)
		}
		return nil
	})
	return list
}

func TestABurstOfChangesIsOneBackupWhenItIsOver(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	for range 5 {
		w.must(w.change())
		w.run(3 * time.Minute)
		w.now = w.now.Add(time.Minute)
	}
	last := w.now.Add(-time.Minute)
	w.run(2 * time.Hour)
	ops := w.afterChanges()
	if len(ops) != 1 || ops[0].Outcome != dr.Succeeded {
		t.Fatalf("%+v", ops)
	}
	if waited := ops[0].CreatedAt.Sub(last); waited < 5*time.Minute || waited > 15*time.Minute {
		t.Errorf("begun %s after the last change", waited)
	}
	if op := ops[0]; op.RequestedBy != "changes" || !strings.HasPrefix(op.Reason, "5 changes from ") || !strings.HasSuffix(op.Reason, "the last Microsoft.ApiManagement.APIUpdated") {
		t.Errorf("%+v", op)
	}
}

func TestABackupAfterChangesIsInTheTraceOfTheMessageThatBeganIt(t *testing.T) {
	const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	w := newWorld(t, "contoso-eu")
	w.must(w.change())
	w.now = w.now.Add(2 * time.Hour)
	w.must(w.e.RunTick(t.Context(), dr.Tick{V: dr.Version, Plan: "~changes", Service: "contoso-eu", At: w.now}, traceparent))
	if ops := w.afterChanges(); len(ops) != 1 || ops[0].Traceparent != traceparent {
		t.Errorf("%+v", ops)
	}
}

func TestChangesThatNeverEndAreBackedUpEachHour(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	for range 36 { // three hours
		w.must(w.change())
		w.run(4 * time.Minute)
		w.now = w.now.Add(time.Minute)
	}
	w.run(2 * time.Hour)
	if ops := w.afterChanges(); len(ops) < 3 || len(ops) > 4 {
		t.Errorf("%d backups", len(ops))
	}
}

func TestWhatIsNoChangeOfWhatIsBackedUpIsPassedOver(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	s := &w.e.Fleet.Services[0]
	s.Secondaries = []engine.Secondary{{Instance: dr.Instance{Name: "contoso-us", ResourceID: "/x/contoso-us"}}}
	s.Drill = &dr.Instance{Name: "contoso-drill", ResourceID: "/x/contoso-drill"}
	for _, c := range []dr.Change{
		{ResourceID: "/x/contoso-eu", What: "Microsoft.ApiManagement/service/backup/action"},
		{ResourceID: "/x/contoso-eu", What: "Microsoft.ApiManagement/service/restore/action"},
		{ResourceID: "/x/contoso-eu2/apis/echo", What: "w"},
		{ResourceID: "/y/contoso-eu/apis/echo", What: "w"},
		{ResourceID: "/x/contoso-us/apis/echo", What: "w"}, // the standby
		{ResourceID: "/x/contoso-drill/apis/echo", What: "w"},
	} {
		w.must(w.e.Changed(t.Context(), c))
	}
	w.run(3 * time.Hour)
	if ops := w.afterChanges(); len(ops) > 0 {
		t.Errorf("%+v", ops)
	}
	w.aside(func() error {
		return w.store.MergePair(t.Context(), "contoso-eu~contoso-us", func(p dr.Pair) (dr.Pair, bool) {
			p.Home, p.Active, p.ChangedAt = "contoso-eu", "contoso-us", w.now
			return p, true
		})
	})
	w.add("contoso-us")
	w.must(w.e.Changed(t.Context(), dr.Change{ResourceID: "/X/Contoso-US/apis/echo", At: w.now, What: "w"}))
	w.run(3 * time.Hour)
	if ops := w.afterChanges(); len(ops) != 1 || ops[0].Service != "contoso-us" {
		t.Errorf("%+v", ops)
	}
}

func TestAChangeThatABackupHasIsDropped(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	early := w.now
	w.now = w.now.Add(time.Hour)
	if _, err := w.e.Backup(t.Context(), engine.Request{Service: "contoso-eu"}); err != nil {
		t.Fatal(err)
	}
	w.run(time.Hour)
	w.must(w.changeAt(early)) // Event Grid took its time
	w.run(2 * time.Hour)
	if ops := w.afterChanges(); len(ops) > 0 {
		t.Errorf("%+v", ops)
	}
	// One that is noted before the backup, and due after it.
	w.takes = 2 * time.Minute
	w.must(w.change())
	w.now = w.now.Add(5 * time.Minute)
	if _, err := w.e.Backup(t.Context(), engine.Request{Service: "contoso-eu"}); err != nil {
		t.Fatal(err)
	}
	w.run(3 * time.Hour)
	if ops := w.afterChanges(); len(ops) > 0 {
		t.Errorf("%+v", ops)
	}
}

// Whether the change is reported while the backup runs, just before its end is remembered, or long after: the point says so and a follow-up is taken.
func TestAChangeDuringABackupMarksItAndIsFollowedUp(t *testing.T) {
	for _, when := range []string{"during", "between", "within", "after"} {
		w := newWorld(t, "contoso-eu")
		op, err := w.e.Backup(t.Context(), engine.Request{Service: "contoso-eu"})
		w.must(err)
		w.run(3 * time.Minute)
		made := w.now
		report := func() { w.must(w.changeAt(made)) }
		switch when {
		case "during":
			report()
		case "between": // after it was verified, before the end is carried everywhere
			once := true
			w.hook = func(op, key string) error {
				if once && op == "before create" && strings.HasPrefix(key, "recovery-points/") {
					once = false
					report()
				}
				return nil
			}
		}
		if when == "within" { // all of the backup's end comes after what is remembered was read, and before the note
			once := true
			w.hook = func(op, key string) error {
				if once && op == "before create" && strings.HasPrefix(key, "changes/") {
					once = false
					w.run(20 * time.Minute)
				}
				return nil
			}
			w.store.Fail(w.hook)
			report()
		}
		w.run(20 * time.Minute)
		if when == "after" {
			report()
		}
		w.run(3 * time.Hour)
		p, err := w.store.Point(t.Context(), "contoso-eu", op.ID+"-s0-a1")
		if err != nil || !p.Changed {
			t.Errorf("%s: %+v, %v", when, p, err)
		}
		if told := w.events[op.ID][0].Result().RecoveryPoints[0].Changed; told != (when == "during" || when == "between") {
			t.Errorf("%s: the event says %v", when, told)
		}
		// The copy beside the backup, which outlives this storage, says what the event does.
		if body, _, err := w.store.Backups(nightly).Get(t.Context(), op.ID+"-s0-a1.apimdr.json"); err != nil || strings.Contains(string(body), `"changedDuringBackup":true`) != (when == "during" || when == "between") {
			t.Errorf("%s: the copy: %s, %v", when, body, err)
		}
		ops := w.afterChanges()
		if len(ops) != 1 || ops[0].Outcome != dr.Succeeded {
			t.Fatalf("%s: %+v", when, ops)
		}
		if p, err := w.store.Point(t.Context(), "contoso-eu", ops[0].ID+"-s0-a1"); err != nil || p.Changed {
			t.Errorf("%s: the follow-up: %+v, %v", when, p, err)
		}
	}
}

// The event cannot be sent at first, and by the next try the changes were followed up and forgotten.
func TestTheEventOfABackupTellsOfAChangeHoweverLateItIsSent(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	op, err := w.e.Backup(t.Context(), engine.Request{Service: "contoso-eu"})
	w.must(err)
	w.run(3 * time.Minute)
	w.must(w.change())
	failed := 0
	w.busDown = func() error {
		w.aside(func() error {
			now, _, err := w.store.Operation(t.Context(), op.ID)
			if err == nil && now.Phase == dr.Done {
				failed++
				err = w.store.MergePending(t.Context(), "contoso-eu", func(dr.Pending) (dr.Pending, bool) { return dr.Pending{}, true })
			}
			return err
		})
		if failed == 1 {
			return errors.New("out of reach")
		}
		return nil
	}
	w.run(time.Hour)
	if failed < 2 || len(w.events[op.ID]) != 1 || !w.events[op.ID][0].Result().RecoveryPoints[0].Changed {
		t.Errorf("%d sends after the end, %+v", failed, w.events[op.ID])
	}
}

// The marker cannot be deleted at first, so that the event is sent again; Event Grid reports the change between the two.
func TestAnEventThatIsSentAgainSaysTheSameAlthoughAChangeWasReportedSince(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	op, err := w.e.Backup(t.Context(), engine.Request{Service: "contoso-eu"})
	w.must(err)
	w.run(3 * time.Minute)
	made := w.now
	w.hook = func(call, key string) error {
		if call != "before delete" || !strings.HasPrefix(key, "active/") {
			return nil
		}
		w.hook = nil
		w.aside(func() error { return w.changeAt(made) })
		return errors.New("out of reach")
	}
	w.store.Fail(w.hook)
	w.run(3 * time.Hour)
	if len(w.events[op.ID]) != 2 {
		t.Fatalf("%d events", len(w.events[op.ID]))
	}
	for i, e := range w.events[op.ID] {
		if e.Result().RecoveryPoints[0].Changed {
			t.Errorf("event %d tells of the change", i)
		}
	}
	if p, err := w.store.Point(t.Context(), "contoso-eu", op.ID+"-s0-a1"); err != nil || !p.Changed {
		t.Errorf("%+v, %v", p, err)
	}
}

// The invocation is killed once the end is recorded, and before the next one the watchdog passes.
func TestTheEventTellsOfAChangeAlthoughTheWatchdogCameBetween(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	op, err := w.e.Backup(t.Context(), engine.Request{Service: "contoso-eu"})
	w.must(err)
	w.run(3 * time.Minute)
	w.must(w.change())
	w.hook = func(call, key string) error {
		if call != "before create" || !strings.HasPrefix(key, "recovery-points/") {
			return nil
		}
		w.hook = nil
		w.aside(func() error { return w.e.Watch(t.Context()) })
		return errors.New("out of reach")
	}
	w.store.Fail(w.hook)
	w.run(3 * time.Hour)
	if len(w.events[op.ID]) != 1 || !w.events[op.ID][0].Result().RecoveryPoints[0].Changed {
		t.Errorf("%+v", w.events[op.ID])
	}
}

func TestChangesDuringARestoreAreToldAndLeadToNoBackup(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	ids := w.stock(1)
	r, err := w.e.Recover(t.Context(), engine.RecoverRequest{Request: engine.Request{Service: "contoso-eu"}, Kind: dr.KindRestore, Point: ids[0], Confirm: "contoso-eu"})
	w.must(err)
	w.run(2 * time.Minute)
	during := w.now
	for range 3 {
		w.must(w.change())
	}
	w.run(2 * time.Hour)
	w.must(w.changeAt(during)) // late
	w.run(2 * time.Hour)
	if ops := w.afterChanges(); len(ops) > 0 {
		t.Errorf("%+v", ops)
	}
	notes := fmt.Sprint(w.events[r.Operation.ID][0].Result().Evidence)
	if !strings.Contains(notes, "3 changes of contoso-eu were reported while it was restored") {
		t.Errorf("the event says %s", notes)
	}
	w.now = w.now.Add(time.Minute)
	w.must(w.change()) // afterwards
	w.run(3 * time.Hour)
	if ops := w.afterChanges(); len(ops) != 1 {
		t.Errorf("%+v", ops)
	}
}

func TestABackupAfterChangesWaitsForAHold(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	until := w.now.Add(2 * time.Hour)
	_, err := w.e.Hold(t.Context(), engine.HoldRequest{Service: "contoso-eu", Until: until, Reason: "r"})
	w.must(err)
	w.must(w.change())
	w.run(4 * time.Hour)
	if ops := w.afterChanges(); len(ops) != 1 || ops[0].Outcome != dr.Succeeded || ops[0].Leg().PostedAt.Before(until) {
		t.Errorf("%+v", ops)
	}
}

// Wherever a kill falls, and whatever message is lost, the change is in a backup in the end, and there is one backup.
func TestAKillLosesNoChange(t *testing.T) {
	for _, lost := range []bool{false, true} {
		for n, more := 1, true; more; n++ {
			w := newWorld(t, "contoso-eu")
			w.killAt[w.calls+n] = true
			if err := w.survive(w.change); errors.Is(err, errKilled) {
				w.must(w.change()) // it is delivered again
			} else if err != nil {
				t.Fatal(err)
			}
			if lost {
				w.queue = nil
			}
			w.watched(5 * time.Hour)
			more = len(w.killAt) > 0 && w.calls >= n
			clear(w.killAt)
			ops := w.afterChanges()
			if len(ops) != 1 || ops[0].Outcome != dr.Succeeded && ops[0].Leg().Lost+ops[0].Leg().Attempt == 0 { // a POST that was cut off may stay unknown
				t.Fatalf("kill %d, lost %v: %+v", n, lost, ops)
			}
			if n > 60 {
				more = false
			}
		}
	}
}

// watched is run that does not end while changes are pending: the watchdog is all that knows of them.
func (w *world) watched(horizon time.Duration) {
	w.t.Helper()
	for end := w.now.Add(horizon); w.now.Before(end); w.now = w.now.Add(5 * time.Minute) {
		_ = w.survive(func() error { return w.e.Watch(w.t.Context()) })
		w.run(4 * time.Minute)
	}
}

// A change that comes between the reading of what is pending and its end is not lost.
func TestAChangeWhileItsBackupIsCreatedIsFollowedUp(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	w.must(w.change())
	once := true
	w.hook = func(op, key string) error {
		if once && op == "after create" && strings.HasPrefix(key, "operations/") {
			once = false
			w.now = w.now.Add(time.Second)
			w.must(w.change())
		}
		return nil
	}
	w.store.Fail(w.hook)
	w.run(20 * time.Minute)
	w.now = w.now.Add(time.Hour)
	w.run(4 * time.Hour)
	for _, op := range w.afterChanges() {
		t.Log(op.ID, op.CreatedAt, op.Reason)
	}
	// The second change is later than the first backup began, or it is in it.
	p, err := w.store.Points(t.Context(), "contoso-eu")
	if err != nil || len(p) == 0 || p[0].CreatedAt.Before(t0.Add(10*time.Minute)) || once {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestAChangeThatCannotBeNotedIsNotedLater(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	down := true
	w.store.Fail(func(op, key string) error {
		if down && strings.HasPrefix(key, "changes/") {
			return errors.New("out of reach")
		}
		return nil
	})
	w.must(w.change())
	w.run(20 * time.Minute)
	down = false
	w.run(3 * time.Hour)
	if ops := w.afterChanges(); len(ops) != 1 || ops[0].Outcome != dr.Succeeded {
		t.Errorf("%+v", ops)
	}
	// Without Service Bus either, the message itself is delivered again.
	w.store.Fail(func(op, key string) error { return errors.New("out of reach") })
	w.busDown = func() error { return errors.New("out of reach, too") }
	if err := w.change(); err == nil {
		t.Error("completed, and known to nobody")
	}
	w.busDown = nil
	w.store.Fail(nil)
}

// A backup may run for hours: what changes meanwhile marks it, and is followed up once.
func TestChangesDuringALongBackupMarkItAndHaveOneFollowUp(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	w.takes = 4 * time.Hour
	op, err := w.e.Backup(t.Context(), engine.Request{Service: "contoso-eu"})
	w.must(err)
	w.run(5 * time.Minute)
	for range 6 {
		w.must(w.change())
		w.run(29 * time.Minute)
		w.now = w.now.Add(time.Minute)
	}
	w.takes = 5 * time.Minute
	w.watched(4 * time.Hour)
	p, err := w.store.Point(t.Context(), "contoso-eu", op.ID+"-s0-a1")
	if err != nil || !p.Changed || !w.events[op.ID][0].Result().RecoveryPoints[0].Changed {
		t.Errorf("%+v, %v", p, err)
	}
	ops := w.afterChanges()
	if len(ops) != 1 || ops[0].Outcome != dr.Succeeded || ops[0].Leg().PostedAt.Before(p.EndedAt) {
		t.Errorf("%d follow-ups: %+v", len(ops), ops)
	}
}
