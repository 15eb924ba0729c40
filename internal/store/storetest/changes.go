package storetest

import (
	"testing"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// pending is what is remembered of changes.
var pending = map[string]func(*testing.T, Fixture){
	"changes are merged, listed and removed": func(t *testing.T, f Fixture) {
		_, err := f.Store.Pending(t.Context(), service)
		is(t, err, engine.ErrNotFound)
		add := func(at time.Time) func(dr.Pending) (dr.Pending, bool) {
			return func(p dr.Pending) (dr.Pending, bool) { return p.With(dr.Change{At: at, What: "w"}, at), true }
		}
		f.LoseAnswer(nil)
		ok(t, f.Store.MergePending(t.Context(), service, add(created)))
		ok(t, f.Store.MergePending(t.Context(), "Contoso-EU", add(created.Add(time.Minute))))
		p := must(f.Store.Pending(t.Context(), service))(t)
		if !p.FirstAt.Equal(created) || !p.LastAt.Equal(created.Add(time.Minute)) || p.Service != service || p.V != dr.Version {
			t.Errorf("%+v", p)
		}
		equalList(t, must(f.Store.Pendings(t.Context()))(t), []string{service})
		f.LoseAnswer(nil)
		ok(t, f.Store.MergePending(t.Context(), service, func(dr.Pending) (dr.Pending, bool) { return dr.Pending{}, true }))
		_, err = f.Store.Pending(t.Context(), service)
		is(t, err, engine.ErrNotFound)
		equal(t, "listed", len(must(f.Store.Pendings(t.Context()))(t)), 0)
		ok(t, f.Store.MergePending(t.Context(), service, func(dr.Pending) (dr.Pending, bool) { return dr.Pending{}, true }))
	},
	"of many that are reported at once none is lost": func(t *testing.T, f Fixture) {
		const many = 8
		errs := make(chan error)
		for range many {
			go func() {
				errs <- f.Store.MergePending(t.Context(), service, func(p dr.Pending) (dr.Pending, bool) { return p.With(dr.Change{}, created), true })
			}()
		}
		for range many {
			ok(t, <-errs)
		}
		equal(t, "events", must(f.Store.Pending(t.Context(), service))(t).Events, many)
	},
	"what is removed while it is merged is merged anew": func(t *testing.T, f Fixture) {
		ok(t, f.Store.MergePending(t.Context(), service, func(p dr.Pending) (dr.Pending, bool) { return p.With(dr.Change{}, created), true }))
		first := true
		ok(t, f.Store.MergePending(t.Context(), service, func(p dr.Pending) (dr.Pending, bool) {
			if first {
				first = false
				ok(t, f.Store.MergePending(t.Context(), service, func(dr.Pending) (dr.Pending, bool) { return dr.Pending{}, true }))
			}
			return p.With(dr.Change{}, created), true
		}))
		equal(t, "events", must(f.Store.Pending(t.Context(), service))(t).Events, 1)
	},
	"a recovery point whose service changed says so": func(t *testing.T, f Fixture) {
		p := point(f, 1)
		ok(t, f.Store.RecordPoint(t.Context(), p))
		for range 2 {
			ok(t, f.Store.MarkChanged(t.Context(), service, p.ID))
		}
		equal(t, "changed", must(f.Store.Point(t.Context(), service, p.ID))(t).Changed, true)
	},
}
