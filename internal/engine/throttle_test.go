package engine_test

import (
	"fmt"
	"testing"
	"time"

	"apim-dr/internal/dr"
)

// budget is Resource Manager's bucket of writes: asked when it is empty it answers 429 and says how long to wait.
type budget struct {
	w         *world
	left      float64
	size      float64
	perSecond float64
	at        time.Time
	refused   int
	notBefore map[string]time.Time // of a service, as the last 429 said
	early     int                  // POSTs before that
}

func (b *budget) refill() {
	b.left = min(b.size, b.left+b.w.now.Sub(b.at).Seconds()*b.perSecond)
	b.at = b.w.now
}

// limit puts a bucket before the world's POSTs.
func (w *world) limit(size, left, perSecond float64) *budget {
	b := &budget{w: w, left: left, size: size, perSecond: perSecond, at: w.now, notBefore: map[string]time.Time{}}
	w.onStart = func(leg dr.Leg) *dr.Answer {
		if b.refill(); w.now.Before(b.notBefore[leg.Service]) {
			b.early++
		}
		if b.left >= 1 {
			b.left--
			return nil
		}
		b.refused++
		wait := time.Duration((1-b.left)/b.perSecond*float64(time.Second)) + 90*time.Second // longer than the pause before a busy service
		b.notBefore[leg.Service] = w.now.Add(wait)
		return &dr.Answer{Verdict: dr.Later, Retry: wait, Reason: "429 TooManyRequests"}
	}
	return b
}

func crowd(t *testing.T, n int) *world {
	t.Helper()
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("apim-%03d", i))
	}
	w := newWorld(t, names...)
	if err := w.e.RunTick(t.Context(), dr.Tick{V: dr.Version, Plan: "nightly", At: t0}, ""); err != nil {
		t.Fatal(err)
	}
	return w
}

// A fleet that is backed up by one tick fits into the budget that Resource Manager gives.
func TestAFleetIsStartedWithinTheWriteBudget(t *testing.T) {
	const services = 450 // at once they would take the bucket of 200 more than twice over
	w := crowd(t, services)
	b := w.limit(100, 100, 5) // half of it: a person's call, and whatever else the identity does, need the rest
	w.run(2 * time.Hour)
	for _, wrong := range w.check(services) {
		t.Error(wrong)
	}
	if b.refused > 0 {
		t.Errorf("%d times 429", b.refused)
	}
	if span := w.postedAt[len(w.postedAt)-1].Sub(w.postedAt[0]); span > dr.StartWindow(services) {
		t.Errorf("it took %s", span)
	}
}

// Somebody else uses the budget up: nothing is asked for before its time, and nothing is lost.
func TestWhatIsThrottledComesBackWhenItMay(t *testing.T) {
	const services = 60
	w := crowd(t, services)
	b := w.limit(5, 5, 0.2)
	w.run(4 * time.Hour)
	for _, wrong := range w.check(services) {
		t.Error(wrong)
	}
	for _, op := range w.ops() {
		if op.Outcome != dr.Succeeded {
			t.Errorf("%s %s %v", op.ID, op.Outcome, op.Error)
		}
	}
	if b.refused < services/2 || b.early > 0 {
		t.Errorf("%d times 429, %d POSTs before their time", b.refused, b.early)
	}
	t.Logf("%d times 429 for %d backups in %s", b.refused, services, w.postedAt[len(w.postedAt)-1].Sub(t0))
}
