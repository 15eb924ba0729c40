package storetest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/store"
)

// marker lists the markers and returns the only one.
func marker(t *testing.T, f Fixture) engine.Marker {
	t.Helper()
	all := must(f.Store.Markers(t.Context()))(t)
	if len(all) != 1 {
		t.Fatalf("%d markers, want one: %v", len(all), all)
	}
	return all[0]
}

func markerIs(t *testing.T, got engine.Marker, want dr.Wake) {
	t.Helper()
	if !got.Wake.Lease.Equal(want.Lease) {
		t.Fatalf("lease until %s, want %s", got.Wake.Lease, want.Lease)
	}
	got.Wake.Lease = want.Lease
	equal(t, "wake", got.Wake, want)
}

var markers = map[string]func(*testing.T, Fixture){
	"a marker keeps the whole wake, a Location of 4 KB and any letters included": func(t *testing.T, f Fixture) {
		w := wake(1)
		w.Lease = w.Lease.Add(123456789 * time.Nanosecond)
		w.Location = "https://management.azure.com//é✓\"<&%3D" + strings.Repeat("x", 4096)
		ok(t, f.Store.Mark(t.Context(), w))
		m := marker(t, f)
		markerIs(t, m, w)
		if m.ETag == "" || m.CreatedAt.IsZero() {
			t.Errorf("ETag %q, created %s", m.ETag, m.CreatedAt)
		}
	},
	"a Location that no metadata can hold is left out and the rest is kept": func(t *testing.T, f Fixture) {
		w := wake(1)
		w.Location = strings.Repeat("x", 9000)
		ok(t, f.Store.Mark(t.Context(), w))
		ok(t, f.Store.Beat(t.Context(), w))
		w.Location = ""
		markerIs(t, marker(t, f), w)
	},
	"marking again leaves the marker as it is": func(t *testing.T, f Fixture) {
		ok(t, f.Store.Mark(t.Context(), wake(1)))
		before := marker(t, f)
		later := wake(1)
		later.N, later.Lease = 9, created.Add(time.Hour)
		ok(t, f.Store.Mark(t.Context(), later))
		after := marker(t, f)
		markerIs(t, after, later)
		if after.ETag == before.ETag {
			t.Error("whoever saw the marker before could still delete it")
		}
	},
	"a beat moves lease and wake, but not the creation": func(t *testing.T, f Fixture) {
		ok(t, f.Store.Mark(t.Context(), wake(1)))
		before := marker(t, f)
		later := wake(1)
		later.Epoch, later.N, later.Location, later.Lease = 4, 0, "", created.Add(time.Hour)
		ok(t, f.Store.Beat(t.Context(), later))
		after := marker(t, f)
		markerIs(t, after, later)
		if !after.CreatedAt.Equal(before.CreatedAt) || after.ETag == before.ETag {
			t.Errorf("created %s, then %s; ETag %s, then %s", before.CreatedAt, after.CreatedAt, before.ETag, after.ETag)
		}
	},
	"a beat without a marker is ErrNotFound and makes none": func(t *testing.T, f Fixture) {
		is(t, f.Store.Beat(t.Context(), wake(1)), engine.ErrNotFound)
		equal(t, "markers", len(must(f.Store.Markers(t.Context()))(t)), 0)
	},
	"unmarking deletes, and again is no error": func(t *testing.T, f Fixture) {
		ok(t, f.Store.Mark(t.Context(), wake(1)))
		ok(t, f.Store.Mark(t.Context(), wake(2)))
		ok(t, f.Store.Unmark(t.Context(), id(1)))
		ok(t, f.Store.Unmark(t.Context(), id(1)))
		equal(t, "left", marker(t, f).Wake.ID, id(2))
	},
	"a marker that has beaten since it was listed is not deleted": func(t *testing.T, f Fixture) {
		ok(t, f.Store.Mark(t.Context(), wake(1)))
		old := marker(t, f)
		ok(t, f.Store.Beat(t.Context(), wake(1)))
		is(t, f.Store.UnmarkIf(t.Context(), old), engine.ErrConflict)
		listed := marker(t, f)
		ok(t, f.Store.UnmarkIf(t.Context(), listed))
		ok(t, f.Store.UnmarkIf(t.Context(), listed))
		equal(t, "markers", len(must(f.Store.Markers(t.Context()))(t)), 0)
	},
	"a marker with metadata that are not ours holds only the id, and can be deleted": func(t *testing.T, f Fixture) {
		foreign := []map[string]string{nil, {"wake": "%%%", "leaseuntil": "2026-11-02T03:00:00Z"}, {"wake": "e30", "leaseuntil": "2026-11-02T03:00:00Z"}}
		ok(t, f.Store.Mark(t.Context(), wake(7)))
		items, _, err := f.State.List(t.Context(), "active/", "", 10)
		ok(t, err)
		foreign = append(foreign, items[0].Metadata, map[string]string{"wake": items[0].Metadata["wake"]}) // another's; without a lease
		ok(t, f.Store.Unmark(t.Context(), id(7)))
		for i, metadata := range foreign {
			_, err := f.State.Create(t.Context(), "active/"+id(i), store.Content{Body: []byte("{}"), Metadata: metadata})
			ok(t, err)
		}
		put(t, f.State, "active/junk", "")
		all := must(f.Store.Markers(t.Context()))(t)
		equal(t, "markers", len(all), len(foreign))
		for _, m := range all {
			if m.Wake != (dr.Wake{ID: m.Wake.ID}) {
				t.Errorf("%+v", m)
			}
			ok(t, f.Store.UnmarkIf(t.Context(), m))
		}
	},
	"three hundred markers are listed once each": func(t *testing.T, f Fixture) {
		const n = 300
		for _, errs := range atOnce(4, func(part int) (errs error) {
			for i := part; i < n; i += 4 {
				errs = errors.Join(errs, f.Store.Mark(t.Context(), wake(i)))
			}
			return errs
		}) {
			ok(t, errs)
		}
		seen := map[string]bool{}
		all := must(f.Store.Markers(t.Context()))(t)
		for _, m := range all {
			seen[m.Wake.ID] = !m.Wake.Lease.IsZero()
		}
		equal(t, "markers", len(all), n)
		equal(t, "different ones", len(seen), n)
	},
	"our own repeated writes are successes": func(t *testing.T, f Fixture) {
		f.LoseAnswer(nil)
		ok(t, f.Store.Mark(t.Context(), wake(1)))
		later := wake(1)
		later.N++
		f.LoseAnswer(nil)
		ok(t, f.Store.Beat(t.Context(), later))
		markerIs(t, marker(t, f), later)
		f.LoseAnswer(nil)
		ok(t, f.Store.Unmark(t.Context(), id(1)))
		ok(t, f.Store.Mark(t.Context(), wake(1)))
		f.LoseAnswer(nil)
		ok(t, f.Store.UnmarkIf(t.Context(), marker(t, f)))
		equal(t, "markers", len(must(f.Store.Markers(t.Context()))(t)), 0)
	},
	"what is no id makes no marker": func(t *testing.T, f Fixture) {
		w := wake(1)
		for _, w.ID = range []string{"", "../locks/x", id(1) + "/x"} {
			if f.Store.Mark(t.Context(), w) == nil || f.Store.Unmark(t.Context(), w.ID) == nil || f.Store.UnmarkIf(t.Context(), engine.Marker{Wake: w, ETag: `"1"`}) == nil {
				t.Errorf("%q was taken", w.ID)
			}
			is(t, f.Store.Beat(t.Context(), w), engine.ErrNotFound)
		}
	},
}
