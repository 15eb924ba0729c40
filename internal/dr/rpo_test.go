package dr

import (
	"reflect"
	"testing"
	"time"
)

func TestTheRPOIsBreachedAndRecoveredOnceEach(t *testing.T) {
	const rpo = 26 * time.Hour
	at := func(hours float64) time.Time { return noon.Add(time.Duration(hours * float64(time.Hour))) }
	newest := func(hours float64) PointRef { return PointRef{ID: "p", CreatedAt: at(hours)} }
	for name, row := range map[string]struct {
		newest []PointRef // at each look
		looks  []float64  // hours after the first
		unread int        // this look cannot read, counted from 1
		want   []string
		since  float64
	}{
		"a backup that never ran": {[]PointRef{{}, {}, {}, {}}, []float64{0, 26, 26.1, 50}, 0, []string{"", "", "breached", "breached"}, 26},
		"one that is too old":     {[]PointRef{newest(-1), newest(-1), newest(-1)}, []float64{0, 25, 25.1}, 0, []string{"", "", "breached"}, 25},
		"already at the first":    {[]PointRef{newest(-30)}, []float64{0}, 0, []string{"breached"}, -4},
		"recovered, and again": {[]PointRef{newest(-30), newest(1), newest(1), newest(1)}, []float64{0, 2, 27, 28}, 0,
			[]string{"breached", "recovered", "recovered", "breached"}, 27},
		"what was restored counts from the restore": {[]PointRef{{ID: "p", CreatedAt: at(-100), AsOf: at(-1)}}, []float64{0}, 0, []string{""}, 0},
		"but not when it has expired":               {[]PointRef{{ID: "p", CreatedAt: at(-721), AsOf: at(-1)}}, []float64{0}, 0, []string{"breached"}, -1},
		"what cannot be read changes nothing":       {[]PointRef{newest(-1), {}, newest(-1)}, []float64{0, 60, 60.1}, 2, []string{"", "", "breached"}, 25},
	} {
		w := RPOWatch{}
		for i, hours := range row.looks {
			g := Guard{RPO: rpo, Active: Instance{Name: "a"}, State: ServiceState{NewestGood: row.newest[i]}}
			if row.unread == i+1 {
				g.Unread = "out of reach"
			}
			before := w
			next, changed := w.Next(g, at(hours))
			if changed != (next != before) {
				t.Errorf("%s, look %d: changed %v from %+v to %+v", name, i, changed, before, next)
			}
			if next.State != row.want[i] {
				t.Fatalf("%s, look %d: %+v, want %q", name, i, next, row.want[i])
			}
			if entered := next.State != before.State || next.At != before.At; entered == next.Told && next.State != "" {
				t.Errorf("%s, look %d: entered %v, told %v", name, i, entered, next.Told)
			}
			w = next
			w.Told = w.State != ""
		}
		if w.State == RPOBreached && !w.Since.Equal(at(row.since)) {
			t.Errorf("%s: since %s", name, w.Since)
		}
	}
}

func TestABreachThatWasNotToldIsToldBeforeItsEnd(t *testing.T) {
	g := Guard{RPO: time.Hour, State: ServiceState{NewestGood: PointRef{ID: "p", CreatedAt: noon.Add(-2 * time.Hour)}}}
	w, _ := RPOWatch{}.Next(g, noon)
	g.State.NewestGood.CreatedAt = noon
	if next, changed := w.Next(g, noon.Add(time.Minute)); changed || next.State != RPOBreached {
		t.Fatalf("%+v", next)
	}
	first, again := w.Event(Instance{Name: "a"}, "nightly"), w.Event(Instance{Name: "a"}, "nightly")
	if !reflect.DeepEqual(first, again) {
		t.Error("the same state makes two events")
	}
	w.Told = true
	w, _ = w.Next(g, noon.Add(2*time.Minute))
	if end := w.Event(Instance{Name: "a"}, "nightly"); w.State != RPORecovered || end.ID == first.ID || end.Type != "apimdr.rpo.recovered" {
		t.Errorf("%+v, %+v", w, end)
	}
}
