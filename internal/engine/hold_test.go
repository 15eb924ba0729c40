package engine_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/store"
)

func (w *world) hold(service string, d time.Duration) {
	w.t.Helper()
	w.aside(func() error {
		_, err := w.e.Hold(w.t.Context(), engine.HoldRequest{Service: service, Until: w.now.Add(d), Reason: "a deployment", By: "ann"})
		return err
	})
}

func (w *world) release(service string) (ended dr.Held) {
	w.t.Helper()
	w.aside(func() (err error) { ended, err = w.e.Release(w.t.Context(), service, "ann", "done"); return err })
	return ended
}

func (w *world) busy(service string) (b engine.Busy) {
	w.t.Helper()
	w.aside(func() (err error) { b, err = w.e.Busy(w.t.Context(), service); return err })
	return b
}

func (w *world) until(at time.Time) {
	w.t.Helper()
	w.run(at.Sub(w.now))
	w.now = at
}

// due lets the timers fire.
func (w *world) due() {
	w.t.Helper()
	for _, kind := range []dr.Kind{dr.KindBackup, dr.KindDrill} {
		if err := w.e.SendTicks(w.t.Context(), kind); err != nil {
			w.t.Fatal(err)
		}
	}
}

func TestAHoldKeepsAwayWhatBeginsByItselfAndNoCall(t *testing.T) {
	w := newPair(t, true)
	w.now = time.Date(2026, 2, 1, 3, 0, 0, 0, time.UTC) // the plan's time, two hours before that of the drills
	end := w.now.Add(4 * time.Hour)
	w.hold("contoso-eu", 4*time.Hour)
	w.due()
	asked := w.backedUp("contoso-eu")
	if w.until(end.Add(-3 * time.Hour)); len(w.posts) != 1 || len(w.restores) > 0 {
		t.Fatalf("backups %v, and into the standby %v", w.posts, w.restores)
	}
	w.until(end.Add(-2 * time.Hour))
	w.due()
	w.until(end.Add(-time.Hour))
	op := w.ask(failover(nil)).Operation
	w.until(end.Add(-time.Second))
	if op = w.operation(op.ID); op.Outcome != dr.Succeeded || len(w.posts) != 1 || !slices.Equal(w.restores, []string{asked.ID + " into contoso-us"}) {
		t.Errorf("failover %s %v; begun in the hold: %v, %v", op.Outcome, op.Error, w.posts, w.restores)
	}
	if w.until(end.Add(time.Hour)); len(w.posts) != 2 || len(w.restores) != 2 || !strings.HasSuffix(w.restores[1], "into contoso-drill") {
		t.Errorf("after the hold: %v, %v", w.posts, w.restores)
	}
}

// It does not matter which of the two instances of a warm pair, or whether the drill instance, is held.
func TestAHoldOfWhatIsOverwritten(t *testing.T) {
	for service, want := range map[string]string{"contoso-us": "contoso-drill", "contoso-drill": "contoso-us"} {
		w := newPair(t, true)
		w.now = time.Date(2026, 2, 1, 4, 0, 0, 0, time.UTC)
		w.hold(service, 24*time.Hour)
		w.backup("contoso-eu")
		w.until(time.Date(2026, 2, 1, 5, 0, 0, 0, time.UTC))
		w.due()
		if w.until(time.Date(2026, 2, 2, 2, 59, 0, 0, time.UTC)); len(w.restores) != 1 || !strings.HasSuffix(w.restores[0], " into "+want) {
			t.Errorf("%s is held: %v", service, w.restores)
		}
	}
}

func TestAWarmSyncThatWaitsIsHeld(t *testing.T) {
	w := newPair(t, true)
	w.services["contoso-us"].view.State = "Updating"
	w.backedUp("contoso-eu")
	w.hold("contoso-us", time.Hour)
	end := w.now.Add(time.Hour)
	w.services["contoso-us"].view.State = "Succeeded"
	if w.until(end.Add(-time.Second)); len(w.restores) > 0 {
		t.Errorf("in the hold: %v", w.restores)
	}
	if w.until(end.Add(30 * time.Minute)); len(w.restores) != 1 {
		t.Errorf("after it: %v", w.restores)
	}
}

// A backup that is held until the next one is due is given up then, and says why; so a release before that brings it.
func TestAHoldUntilTheNextTick(t *testing.T) {
	for name, released := range map[string]time.Duration{"kept": 0, "released": 10 * time.Hour} {
		w := newWorld(t, "contoso-eu")
		w.hold("contoso-eu", 25*time.Hour)
		w.due()
		if released > 0 {
			w.until(t0.Add(released))
			w.release("contoso-eu")
		}
		w.until(t0.Add(24 * time.Hour))
		if got := len(w.postedAt); got != map[bool]int{true: 1}[released > 0] {
			t.Errorf("%s: %d backups in the first day", name, got)
		}
		w.due()
		w.until(t0.Add(30 * time.Hour))
		for _, wrong := range w.check(2) {
			t.Errorf("%s: %s", name, wrong)
		}
		first := w.ops()[slices.IndexFunc(w.ops(), func(op dr.Operation) bool { return op.CreatedAt.Equal(t0) })]
		if released == 0 && (first.Outcome != dr.Rejected || !strings.Contains(first.Error.Message, "is held until") || len(w.postedAt) != 1) {
			t.Errorf("%s: %s %v, %d backups", name, first.Outcome, first.Error, len(w.postedAt))
		}
	}
}

// What was created before the hold waits for its end, also for an early one, as does what is due in it, but not past the next backup.
func TestAHoldStopsWhatWaitsForItsTurn(t *testing.T) {
	for name, row := range map[string]struct {
		before        bool // it was held before the tick
		hold, release time.Duration
		begun         time.Duration // after the tick; 0: never
	}{
		"due in the hold":              {before: true, hold: 30 * time.Minute, begun: 30 * time.Minute},
		"due in the hold and released": {before: true, hold: 23 * time.Hour, release: 40 * time.Minute, begun: 45 * time.Minute},
		"due in a long hold":           {before: true, hold: 19 * time.Hour, begun: 19 * time.Hour},
		"until its end":                {hold: 30 * time.Minute, begun: 30 * time.Minute},
		"released":                     {hold: 24 * time.Hour, release: 40 * time.Minute, begun: 45 * time.Minute},
		"too long":                     {hold: 25 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "contoso-eu")
			if row.before {
				w.hold("contoso-eu", row.hold)
			}
			if err := w.e.RunTick(t.Context(), dr.Tick{V: dr.Version, Plan: "nightly", At: t0}, ""); err != nil {
				t.Fatal(err)
			}
			if !row.before {
				w.hold("contoso-eu", row.hold)
			}
			w.until(t0.Add(time.Minute))
			asked := w.backup("contoso-eu").ID
			if w.until(t0.Add(10 * time.Minute)); w.operation(asked).Outcome != dr.Succeeded {
				t.Errorf("whoever asks waits for what is held: %+v", w.operation(asked))
			}
			if row.release > 0 {
				w.until(t0.Add(row.release))
				w.release("contoso-eu")
			}
			w.run(25 * time.Hour)
			op := w.ops()[slices.IndexFunc(w.ops(), func(op dr.Operation) bool { return op.ID == dr.TickID(dr.KindBackup, "nightly", "contoso-eu", t0) })]
			for _, wrong := range w.check(map[bool]int{false: 2, true: 3}[row.begun == 0]) { // the next night's
				t.Error(wrong)
			}
			switch {
			case row.begun == 0:
				if op.Outcome != dr.Rejected || !strings.Contains(op.Error.Message, "contoso-eu is held until 2026-01-06T04:00:00Z by ann: a deployment") || op.EndedAt.Sub(t0) < 24*time.Hour || op.EndedAt.Sub(t0) > 24*time.Hour+time.Minute {
					t.Errorf("%s at %s: %v", op.Outcome, op.EndedAt, op.Error)
				}
			case op.Outcome != dr.Succeeded, len(w.postedAt) != 2, w.postedAt[1].Sub(t0) < row.begun, w.postedAt[1].Sub(t0) > row.begun+time.Minute:
				t.Errorf("%s, begun at %s", op.Outcome, w.postedAt)
			}
		})
	}
}

// Only what has a schedule is left to its next time; and a timer that fires a little early is not the next time.
func TestHowLongAHoldIsWaitedFor(t *testing.T) {
	ended := func(w *world, trigger dr.Trigger) dr.Operation {
		ops := w.ops()
		i := slices.IndexFunc(ops, func(op dr.Operation) bool { return op.Trigger == trigger && op.Phase == dr.Done })
		if i < 0 {
			t.Fatalf("no %s has ended", trigger)
		}
		return ops[i]
	}
	t.Run("by a backup after changes", func(t *testing.T) {
		w := newWorld(t, "contoso-eu")
		w.hold("contoso-eu", 30*time.Hour)
		w.must(w.change())
		w.until(t0.Add(32 * time.Hour))
		if op := ended(w, dr.TriggerChange); op.Outcome != dr.Succeeded || op.EndedAt.Sub(t0) < 30*time.Hour {
			t.Errorf("%s at %s: %v", op.Outcome, op.EndedAt, op.Error)
		}
	})
	t.Run("by a warm sync", func(t *testing.T) {
		w := newPair(t, true)
		w.hold("contoso-us", 20*time.Hour)
		w.backup("contoso-eu")
		w.until(t0.Add(13 * time.Hour))
		if op := ended(w, dr.TriggerBackup); op.Outcome != dr.Rejected || op.EndedAt.Sub(op.CreatedAt) < w.e.Timing.StartWithin {
			t.Errorf("%s at %s: %v", op.Outcome, op.EndedAt, op.Error)
		}
	})
	t.Run("by a backup whose tick came early", func(t *testing.T) {
		w := newWorld(t, "contoso-eu")
		w.now = t0.Add(-dr.TickLead / 2)
		w.hold("contoso-eu", 20*time.Hour)
		w.must(w.e.RunTick(t.Context(), dr.Tick{V: dr.Version, Plan: "nightly", At: t0}, ""))
		w.until(t0.Add(23 * time.Hour))
		if op := ended(w, dr.TriggerTimer); op.Outcome != dr.Succeeded {
			t.Errorf("%s at %s: %v", op.Outcome, op.EndedAt, op.Error)
		}
	})
}

// A pipeline holds an instance and asks whether it is busy: if not, nothing begins until the hold ends, whenever the two fall between the calls of
// a scheduled backup.
func TestWhatIsHeldAndNotBusyStaysSo(t *testing.T) {
	seen := map[bool]int{} // by what the answer was
	for n := 1; ; n++ {
		w := newWorld(t, "contoso-eu")
		w.due()
		w.calls = 0
		free, asked := false, false
		w.between = map[int]func(){n: func() {
			asked = true
			w.hold("contoso-eu", 2*time.Hour)
			free = !w.busy("contoso-eu").Busy
		}}
		w.run(time.Hour)
		if !asked {
			break
		}
		seen[free]++
		if free && len(w.posts) > 0 && w.postedAt[len(w.postedAt)-1].After(t0) {
			// What had ended before is no harm.
			if op := w.ops()[0]; op.Phase != dr.Done || op.EndedAt.After(w.postedAt[0].Add(w.takes+time.Minute)) {
				t.Errorf("call %d: not busy, and then %v at %s", n, w.posts, w.postedAt)
			}
		}
	}
	if seen[true] < 5 || seen[false] < 5 {
		t.Errorf("too few cases: %v", seen)
	}
}

func TestWindowsAreKeptByWhatBeginsByItself(t *testing.T) {
	w := newPair(t, true)
	w.e.Fleet.Plans[0].NotDuring = []dr.Window{{From: 2 * time.Hour, To: 4 * time.Hour}, {From: 5 * time.Hour, To: 8 * time.Hour}}
	w.now = time.Date(2026, 2, 1, 3, 0, 0, 0, time.UTC)
	w.takes = 50 * time.Minute
	w.due()
	w.until(time.Date(2026, 2, 1, 4, 55, 0, 0, time.UTC)) // the backup ends before five, so that the standby follows in time
	if len(w.posts) != 1 || !w.postedAt[0].Equal(time.Date(2026, 2, 1, 4, 0, 0, 0, time.UTC)) || len(w.restores) != 1 {
		t.Fatalf("%v and %v at %s", w.posts, w.restores, w.postedAt)
	}
	w.until(time.Date(2026, 2, 1, 5, 45, 0, 0, time.UTC))
	asked := w.backup("contoso-eu")
	w.due()
	w.until(time.Date(2026, 2, 1, 7, 59, 59, 0, time.UTC))
	if got := w.operation(asked.ID); got.Outcome != dr.Succeeded || len(w.restores) != 2 || !strings.HasSuffix(w.restores[1], "into contoso-drill") {
		t.Errorf("in the window: what was asked for %s, restored %v", got.Outcome, w.restores)
	}
	if w.until(time.Date(2026, 2, 1, 9, 0, 0, 0, time.UTC)); len(w.restores) != 3 || !strings.HasSuffix(w.restores[2], "into contoso-us") {
		t.Errorf("after the window: %v", w.restores)
	}
}

func TestWhetherAnInstanceIsBusy(t *testing.T) {
	w := newPair(t, true)
	free := engine.Busy{Service: "contoso-eu", State: "Succeeded", NextBackup: t0.AddDate(0, 0, 1)}
	if got := w.busy("CONTOSO-EU"); fmt.Sprint(got) != fmt.Sprint(free) {
		t.Errorf("%+v", got)
	}
	op := w.backup("contoso-eu")
	w.run(2 * time.Minute)
	if got := w.busy("contoso-eu"); !got.Busy || *got.Operation != (engine.Holder{ID: op.ID, Kind: dr.KindBackup, Phase: dr.Running}) || got.State != "Updating" || len(got.Why) != 2 {
		t.Errorf("%+v", got)
	}
	w.run(time.Hour)
	if got := w.busy("contoso-eu"); got.Busy || got.Operation != nil {
		t.Errorf("%+v", got)
	}
	w.services["contoso-us"].view.State = "Updating"
	if got := w.busy("contoso-us"); !got.Busy || got.Operation != nil || !got.NextBackup.IsZero() {
		t.Errorf("changed by others: %+v", got)
	}
	w.asleep["contoso-us"] = true
	if got := w.busy("contoso-us"); !got.Busy || got.State != "unknown" || len(got.Why) != 1 {
		t.Errorf("out of sight: %+v", got)
	}
	w.hold("contoso-eu", 23*time.Hour)
	if got := w.busy("contoso-eu"); got.Busy || got.Hold.By != "ann" || !got.NextBackup.Equal(t0.AddDate(0, 0, 1)) {
		t.Errorf("held: %+v", got)
	}
	w.hold("contoso-eu", 100*time.Hour)
	if got := w.busy("contoso-eu"); !got.NextBackup.IsZero() {
		t.Errorf("held over the next: %+v", got)
	}
	w.release("contoso-eu")
	if got := w.busy("contoso-eu"); !got.Hold.Until.IsZero() {
		t.Errorf("released: %+v", got)
	}
	if _, err := w.e.Busy(t.Context(), "contoso-xx"); !errors.Is(err, engine.ErrUnknownService) {
		t.Error(err)
	}
}

// A tick's backups are spread: one whose time is still to come is the next one, also when its tick is over.
func TestTheNextBackupMayBeThatOfTheLastTick(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	w.e.Fleet.Plans[0].Spread = 2 * time.Hour
	next := func(now time.Time) time.Time { w.now = now; return w.busy("contoso-eu").NextBackup }
	begins := next(t0.Add(-time.Hour))
	if spread := begins.Sub(t0); spread < time.Minute || spread > 2*time.Hour {
		t.Fatalf("begins %s after its tick", spread)
	}
	for now, want := range map[time.Time]time.Time{t0: begins, begins.Add(-time.Second): begins, begins: begins.AddDate(0, 0, 1)} {
		if got := next(now); !got.Equal(want) {
			t.Errorf("at %s: %s, want %s", now, got, want)
		}
	}
	w.now = begins
	w.hold("contoso-eu", time.Hour)
	if got := w.busy("contoso-eu").NextBackup; !got.Equal(begins.AddDate(0, 0, 1)) {
		t.Errorf("what has begun begins again after a hold: %s", got)
	}
	w.now = t0.Add(time.Second)
	w.hold("contoso-eu", 3*time.Hour)
	if got := w.busy("contoso-eu").NextBackup; got.Before(w.now.Add(3*time.Hour)) || got.After(t0.Add(5*time.Hour+time.Second)) {
		t.Errorf("held: %s", got)
	}
}

// What a newer version keeps of a service may be a hold: nothing begins by itself, and the instance counts as busy. What cannot be read at all keeps nobody away.
func TestWhetherItIsHeldCannotBeRead(t *testing.T) {
	for body, posts := range map[string]int{`{"v":2}`: 0, `nonsense`: 1} {
		w := newWorld(t, "contoso-eu")
		w.aside(func() error {
			_, err := w.store.State.Create(t.Context(), "services/contoso-eu", store.Content{Body: []byte(body)})
			return err
		})
		if got := w.busy("contoso-eu"); !got.Busy || len(got.Why) != 1 {
			t.Errorf("%s: %+v", body, got)
		}
		w.due()
		w.until(t0.Add(15 * time.Hour))
		for _, wrong := range w.check(1) {
			t.Errorf("%s: %s", body, wrong)
		}
		if len(w.posts) != posts {
			t.Errorf("%s: %d backups", body, len(w.posts))
		}
	}
}

// A lock that nobody can read keeps everybody away; one whose holder is done keeps nobody.
func TestALockThatSaysLittle(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	done := w.backedUp("contoso-eu").Operation
	id := w.backup("contoso-eu").ID
	for body, busy := range map[string]bool{`{}`: true, `{"v":1,"operation":"` + id + `"}`: true, `{"v":1,"operation":"20260101-backup-00000000000000000000"}`: false, `{"v":1,"operation":"` + done + `"}`: false} {
		w.aside(func() error {
			_ = w.store.State.Delete(t.Context(), "locks/contoso-eu", "")
			_, err := w.store.State.Create(t.Context(), "locks/contoso-eu", store.Content{Body: []byte(body)})
			return err
		})
		if got := w.busy("contoso-eu"); got.Busy != busy {
			t.Errorf("%s: %+v", body, got)
		}
	}
}

func TestAHoldIsShownAndBounded(t *testing.T) {
	w := newPair(t, true)
	w.hold("contoso-eu", time.Hour)
	w.hold("contoso-us", 2*time.Hour)
	w.hold("contoso-drill", time.Hour)
	var s engine.Status
	w.aside(func() (err error) { s, err = w.e.Status(t.Context()); return err })
	p := s.Services[0]
	if len(p.Holds) != 3 || p.Holds[2].Service != "contoso-drill" || p.Holds[0].Service != "contoso-eu" || p.Holds[1].Reason != "a deployment" || !slices.ContainsFunc(p.Why, func(why string) bool { return strings.Contains(why, "contoso-eu is held until") }) {
		t.Errorf("%+v, why %q", p.Holds, p.Why)
	}
	w.now = w.now.Add(time.Hour)
	w.aside(func() (err error) { s, err = w.e.Status(t.Context()); return err })
	if p := s.Services[0]; len(p.Holds) != 1 || p.Holds[0].Service != "contoso-us" {
		t.Errorf("over: %+v", p.Holds)
	}
	for _, d := range []time.Duration{0, -time.Second, 30*24*time.Hour + time.Second} {
		_, err := w.e.Hold(t.Context(), engine.HoldRequest{Service: "contoso-eu", Until: w.now.Add(d), Reason: "x"})
		if invalid := (*engine.Invalid)(nil); !errors.As(err, &invalid) || invalid.Field != "until" {
			t.Errorf("%s: %v", d, err)
		}
	}
	if _, err := w.e.Hold(t.Context(), engine.HoldRequest{Service: "contoso-xx", Until: w.now.Add(time.Hour)}); !errors.Is(err, engine.ErrUnknownService) {
		t.Error(err)
	}
	// Who replaces or ends a hold hears whose it was.
	again, err := w.e.Hold(t.Context(), engine.HoldRequest{Service: "contoso-us", Until: w.now.Add(3 * time.Hour), Reason: "mine", By: "bob"})
	if err != nil || again.By != "bob" || again.Replaced.By != "ann" {
		t.Errorf("%+v %v", again, err)
	}
	// Also where the answer of storage was lost and the write repeated.
	w.store.State.LoseAnswer(nil)
	if again, err = w.e.Hold(t.Context(), engine.HoldRequest{Service: "contoso-us", Until: w.now.Add(4 * time.Hour), Reason: "mine", By: "bob"}); err != nil || again.Replaced.Until != w.now.Add(3*time.Hour) {
		t.Errorf("%+v %v", again, err)
	}
	w.store.State.LoseAnswer(nil)
	if ended := w.release("contoso-us"); ended.Service != "contoso-us" || ended.By != "bob" || !w.release("contoso-us").Until.IsZero() {
		t.Errorf("%+v", ended)
	}
	if got := w.release("contoso-eu"); !got.Until.IsZero() {
		t.Errorf("a hold that is over was ended: %+v", got)
	}
	if _, err := w.e.Release(t.Context(), "contoso-xx", "ann", ""); !errors.Is(err, engine.ErrUnknownService) {
		t.Error(err)
	}
}
