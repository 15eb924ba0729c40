package dr

import (
	"strings"
	"testing"
	"time"
)

var point = RecoveryPoint{V: Version, ID: "20260104-backup-0123456789abcdef0123-s0-a1", State: Good, Service: "contoso-eu", CreatedAt: t0.Add(-6 * time.Hour),
	ExpiresAt: t0.Add(29 * 24 * time.Hour), Storage: Storage{Account: "contosodr", Container: "backups"}, Bytes: 7, SKU: "Developer", Capacity: 1}

// newRestore is a failover from contoso-eu into contoso-us with its point bound, as far as Step is concerned.
func newRestore(change func(*Operation)) Operation {
	op := Operation{
		V: Version, Rev: 1, ID: NewID(KindFailover, t0, "test"), Kind: KindFailover, Service: "contoso-us", Trigger: TriggerHTTP,
		CreatedAt: t0, NotAfter: t0.Add(30 * time.Minute), Phase: Queued,
		Legs: []Leg{{Verb: VerbRestore, Service: "contoso-us", ResourceID: "/x/contoso-us", Within: Duration(12 * time.Hour)}},
		Recovery: &Recovery{Urgent: true, Role: Switch, Pair: PairName("contoso-eu", "contoso-us"),
			Intent: Intent{Kind: KindFailover, Source: Instance{Name: "contoso-eu"}, Target: Instance{Name: "contoso-us"}, Point: Latest, MaxWait: Duration(10 * time.Minute)}},
	}
	op.bind(&point)
	if change != nil {
		change(&op)
	}
	return op
}

func withSafety(op *Operation) {
	op.Legs = append([]Leg{{Verb: VerbBackup, Safety: true, Service: "contoso-us", ResourceID: "/x/contoso-us", Within: Duration(10 * time.Minute)}}, op.Legs...)
}

func withFinal(mode FinalMode) func(*Operation) {
	return func(op *Operation) { op.Recovery.Intent.Final = mode }
}

var (
	adopts   = says(Lock, Answer{Verdict: Still, PostedAt: t0, Adopted: "other", Location: "https://arm/other", Service: idle})
	settled  = says(Verify, Answer{Verdict: OK, Service: idle, Gateways: []Gateway{{URL: "https://g", Status: 200}}})
	running2 = says(Await, Answer{Verdict: Still, Reason: "running"})
)

func TestStepOfWhatRestores(t *testing.T) {
	begun := []said{knocks(0), locks, ready, accepted}
	newer := point
	newer.ID = "20260105-backup-0123456789abcdef0123-s0-a1"
	for name, tc := range map[string]struct {
		op      Operation
		script  []said
		phase   Phase
		do      Do
		at      time.Duration
		outcome Outcome
		says    string // in the error or the notes
	}{
		"a restore succeeds when the service is well again": {newRestore(nil), append(begun, knocks(time.Minute), finished, settled), Done, Finish, 0, Succeeded, ""},
		"it is polled at Retry-After however long it takes": {newRestore(nil), append(begun, knocks(3*time.Hour), running), Running, Sleep, time.Minute, "", ""},
		"a service that is not well yet is waited for":      {newRestore(nil), append(begun, knocks(time.Minute), finished, says(Verify, Answer{Verdict: Still, Reason: "the service is Updating"})), Verifying, Sleep, 15 * time.Second, "", ""},
		"a service that never gets well is unknown":         {newRestore(nil), append(begun, knocks(time.Minute), finished, said{30 * time.Minute, Input{To: Verify, Answer: Answer{Verdict: Still, Reason: "the service is Updating"}}}), Done, Finish, 0, Unknown, "did not show: the service is Updating"},
		"ARM's failure is one":                              {newRestore(nil), append(begun, knocks(time.Minute), armFails), Done, Finish, 0, Failed, "BackupFailed"},
		"a confirmed restore never starts hours later":      {newRestore(nil), []said{knocks(0), says(Lock, Answer{Verdict: Later, Reason: "busy"}), knocks(31 * time.Minute)}, Done, Finish, 0, Rejected, "busy"},
		"nor is it POSTed again then":                       {newRestore(nil), []said{knocks(0), locks, ready, lost, knocks(29 * time.Minute), noTrace, knocks(2 * time.Minute), noTrace}, Done, Finish, 0, Unknown, ""},
		"a lost POST without a trace is repeated":           {newRestore(nil), []said{knocks(0), locks, ready, lost, knocks(6 * time.Minute), noTrace, knocks(time.Minute), noTrace}, Starting, Start, 0, "", ""},
		"that the blob is there is no trace of a restore":   {newRestore(nil), []said{knocks(0), locks, ready, lost, knocks(6 * time.Minute), says(Look, Answer{Verdict: OK, Service: idle, Blob: BlobView{Exists: true, Bytes: 7}}), knocks(time.Minute), noTrace}, Starting, Start, 0, "", ""},
		"but once only":                               {newRestore(nil), []said{knocks(0), locks, ready, lost, knocks(6 * time.Minute), noTrace, knocks(time.Minute), noTrace, lost, knocks(6 * time.Minute), noTrace, knocks(time.Minute), noTrace}, Done, Finish, 0, Unknown, ""},
		"an urgent one waits less for a lock":         {newRestore(nil), []said{knocks(0), says(Lock, Answer{Verdict: Later})}, Queued, Sleep, 15 * time.Second, "", ""},
		"the roles can forbid it":                     {newRestore(nil), []said{knocks(0), says(Lock, Answer{Verdict: No, Error: Failure("NotActive", "contoso-us is")})}, Done, Finish, 0, Rejected, "NotActive"},
		"a restore of the same point is followed":     {newRestore(nil), []said{knocks(0), adopts}, Running, Check, 0, "", "following"},
		"and ends as it does":                         {newRestore(nil), []said{knocks(0), adopts, finished, settled}, Done, Finish, 0, Succeeded, ""},
		"unless it fails: then it is done again":      {newRestore(nil), []said{knocks(0), adopts, armFails}, Queued, Sleep, 15 * time.Second, "", "doing it again"},
		"without a point there is nothing to restore": {newRestore(func(op *Operation) { op.Legs[0].Point = "" }), []said{knocks(0), locks, ready}, Done, Finish, 0, Rejected, "RecoveryPointNotFound"},
		"a point can be bound under the lock":         {newRestore(func(op *Operation) { op.Legs[0].Point = "" }), []said{knocks(0), locks, says(Prepare, Answer{Verdict: OK, Service: idle, Point: &point})}, Starting, Start, 0, "", ""},

		"a safety backup goes first":              {newRestore(withSafety), append(begun, knocks(time.Minute), finished, found), Queued, Lock, 0, "", ""},
		"and the restore under the same lock":     {newRestore(withSafety), append(begun, knocks(time.Minute), finished, found, locks, ready), Starting, Start, 0, "", ""},
		"without it nothing is overwritten":       {newRestore(withSafety), append(begun, knocks(time.Minute), armFails), Done, Finish, 0, Rejected, "SafetyBackupNotGood"},
		"not when it is too slow":                 {newRestore(withSafety), append(begun, knocks(11*time.Minute), running, noTrace), Done, Finish, 0, Rejected, "SafetyBackupNotGood"},
		"nor when it could not be begun":          {newRestore(withSafety), []said{knocks(31 * time.Minute)}, Done, Finish, 0, Rejected, "NotStartedInTime"},
		"its Location is not the restore's":       {newRestore(withSafety), append(begun, knocks(time.Minute), finished, found, locks, ready, said{time.Second, Input{Wake: Wake{Leg: 0, Attempt: 1, Location: "https://arm/1"}}}), Starting, Sleep, 6*time.Minute - time.Second, "", ""},
		"the restore's own Location repairs it":   {newRestore(withSafety), append(begun, knocks(time.Minute), finished, found, locks, ready, said{time.Second, Input{Wake: Wake{Leg: 1, Attempt: 1, Location: "https://arm/2"}}}), Running, Check, 0, "", ""},
		"nothing is overwritten hours later":      {newRestore(withSafety), append(begun, knocks(31*time.Minute), finished, found), Done, Finish, 0, Rejected, "NotStartedInTime"},
		"a restore done again is polled anew":     {newRestore(nil), []said{knocks(0), adopts, refused, knocks(5 * time.Minute), refused, knocks(6 * time.Minute), refused, armFails, knocks(time.Minute), locks, ready, accepted, knocks(time.Minute)}, Running, Check, 0, "", ""},
		"its wait leaves time for the restore":    {newRestore(withFinal(FinalAuto)), []said{knocks(25 * time.Minute), locks, running2, knocks(4 * time.Minute), locks, running2}, Queued, Prepare, 0, "", "without a final backup"},
		"a dead letter is no failure of ARM":      {newRestore(withSafety), []said{{0, Input{Buried: true, Answer: Answer{Error: Failure("DeadLettered", "x")}}}}, Done, Finish, 0, Rejected, "DeadLettered"},
		"a final backup is asked for first":       {newRestore(withFinal(FinalAuto)), []said{knocks(0), locks}, Queued, Await, 0, "", ""},
		"it is waited for":                        {newRestore(withFinal(FinalAuto)), []said{knocks(0), locks, running2}, Queued, Sleep, 15 * time.Second, "", ""},
		"and used":                                {newRestore(withFinal(FinalAuto)), []said{knocks(0), locks, says(Await, Answer{Verdict: OK, Point: &newer})}, Queued, Prepare, 0, "", ""},
		"auto goes on when it fails":              {newRestore(withFinal(FinalAuto)), []said{knocks(0), locks, says(Await, Answer{Verdict: No, Error: Failure("X", "no")})}, Queued, Prepare, 0, "", "without a final backup"},
		"auto goes on when its time is over":      {newRestore(withFinal(FinalAuto)), []said{knocks(0), locks, running2, knocks(10 * time.Minute), locks, running2}, Queued, Prepare, 0, "", "not done within 10m0s"},
		"require does not when it fails":          {newRestore(withFinal(FinalRequire)), []said{knocks(0), locks, says(Await, Answer{Verdict: No, Error: Failure("X", "no")})}, Done, Finish, 0, Rejected, "FinalBackupNotGood"},
		"require does not when its time is over":  {newRestore(withFinal(FinalRequire)), []said{knocks(0), locks, running2, knocks(10 * time.Minute), locks, running2}, Done, Finish, 0, Rejected, "was not touched"},
		"an answer nobody asked for is not heard": {newRestore(nil), []said{knocks(0), locks, running2}, Queued, Nothing, 0, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			op, act, now := play(tc.op, tc.script...)
			var at time.Duration
			if !act.At.IsZero() {
				at = act.At.Sub(now)
			}
			if op.Phase != tc.phase || act.Do != tc.do || at != tc.at || op.Outcome != tc.outcome {
				t.Errorf("got %s, %q in %s, outcome %q (%v); want %s, %q in %s, %q", op.Phase, act.Do, at, op.Outcome, op.Error, tc.phase, tc.do, tc.at, tc.outcome)
			}
			told := ""
			if op.Error != nil {
				told = op.Error.String()
			}
			for _, n := range op.Evidence {
				told += n.Text
			}
			if !strings.Contains(told, tc.says) {
				t.Errorf("told %q, want %q in it", told, tc.says)
			}
		})
	}
}

func TestTheFinalBackupIsWhatIsRestored(t *testing.T) {
	newer := point
	newer.ID, newer.Storage.Container = "20260105-backup-0123456789abcdef0123-s0-a1", "other"
	op, _, _ := play(newRestore(withFinal(FinalRequire)), knocks(0), locks, says(Await, Answer{Verdict: OK, Point: &newer}), ready)
	if op.Blob() != newer.ID || op.Leg().Storage != newer.Storage || op.Recovery.Bound.ID != newer.ID {
		t.Errorf("restores %s from %+v", op.Blob(), op.Leg().Storage)
	}
}

func TestAbandoning(t *testing.T) {
	begun := []said{knocks(0), locks, ready}
	for name, tc := range map[string]struct {
		op      Operation
		script  []said
		outcome Outcome // empty: refused
		says    string
	}{
		"nothing was asked of ARM":       {newRestore(nil), []said{knocks(0)}, Rejected, "before ARM had taken on the restore of contoso-us"},
		"a POST may be on its way":       {newRestore(nil), begun, "", "try again after 2026-01-05T03:01:00Z"},
		"a POST may have been heard":     {newRestore(nil), append(begun, knocks(time.Minute)), Unknown, "ARM may still be at work"},
		"ARM is at work":                 {newRestore(nil), append(begun, accepted), Unknown, "ARM may still be at work"},
		"a throttled POST was not taken": {newRestore(nil), append(begun, says(Start, Answer{Verdict: Later})), Rejected, "before ARM had taken on the restore"},
		"after the safety backup":        {newRestore(withSafety), append(begun, accepted, knocks(time.Minute), finished, found), Rejected, "before ARM had taken on the restore"},
	} {
		op, _, now := play(tc.op, tc.script...)
		next, refusal := Abandon(op, "ann", "wrong region", now)
		if tc.outcome == "" {
			if refusal == nil || !strings.Contains(refusal.Message, tc.says) || next.Phase == Done {
				t.Errorf("%s: %v %s", name, refusal, next.Phase)
			}
			continue
		}
		if refusal != nil || next.Phase != Done || next.Outcome != tc.outcome || !strings.Contains(next.Error.Message, tc.says) || !strings.Contains(next.Error.Message, "ann") || op.Phase == Done {
			t.Errorf("%s: %v %s %v", name, refusal, next.Outcome, next.Error)
		}
		if _, again := Abandon(next, "ann", "", now); again == nil {
			t.Errorf("%s: abandoned twice", name)
		}
	}
}

func TestThePairOfAFailover(t *testing.T) {
	p := NewPair("contoso-eu", "contoso-us")
	op := newRestore(nil)
	begun, refusal := p.Admit(op)
	if refusal != nil || begun.BusyBy != op.ID || !begun.Suspended || begun.Active != "contoso-eu" {
		t.Fatalf("%+v %v", begun, refusal)
	}
	if again, refusal := begun.Admit(op); refusal != nil || again != begun {
		t.Errorf("a repeated admission changes %+v to %+v, %v", begun, again, refusal)
	}
	back := newRestore(func(op *Operation) {
		op.ID, op.Service = NewID(KindFailover, t0, "back"), "contoso-eu"
		op.Recovery.Intent.Source, op.Recovery.Intent.Target = op.Recovery.Intent.Target, op.Recovery.Intent.Source
		op.Legs[0].Service = "contoso-eu"
	})
	if _, refusal := begun.Admit(back); refusal == nil || refusal.Code != "NotActive" {
		t.Errorf("the way back while it is at work: %v", refusal)
	}
	twin := newRestore(func(op *Operation) { op.ID = NewID(KindFailover, t0, "twin") })
	if _, refusal := begun.Admit(twin); refusal == nil || refusal.Code != "FailoverInProgress" {
		t.Errorf("a second one: %v", refusal)
	}
	end := func(op Operation, o Outcome) Operation {
		op.Phase, op.Outcome, op.EndedAt = Done, o, t0.Add(time.Hour)
		op.Legs[0].Outcome, op.Legs[0].Attempt = o, 1
		return op
	}
	for outcome, want := range map[Outcome]Pair{
		Succeeded: {Active: "contoso-us", Suspended: true},
		Unknown:   {Active: "contoso-eu", Suspended: true},
		Failed:    {Active: "contoso-eu"},
		Rejected:  {Active: "contoso-eu"},
	} {
		after, changed := begun.After(end(newRestore(nil), outcome))
		if !changed || after.Active != want.Active || after.Suspended != want.Suspended || after.BusyBy != "" {
			t.Errorf("%s: %+v", outcome, after)
		}
		if again, changed := after.After(end(newRestore(nil), outcome)); changed {
			t.Errorf("%s: merging it again changes %+v to %+v", outcome, after, again)
		}
	}
	failedOver, _ := begun.After(end(newRestore(nil), Succeeded))
	warm := newRestore(func(op *Operation) { op.ID, op.Recovery.Role = NewID(KindRestore, t0, "warm"), Follow })
	if _, refusal := failedOver.Admit(warm); refusal == nil {
		t.Error("a warm sync would overwrite the active instance")
	}
	unsure, _ := begun.After(end(newRestore(nil), Unknown))
	if _, refusal := unsure.Admit(warm); refusal == nil || refusal.Code != "StandbySuspended" {
		t.Errorf("after a failover that ended unknown the standby is perhaps production: %v", refusal)
	}
	if _, refusal := p.Admit(warm); refusal != nil {
		t.Errorf("a warm sync before any failover: %v", refusal)
	}
	syncing, _ := p.Admit(warm)
	if _, refusal := syncing.Rearm(Rearm{Active: "contoso-us"}, t0); refusal == nil || refusal.Code != "SyncInProgress" {
		t.Errorf("what a warm sync overwrites is declared active: %v", refusal)
	}
	if _, refusal := syncing.Rearm(Rearm{Active: "contoso-eu"}, t0); refusal != nil {
		t.Errorf("what it takes from: %v", refusal)
	}
	if after, _ := syncing.After(end(warm, Succeeded)); after.Syncing != "" {
		t.Errorf("the sync is done: %+v", after)
	}
	if _, refusal := begun.Admit(warm); refusal == nil {
		t.Error("a warm sync goes on during a failover")
	}
	synced := p
	synced.Standby, synced.StandbyAt = PointRef{ID: "x", CreatedAt: t0}, t0
	if broken, _ := synced.After(end(warm, Failed)); broken.Standby != (PointRef{}) {
		t.Errorf("after a restore that failed the standby still passes for what it held: %+v", broken)
	}
	returning, refusal := failedOver.Admit(back)
	if refusal != nil {
		t.Fatal(refusal)
	}
	if home, _ := returning.After(end(back, Succeeded)); home.Active != "contoso-eu" || home.Suspended {
		t.Errorf("after the failback: %+v", home)
	}
}

func TestRearming(t *testing.T) {
	p := NewPair("contoso-eu", "contoso-us")
	p.Active, p.Suspended = "contoso-us", true
	next, refusal := p.Rearm(Rearm{Active: "contoso-us", By: "ann"}, t0)
	if refusal != nil || next.Suspended || next.By != "ann" || next.Active != "contoso-us" {
		t.Errorf("%+v %v", next, refusal)
	}
	if _, refusal := p.Rearm(Rearm{Active: "contoso-asia", By: "ann"}, t0); refusal == nil {
		t.Error("a stranger becomes active")
	}
	p.BusyBy = "x"
	if _, refusal := p.Rearm(Rearm{Active: "contoso-us", By: "ann"}, t0); refusal == nil {
		t.Error("re-armed in the middle of a failover")
	}
}

func TestAChangeIsAlwaysNewerThanTheOneBefore(t *testing.T) {
	p := NewPair("contoso-eu", "contoso-us")
	p.Active, p.ChangedAt = "contoso-us", t0.AddDate(1, 0, 0) // a clock that was wrong
	next, _ := p.Rearm(Rearm{Active: "contoso-eu", By: "ann"}, t0)
	if got := next.Newer(p); got != next {
		t.Errorf("the record of before counts: %+v", got)
	}
}

// A copy beside the backups may know of a failover that the state storage never heard of.
func TestTheNewerRecordOfAPairCounts(t *testing.T) {
	mine, theirs := NewPair("contoso-eu", "contoso-us"), NewPair("contoso-eu", "contoso-us")
	theirs.Active, theirs.ChangedAt, theirs.Suspended = "contoso-us", t0, true
	if got := mine.Newer(theirs); got != theirs {
		t.Errorf("got %+v", got)
	}
	if got := theirs.Newer(mine); got != theirs {
		t.Errorf("the older one counts: %+v", got)
	}
	other := NewPair("contoso-eu", "contoso-asia")
	other.ChangedAt = t0
	if got := mine.Newer(other); got != mine {
		t.Errorf("another pair counts: %+v", got)
	}
}

func TestTheNewestGoodPointAfterARestoreIsTheRestoredOne(t *testing.T) {
	good := func(key string, at time.Time, safety bool) Operation {
		op := newOp()
		op.ID, op.Service = NewID(KindBackup, at, key), "contoso-us"
		op.Phase, op.Outcome, op.EndedAt = Done, Succeeded, at.Add(time.Minute)
		op.Legs[0].Service, op.Legs[0].Outcome, op.Legs[0].PostedAt, op.Legs[0].Attempt, op.Legs[0].Safety = "contoso-us", Succeeded, at, 1, safety
		return op
	}
	restore := newRestore(nil)
	restore.Phase, restore.Outcome, restore.EndedAt = Done, Succeeded, t0.Add(20*time.Minute)
	restore.Legs[0].Outcome, restore.Legs[0].Attempt, restore.Legs[0].PostedAt = Succeeded, 1, t0
	before, safety, after := good("before", t0.Add(-time.Hour), false), good("safety", t0.Add(-time.Minute), true), good("after", t0.Add(time.Hour), false)
	var undone ServiceState // a restore that failed after its safety backup
	for _, op := range []Operation{before, safety} {
		undone, _ = undone.After(op, "contoso-us")
	}
	if undone.NewestGood.ID != before.PointID() {
		t.Errorf("a safety backup counts: %+v", undone.NewestGood)
	}
	orders := [][]Operation{{before, safety, restore}, {restore, before, safety}, {safety, restore, before, restore}}
	for _, order := range orders {
		var s ServiceState
		for _, op := range order {
			s, _ = s.After(op, "contoso-us")
		}
		if s.NewestGood.ID != point.ID || s.NewestGood.Service != "contoso-eu" || !s.NewestGood.AsOf.Equal(t0) || s.LastRestore.Operation != restore.ID {
			t.Errorf("newest good %+v, last restore %+v", s.NewestGood, s.LastRestore)
		}
		if s, _ = s.After(after, "contoso-us"); s.NewestGood.ID != after.PointID() {
			t.Errorf("a backup after the restore does not count: %+v", s.NewestGood)
		}
	}
}

// After a failover backups lie in the region of the instance that they were taken of, and may be lost with it.
func TestABackupBesideItsInstanceIsMarked(t *testing.T) {
	for region, want := range map[string]bool{"northeurope": false, "westeurope": true, "": false} {
		op, _, _ := play(newOp(), knocks(0), locks, says(Prepare, Answer{Verdict: OK, Service: ServiceView{State: "Succeeded", Region: "West Europe"}}), accepted, knocks(time.Minute), finished, found)
		op.Legs[0].Storage.Region = region
		if got := Points(op)[0].Colocated; got != want {
			t.Errorf("storage in %q: %v", region, got)
		}
	}
}

func TestADrillProvesItsSource(t *testing.T) {
	drill := newRestore(func(op *Operation) { op.Kind, op.Recovery.Role = KindDrill, "" })
	drill.Phase, drill.Outcome, drill.EndedAt = Done, Succeeded, t0.Add(12*time.Minute)
	drill.Legs[0].Outcome, drill.Legs[0].Attempt, drill.Legs[0].PostedAt = Succeeded, 1, t0.Add(time.Minute)
	s, _ := ServiceState{}.After(drill, "contoso-eu")
	if s.Proof.RecoverySeconds != 660 || s.Proof.Point != point.ID || s.LastDrill.Outcome != Succeeded || s.NewestGood.ID != "" {
		t.Errorf("%+v", s)
	}
	drill.ID, drill.Outcome, drill.EndedAt = NewID(KindDrill, t0, "next"), Failed, t0.Add(24*time.Hour)
	drill.Legs[0].Outcome = Failed
	if s, _ = s.After(drill, "contoso-eu"); s.LastDrill.Outcome != Failed || s.Proof.RecoverySeconds != 660 {
		t.Errorf("a failed drill takes the proof away: %+v", s)
	}
}

func TestTheEventOfAFailoverTellsTimesAndNextSteps(t *testing.T) {
	plan := MakePlan(newRestore(nil).Recovery.Intent, goodFacts(), t0)
	op := Planned(newRestore(nil), plan)
	op.Phase, op.Outcome, op.EndedAt = Done, Succeeded, t0.Add(25*time.Minute)
	op.Legs[0].Outcome, op.Legs[0].Attempt = Succeeded, 1
	op.Legs[0].Gateways = []Gateway{{URL: "https://g", Error: "no route"}}
	e := ResultEvent(op)
	r := e.Result().Recovery
	if e.Type != "apimdr.failover.succeeded" || e.Properties["source"] != "contoso-eu" || e.Properties["service"] != "contoso-us" {
		t.Errorf("%s %v", e.Type, e.Properties)
	}
	if r.RTOSeconds != 1500 || r.RPOSeconds != 6*3600 || r.RecoveryPoint != point.ID || len(r.Gateways) != 1 || len(r.NextSteps) == 0 || len(r.Findings) == 0 {
		t.Errorf("%+v", r)
	}
	newer := point // a final backup is younger than the call
	newer.CreatedAt = t0.Add(time.Minute)
	fresh := op.clone()
	if fresh.bind(&newer); ResultEvent(fresh).Result().Recovery.RPOSeconds != 0 {
		t.Errorf("data of after the call are %v s old", ResultEvent(fresh).Result().Recovery.RPOSeconds)
	}
	op.Outcome, op.Legs[0].Outcome = Unknown, Unknown
	if r := ResultEvent(op).Result().Recovery; r.RTOSeconds != 0 || len(r.NextSteps) > 0 {
		t.Errorf("an unknown end tells a recovery time or to switch over: %+v", r)
	}
}

// Who comes later gives way to a failover that was let through, also to one that follows a restore which already runs.
func TestAFailoverThatWasLetThroughSaysSo(t *testing.T) {
	for name, answer := range map[string]said{"the lock is its own": locks, "it adopts a restore": adopts} {
		for _, role := range []Role{Switch, ""} {
			op, _, _ := play(newRestore(func(op *Operation) { op.Recovery.Role = role }), knocks(0), answer)
			if op.Recovery.Admitted != (role == Switch) {
				t.Errorf("%s, role %q: %v", name, role, op.Recovery.Admitted)
			}
		}
	}
}
