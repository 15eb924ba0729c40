package engine_test

import (
	"errors"
	"testing"
	"time"

	"apim-dr/internal/dr"
)

// told lists the types of the RPO events that were published, each id once.
func (w *world) told() (types []string) {
	seen := map[string]bool{}
	for _, e := range w.rpo {
		if !seen[e.ID] {
			seen[e.ID] = true
			types = append(types, e.Type)
		}
	}
	return types
}

func TestABackupThatNeverRanIsToldOnceAndSoIsTheFirst(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	w.e.Fleet.Plans[0].RPO = 26 * time.Hour
	look := func(after time.Duration, want ...string) {
		t.Helper()
		w.now = w.now.Add(after)
		if err := w.e.Guard(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := w.told(); len(got) != len(want) || len(got) > 0 && got[len(got)-1] != want[len(want)-1] {
			t.Fatalf("after %s: %q, want %q", w.now.Sub(t0), got, want)
		}
	}
	look(0)
	look(26 * time.Hour)
	look(time.Minute, "apimdr.rpo.breached")
	look(5*time.Minute, "apimdr.rpo.breached")
	w.stock(0)
	w.aside(func() error {
		points, err := w.store.Points(t.Context(), "contoso-eu")
		if err != nil {
			return err
		}
		return w.store.MergeService(t.Context(), "contoso-eu", func(s dr.ServiceState) (dr.ServiceState, bool) { return s.Offer(points[0]) })
	})
	look(5*time.Minute, "apimdr.rpo.breached", "apimdr.rpo.recovered")
	look(time.Hour, "apimdr.rpo.breached", "apimdr.rpo.recovered")
	look(26*time.Hour, "apimdr.rpo.breached", "apimdr.rpo.recovered", "apimdr.rpo.breached")
	e := w.rpo[0]
	change := e.Data.(dr.RPOChange)
	if e.Subject != "/x/contoso-eu" || e.Properties["service"] != "contoso-eu" || e.Properties["kind"] != "rpo" || e.Properties["outcome"] != "breached" ||
		change.Service != "contoso-eu" || change.Plan != "nightly" || change.Active != "contoso-eu" || change.RPOSeconds != 26*3600 || change.NewestGood != nil ||
		!change.Since.Equal(t0.Add(26*time.Hour)) || !change.At.Equal(t0.Add(26*time.Hour+time.Minute)) {
		t.Errorf("%+v", e)
	}
}

// Wherever a kill falls, a breach is told by one event, and its end by another.
func TestAKillDoesNotLoseOrDoubleARPOEvent(t *testing.T) {
	for n, more := 1, true; more; n++ {
		w := newWorld(t, "contoso-eu")
		w.e.Fleet.Plans[0].RPO = time.Hour
		if err := w.e.Guard(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.now = t0.Add(2 * time.Hour)
		w.killAt[w.calls+n] = true
		err := w.survive(func() error { return w.e.Guard(t.Context()) })
		more = errors.Is(err, errKilled)
		clear(w.killAt)
		for range 2 {
			w.now = w.now.Add(5 * time.Minute)
			if err := w.e.Guard(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got := w.told(); len(got) != 1 || got[0] != "apimdr.rpo.breached" {
			t.Errorf("kill %d: told %q", n, got)
		}
		if n > 50 {
			t.Fatal("it never ends")
		}
	}
}

// The clock of a process is not what a record gives back: it has a monotonic reading and a time zone.
func TestABreachIsToldOnceByTheClockOfAProcessToo(t *testing.T) {
	w := newWorld(t, "contoso-eu")
	w.e.Fleet.Plans[0].RPO = time.Nanosecond
	w.e.Now = func() time.Time { return time.Now().In(time.FixedZone("CET", 3600)) }
	for range 4 {
		if err := w.e.Guard(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.rpo) != 1 {
		t.Errorf("published %d times", len(w.rpo))
	}
}
