package model

import (
	"context"
	"flag"
	"fmt"
	"testing"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

var (
	large = flag.Bool("large", false, "explore the large sets of faults")
	most  = flag.Int("states", 4_000_000, "states of a set at most")
	one   = flag.String("scene", "", "explore this scene alone")
)

const eu, us = "contoso-eu", "contoso-us"

func backup(service string) func(context.Context, *engine.Engine) error {
	return func(ctx context.Context, e *engine.Engine) error {
		_, err := e.Backup(ctx, engine.Request{Service: service, KeyHash: "key-" + service, BodyHash: "b"})
		return err
	}
}

func backupAgain(service string) func(context.Context, *engine.Engine) error {
	return func(ctx context.Context, e *engine.Engine) error {
		_, err := e.Backup(ctx, engine.Request{Service: service, KeyHash: "key2-" + service, BodyHash: "b"})
		return err
	}
}

func recovery(kind dr.Kind, service, confirm string) func(context.Context, *engine.Engine) error {
	return func(ctx context.Context, e *engine.Engine) error {
		_, err := e.Recover(ctx, engine.RecoverRequest{Request: engine.Request{Service: service, KeyHash: "key-" + string(kind), BodyHash: "b"}, Kind: kind, Confirm: confirm})
		return err
	}
}

func failoverWithLastBackup(ctx context.Context, e *engine.Engine) error {
	_, err := e.Recover(ctx, engine.RecoverRequest{Request: engine.Request{Service: eu, KeyHash: "key-final", BodyHash: "b"}, Kind: dr.KindFailover, Confirm: us, Final: dr.FinalAuto})
	return err
}

func pair(warm bool) func(*engine.Fleet) {
	return func(f *engine.Fleet) {
		f.Services[0].Secondaries = []engine.Secondary{{Instance: dr.Instance{Name: us, ResourceID: "/x/" + us, Region: "northeurope"}, Warm: warm}}
	}
}

// scenes are explored whole: every state that can be reached with one of their sets of faults.
var scenes = []scene{
	{name: "one backup", instances: []string{eu}, calls: []httpCall{{0, backup(eu)}},
		small: []budget{{kill: 2}, {kill: 1, unheard: 1}, {kill: 1, odd: 1, invisible: 1, lose: 1}, {kill: 1, watch: 1}, {kill: 1, bury: 1, late: 1}, {down: 1, fail: 1, kill: 1}, {twice: 1}},
		large: []budget{{kill: 3}, {kill: 2, unheard: 1, odd: 1}, {kill: 1, twice: 1, odd: 1}, {kill: 1, unlock: 1}, {unlock: 1, slow: 1}, {kill: 1, watch: 1, bury: 1, odd: 1, invisible: 1}, {twice: 2}, {lose: 1, late: 1, bury: 1, watch: 1, kill: 1}}},
	{name: "one backup, duplicate detection", instances: []string{eu}, calls: []httpCall{{0, backup(eu)}}, detection: true,
		small: []budget{{kill: 1, unheard: 1}, {kill: 1, watch: 1}},
		large: []budget{{kill: 2, unheard: 1}, {kill: 1, watch: 1, late: 1}, {twice: 1, kill: 1}}},
	{name: "two backups of one service", instances: []string{eu}, calls: []httpCall{{0, backup(eu)}, {0, backupAgain(eu)}},
		small: []budget{{}},
		large: []budget{{kill: 1}, {odd: 1, invisible: 1}, {watch: 1}, {twice: 1}}},
	{name: "a restore meets a backup", instances: []string{eu}, before: []httpCall{{0, backup(eu)}},
		calls: []httpCall{{0, recovery(dr.KindRestore, eu, eu)}, {0, backupAgain(eu)}},
		small: []budget{{}},
		large: []budget{{kill: 1}, {odd: 1, invisible: 1}, {prune: 1}}},
	{name: "a restore meets a prune", instances: []string{eu}, before: []httpCall{{0, backup(eu)}}, calls: []httpCall{{0, recovery(dr.KindRestore, eu, eu)}},
		small: []budget{{prune: 1}, {prune: 1, kill: 1}},
		large: []budget{{prune: 1, kill: 1, odd: 1, invisible: 1}, {prune: 1, twice: 1}}},
	{name: "a failover meets a warm sync", instances: []string{eu, us}, fleet: pair(true), before: []httpCall{{0, backup(eu)}},
		calls: []httpCall{{0, backupAgain(eu)}, {100 * time.Second, recovery(dr.KindFailover, eu, us)}},
		small: []budget{{kill: 1}, {odd: 1, invisible: 1}},
		large: []budget{{kill: 2}, {kill: 1, odd: 1, invisible: 1}, {kill: 1, unheard: 1}, {late: 1, kill: 1}, {twice: 1}, {watch: 1, kill: 1}}},
	{name: "a failover takes a last backup", instances: []string{eu, us}, fleet: pair(true), before: []httpCall{{0, backup(eu)}}, calls: []httpCall{{0, failoverWithLastBackup}},
		small: []budget{{kill: 1}},
		large: []budget{{kill: 2}, {kill: 1, unheard: 1}, {kill: 1, odd: 1, invisible: 1}, {lose: 1, watch: 1}}},
	{name: "a revived primary is backed up", instances: []string{eu, us}, fleet: pair(true), before: []httpCall{{0, backup(eu)}, {time.Hour, recovery(dr.KindFailover, eu, us)}},
		calls: []httpCall{{0, backupAgain(eu)}},
		small: []budget{{kill: 1, late: 1}, {kill: 1, watch: 1}},
		large: []budget{{kill: 2, unheard: 1}, {twice: 1, kill: 1}}},
}

func newExplorer(sc scene, m mutant, most int) *explorer {
	timing := dr.DefaultTiming()
	if m.early {
		timing.Settle, timing.Look = 0, 0
	}
	schedule, err := dr.ParseSchedule("0 0 3 * * *")
	if err != nil {
		panic(err)
	}
	fleet := engine.Fleet{Plans: []engine.Plan{{Name: "nightly", Schedule: schedule, Storage: backups, Within: 12 * time.Hour}},
		Services: []engine.Service{{Name: eu, ResourceID: "/x/" + eu, Region: "westeurope", Plan: "nightly"}},
		Storages: []engine.Storage{{Storage: backups, Access: dr.Access{Mode: "storageKey"}}}}
	if sc.fleet != nil {
		sc.fleet(&fleet)
	}
	return &explorer{scene: sc, mutant: m, most: most, done: map[string]int{}, engine: engine.Engine{Fleet: fleet, Timing: timing, APIVersion: "2024-05-01"}}
}

// beginning is where an exploration starts: without faults, what went before has ended.
func (x *explorer) beginning(t *testing.T) *state {
	t.Helper()
	s := &state{sent: map[string]sent{}, events: map[string]dr.Outcome{}}
	for _, name := range x.scene.instances {
		s.arm = append(s.arm, instance{name: name})
	}
	calls := x.scene.calls
	for _, c := range x.scene.before {
		x.scene.calls = []httpCall{c}
		s.queue = append(s.queue, &message{id: fmt.Sprint("before ", c.at), call: 1, due: s.clock + c.at})
		for steps := x.successors(s); len(steps) > 0; steps = x.successors(s) {
			s = steps[0].next
			if len(steps[0].wrong) > 0 {
				t.Fatal(steps[0])
			}
		}
		if wrong := x.atTheEnd(s); len(wrong) > 0 {
			t.Fatal(wrong)
		}
	}
	x.scene.calls = calls
	s = s.clone()
	s.clock += time.Hour
	for i, c := range calls {
		s.queue = append(s.queue, &message{id: fmt.Sprint("call ", i+1), call: i + 1, due: s.clock + c.at})
	}
	s.left = x.scene.faults
	x.ends, x.done = 0, map[string]int{}
	return s
}

func TestTheInvariantsHoldInEveryState(t *testing.T) {
	states := 0
	for _, sc := range scenes {
		if *one != "" && sc.name != *one {
			continue
		}
		t.Run(sc.name, func(t *testing.T) {
			faults := sc.small
			if *large {
				faults = sc.large
			}
			for _, sc.faults = range faults {
				began := time.Now()
				x := newExplorer(sc, mutant{}, *most)
				x.explore(x.beginning(t))
				whole := "all"
				if x.states >= x.most {
					whole = "stopped after"
				}
				states += x.states
				t.Logf("%s; %s: %s %d states, %d steps, up to %d deep, %d ends (%s), %s", sc.name, sc.faults, whole, x.states, x.steps, x.depth, x.ends, x.outcomes(), time.Since(began).Round(time.Millisecond))
				if x.states >= x.most && !*large {
					t.Errorf("a bound of %d states is too small", x.most)
				}
				if x.wrong != nil {
					t.Fatalf("%q breaks: %s\n%s", x.wrong.invariant, x.wrong.text, x.path(x.at))
				}
			}
		})
	}
	t.Logf("%d states in all", states)
}

// Each rule of the protocol is needed: without it the exploration finds the way to an invariant that breaks.
func TestWithoutARuleAnInvariantBreaks(t *testing.T) {
	backupOnce := scene{instances: []string{eu}, calls: []httpCall{{0, backup(eu)}}}
	with := func(sc scene, change func(*scene)) scene { change(&sc); return sc }
	backupTwice := with(backupOnce, func(sc *scene) { sc.calls = []httpCall{{0, backup(eu)}, {0, backupAgain(eu)}} })
	restores := scene{instances: []string{eu}, before: []httpCall{{0, backup(eu)}}, calls: []httpCall{{0, recovery(dr.KindRestore, eu, eu)}}}
	for name, row := range map[string]struct {
		mutant    mutant
		scene     scene
		faults    budget
		invariant string
	}{
		"a heal sends with the MessageID of an earlier wake": {mutant{sameID: true}, with(backupOnce, func(sc *scene) { sc.detection = true }), budget{watch: 1}, nothingSwallowed},
		"who ends deletes the lock, whoever has it":          {mutant{unlockAny: true}, backupTwice, budget{kill: 1}, oneAtATime},
		"who yields deletes another invocation's lock":       {mutant{yieldAny: true}, backupTwice, budget{twice: 1, odd: 1}, oneAtATime},
		"no lock is taken": {mutant{noLock: true}, backupTwice, budget{}, oneAtATime},
		"the event goes out before the record is saved":       {mutant{eventFirst: true}, backupOnce, budget{}, oneOutcome},
		"what is done is done, without Finish":                {mutant{doneIsDone: true}, backupOnce, budget{kill: 1}, oneOutcome},
		"a POST is repeated before ARM must show the first":   {mutant{early: true}, backupOnce, budget{odd: 1, invisible: 1}, oneAtATime},
		"a dead letter ends an operation as failed":           {mutant{failDead: true}, backupOnce, budget{bury: 1}, armsWord},
		"the marker is made after the record":                 {mutant{markerLast: true}, backupOnce, budget{kill: 1}, oneOutcome},
		"a warm sync does not look at the roles":              {mutant{followAll: true}, scenes[len(scenes)-1], budget{}, activeStays},
		"a recovery point is pruned although it is in use":    {mutant{pruneUsed: true}, restores, budget{prune: 1}, usedStays},
		"a restore does not say what it uses":                 {mutant{noPin: true}, restores, budget{prune: 1}, usedStays},
		"a record is saved although it was changed meanwhile": {mutant{saveAlways: true}, backupOnce, budget{twice: 1}, oneAtATime},
	} {
		t.Run(name, func(t *testing.T) {
			row.scene.faults = row.faults
			x := newExplorer(row.scene, row.mutant, 2_000_000)
			x.explore(x.beginning(t))
			if x.wrong == nil {
				t.Fatalf("it holds in all %d states", x.states)
			}
			path := x.path(x.at)
			t.Logf("after %d states, %q breaks: %s\n%s", x.states, x.wrong.invariant, x.wrong.text, path)
			if x.wrong.invariant != row.invariant {
				t.Errorf("expected: %s", row.invariant)
			}
		})
	}
}
