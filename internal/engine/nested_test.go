package engine_test

import (
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// At any call of an invocation another one may run from beginning to end: of a message that is due, of one that comes again, or of the watchdog; and in that
// one another again. Any of them may be killed. POSTs go unanswered, and the service is busy now and then. Whatever comes first: one outcome each, no two
// ARM operations at once, nothing left behind.
func TestInvocationsInsideInvocations(t *testing.T) {
	rounds, outcomes := walks, map[dr.Outcome]int{}
	for seed := range rounds {
		w := newWorld(t, "contoso-eu")
		rnd := rand.New(rand.NewPCG(uint64(seed), 7))
		w.showLate, w.takes = time.Duration(rnd.IntN(200))*time.Second, time.Duration(1+rnd.IntN(20))*time.Minute
		lost, busy := rnd.IntN(3), rnd.IntN(6)
		w.onPost = func() (*dr.Answer, bool) {
			if lost == 0 || rnd.IntN(2) == 0 {
				return nil, true
			}
			lost--
			switch rnd.IntN(3) {
			case 0:
				return &dr.Answer{Verdict: dr.Lost, Reason: "connection reset"}, true
			case 1:
				return &dr.Answer{Verdict: dr.Lost, Reason: "connection reset"}, false
			}
			return &dr.Answer{Verdict: dr.Later, Reason: "throttled"}, false
		}
		ops := 2 + rnd.IntN(2)
		for range ops {
			w.backup("contoso-eu")
		}
		depth, kills := 0, seed%2 == 0
		w.intrude = func() (kill bool) {
			w.arm.Lock()
			if state := &w.services["contoso-eu"].view.State; *state == "Updating" {
				*state = "Succeeded"
			} else if busy > 0 && rnd.IntN(20) == 0 {
				busy--
				*state = "Updating"
			}
			w.arm.Unlock()
			if kills && rnd.IntN(60) == 0 {
				return true
			}
			if depth == 2 || rnd.IntN(12) != 0 {
				return false
			}
			depth++
			defer func() { depth-- }()
			switch k := rnd.IntN(10); {
			case k == 0:
				_ = w.survive(func() error { return w.e.Watch(t.Context()) })
			default:
				w.stray(rnd, k < 5)
			}
			return false
		}
		w.run(20 * time.Hour)
		w.intrude, w.services["contoso-eu"].view.State = nil, "Succeeded"
		w.run(4 * time.Hour)
		if wrong := w.check(ops); len(wrong) > 0 {
			t.Fatalf("seed %d: POSTs %v\n%s", seed, w.posts, strings.Join(wrong, "\n"))
		}
		for _, op := range w.ops() {
			outcomes[op.Outcome]++
		}
	}
	t.Logf("%d runs: %v", rounds, outcomes)
	if outcomes[dr.Succeeded] == 0 || outcomes[dr.Unknown] == 0 {
		t.Errorf("the runs are all alike: %v", outcomes)
	}
}

// stray delivers one of the last messages again, or one that is due out of turn.
func (w *world) stray(rnd *rand.Rand, again bool) {
	if again && len(w.past) > 0 {
		w.deliver(w.past[max(0, len(w.past)-1-rnd.IntN(4))])
	} else if len(w.queue) > 0 {
		i := rnd.IntN(len(w.queue))
		if m := w.queue[i]; !m.due.After(w.now) {
			w.queue = append(w.queue[:i:i], w.queue[i+1:]...)
			w.deliver(m)
		}
	}
}

// The same with everything that restores: failovers both ways, restores by hand, drills and warm syncs meet backups on both sides, each at any call of
// another, killed or not. Whatever comes first: one outcome each, no two ARM operations at once, no pair left busy, and nothing automatic ever
// overwrites the active instance (world.guard).
func TestRecoveriesInsideRecoveries(t *testing.T) {
	rounds, ended := walks, map[string]int{}
	for seed := range rounds {
		w := newPair(t, seed%3 > 0)
		rnd := rand.New(rand.NewPCG(uint64(seed), 11))
		w.backedUp("contoso-eu")
		w.backedUp("contoso-us")
		w.showLate, w.takes = time.Duration(rnd.IntN(100))*time.Second, time.Duration(1+rnd.IntN(15))*time.Minute
		lost := rnd.IntN(3)
		w.onPost = func() (*dr.Answer, bool) {
			if lost == 0 || rnd.IntN(3) == 0 {
				return nil, true
			}
			lost--
			return &dr.Answer{Verdict: dr.Lost, Reason: "connection reset"}, rnd.IntN(2) == 0
		}
		asks := []func(){
			func() { _, _ = w.e.Recover(t.Context(), failover(nil)) },
			func() { _, _ = w.e.Recover(t.Context(), failback(nil)) },
			func() {
				_, _ = w.e.Recover(t.Context(), failover(func(r *engine.RecoverRequest) { r.Final, r.Safety = dr.FinalAuto, true }))
			},
			func() {
				_, _ = w.e.Recover(t.Context(), engine.RecoverRequest{Request: engine.Request{Service: "contoso-us"}, From: "contoso-eu", Kind: dr.KindRestore, Confirm: "contoso-us", Safety: true})
			},
			func() {
				_, _ = w.e.Recover(t.Context(), engine.RecoverRequest{Request: engine.Request{Service: "contoso-eu"}, Kind: dr.KindDrill})
			},
			func() { _, _ = w.e.Backup(t.Context(), engine.Request{Service: "contoso-eu"}) },
			func() { _, _ = w.e.Backup(t.Context(), engine.Request{Service: "contoso-us"}) },
			func() {
				_, _ = w.rearm("contoso-eu", dr.Rearm{Active: "contoso-us"})
			},
		}
		kills, left := seed%2 == 0, 6
		var one sync.Mutex // a plan looks at many things at the same time: one of its looks is disturbed
		w.intrude = func() (kill bool) {
			if !one.TryLock() {
				return false
			}
			defer one.Unlock()
			if kills && rnd.IntN(80) == 0 {
				return true
			}
			if rnd.IntN(10) != 0 {
				return false
			}
			switch k := rnd.IntN(10); {
			case k < 3 && left > 0:
				left--
				_ = w.survive(func() error { asks[rnd.IntN(len(asks))](); return nil })
			case k == 3:
				_ = w.survive(func() error { return w.e.Watch(t.Context()) })
			default:
				w.stray(rnd, k < 7)
			}
			return false
		}
		for range 2 {
			_ = w.survive(func() error { asks[rnd.IntN(len(asks))](); return nil })
			w.run(time.Duration(rnd.IntN(40)) * time.Minute)
		}
		w.run(20 * time.Hour)
		w.intrude = nil
		w.run(4 * time.Hour)
		if wrong := w.check(len(w.ops())); len(wrong) > 0 || w.thePair().BusyBy != "" {
			t.Fatalf("seed %d: restores %v, pair %+v\n%s", seed, w.restores, w.thePair(), strings.Join(wrong, "\n"))
		}
		for _, op := range w.ops() {
			ended[string(op.Kind)+" "+string(op.Outcome)]++
		}
	}
	t.Logf("%d runs: %v", rounds, ended)
	if rounds < 100 {
		return
	}
	for _, want := range []string{"failover succeeded", "failover rejected", "failover unknown", "restore succeeded", "drill succeeded", "backup succeeded"} {
		if ended[want] == 0 {
			t.Errorf("the runs have no %s: %v", want, ended)
		}
	}
}
