package engine_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"apim-dr/internal/dr"
)

// At any call of an invocation another one may run from beginning to end: of a message that is due, of one that comes again, or of the watchdog; and in that
// one another again. Any of them may be killed. POSTs go unanswered, and the service is busy now and then. Whatever comes first: one outcome each, no two
// ARM operations at once, nothing left behind.
func TestInvocationsInsideInvocations(t *testing.T) {
	rounds, outcomes := 200, map[dr.Outcome]int{}
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
			if state := &w.services["contoso-eu"].view.State; *state == "Updating" {
				*state = "Succeeded"
			} else if busy > 0 && rnd.IntN(20) == 0 {
				busy--
				*state = "Updating"
			}
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
			case k < 5 && len(w.past) > 0:
				w.deliver(w.past[max(0, len(w.past)-1-rnd.IntN(4))])
			case len(w.queue) > 0:
				i := rnd.IntN(len(w.queue))
				if m := w.queue[i]; !m.due.After(w.now) {
					w.queue = append(w.queue[:i:i], w.queue[i+1:]...)
					w.deliver(m)
				}
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
