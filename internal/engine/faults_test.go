package engine_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// failing lets calls of the store fail whose kind and key fit, times times; negative: always.
func (w *world) failing(kind, key string, times int) {
	w.hook = func(op, at string) error {
		if err := w.call(); err != nil {
			return err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if times == 0 || !strings.HasPrefix(op, kind) || !strings.Contains(at, key) {
			return nil
		}
		times--
		return errors.New("storage 503")
	}
	w.store.Fail(w.hook)
}

func (w *world) standby(name string, warm bool) {
	w.add(name)
	s := &w.e.Fleet.Services[0]
	s.Secondaries = append(s.Secondaries, engine.Secondary{Instance: dr.Instance{Name: name, ResourceID: "/x/" + name}, Warm: warm})
}

// The copy of the roles beside the backups is all that is left when the state storage is lost: a write that failed is repeated.
func TestTheCopyOfTheRolesIsWrittenHoweverOftenThatFails(t *testing.T) {
	w := newPair(t, true)
	w.backedUp("contoso-eu")
	w.run(2 * time.Hour)
	w.failing("before", "/roles/", 3)
	op := w.ended(w.ask(failover(nil)).Operation.ID, 2*time.Hour)
	w.aside(func() error {
		for _, name := range w.store.State.Names() {
			if err := w.store.State.Delete(t.Context(), name, ""); err != nil {
				return err
			}
		}
		_, err := w.e.Rebuild(t.Context(), nightly)
		return err
	})
	w.restores = nil
	w.backedUp("contoso-eu")
	if w.run(2 * time.Hour); len(w.restores) > 0 || len(w.events[op.ID]) == 0 {
		t.Errorf("production was overwritten: %v; %d events", w.restores, len(w.events[op.ID]))
	}
}

// And where it stayed away for long, the next backup of either instance writes it.
func TestTheCopyOfTheRolesIsMendedByTheNextBackup(t *testing.T) {
	w := newPair(t, false)
	w.backedUp("contoso-eu")
	w.failing("before", "/roles/", -1)
	if op := w.ended(w.ask(failover(nil)).Operation.ID, 3*time.Hour); op.Outcome != dr.Succeeded || !w.atRest() {
		t.Fatalf("%s; at rest %v", op.Outcome, w.atRest())
	}
	w.failing("", "", 0)
	w.backedUp("contoso-us")
	w.aside(func() error {
		p, err := w.store.Vault.Role(t.Context(), nightly, "contoso-eu~contoso-us")
		if p.Active != "contoso-us" {
			t.Errorf("beside the backups: %+v", p)
		}
		return err
	})
}

// Roles that cannot be read keep a warm sync away, and nothing else: the backup ends, once.
func TestABackupEndsWhereTheRolesCannotBeRead(t *testing.T) {
	w := newPair(t, true)
	w.failing("read", "/roles/", -1)
	op := w.backup("contoso-eu")
	w.run(6 * time.Hour)
	if len(w.events[op.ID]) != 1 || !w.atRest() || len(w.restores) > 0 {
		t.Errorf("%d events, at rest %v, restores %v", len(w.events[op.ID]), w.atRest(), w.restores)
	}
}

func TestWhoIsActiveIsKnownWithoutTheCopy(t *testing.T) {
	w := newPair(t, false)
	w.backedUp("contoso-eu")
	w.ended(w.ask(failover(nil)).Operation.ID, 2*time.Hour)
	w.failing("read", "/roles/", -1)
	s, err := w.e.Status(t.Context())
	if err != nil || s.Services[0].Active != "contoso-us" {
		t.Errorf("status: %v, active %s", err, s.Services[0].Active)
	}
	got, err := w.e.Recover(t.Context(), engine.RecoverRequest{Request: engine.Request{Service: "contoso-eu"}, Kind: dr.KindDrill, DryRun: true})
	if err != nil || got.Plan.Source.Name != "contoso-us" {
		t.Errorf("a drill takes the backups of %s, %v", got.Plan.Source.Name, err)
	}
}

func TestAFailoverThatFollowsHasTheLockNext(t *testing.T) {
	w := newPair(t, true)
	w.takes = 3 * time.Minute
	w.backup("contoso-eu")
	w.run(5 * time.Minute) // the warm sync runs
	w.now = t0.Add(5*time.Minute + 20*time.Second)
	b := w.backup("contoso-us")
	w.run(time.Second)
	w.now = t0.Add(5*time.Minute + 40*time.Second)
	op := w.ask(failover(nil)).Operation
	w.run(time.Second)
	w.takes = 2 * time.Hour
	if op = w.ended(op.ID, 5*time.Hour); op.Outcome != dr.Succeeded || op.Leg().Adopted == "" || w.thePair().Active != "contoso-us" {
		t.Errorf("%s %v, followed %q, pair %+v", op.Outcome, op.Error, op.Leg().Adopted, w.thePair())
	}
	if b = w.operation(b.ID); b.Outcome != dr.Succeeded {
		t.Errorf("the backup that waited: %s", b.Outcome)
	}
}

func TestOnePrimaryIsNotFailedOverToTwoStandbys(t *testing.T) {
	for name, pause := range map[string]time.Duration{"side by side": 0, "one after the other": 2 * time.Minute} {
		w := newPair(t, false)
		w.standby("contoso-asia", false)
		w.backedUp("contoso-eu")
		to := func(target string) engine.RecoverRequest {
			return failover(func(r *engine.RecoverRequest) { r.Target, r.Confirm = target, target })
		}
		w.ask(to("contoso-us"))
		if pause > 0 {
			w.run(pause)
		}
		if _, err := w.e.Recover(t.Context(), to("contoso-asia")); (err != nil) != (pause > 0) {
			t.Errorf("%s: %v", name, err)
		}
		w.run(3 * time.Hour)
		active := 0
		for _, p := range w.pairs() {
			if !p.IsActive("contoso-eu") {
				active++
			}
			if p.BusyBy != "" {
				t.Errorf("%s: %+v", name, p)
			}
		}
		if active > 1 {
			t.Errorf("%s: two instances are active: %+v", name, w.pairs())
		}
	}
}

// What is the active instance of another pair serves production there.
func TestAFailoverIntoAnotherPairsActiveInstanceIsRefused(t *testing.T) {
	w := newPair(t, false)
	w.add("contoso-asia")
	w.e.Fleet.Services = append(w.e.Fleet.Services, engine.Service{Name: "contoso-us", ResourceID: "/x/contoso-us", Plan: "nightly",
		Secondaries: []engine.Secondary{{Instance: dr.Instance{Name: "contoso-asia", ResourceID: "/x/contoso-asia"}}}})
	w.backedUp("contoso-eu")
	if _, err := w.e.Recover(t.Context(), failover(func(r *engine.RecoverRequest) { r.Target = "contoso-us" })); !errors.Is(err, engine.ErrRefused) {
		t.Error(err)
	}
}

// However long the target was waited for: without its final backup a failover goes on in time, or says that it does not.
func TestAFinalBackupLeavesTimeForTheRestore(t *testing.T) {
	for _, wait := range []time.Duration{10 * time.Minute, 30 * time.Minute} {
		w := newPair(t, false)
		w.backedUp("contoso-eu")
		w.takes = 22 * time.Minute
		if wait == 10*time.Minute {
			w.backup("contoso-us") // the target is busy for most of the time
			w.run(time.Minute)
		}
		got := w.ask(failover(func(r *engine.RecoverRequest) { r.Final, r.MaxWait = dr.FinalAuto, dr.Duration(wait) }))
		w.asleep["contoso-eu"] = true
		if op := w.ended(got.Operation.ID, 3*time.Hour); op.Outcome != dr.Succeeded {
			t.Errorf("%s: %s %v", wait, op.Outcome, op.Error)
		}
	}
}

func TestAnOverrideHoldsForTheSafetyBackupToo(t *testing.T) {
	w := newPair(t, false)
	p := w.backedUp("contoso-eu")
	w.services["contoso-eu"].view.MinVersion = "2030-01-01"
	r := engine.RecoverRequest{Request: engine.Request{Service: "contoso-eu"}, Kind: dr.KindRestore, Point: p.ID, Confirm: "contoso-eu", Safety: true, Overrides: []string{"apiVersion"}}
	if op := w.ended(w.ask(r).Operation.ID, 2*time.Hour); op.Outcome != dr.Succeeded {
		t.Errorf("%s %v", op.Outcome, op.Error)
	}
}

// Abandoning does not free the lock under a POST that is on its way.
func TestAbandoningWaitsForThePOST(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	a := w.backup("contoso-eu")
	w.inPost = func() {
		var refusal *engine.Refusal
		if _, err := w.e.Abandon(t.Context(), a.ID, "ann", ""); !errors.As(err, &refusal) || refusal.Why.Code != "PostOnItsWay" {
			t.Error(err)
		}
		b := w.backup("contoso-eu")
		if err := w.e.Knock(t.Context(), dr.Wake{V: 1, ID: b.ID}); err != nil {
			t.Error(err)
		}
	}
	w.run(3 * time.Hour)
	if wrong := w.check(2); len(wrong) > 0 {
		t.Error(wrong)
	}
}

// What a warm sync is about to overwrite, or is overwriting, cannot be declared the active instance.
func TestAStandbyThatIsBeingOverwrittenIsNotDeclaredActive(t *testing.T) {
	for name, when := range map[string]func(w *world, declare func()){
		"while it runs": func(w *world, declare func()) { w.run(7 * time.Minute); declare() },
		"between intent and POST": func(w *world, declare func()) {
			w.inPost = func() { w.inPost = declare } // the second POST is the sync's
			w.run(2 * time.Hour)
		},
	} {
		w := newPair(t, true)
		w.backup("contoso-eu")
		asked := false
		when(w, func() {
			asked = true
			var refusal *engine.Refusal
			if _, err := w.rearm("contoso-eu", dr.Rearm{Active: "contoso-us", Suspended: true}); !errors.As(err, &refusal) || refusal.Why.Code != "SyncInProgress" {
				t.Errorf("%s: %v", name, err)
			}
		})
		w.run(2 * time.Hour)
		if _, err := w.rearm("contoso-eu", dr.Rearm{Active: "contoso-us", Suspended: true}); err != nil || !asked {
			t.Errorf("%s: afterwards %v, asked %v", name, err, asked)
		}
	}
}

func TestOnePairThatCannotBeReadHoldsUpNothingElse(t *testing.T) {
	w := newPair(t, true)
	w.add("contoso-lab")
	w.e.Fleet.Services = append(w.e.Fleet.Services, engine.Service{Name: "contoso-lab", ResourceID: "/x/contoso-lab", Plan: "nightly"})
	w.failing("read", "pairs/", -1)
	if err := w.e.SendTicks(t.Context(), dr.KindBackup); err != nil {
		t.Fatal(err)
	}
	w.run(10 * time.Minute)
	var backedUp []string
	for _, op := range w.ops() {
		backedUp = append(backedUp, op.Service)
	}
	if slices.Sort(backedUp); !slices.Equal(backedUp, []string{"contoso-eu", "contoso-lab"}) {
		t.Errorf("backed up: %v", backedUp)
	}
	s, err := w.e.Status(t.Context())
	if err != nil || len(s.Services[0].Why) == 0 || s.Services[0].Protected || s.Services[1].Service != "contoso-lab" {
		t.Errorf("status: %v %+v", err, s.Services)
	}
}

// Drills that share an instance begin one after the other, so that each has its turn.
func TestDrillsOnOneInstanceTakeTurns(t *testing.T) {
	w := newPair(t, false)
	names := []string{"contoso-a", "contoso-b", "contoso-c"}
	for _, name := range names {
		w.add(name)
		w.e.Fleet.Services = append(w.e.Fleet.Services, engine.Service{Name: name, ResourceID: "/x/" + name, Plan: "nightly", Drill: w.e.Fleet.Services[0].Drill})
	}
	for _, name := range append(names, "contoso-eu") {
		w.backedUp(name)
	}
	w.takes = 40 * time.Minute
	w.now = t0.AddDate(0, 0, 27).Add(2 * time.Hour)
	sent := len(w.past)
	if err := w.e.SendTicks(t.Context(), dr.KindDrill); err != nil {
		t.Fatal(err)
	}
	w.run(12 * time.Hour)
	if len(w.restores) != 4 || len(w.past)-sent > 4*60 {
		t.Errorf("restores %v with %d messages", w.restores, len(w.past)-sent)
	}
	for _, op := range w.ops() {
		if op.Kind == dr.KindDrill && op.Outcome != dr.Succeeded {
			t.Errorf("%s: %s %v", op.ID, op.Outcome, op.Error)
		}
	}
}

// A confirmed restore never starts hours later, whatever held the operation up in between.
func TestARestoreAfterALongOutageIsNotBegun(t *testing.T) {
	w := newPair(t, false)
	p := w.backedUp("contoso-eu")
	r := engine.RecoverRequest{Request: engine.Request{Service: "contoso-eu"}, Kind: dr.KindRestore, Point: p.ID, Confirm: "contoso-eu", Safety: true}
	op := w.ask(r).Operation
	w.run(2 * time.Minute) // the safety backup runs
	w.now = w.now.Add(5 * time.Hour)
	if op = w.ended(op.ID, 3*time.Hour); op.Outcome != dr.Rejected || op.Error.Code != "NotStartedInTime" || len(w.restores) > 0 {
		t.Errorf("%s %v, restores %v", op.Outcome, op.Error, w.restores)
	}
}

// bounded notes how long each POST may take.
type bounded struct {
	engine.ARM
	left []time.Duration
}

func (b *bounded) Start(ctx context.Context, leg dr.Leg, point string) dr.Answer {
	end, ok := ctx.Deadline()
	if !ok {
		end = time.Now().AddDate(1, 0, 0)
	}
	b.left = append(b.left, time.Until(end))
	return b.ARM.Start(ctx, leg, point)
}

// An invocation that stood still after its intent has no right to its POST any more, and one in time has it for the rest of the window only: somebody else
// may look, and POST again, once window and settling are over.
func TestAPOSTKeepsToItsWindow(t *testing.T) {
	for stood, posts := range map[time.Duration]int{40 * time.Second: 1, 60 * time.Second: 0, 10 * time.Minute: 0} {
		w := newWorld(t, "contoso-eu")
		arm := &bounded{ARM: w}
		w.e.ARM = arm
		op := w.backup("contoso-eu")
		w.hook = func(call, at string) error {
			if call == "after replace" && strings.Contains(at, op.ID) && w.only().Phase == dr.Starting {
				w.now = w.now.Add(stood)
				w.hook = nil
				w.store.Fail(nil)
			}
			return nil
		}
		w.store.Fail(w.hook)
		if err := w.e.Knock(t.Context(), dr.Wake{V: 1, ID: op.ID}); err != nil {
			t.Fatal(err)
		}
		if len(arm.left) != posts || posts > 0 && (arm.left[0] <= 0 || arm.left[0] > w.e.Timing.PostWindow-stood) {
			t.Errorf("after %s: POSTs with %s left", stood, arm.left)
		}
		w.run(24 * time.Hour)
		w.mustHold(1)
		if got := w.only(); got.Outcome != dr.Succeeded || len(w.posts) != 1 {
			t.Errorf("after %s: %s, %d POSTs", stood, got.Outcome, len(w.posts))
		}
	}
}
