package storetest

import (
	"slices"
	"testing"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// pruned is what the deletion of recovery points needs.
var pruned = map[string]func(*testing.T, Fixture){
	"a point that nobody uses is condemned, and then not pinned": func(t *testing.T, f Fixture) {
		p := point(f, 1)
		ok(t, f.Store.RecordPoint(t.Context(), p))
		f.LoseAnswer(nil)
		ok(t, f.Store.Condemn(t.Context(), service, p.ID, nil))
		got := must(f.Store.Point(t.Context(), service, p.ID))(t)
		equal(t, "state", got.State, dr.Deleting)
		equal(t, "state before", got.Was, dr.Good)
		is(t, f.Store.Pin(t.Context(), service, p.ID, id(7)), engine.ErrDeleting)
		ok(t, f.Store.Condemn(t.Context(), service, p.ID, nil)) // once more
		equal(t, "state before", must(f.Store.Point(t.Context(), service, p.ID))(t).Was, dr.Good)
	},
	"a point in use is not condemned, unless its users are done": func(t *testing.T, f Fixture) {
		p := point(f, 1)
		ok(t, f.Store.RecordPoint(t.Context(), p))
		ok(t, f.Store.Pin(t.Context(), service, p.ID, id(7)))
		ok(t, f.Store.Pin(t.Context(), service, p.ID, id(8)))
		is(t, f.Store.Condemn(t.Context(), service, p.ID, []string{id(7)}), engine.ErrInUse)
		equal(t, "state", must(f.Store.Point(t.Context(), service, p.ID))(t).State, dr.Good)
		ok(t, f.Store.Condemn(t.Context(), service, p.ID, []string{id(7), id(8)}))
		is(t, f.Store.Condemn(t.Context(), service, id(3)+"-s0-a1", nil), engine.ErrNotFound)
	},
	"of a pin and a deletion at once one wins": func(t *testing.T, f Fixture) {
		for n := range 20 {
			p := point(f, n)
			ok(t, f.Store.RecordPoint(t.Context(), p))
			errs := make(chan error)
			go func() { errs <- f.Store.Pin(t.Context(), service, p.ID, id(99)) }()
			condemned := f.Store.Condemn(t.Context(), service, p.ID, nil)
			if pinned := <-errs; (condemned == nil) == (pinned == nil) {
				t.Errorf("pinned: %v, condemned: %v", pinned, condemned)
			}
		}
	},
	"what storage keeps gets its state back, with the reason": func(t *testing.T, f Fixture) {
		p := point(f, 1)
		p.State = dr.Unverified
		ok(t, f.Store.RecordPoint(t.Context(), p))
		ok(t, f.Store.Reprieve(t.Context(), service, p.ID, "immutable")) // of one that was not condemned
		equal(t, "reason", must(f.Store.Point(t.Context(), service, p.ID))(t).Retained, "")
		ok(t, f.Store.Condemn(t.Context(), service, p.ID, nil))
		f.LoseAnswer(nil)
		ok(t, f.Store.Reprieve(t.Context(), service, p.ID, "immutable"))
		got := must(f.Store.Point(t.Context(), service, p.ID))(t)
		if got.State != dr.Unverified || got.Was != "" || got.Retained != "immutable" {
			t.Errorf("%+v", got)
		}
		ok(t, f.Store.Reprieve(t.Context(), service, id(3)+"-s0-a1", "immutable"))
	},
	"only the record of a condemned point is deleted": func(t *testing.T, f Fixture) {
		p := point(f, 1)
		ok(t, f.Store.RecordPoint(t.Context(), p))
		is(t, f.Store.Forget(t.Context(), service, p.ID), engine.ErrConflict)
		ok(t, f.Store.Condemn(t.Context(), service, p.ID, nil))
		f.LoseAnswer(nil)
		ok(t, f.Store.Forget(t.Context(), service, p.ID))
		_, err := f.Store.Point(t.Context(), service, p.ID)
		is(t, err, engine.ErrNotFound)
		ok(t, f.Store.Forget(t.Context(), service, p.ID))
	},
	"a backup goes with the copy beside it, and nothing else does": func(t *testing.T, f Fixture) {
		p, other := point(f, 1), point(f, 2)
		for _, p := range []dr.RecoveryPoint{p, other} {
			put(t, f.Backups, p.ID, "a backup")
			ok(t, PutPoint(t.Context(), f.Store, p))
		}
		f.LoseBackupAnswer(nil)
		ok(t, f.Vault.Remove(t.Context(), f.At, p.ID))
		for _, name := range []string{p.ID, p.ID + ".apimdr.json"} {
			equal(t, name, must(f.Backups.Head(t.Context(), name))(t).Exists, false)
		}
		text(t, f.Backups, other.ID)
		text(t, f.Backups, other.ID+".apimdr.json")
		ok(t, f.Vault.Remove(t.Context(), f.At, p.ID)) // once more
		gone := f.At
		gone.Container = "never-made"
		ok(t, f.Vault.Remove(t.Context(), gone, p.ID))
		for _, name := range []string{"", "notes.txt", "../" + p.ID, p.ID + ".apimdr.json", "roles/a~b"} {
			if f.Vault.Remove(t.Context(), f.At, name) == nil {
				t.Errorf("%q is no backup of ours, and was deleted", name)
			}
		}
	},
	"the services with recovery points are listed once each": func(t *testing.T, f Fixture) {
		equal(t, "of none", len(must(f.Store.Catalogued(t.Context()))(t)), 0)
		for n, name := range []string{"contoso-us", "Contoso-EU", "contoso-eu", "contoso.x"} {
			p := point(f, n)
			p.Service = name
			ok(t, f.Store.RecordPoint(t.Context(), p))
		}
		got := must(f.Store.Catalogued(t.Context()))(t)
		slices.Sort(got)
		equalList(t, got, []string{"contoso-eu", "contoso-us", "contoso.x"})
	},
}

func equalList(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
