package storetest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

const pairBlob = "contoso-eu~7Econtoso-us" // the name of the pair as part of a blob's name

// pair is a pair after n changes of its roles.
func pair(n int) dr.Pair {
	p := dr.NewPair("contoso-eu", "contoso-us")
	p.ChangedAt, p.By = created.Add(time.Duration(n)*time.Hour), id(n)
	if n%2 == 1 {
		p.Active, p.Suspended = "contoso-us", true
	}
	return p
}

// change merges pair(n), whatever there is.
func change(n int) func(dr.Pair) (dr.Pair, bool) {
	return func(dr.Pair) (dr.Pair, bool) { return pair(n), true }
}

// noPairs are names that no pair can have.
var noPairs = []string{"", "~", "contoso-eu", "contoso-eu~", "~contoso-eu", "contoso-us~contoso-eu", "../pairs/contoso-eu", "a~" + strings.Repeat("x", 1000)}

// badPairs are records that are none of the pair's.
var badPairs = map[string]error{
	"{": engine.ErrUnreadable, "{}": engine.ErrUnreadable, newer: engine.ErrNewer,
	`{"v":1,"name":"contoso-eu~contoso-jp","home":"contoso-eu","active":"contoso-eu"}`: engine.ErrUnreadable,
	`{"v":1,"name":"contoso-eu~contoso-us","home":"contoso-eu","active":"contoso-jp"}`: engine.ErrUnreadable,
	`{"v":1,"name":"contoso-eu~contoso-us","home":"contoso-eu","active":""}`:           engine.ErrUnreadable,
	`{"v":1,"name":"contoso-eu~contoso-us","active":"contoso-eu"}`:                     engine.ErrUnreadable,
	`{"v":0,"name":"contoso-eu~contoso-us","home":"contoso-eu","active":"contoso-eu"}`: engine.ErrUnreadable,
}

var pairs = map[string]func(*testing.T, Fixture){
	"what was merged is read, whatever the case of the name": func(t *testing.T, f Fixture) {
		name := pair(1).Name
		_, err := f.Store.Pair(t.Context(), name)
		is(t, err, engine.ErrNotFound)
		ok(t, f.Store.MergePair(t.Context(), name, func(p dr.Pair) (dr.Pair, bool) {
			equal(t, "merged into", p, dr.Pair{})
			p = pair(1)
			p.V, p.Name = 0, "" // filled in
			return p, true
		}))
		equal(t, "pair", must(f.Store.Pair(t.Context(), strings.ToUpper(name)))(t), pair(1))
		ok(t, f.Store.MergePair(t.Context(), strings.ToUpper(name), func(p dr.Pair) (dr.Pair, bool) {
			equal(t, "merged into", p, pair(1))
			return pair(2), true
		}))
		equal(t, "blob", listed(t, f, "").Name, "pairs/"+pairBlob)
		equal(t, "pair", must(f.Store.Pair(t.Context(), name))(t), pair(2))
	},
	"a merge that changes nothing writes nothing": func(t *testing.T, f Fixture) {
		nothing := func(p dr.Pair) (dr.Pair, bool) { return p, false }
		ok(t, f.Store.MergePair(t.Context(), pair(1).Name, nothing))
		equal(t, "blobs", len(names(t, f.State)), 0)
		ok(t, f.Store.MergePair(t.Context(), pair(1).Name, change(1)))
		before := listed(t, f, "pairs/").ETag
		ok(t, f.Store.MergePair(t.Context(), pair(1).Name, nothing))
		equal(t, "ETag", listed(t, f, "pairs/").ETag, before)
	},
	"of many merges at once none is lost": func(t *testing.T, f Fixture) {
		const n = 6
		for _, err := range atOnce(n, func(int) error {
			return f.Store.MergePair(t.Context(), pair(1).Name, func(p dr.Pair) (dr.Pair, bool) {
				by := p.By
				p = pair(0)
				p.By = by + "x"
				return p, true
			})
		}) {
			ok(t, err)
		}
		equal(t, "merges", must(f.Store.Pair(t.Context(), pair(1).Name))(t).By, strings.Repeat("x", n))
	},
	"our own repeated write is merged into, not doubled": func(t *testing.T, f Fixture) {
		f.LoseAnswer(nil)
		calls := 0
		ok(t, f.Store.MergePair(t.Context(), pair(1).Name, func(p dr.Pair) (dr.Pair, bool) {
			calls++
			return pair(calls), p.Name == ""
		}))
		equal(t, "calls", calls, 2)
		equal(t, "pair", must(f.Store.Pair(t.Context(), pair(1).Name))(t), pair(1))
	},
	"a record that cannot be read is told and left alone": func(t *testing.T, f Fixture) {
		name := "pairs/" + pairBlob
		for body, want := range badPairs {
			put(t, f.State, name, body)
			_, err := f.Store.Pair(t.Context(), pair(1).Name)
			is(t, err, want)
			is(t, f.Store.MergePair(t.Context(), pair(1).Name, change(1)), want)
			equal(t, "body", text(t, f.State, name), body)
			ok(t, f.State.Delete(t.Context(), name, ""))
		}
	},
	"what could not be read again is not written": func(t *testing.T, f Fixture) {
		for what, spoil := range map[string]func(*dr.Pair){
			"no active instance": func(p *dr.Pair) { p.Active = "" }, "a stranger": func(p *dr.Pair) { p.Active = "contoso-jp" },
			"no home": func(p *dr.Pair) { p.Home = "" },
		} {
			if f.Store.MergePair(t.Context(), pair(1).Name, func(p dr.Pair) (dr.Pair, bool) {
				p = pair(1)
				spoil(&p)
				return p, true
			}) == nil {
				t.Errorf("%s: no error", what)
			}
		}
		equal(t, "blobs", len(names(t, f.State)), 0)
	},
	"what can be no pair's name has no record and gets none": func(t *testing.T, f Fixture) {
		for _, name := range noPairs {
			_, err := f.Store.Pair(t.Context(), name)
			is(t, err, engine.ErrNotFound)
			if f.Store.MergePair(t.Context(), name, change(1)) == nil {
				t.Errorf("%q was merged", name)
			}
		}
		equal(t, "blobs", len(names(t, f.State)), 0)
	},
}

var roles = map[string]func(*testing.T, Fixture){
	"a copy is read as it was kept, in a place of its own": func(t *testing.T, f Fixture) {
		_, err := f.Vault.Role(t.Context(), f.At, pair(1).Name)
		is(t, err, engine.ErrNotFound)
		ok(t, f.Vault.KeepRole(t.Context(), f.At, pair(1)))
		equal(t, "copy", must(f.Vault.Role(t.Context(), f.At, strings.ToUpper(pair(1).Name)))(t), pair(1))
		if got := names(t, f.Backups); len(got) != 1 || got[0] != "roles/"+pairBlob+".apimdr.json" {
			t.Errorf("blobs %v", got)
		}
	},
	"the newest copy stays": func(t *testing.T, f Fixture) {
		for _, n := range []int{1, 3} {
			ok(t, f.Vault.KeepRole(t.Context(), f.At, pair(n)))
		}
		is(t, f.Vault.KeepRole(t.Context(), f.At, pair(2)), engine.ErrConflict)
		equal(t, "copy", must(f.Vault.Role(t.Context(), f.At, pair(1).Name))(t), pair(3))
		same := pair(3)
		same.Standby = dr.PointRef{ID: id(1) + "-s0-a1", CreatedAt: created}
		ok(t, f.Vault.KeepRole(t.Context(), f.At, same))
		equal(t, "more known of the same roles", must(f.Vault.Role(t.Context(), f.At, pair(1).Name))(t), same)
	},
	"of many copies at once the newest stays": func(t *testing.T, f Fixture) {
		for _, err := range atOnce(6, func(i int) error { return f.Vault.KeepRole(t.Context(), f.At, pair(i)) }) {
			if err != nil && !errors.Is(err, engine.ErrConflict) {
				t.Error(err)
			}
		}
		equal(t, "copy", must(f.Vault.Role(t.Context(), f.At, pair(1).Name))(t), pair(5))
	},
	"what is kept already is not written again, and our own repeated write is a success": func(t *testing.T, f Fixture) {
		f.LoseBackupAnswer(nil)
		ok(t, f.Vault.KeepRole(t.Context(), f.At, pair(1)))
		_, before, err := f.Backups.Get(t.Context(), "roles/"+pairBlob+".apimdr.json")
		ok(t, err)
		ok(t, f.Vault.KeepRole(t.Context(), f.At, pair(1)))
		_, after, err := f.Backups.Get(t.Context(), "roles/"+pairBlob+".apimdr.json")
		ok(t, err)
		equal(t, "ETag", after, before)
	},
	"all copies are listed, and one that cannot be read is told without hiding the others": func(t *testing.T, f Fixture) {
		equal(t, "none", len(must(f.Vault.Roles(t.Context(), f.At))(t)), 0)
		other := dr.NewPair("contoso-ap", "contoso-jp")
		ok(t, f.Vault.KeepRole(t.Context(), f.At, pair(1)))
		ok(t, f.Vault.KeepRole(t.Context(), f.At, other))
		ok(t, PutPoint(t.Context(), f.Store, point(f, 1)))
		put(t, f.Backups, "roles/notes.txt", "not ours")
		got := must(f.Vault.Roles(t.Context(), f.At))(t)
		equal(t, "copies", fmt.Sprint(got), fmt.Sprint([]dr.Pair{other, pair(1)}))
		put(t, f.Backups, "roles/junk.apimdr.json", "{")
		put(t, f.Backups, "roles/another.apimdr.json", text(t, f.Backups, "roles/"+pairBlob+".apimdr.json"))
		put(t, f.Backups, "roles/contoso-eu~7Econtoso-jp.apimdr.json", `{"v":1,"name":"contoso-eu~contoso-jp","home":"contoso-eu","active":"contoso-us"}`)
		got, err := f.Vault.Roles(t.Context(), f.At)
		is(t, err, engine.ErrUnreadable)
		for _, name := range []string{"junk", "another", "contoso-eu~7Econtoso-jp"} {
			if !strings.Contains(err.Error(), "roles/"+name+".apimdr.json") {
				t.Errorf("%s: error is %v", name, err)
			}
		}
		equal(t, "copies", fmt.Sprint(got), fmt.Sprint([]dr.Pair{other, pair(1)}))
	},
	"a copy that cannot be read is told and left alone": func(t *testing.T, f Fixture) {
		name := "roles/" + pairBlob + ".apimdr.json"
		for body, want := range badPairs {
			put(t, f.Backups, name, body)
			_, err := f.Vault.Role(t.Context(), f.At, pair(1).Name)
			is(t, err, want)
			is(t, f.Vault.KeepRole(t.Context(), f.At, pair(1)), want)
			equal(t, "body", text(t, f.Backups, name), body)
			ok(t, f.Backups.Delete(t.Context(), name, ""))
		}
	},
	"where there is no container there are no roles, and none can be kept": func(t *testing.T, f Fixture) {
		gone := f.At
		gone.Container = "never-made"
		_, err := f.Vault.Role(t.Context(), gone, pair(1).Name)
		is(t, err, engine.ErrNotFound)
		equal(t, "roles", len(must(f.Vault.Roles(t.Context(), gone))(t)), 0)
		if err := f.Vault.KeepRole(t.Context(), gone, pair(1)); err == nil || !strings.Contains(err.Error(), "/never-made: ") {
			t.Errorf("error is %v", err)
		}
	},
	"what can be no pair's name has no copy and gets none": func(t *testing.T, f Fixture) {
		for _, name := range noPairs {
			_, err := f.Vault.Role(t.Context(), f.At, name)
			is(t, err, engine.ErrNotFound)
			p := pair(1)
			p.Name = name
			if f.Vault.KeepRole(t.Context(), f.At, p) == nil {
				t.Errorf("%q was kept", name)
			}
		}
		p := pair(1)
		p.Active = "contoso-jp"
		if f.Vault.KeepRole(t.Context(), f.At, p) == nil {
			t.Error("a stranger as active instance was kept")
		}
		equal(t, "blobs", len(names(t, f.Backups)), 0)
	},
}
