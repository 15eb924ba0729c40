package engine_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/store"
)

// newPair is a world with contoso-eu, which stands in for contoso-us, and contoso-drill for drills. Each holds nothing restored yet.
func newPair(t *testing.T, warm bool) *world {
	w := newWorld(t, "contoso-eu")
	w.add("contoso-us")
	w.add("contoso-drill")
	w.services["contoso-us"].view.Region = "North Europe"
	schedule, err := dr.ParseSchedule("0 0 5 1 * *")
	if err != nil {
		t.Fatal(err)
	}
	s := &w.e.Fleet.Services[0]
	s.Secondaries = []engine.Secondary{{Instance: dr.Instance{Name: "contoso-us", ResourceID: "/x/contoso-us", Region: "northeurope"}, Warm: warm}}
	s.Drill = &dr.Instance{Name: "contoso-drill", ResourceID: "/x/contoso-drill"}
	s.Region = "westeurope"
	w.e.Fleet.Plans[0].RPO, w.e.Fleet.Plans[0].Proven = 26*time.Hour, 35*24*time.Hour
	w.e.Fleet.Drills = schedule
	w.e.Fleet.Places = []dr.Place{{What: "this stamp", Region: "northeurope"}}
	return w
}

// backedUp takes a backup of a service to its end.
func (w *world) backedUp(service string) dr.RecoveryPoint {
	w.t.Helper()
	op := w.backup(service)
	w.run(time.Hour)
	got := w.operation(op.ID)
	if got.Outcome != dr.Succeeded {
		w.t.Fatalf("backup of %s: %s %v", service, got.Outcome, got.Error)
	}
	return dr.Points(got)[0]
}

func (w *world) operation(id string) (op dr.Operation) {
	w.t.Helper()
	w.aside(func() (err error) { op, _, err = w.store.Operation(w.t.Context(), id); return err })
	return op
}

func (w *world) thePair() (p dr.Pair) {
	w.t.Helper()
	w.aside(func() (err error) {
		p, err = w.store.Pair(w.t.Context(), dr.PairName("contoso-eu", "contoso-us"))
		if errors.Is(err, engine.ErrNotFound) {
			p, err = dr.NewPair("contoso-eu", "contoso-us"), nil
		}
		return err
	})
	return p
}

func failover(change func(*engine.RecoverRequest)) engine.RecoverRequest {
	r := engine.RecoverRequest{Request: engine.Request{Service: "contoso-eu", RequestedBy: "ann", Reason: "region down", Ticket: "INC-1"}, Kind: dr.KindFailover, Confirm: "contoso-us"}
	if change != nil {
		change(&r)
	}
	return r
}

func failback(change func(*engine.RecoverRequest)) engine.RecoverRequest {
	r := failover(change)
	r.Service, r.Confirm = "contoso-us", "contoso-eu"
	return r
}

func (w *world) ask(r engine.RecoverRequest) engine.Recovery {
	w.t.Helper()
	got, err := w.e.Recover(w.t.Context(), r)
	if err != nil {
		w.t.Fatalf("%v\n%+v", err, got.Plan.Checks)
	}
	return got
}

// ended runs the world until an operation is done.
func (w *world) ended(id string, horizon time.Duration) dr.Operation {
	w.t.Helper()
	w.run(horizon)
	op := w.operation(id)
	if op.Phase != dr.Done {
		w.t.Fatalf("%s is %s, waiting for %q", id, op.Phase, op.Waiting)
	}
	return op
}

func TestAFailoverRestoresTheNewestGoodPointAndSwitchesRoles(t *testing.T) {
	w := newPair(t, true)
	w.backedUp("contoso-eu")
	p := w.backedUp("contoso-eu")
	w.run(2 * time.Hour)
	w.restores = nil
	w.asleep["contoso-eu"] = true
	w.takes = 11 * time.Minute
	called := w.now
	got := w.ask(failover(nil))
	op := w.ended(got.Operation.ID, 2*time.Hour)
	if op.Outcome != dr.Succeeded || !slices.Equal(w.restores, []string{p.ID + " into contoso-us"}) || w.services["contoso-us"].holds != p.ID {
		t.Fatalf("%s %v, restored %v", op.Outcome, op.Error, w.restores)
	}
	e := w.events[op.ID][0]
	rto := time.Duration(e.Result().Recovery.RTOSeconds) * time.Second
	if rto < w.takes || rto > w.takes+time.Minute || e.Result().Recovery.RPOSeconds != called.Sub(p.CreatedAt).Seconds() {
		t.Errorf("RTO %s, RPO %v s", rto, e.Result().Recovery.RPOSeconds)
	}
	if len(e.Result().Recovery.NextSteps) == 0 || len(e.Result().Recovery.Gateways) != 1 || e.Result().RequestedBy != "ann" || e.Result().Reason != "region down" || e.Result().Ticket != "INC-1" {
		t.Errorf("event %+v", e.Data)
	}
	pair := w.thePair()
	if pair.Active != "contoso-us" || !pair.Suspended || pair.BusyBy != "" {
		t.Errorf("pair %+v", pair)
	}
	w.aside(func() error {
		beside, err := w.store.Vault.Role(t.Context(), nightly, pair.Name)
		if beside.Active != "contoso-us" {
			t.Errorf("beside the backups: %+v", beside)
		}
		point, err2 := w.store.Point(t.Context(), "contoso-eu", p.ID)
		if len(point.UsedBy) > 0 {
			t.Errorf("still pinned by %v", point.UsedBy)
		}
		return errors.Join(err, err2)
	})
}

// After a failover the side that was left comes back: nightly, on-demand and drill go on, and none of them overwrites the instance that is active now.
func TestNothingAutomaticOverwritesTheActiveInstance(t *testing.T) {
	w := newPair(t, true)
	w.backedUp("contoso-eu")
	w.asleep["contoso-eu"] = true
	w.ended(w.ask(failover(nil)).Operation.ID, 2*time.Hour)
	w.restores, w.posts = nil, nil
	w.asleep["contoso-eu"] = false
	w.now = t0.AddDate(0, 0, 27).Add(5 * time.Hour) // 1 February, 08:00: nightly and drills are due
	for _, kind := range []dr.Kind{dr.KindBackup, dr.KindDrill} {
		if err := w.e.SendTicks(t.Context(), kind); err != nil {
			t.Fatal(err)
		}
	}
	w.backup("contoso-eu")
	w.run(6 * time.Hour)
	for _, r := range w.restores {
		if !strings.HasSuffix(r, "into contoso-drill") {
			t.Errorf("restored %s", r)
		}
	}
	if len(w.restores) != 1 || len(w.posts) != 3 { // contoso-eu by schedule and by hand, and contoso-us, which serves production now
		t.Errorf("restores %v, backups %v", w.restores, w.posts)
	}
	back := w.ended(w.ask(failback(nil)).Operation.ID, 2*time.Hour)
	if pair := w.thePair(); back.Outcome != dr.Succeeded || pair.Active != "contoso-eu" || pair.Suspended {
		t.Fatalf("failback %s %v, pair %+v", back.Outcome, back.Error, w.thePair())
	}
	w.restores = nil
	p := w.backedUp("contoso-eu")
	w.run(2 * time.Hour)
	if !slices.Equal(w.restores, []string{p.ID + " into contoso-us"}) {
		t.Errorf("after the failback the standby gets %v", w.restores)
	}
}

func TestAWarmStandbyFollowsEachGoodBackup(t *testing.T) {
	w := newPair(t, true)
	p := w.backedUp("contoso-eu")
	w.run(2 * time.Hour)
	if !slices.Equal(w.restores, []string{p.ID + " into contoso-us"}) || w.thePair().Standby.ID != p.ID {
		t.Fatalf("%v, standby %+v", w.restores, w.thePair().Standby)
	}
	cold := newPair(t, false)
	cold.backedUp("contoso-eu")
	cold.run(2 * time.Hour)
	if len(cold.restores) > 0 {
		t.Errorf("a cold standby is restored into: %v", cold.restores)
	}
}

// Of two standbys one has taken over: what the primary holds then is no longer production, and goes nowhere.
func TestADisplacedPrimaryIsNoSource(t *testing.T) {
	w := newPair(t, true)
	w.add("contoso-asia")
	s := &w.e.Fleet.Services[0]
	s.Secondaries = append(s.Secondaries, engine.Secondary{Instance: dr.Instance{Name: "contoso-asia", ResourceID: "/x/contoso-asia"}, Warm: true})
	p := w.backedUp("contoso-eu")
	w.run(2 * time.Hour)
	if len(w.restores) != 2 {
		t.Fatalf("two warm standbys: %v", w.restores)
	}
	w.ended(w.ask(failover(nil)).Operation.ID, 2*time.Hour)
	w.restores = nil
	w.backedUp("contoso-eu")
	if w.run(2 * time.Hour); len(w.restores) > 0 {
		t.Errorf("restored %v", w.restores)
	}
	got, err := w.e.Recover(t.Context(), failover(func(r *engine.RecoverRequest) { r.Target, r.Confirm = "contoso-asia", "contoso-asia" }))
	if !errors.Is(err, engine.ErrRefused) || got.Operation.Error.Code != "NotActive" {
		t.Errorf("the data of %s go into a second standby: %v", p.ID, err)
	}
}

// What was true when a warm sync was created need not be so when its turn comes.
func TestAWarmSyncThatWaitsIsHeldAgainstTheRolesOfItsTurn(t *testing.T) {
	waiting := func() *world {
		w := newPair(t, true)
		w.add("contoso-asia")
		s := &w.e.Fleet.Services[0]
		s.Secondaries = append(s.Secondaries, engine.Secondary{Instance: dr.Instance{Name: "contoso-asia", ResourceID: "/x/contoso-asia"}})
		w.services["contoso-us"].view.State = "Updating"
		w.backup("contoso-eu")
		w.run(8 * time.Minute)
		return w
	}
	reasons := func(w *world) (codes []string) {
		w.services["contoso-us"].view.State = "Succeeded"
		w.run(2 * time.Hour)
		for _, op := range w.ops() {
			if op.Trigger == dr.TriggerBackup && op.Error != nil {
				codes = append(codes, op.Error.Code)
			}
		}
		return codes
	}
	w := waiting()
	w.backup("contoso-eu")
	w.run(8 * time.Minute)
	if codes := reasons(w); !slices.Equal(codes, []string{"Superseded"}) || len(w.restores) != 1 || w.services["contoso-us"].holds != w.posts[1] {
		t.Errorf("a newer backup came: %q, restores %v", codes, w.restores)
	}
	w = waiting()
	w.ended(w.ask(failover(func(r *engine.RecoverRequest) { r.Target, r.Confirm = "contoso-asia", "contoso-asia" })).Operation.ID, 15*time.Minute)
	if codes := reasons(w); !slices.Equal(codes, []string{"FailoverInProgress"}) || len(w.restores) != 1 {
		t.Errorf("another standby takes over: %q, restores %v", codes, w.restores)
	}
}

// A failover that is done, but was killed before it could say so in the pair, counts all the same for what comes next.
func TestAFailoverThatIsDoneCountsBeforeItIsMerged(t *testing.T) {
	w := newPair(t, false)
	w.backedUp("contoso-eu")
	op := w.ended(w.ask(failover(nil)).Operation.ID, 2*time.Hour)
	w.backedUp("contoso-us")
	w.aside(func() error {
		return w.store.MergePair(t.Context(), op.Recovery.Pair, func(dr.Pair) (dr.Pair, bool) {
			begun, _ := dr.NewPair("contoso-eu", "contoso-us").Admit(op)
			return begun, true
		})
	})
	w.aside(func() error {
		return w.store.Backups(nightly).Delete(t.Context(), "roles/contoso-eu~7Econtoso-us.apimdr.json", "")
	})
	back := w.ended(w.ask(failback(nil)).Operation.ID, 2*time.Hour)
	if pair := w.thePair(); back.Outcome != dr.Succeeded || pair.Active != "contoso-eu" || pair.BusyBy != "" {
		t.Errorf("%s %v, pair %+v", back.Outcome, back.Error, pair)
	}
}

func (w *world) rearm(service string, r dr.Rearm) ([]dr.Pair, error) {
	r.By = "ann"
	return w.e.Rearm(w.t.Context(), engine.RearmRequest{Service: service, Rearm: r})
}

// After a failover that the stamp never heard of, somebody tells it who is active: then nothing automatic touches either of them.
func TestTheActiveInstanceCanBeDeclared(t *testing.T) {
	w := newPair(t, true)
	if pairs, err := w.rearm("contoso-eu", dr.Rearm{Active: "CONTOSO-US", Suspended: true}); err != nil || pairs[0].Active != "contoso-us" {
		t.Fatalf("%+v %v", pairs, err)
	}
	w.backedUp("contoso-eu")
	w.backedUp("contoso-us")
	if w.run(2 * time.Hour); len(w.restores) > 0 {
		t.Errorf("restored %v", w.restores)
	}
}

// A failover of which nobody knows how it ended leaves its doubt beside the backups, too.
func TestAnUnknownFailoverSuspendsAStampThatKnowsOnlyTheBackups(t *testing.T) {
	w := newPair(t, true)
	w.backedUp("contoso-eu")
	w.run(2 * time.Hour)
	w.onPost = func() (*dr.Answer, bool) { return &dr.Answer{Verdict: dr.Lost, Reason: "reset"}, true }
	if op := w.ended(w.ask(failover(nil)).Operation.ID, 4*time.Hour); op.Outcome != dr.Unknown {
		t.Fatalf("%s %v", op.Outcome, op.Error)
	}
	w.onPost, w.restores = nil, nil
	w.aside(func() error { return w.store.State.Delete(t.Context(), "pairs/contoso-eu~7Econtoso-us", "") })
	w.backedUp("contoso-eu")
	if w.run(2 * time.Hour); len(w.restores) > 0 {
		t.Errorf("restored %v", w.restores)
	}
}

// The operator re-arms: from then on the active instance's backups go into the other one.
func TestRearmingAfterAFailover(t *testing.T) {
	w := newPair(t, true)
	w.backedUp("contoso-eu")
	w.run(2 * time.Hour)
	w.ended(w.ask(failover(nil)).Operation.ID, 2*time.Hour)
	w.restores = nil
	w.backedUp("contoso-us")
	if w.run(2 * time.Hour); len(w.restores) > 0 {
		t.Fatalf("suspended, but restored %v", w.restores)
	}
	if _, err := w.rearm("contoso-eu", dr.Rearm{Active: "contoso-asia"}); !errors.As(err, new(*engine.Invalid)) {
		t.Errorf("a stranger: %v", err)
	}
	if _, err := w.rearm("contoso-asia", dr.Rearm{Active: "contoso-asia"}); !errors.Is(err, engine.ErrUnknownService) {
		t.Errorf("an unknown service: %v", err)
	}
	pairs, err := w.rearm("contoso-eu", dr.Rearm{Active: "contoso-us"})
	if err != nil || len(pairs) != 1 || pairs[0].Suspended {
		t.Fatalf("%+v %v", pairs, err)
	}
	p := w.backedUp("contoso-us")
	if w.run(2 * time.Hour); !slices.Equal(w.restores, []string{p.ID + " into contoso-eu"}) {
		t.Errorf("restored %v", w.restores)
	}
}

// A failover that ran without the state storage left its record beside the backups only.
func TestARoleThatOnlyTheBackupsKnowIsRespected(t *testing.T) {
	w := newPair(t, true)
	w.aside(func() error {
		p := dr.NewPair("contoso-eu", "contoso-us")
		p.Active, p.Suspended, p.ChangedAt, p.By = "contoso-us", true, t0, "direct"
		return w.store.Vault.KeepRole(t.Context(), nightly, p)
	})
	w.backedUp("contoso-eu")
	if w.run(2 * time.Hour); len(w.restores) > 0 {
		t.Errorf("production was overwritten: %v", w.restores)
	}
	if _, err := w.e.Recover(t.Context(), failover(nil)); !errors.Is(err, engine.ErrRefused) {
		t.Errorf("failover from what is not active: %v", err)
	}
}

func TestADryRunAndAnUnconfirmedCallRecordNothing(t *testing.T) {
	w := newPair(t, false)
	w.backedUp("contoso-eu")
	before := len(w.ops())
	got, err := w.e.Recover(t.Context(), failover(func(r *engine.RecoverRequest) { r.DryRun, r.Confirm = true, "" }))
	if err != nil || got.Operation.ID != "" || got.Plan.Target.Name != "contoso-us" {
		t.Errorf("dry run: %v %+v", err, got)
	}
	for _, confirm := range []string{"", "contoso-eu", "yes"} {
		again, err := w.e.Recover(t.Context(), failover(func(r *engine.RecoverRequest) { r.Confirm = confirm }))
		if !errors.Is(err, engine.ErrUnconfirmed) || !strings.Contains(err.Error(), `confirm "contoso-us"`) || again.Operation.ID != "" {
			t.Errorf("confirm %q: %v", confirm, err)
		}
		again.Plan.MadeAt = got.Plan.MadeAt
		if fmt.Sprint(again.Plan.Checks) != fmt.Sprint(got.Plan.Checks) {
			t.Errorf("another plan: %v\n%v", again.Plan.Checks, got.Plan.Checks)
		}
	}
	if w.run(time.Hour); len(w.ops()) != before || len(w.restores) > 0 {
		t.Errorf("%d operations, was %d; restores %v", len(w.ops()), before, w.restores)
	}
}

// What the plan refuses is recorded and told by an event, and nothing is overwritten.
func TestWhatCannotWorkIsRefusedRecordedAndTold(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil func(*world, dr.RecoveryPoint)
		ask   engine.RecoverRequest
		code  string
		says  string
	}{
		"another tier":        {func(w *world, _ dr.RecoveryPoint) { w.services["contoso-us"].view.SKU = "Premium" }, failover(nil), "SkuMismatch", "Cannot restore: current SKU is 'Premium', backup SKU is 'Developer'"},
		"expired":             {func(w *world, _ dr.RecoveryPoint) { w.now = w.now.Add(31 * 24 * time.Hour) }, failover(func(r *engine.RecoverRequest) { r.Point = "id" }), "BackupExpired", "Cannot restore: backup expired"},
		"nothing but expired": {func(w *world, _ dr.RecoveryPoint) { w.now = w.now.Add(31 * 24 * time.Hour) }, failover(nil), "BackupExpired", "Cannot restore: backup expired"},
		"blob missing": {func(w *world, p dr.RecoveryPoint) {
			w.aside(func() error { return w.store.Backups(nightly).Delete(w.t.Context(), p.ID, "") })
		}, failover(nil), "BackupBlobMissing", "is not there"},
		"target missing":        {func(w *world, _ dr.RecoveryPoint) { delete(w.services, "contoso-us") }, failover(nil), "TargetMissing", "az apim create"},
		"unknown point":         {func(*world, dr.RecoveryPoint) {}, failover(func(r *engine.RecoverRequest) { r.Point = "20260101-backup-0123456789abcdef0123-s0-a1" }), "RecoveryPointNotFound", "no recovery point"},
		"a time before all":     {func(*world, dr.RecoveryPoint) {}, failover(func(r *engine.RecoverRequest) { r.Point = "2020-01-01T00:00:00Z" }), "RecoveryPointNotFound", "no good recovery point of 2020"},
		"primary dead, require": {func(w *world, _ dr.RecoveryPoint) { w.asleep["contoso-eu"] = true }, failover(func(r *engine.RecoverRequest) { r.Final = dr.FinalRequire }), "FinalBackupImpossible", "does not answer"},
	} {
		w := newPair(t, false)
		p := w.backedUp("contoso-eu")
		if tc.ask.Point == "id" {
			tc.ask.Point = p.ID
		}
		tc.spoil(w, p)
		got, err := w.e.Recover(t.Context(), tc.ask)
		if !errors.Is(err, engine.ErrRefused) || got.Operation.ID == "" {
			t.Errorf("%s: %v %+v", name, err, got.Plan.Checks)
			continue
		}
		op := w.ended(got.Operation.ID, time.Hour)
		events := w.events[op.ID]
		if op.Outcome != dr.Rejected || op.Error.Code != tc.code || !strings.Contains(op.Error.Message, tc.says) || len(events) == 0 || events[0].Type != "apimdr.failover.rejected" {
			t.Errorf("%s: %s %v, events %+v", name, op.Outcome, op.Error, events)
		}
		if len(w.restores) > 0 || w.thePair() != dr.NewPair("contoso-eu", "contoso-us") || !w.atRest() {
			t.Errorf("%s: restored %v, pair %+v", name, w.restores, w.thePair())
		}
	}
}

// Of two standbys, one that answers is better than one of which nothing is known.
func TestAStandbyThatDoesNotAnswerIsPassedOver(t *testing.T) {
	w := newPair(t, false)
	w.add("contoso-asia")
	s := &w.e.Fleet.Services[0]
	s.Secondaries = append(s.Secondaries, engine.Secondary{Instance: dr.Instance{Name: "contoso-asia", ResourceID: "/x/contoso-asia"}})
	w.backedUp("contoso-eu")
	w.asleep["contoso-us"] = true
	if got := w.ask(failover(func(r *engine.RecoverRequest) { r.DryRun = true })); got.Plan.Target.Name != "contoso-asia" {
		t.Errorf("chose %s", got.Plan.Target.Name)
	}
	w.asleep["contoso-asia"] = true
	if got := w.ask(failover(func(r *engine.RecoverRequest) { r.DryRun = true })); got.Plan.Target.Name != "contoso-us" || got.Plan.Refusal() != nil {
		t.Errorf("with neither in sight: %s, %v", got.Plan.Target.Name, got.Plan.Refusal())
	}
	w.asleep["contoso-us"], w.asleep["contoso-asia"] = false, false
	w.services["contoso-us"].view.SKU = "Premium"
	if got := w.ask(failover(func(r *engine.RecoverRequest) { r.DryRun = true })); got.Plan.Target.Name != "contoso-asia" {
		t.Errorf("chose %s, whose plan does not pass", got.Plan.Target.Name)
	}
}

// A drill that has to wait for its turn, since several share an instance, may wait as long as a backup; what somebody has confirmed may not.
func TestADrillMayWaitForItsTurn(t *testing.T) {
	for kind, want := range map[dr.Kind]dr.Outcome{dr.KindDrill: dr.Succeeded, dr.KindRestore: dr.Rejected} {
		w := newPair(t, false)
		w.backedUp("contoso-eu")
		w.services["contoso-drill"].view.State = "Updating"
		r := engine.RecoverRequest{Request: engine.Request{Service: "contoso-eu"}, Kind: kind}
		if kind == dr.KindRestore {
			r.Service, r.From, r.Confirm = "contoso-drill", "contoso-eu", "contoso-drill"
		}
		op := w.ask(r).Operation
		w.run(time.Hour)
		w.services["contoso-drill"].view.State = "Succeeded"
		if op = w.ended(op.ID, 2*time.Hour); op.Outcome != want {
			t.Errorf("%s: %s %v", kind, op.Outcome, op.Error)
		}
	}
}

func TestRequestsThatMakeNoSense(t *testing.T) {
	w := newPair(t, false)
	w.backedUp("contoso-eu")
	for name, tc := range map[string]struct {
		ask   engine.RecoverRequest
		field string
	}{
		"target is the primary":  {failover(func(r *engine.RecoverRequest) { r.Target = "CONTOSO-EU" }), "target"},
		"target is no secondary": {failover(func(r *engine.RecoverRequest) { r.Target = "contoso-drill" }), "target"},
		"no secondary":           {failover(func(r *engine.RecoverRequest) { r.Service = "contoso-drill" }), "primary"},
		"no drill instance":      {engine.RecoverRequest{Request: engine.Request{Service: "contoso-us"}, Kind: dr.KindDrill}, "service"},
		"a wait too long":        {failover(func(r *engine.RecoverRequest) { r.MaxWait = dr.Duration(time.Hour) }), "maxWait"},
		"a point of no shape":    {failover(func(r *engine.RecoverRequest) { r.Point = "../x" }), "recoveryPoint"},
		"an override of nothing": {failover(func(r *engine.RecoverRequest) { r.Overrides = []string{"roles"} }), "override"},
	} {
		var invalid *engine.Invalid
		if _, err := w.e.Recover(t.Context(), tc.ask); !errors.As(err, &invalid) || invalid.Field != tc.field {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.e.Recover(t.Context(), failover(func(r *engine.RecoverRequest) { r.Service = "nobody" })); !errors.Is(err, engine.ErrUnknownService) {
		t.Errorf("unknown service: %v", err)
	}
}

// What has changed between the plan and the run is found under the lock: rejected, with an event, and nothing is overwritten.
func TestAPlanThatNoLongerHoldsIsNotCarriedOut(t *testing.T) {
	for name, spoil := range map[string]func(*world, dr.RecoveryPoint) error{
		"the record is gone": func(w *world, p dr.RecoveryPoint) error {
			return w.store.State.Delete(w.t.Context(), "recovery-points/contoso-eu/"+p.ID+".json", "")
		},
		"the blob is gone": func(w *world, p dr.RecoveryPoint) error {
			return w.store.Backups(nightly).Delete(w.t.Context(), p.ID, "")
		},
		"another tier": func(w *world, p dr.RecoveryPoint) error { w.services["contoso-us"].view.SKU = "Premium"; return nil },
	} {
		w := newPair(t, false)
		p := w.backedUp("contoso-eu")
		got := w.ask(failover(nil))
		w.aside(func() error { return spoil(w, p) })
		op := w.ended(got.Operation.ID, time.Hour)
		if op.Outcome != dr.Rejected || len(w.restores) > 0 || len(w.events[op.ID]) == 0 || !strings.Contains(op.Error.Message, "things have changed") ||
			!strings.Contains(op.Error.Message, p.ID) && name != "another tier" {
			t.Errorf("%s: %s %v, restores %v", name, op.Outcome, op.Error, w.restores)
		}
		if w.thePair().Suspended || w.thePair().Active != "contoso-eu" {
			t.Errorf("%s: pair %+v", name, w.thePair())
		}
	}
}

func TestThePrimaryHangs(t *testing.T) {
	for _, mode := range []dr.FinalMode{dr.FinalNever, dr.FinalAuto} {
		w := newPair(t, false)
		p := w.backedUp("contoso-eu")
		w.asleep["contoso-eu"] = true
		op := w.ended(w.ask(failover(func(r *engine.RecoverRequest) { r.Final = mode })).Operation.ID, 2*time.Hour)
		if op.Outcome != dr.Succeeded || len(w.restores) != 1 || w.services["contoso-us"].holds != p.ID || len(w.posts) != 1 {
			t.Errorf("%s: %s %v %v", mode, op.Outcome, op.Error, w.restores)
		}
	}
}

func TestAFinalBackupIsRestored(t *testing.T) {
	for _, mode := range []dr.FinalMode{dr.FinalAuto, dr.FinalRequire} {
		w := newPair(t, true)
		first := w.backedUp("contoso-eu")
		w.run(2 * time.Hour)
		w.restores = nil
		op := w.ended(w.ask(failover(func(r *engine.RecoverRequest) { r.Final = mode })).Operation.ID, 3*time.Hour)
		if op.Outcome != dr.Succeeded || len(w.restores) != 1 || w.services["contoso-us"].holds == first.ID || len(w.posts) != 2 {
			t.Errorf("%s: %s %v, restored %v, backups %v", mode, op.Outcome, op.Error, w.restores, w.posts)
		}
		if r := w.events[op.ID][0].Result().Recovery; r.RPOSeconds != 0 {
			t.Errorf("%s: data are %v s old", mode, r.RPOSeconds)
		}
		if final := w.operation(op.Recovery.Final.Operation); final.RequestedBy != "ann" || final.Ticket != "INC-1" {
			t.Errorf("the final backup is %s's, ticket %q", final.RequestedBy, final.Ticket)
		}
		if wrong := w.check(len(w.ops())); len(wrong) > 0 {
			t.Error(wrong)
		}
	}
}

// The primary dies after the plan: auto goes on with the newest good point, require ends without touching the target.
func TestAFinalBackupThatDoesNotCome(t *testing.T) {
	for mode, want := range map[dr.FinalMode]dr.Outcome{dr.FinalAuto: dr.Succeeded, dr.FinalRequire: dr.Rejected} {
		w := newPair(t, false)
		p := w.backedUp("contoso-eu")
		got := w.ask(failover(func(r *engine.RecoverRequest) { r.Final = mode }))
		w.asleep["contoso-eu"] = true
		op := w.ended(got.Operation.ID, 3*time.Hour)
		if op.Outcome != want || op.EndedAt.Sub(op.CreatedAt) > 20*time.Minute {
			t.Errorf("%s: %s %v after %s", mode, op.Outcome, op.Error, op.EndedAt.Sub(op.CreatedAt))
		}
		if mode == dr.FinalAuto && w.services["contoso-us"].holds != p.ID || mode == dr.FinalRequire && len(w.restores) > 0 {
			t.Errorf("%s: restored %v", mode, w.restores)
		}
	}
}

func TestBothWaysAtOnceOneIsRefused(t *testing.T) {
	w := newPair(t, false)
	w.backedUp("contoso-eu")
	w.backedUp("contoso-us")
	there := w.ask(failover(nil))
	back, err := w.e.Recover(t.Context(), failback(nil))
	if !errors.Is(err, engine.ErrRefused) {
		t.Fatalf("the way back: %v", err)
	}
	if a, b := w.ended(there.Operation.ID, 2*time.Hour), w.ended(back.Operation.ID, time.Hour); a.Outcome != dr.Succeeded || b.Outcome != dr.Rejected || b.Error.Code != "NotActive" {
		t.Errorf("%s, %s %v", a.Outcome, b.Outcome, b.Error)
	}
	// Two of the same at once: one does it, the other finds it done.
	w = newPair(t, false)
	w.backedUp("contoso-eu")
	one, two := w.ask(failover(nil)), w.ask(failover(nil))
	a, b := w.ended(one.Operation.ID, 2*time.Hour), w.ended(two.Operation.ID, time.Hour)
	if len(w.restores) != 1 || a.Outcome == b.Outcome {
		t.Errorf("%s and %s, restores %v", a.Outcome, b.Outcome, w.restores)
	}
}

func TestAFailoverGoesBeforeOtherWaitingWork(t *testing.T) {
	w := newPair(t, false)
	w.backedUp("contoso-eu")
	w.takes = 10 * time.Minute
	first := w.backup("contoso-us")
	w.run(2 * time.Minute) // it holds the lock
	second, third := w.backup("contoso-us"), w.backup("contoso-us")
	w.run(2 * time.Minute)
	op := w.ask(failover(nil)).Operation
	w.run(4 * time.Hour)
	op = w.operation(op.ID)
	for _, id := range []string{second.ID, third.ID} {
		other := w.operation(id)
		if op.Outcome != dr.Succeeded || !op.Leg().PostedAt.Before(other.Leg().PostedAt) {
			t.Errorf("failover %s at %s, backup at %s", op.Outcome, op.Leg().PostedAt, other.Leg().PostedAt)
		}
	}
	if first = w.operation(first.ID); !first.Leg().PostedAt.Before(op.Leg().PostedAt) || w.overlaps > 0 {
		t.Error("the running backup was overtaken")
	}
}

func TestAFailoverFollowsARestoreOfTheSamePoint(t *testing.T) {
	for name, fails := range map[string]bool{"which succeeds": false, "which fails": true} {
		w := newPair(t, true)
		w.takes = 10 * time.Minute
		w.backup("contoso-eu")
		w.run(12 * time.Minute) // the warm standby is being restored
		if len(w.restores) != 1 {
			t.Fatalf("%v", w.restores)
		}
		if fails {
			w.services["contoso-us"].failed = &dr.Error{Source: "arm", Code: "RestoreFailed", Message: "no"}
		}
		op := w.ask(failover(nil)).Operation
		w.run(12 * time.Minute)
		w.services["contoso-us"].failed = nil
		op = w.ended(op.ID, 2*time.Hour)
		want := map[bool]int{false: 1, true: 2}[fails]
		if op.Outcome != dr.Succeeded || len(w.restores) != want || w.overlaps > 0 {
			t.Errorf("%s: %s %v, restores %v", name, op.Outcome, op.Error, w.restores)
		}
		if adopted := w.events[op.ID][0].Result().Recovery.Adopted; (adopted == "") != fails {
			t.Errorf("%s: adopted %q", name, adopted)
		}
		w.run(2 * time.Hour)
		if wrong := w.check(len(w.ops())); len(wrong) > 0 {
			t.Errorf("%s: %v", name, wrong)
		}
	}
}

func TestASafetyBackupGoesFirstAndIsNeverTakenForTheNewestGood(t *testing.T) {
	w := newPair(t, false)
	p := w.backedUp("contoso-eu")
	w.services["contoso-eu"].view.ETag = "broken by hand"
	r := engine.RecoverRequest{Request: engine.Request{Service: "contoso-eu"}, Kind: dr.KindRestore, Confirm: "contoso-eu", Safety: true}
	op := w.ended(w.ask(r).Operation.ID, 2*time.Hour)
	if op.Outcome != dr.Succeeded || len(w.posts) != 2 || !slices.Equal(w.restores, []string{p.ID + " into contoso-eu"}) {
		t.Fatalf("%s %v, backups %v, restores %v", op.Outcome, op.Error, w.posts, w.restores)
	}
	w.aside(func() error {
		s, err := w.store.Service(t.Context(), "contoso-eu")
		if s.NewestGood.ID != p.ID || s.LastRestore.Operation != op.ID {
			t.Errorf("remembered: %+v", s)
		}
		safety, err2 := w.store.Point(t.Context(), "contoso-eu", op.ID+"-s0-a1")
		if !safety.Safety || safety.State != dr.Good {
			t.Errorf("safety backup %+v", safety)
		}
		return errors.Join(err, err2)
	})
	w.services["contoso-eu"].failed = &dr.Error{Source: "arm", Code: "BackupFailed", Message: "no"}
	op = w.ended(w.ask(r).Operation.ID, 2*time.Hour)
	if op.Outcome != dr.Rejected || op.Error.Code != "SafetyBackupNotGood" || len(w.restores) != 1 {
		t.Errorf("without a safety backup: %s %v, restores %v", op.Outcome, op.Error, w.restores)
	}
}

func TestAnotherServicesPointCanBeRestored(t *testing.T) {
	w := newPair(t, false)
	w.backedUp("contoso-eu")
	at := w.now
	w.now = w.now.Add(time.Minute)
	p := w.backedUp("contoso-eu")
	early := engine.RecoverRequest{Request: engine.Request{Service: "contoso-us"}, From: "contoso-eu", Kind: dr.KindRestore, Confirm: "contoso-us", Point: at.Format(time.RFC3339)}
	if op := w.ended(w.ask(early).Operation.ID, time.Hour); op.Outcome != dr.Succeeded || op.Recovery.Bound.ID == p.ID || op.Recovery.Bound.CreatedAt.After(at) {
		t.Errorf("%s restored %s", op.Outcome, op.Recovery.Bound.ID)
	}
	early.Point = p.ID
	if op := w.ended(w.ask(early).Operation.ID, time.Hour); op.Outcome != dr.Succeeded || op.Recovery.Bound.ID != p.ID {
		t.Errorf("%s restored %s", op.Outcome, op.Recovery.Bound.ID)
	}
}

func TestAbandoningFreesTheLockAndSaysThatARMMayBeAtWork(t *testing.T) {
	w := newPair(t, false)
	w.backedUp("contoso-eu")
	w.takes = 5 * time.Hour
	op := w.ask(failover(nil)).Operation
	w.run(5 * time.Minute)
	got, err := w.e.Abandon(t.Context(), op.ID, "ann", "stuck")
	if err != nil || got.Outcome != dr.Unknown || !strings.Contains(got.Error.Message, "ARM may still be at work") || !w.atRest() || len(w.events[op.ID]) != 1 {
		t.Fatalf("%s %v, %v; at rest %v, events %d", got.Outcome, got.Error, err, w.atRest(), len(w.events[op.ID]))
	}
	if _, err := w.e.Abandon(t.Context(), op.ID, "ann", ""); !errors.Is(err, engine.ErrEnded) {
		t.Errorf("again: %v", err)
	}
	if _, err := w.e.Abandon(t.Context(), "20260101-backup-0123456789abcdef0123", "ann", ""); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("of nothing: %v", err)
	}
	next := w.backup("contoso-us")
	w.run(time.Hour)
	if op := w.operation(next.ID); op.Phase != dr.Queued || !strings.Contains(op.Waiting, "Updating") {
		t.Errorf("what follows does not wait for ARM: %s %q", op.Phase, op.Waiting)
	}
	if pair := w.thePair(); !pair.Suspended || pair.Active != "contoso-eu" {
		t.Errorf("perhaps it is overwritten, but the pair is %+v", pair)
	}
}

func TestTheFirstNightOfADeploymentStartsNoDrill(t *testing.T) {
	w := newPair(t, false)
	if err := w.e.SendTicks(t.Context(), dr.KindBackup); err != nil {
		t.Fatal(err)
	}
	w.run(2 * time.Hour)
	if len(w.posts) != 1 || len(w.restores) != 0 || len(w.events) != 1 {
		t.Errorf("backups %v, restores %v, %d events", w.posts, w.restores, len(w.events))
	}
}

func TestTheDrillScheduleProvesEachServiceOnce(t *testing.T) {
	w := newPair(t, false)
	p := w.backedUp("contoso-eu")
	w.now = t0.AddDate(0, 0, 27).Add(2 * time.Hour) // 1 February, 05:00
	for range 2 {
		if err := w.e.SendTicks(t.Context(), dr.KindDrill); err != nil {
			t.Fatal(err)
		}
		w.run(2 * time.Hour)
	}
	if !slices.Equal(w.restores, []string{p.ID + " into contoso-drill"}) {
		t.Fatalf("restores %v", w.restores)
	}
	s, err := w.e.Status(t.Context())
	if err != nil || len(s.Services) != 1 {
		t.Fatal(err)
	}
	if got := s.Services[0]; !got.Proven || got.Proof.RecoverySeconds <= 0 || got.SurvivesPrimaryLoss.Survives != dr.NotKnown {
		t.Errorf("%+v", got)
	}
	w.now = w.now.AddDate(0, 0, 40)
	if s, err = w.e.Status(t.Context()); err != nil || s.Services[0].Proven || s.Services[0].Protected {
		t.Errorf("40 days later: %v %+v", err, s.Services[0])
	}
}

// A drill proves the backups of the instance whose recovery point it restored: that is what serves production, until it is backed up itself.
func TestADrillProvesWhatServesProduction(t *testing.T) {
	w := newPair(t, false)
	w.backedUp("contoso-eu")
	drill := func() dr.Operation {
		got := w.ask(engine.RecoverRequest{Request: engine.Request{Service: "contoso-eu"}, Kind: dr.KindDrill})
		return w.ended(got.Operation.ID, time.Hour)
	}
	proven := func() bool {
		s, err := w.e.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s.Services[0].Proven
	}
	if drill(); !proven() {
		t.Fatal("a drill proves nothing")
	}
	w.ended(w.ask(failover(nil)).Operation.ID, 2*time.Hour)
	if !proven() {
		t.Error("contoso-us holds what was proven")
	}
	p := w.backedUp("contoso-us")
	if proven() {
		t.Error("a drill of the other instance's backups proves this one's own")
	}
	if op := drill(); op.Recovery.Bound.ID != p.ID || !proven() {
		t.Errorf("drilled %s, proven %v", op.Recovery.Bound.ID, proven())
	}
	w.ended(w.ask(failback(nil)).Operation.ID, 2*time.Hour)
	if !proven() {
		t.Error("contoso-eu holds what was proven")
	}
}

func TestARepeatedKeyIsTheSameFailover(t *testing.T) {
	w := newPair(t, false)
	w.backedUp("contoso-eu")
	ask := failover(func(r *engine.RecoverRequest) { r.KeyHash, r.BodyHash = "k", "b" })
	one := w.ask(ask)
	w.services["contoso-us"].view.SKU = "Premium" // the plan would not pass any more
	if two := w.ask(ask); two.Operation.ID != one.Operation.ID || !reflect.DeepEqual(two.Plan, one.Plan) {
		t.Errorf("%s and %s", one.Operation.ID, two.Operation.ID)
	}
	ask.BodyHash = "other"
	if _, err := w.e.Recover(t.Context(), ask); !errors.Is(err, engine.ErrKeyReused) {
		t.Errorf("another body: %v", err)
	}
}

// Killed at any call of a failover, before or after its effect: one outcome, one event id, one restore, and the active instance is the one whose
// restore succeeded.
func TestAFailoverKilledAnywhere(t *testing.T) {
	for _, final := range []dr.FinalMode{dr.FinalNever, dr.FinalAuto} {
		unknown, stride := 0, 1
		if final == dr.FinalAuto && walks < 100 {
			stride = 9 // it has hundreds of calls
		}
		for k := 1; ; k += stride {
			w := newPair(t, true)
			w.backedUp("contoso-eu")
			w.run(2 * time.Hour)
			w.restores = nil
			ops := len(w.ops())
			op := w.ask(failover(func(r *engine.RecoverRequest) { r.Final = final })).Operation
			w.calls, w.killAt = 0, map[int]bool{k: true}
			w.run(48 * time.Hour)
			got := w.operation(op.ID)
			if final == dr.FinalAuto {
				ops++ // the final backup, begun or not
			}
			if wrong := w.check(ops + 1); len(wrong) > 0 || len(w.restores) > 1 {
				t.Fatalf("%s, killed at call %d: restores %v\n%s", final, k, w.restores, strings.Join(wrong, "\n"))
			}
			pair := w.thePair()
			switch {
			case pair.BusyBy != "", (pair.Active == "contoso-us") != (got.Outcome == dr.Succeeded):
				t.Fatalf("%s, killed at call %d: %s, but the pair is %+v", final, k, got.Outcome, pair)
			case got.Outcome == dr.Unknown:
				unknown++
			case got.Outcome != dr.Succeeded:
				t.Fatalf("%s, killed at call %d: %s %v", final, k, got.Outcome, got.Error)
			}
			if k > w.calls {
				t.Logf("%s: %d kill points, %d end unknown", final, k-1, unknown)
				if unknown > 4 || k < 60 {
					t.Errorf("%s: %d of %d end unknown", final, unknown, k)
				}
				break
			}
		}
	}
}

// Rebuilding the catalog from what lies beside the backups brings back what a failover needs.
func TestTheCatalogCanBeRebuiltFromTheBackupsAlone(t *testing.T) {
	w := newPair(t, true)
	p := w.backedUp("contoso-eu")
	w.run(2 * time.Hour)
	w.ended(w.ask(failover(nil)).Operation.ID, 2*time.Hour)
	w.aside(func() error {
		for _, name := range w.store.State.Names() {
			if err := w.store.State.Delete(t.Context(), name, ""); err != nil {
				return err
			}
		}
		_, err := w.store.Backups(nightly).Create(t.Context(), "20260101-backup-0123456789abcdef0123-s0-a1.apimdr.json", store.Content{Body: []byte("not JSON")})
		return err
	})
	w.aside(func() error { // a copy whose backup is gone
		copied, _, err := w.store.Backups(nightly).Get(t.Context(), p.ID+".apimdr.json")
		gone := strings.Replace(p.ID, "-s0-", "-s7-", 1)
		_, err2 := w.store.Backups(nightly).Create(t.Context(), gone+".apimdr.json", store.Content{Body: []byte(strings.ReplaceAll(string(copied), p.ID, gone))})
		return errors.Join(err, err2)
	})
	got, err := w.e.Rebuild(t.Context(), nightly)
	if err != nil || got.Points != 1 || got.Pairs != 1 || len(got.Bad) != 2 {
		t.Fatalf("%+v %v", got, err)
	}
	if pair := w.thePair(); pair.Active != "contoso-us" || !pair.Suspended {
		t.Errorf("pair %+v", pair)
	}
	points, err := w.e.RecoveryPoints(t.Context(), "contoso-eu")
	if err != nil || len(points) != 1 || points[0].ID != p.ID {
		t.Errorf("%+v %v", points, err)
	}
	plan, err := w.e.Recover(t.Context(), engine.RecoverRequest{Request: engine.Request{Service: "contoso-eu"}, Kind: dr.KindDrill, DryRun: true})
	if err != nil || plan.Plan.Refusal() != nil {
		t.Errorf("%v %v", err, plan.Plan.Refusal())
	}
}
