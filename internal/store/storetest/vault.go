package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/store"
)

// lay writes a copy beside its blob, behind the store's back.
func lay(t *testing.T, f Fixture, name string, p dr.RecoveryPoint) {
	t.Helper()
	body, err := json.Marshal(p)
	ok(t, err)
	put(t, f.Backups, name, string(body))
}

// beside collects what Beside finds; nobody may be told of what is bad but bad.
func beside(t *testing.T, f Fixture, at dr.Storage, bad func(blob string, why error)) []dr.RecoveryPoint {
	t.Helper()
	var got []dr.RecoveryPoint
	ok(t, f.Vault.Beside(t.Context(), at, func(p dr.RecoveryPoint) error {
		got = append(got, p)
		return nil
	}, bad))
	return got
}

var vaults = map[string]func(*testing.T, Fixture){
	"a container is there or not, and its region does not matter": func(t *testing.T, f Fixture) {
		at := f.At
		at.Region = "westeurope"
		equal(t, "there", must(f.Vault.Exists(t.Context(), at))(t), true)
		put(t, f.Backups, "blob", "12345")
		equal(t, "with a blob", must(f.Vault.Exists(t.Context(), at))(t), true)
		equal(t, "the same container", must(f.Vault.Head(t.Context(), at, "blob"))(t).Bytes, 5)
		at.Container = "never-made"
		equal(t, "gone", must(f.Vault.Exists(t.Context(), at))(t), false)
		at.Container = "Not A Container"
		if _, err := f.Vault.Exists(t.Context(), at); err == nil {
			t.Error("a name that no container can have was looked up")
		}
	},
	"all copies beside backups are found, over many pages, each once": func(t *testing.T, f Fixture) {
		const n = 101 // with as many backups: more than a page of a listing
		want := map[string]dr.RecoveryPoint{}
		for _, err := range atOnce(n, func(i int) error {
			p := point(f, i)
			body, err := json.Marshal(p)
			_, created := f.Backups.Create(t.Context(), p.ID+".apimdr.json", store.Content{Body: body})
			_, backup := f.Backups.Create(t.Context(), p.ID, store.Content{Body: []byte("a backup")})
			return errors.Join(err, created, backup)
		}) {
			ok(t, err)
		}
		for i := range n {
			want[point(f, i).ID] = point(f, i)
		}
		ok(t, f.Vault.KeepRole(t.Context(), f.At, pair(1)))
		put(t, f.Backups, "notes.txt", "not ours")
		got := beside(t, f, f.At, func(blob string, why error) { t.Errorf("%s is bad: %v", blob, why) })
		equal(t, "found", len(got), n)
		for _, p := range got {
			if !reflect.DeepEqual(p, want[p.ID]) {
				t.Fatalf("found %+v", p)
			}
			delete(want, p.ID)
		}
	},
	"a copy that cannot be what it says is told, and the others are found": func(t *testing.T, f Fixture) {
		want := map[string]error{}
		bad := func(name string, why error, spoil func(*dr.RecoveryPoint)) {
			p := point(f, len(want))
			spoil(&p)
			if name == "" {
				name = p.ID + ".apimdr.json"
			}
			lay(t, f, name, p)
			want[name] = why
		}
		bad(id(50)+"-s0-a1.apimdr.json", engine.ErrUnreadable, func(*dr.RecoveryPoint) {}) // another's
		bad("notes.apimdr.json", engine.ErrUnreadable, func(*dr.RecoveryPoint) {})
		bad("x/"+id(2)+"-s0-a1.apimdr.json", engine.ErrUnreadable, func(*dr.RecoveryPoint) {})
		bad("odd.apimdr.json", engine.ErrUnreadable, func(p *dr.RecoveryPoint) { p.ID = "odd" })
		bad("", engine.ErrUnreadable, func(p *dr.RecoveryPoint) { p.V = 0 })
		bad("", engine.ErrNewer, func(p *dr.RecoveryPoint) { p.V = dr.Version + 1 })
		bad("", engine.ErrUnreadable, func(p *dr.RecoveryPoint) { p.State = "" })
		bad("", engine.ErrUnreadable, func(p *dr.RecoveryPoint) { p.Operation = id(50) })
		bad("", engine.ErrUnreadable, func(p *dr.RecoveryPoint) { p.Service = "" })
		for i, body := range []string{"", "{", "null", `{"v":1,"id":7}`, strings.Repeat(" ", store.MaxRecord) + "{}"} {
			name := id(60+i) + "-s0-a1.apimdr.json"
			put(t, f.Backups, name, body)
			want[name] = engine.ErrUnreadable
		}
		lay(t, f, point(f, 99).ID+".apimdr.json", point(f, 99))
		told := map[string]error{}
		got := beside(t, f, f.At, func(blob string, why error) { told[blob] = why })
		if len(got) != 1 || got[0].ID != point(f, 99).ID {
			t.Errorf("found %+v", got)
		}
		equal(t, "told", len(told), len(want))
		for name, why := range want {
			is(t, told[name], why)
		}
	},
	"a copy that was moved together with its backup is found where it lies": func(t *testing.T, f Fixture) {
		moved, stayed := point(f, 1), point(f, 2)
		moved.Storage = dr.Storage{Account: "contosoold", Container: "old", Region: "westeurope"}
		stayed.Storage.Region = "northeurope"
		lay(t, f, moved.ID+".apimdr.json", moved)
		lay(t, f, stayed.ID+".apimdr.json", stayed)
		at := f.At
		at.Region = "uksouth"
		where := map[string]dr.Storage{}
		for _, p := range beside(t, f, at, nil) {
			where[p.ID] = p.Storage
		}
		equal(t, "moved", where[moved.ID], at)
		equal(t, "stayed", where[stayed.ID], stayed.Storage)
	},
	"what was recorded with a recovery point can be recorded anew from beside its backup": func(t *testing.T, f Fixture) {
		var want []dr.RecoveryPoint
		for i := range 3 {
			ok(t, PutPoint(t.Context(), f.Store, point(f, i)))
		}
		want = must(f.Store.Points(t.Context(), service))(t)
		for _, name := range names(t, f.State) {
			ok(t, f.State.Delete(t.Context(), name, ""))
		}
		ok(t, f.Vault.Beside(t.Context(), f.At, func(p dr.RecoveryPoint) error { return PutPoint(t.Context(), f.Store, p) }, nil))
		if got := must(f.Store.Points(t.Context(), service))(t); !reflect.DeepEqual(got, want) {
			t.Errorf("points are %+v\nwant %+v", got, want)
		}
	},
	"the walk ends with the first that is not taken": func(t *testing.T, f Fixture) {
		for i := range 3 {
			lay(t, f, point(f, i).ID+".apimdr.json", point(f, i))
		}
		enough, calls := errors.New("enough"), 0
		err := f.Vault.Beside(t.Context(), f.At, func(dr.RecoveryPoint) error {
			calls++
			return enough
		}, nil)
		is(t, err, enough)
		equal(t, "calls", calls, 1)
	},
	"a missing container is not one without backups": func(t *testing.T, f Fixture) {
		gone := f.At
		gone.Container = "never-made"
		is(t, f.Vault.Beside(t.Context(), gone, nil, nil), store.ErrNoContainer)
	},
	"the order is that of the ids": func(t *testing.T, f Fixture) {
		for i := range 6 {
			lay(t, f, point(f, i).ID+".apimdr.json", point(f, i))
		}
		got := beside(t, f, f.At, nil)
		equal(t, "found", len(got), 6)
		if !slices.IsSortedFunc(got, func(a, b dr.RecoveryPoint) int { return strings.Compare(a.ID, b.ID) }) {
			t.Error(fmt.Sprint(got))
		}
	},
}
