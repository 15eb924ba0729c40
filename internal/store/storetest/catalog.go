package storetest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// keep writes the record of a recovery point behind the store's back.
func keep(t *testing.T, f Fixture, p dr.RecoveryPoint) {
	t.Helper()
	body, err := json.Marshal(p)
	ok(t, err)
	put(t, f.State, pointDir+p.ID+".json", string(body))
}

// usersAre checks which operations have pinned point(f, n).
func usersAre(t *testing.T, f Fixture, n int, want ...string) {
	t.Helper()
	if got := must(f.Store.Point(t.Context(), service, id(n)+"-s0-a1"))(t).UsedBy; !slices.Equal(got, want) {
		t.Fatalf("used by %v, want %v", got, want)
	}
}

var catalog = map[string]func(*testing.T, Fixture){
	"a recovery point is read as it was written, settings included": func(t *testing.T, f Fixture) {
		p := point(f, 1)
		p.Storage.Region, p.Safety, p.Colocated = "westeurope", true, true
		p.Settings = &dr.Settings{GatewayURL: "https://contoso-eu.azure-api.net", SystemIdentity: true, Protocols: map[string]string{"tls10": "False"}}
		ok(t, PutPoint(t.Context(), f.Store, p))
		if got := must(f.Store.Point(t.Context(), strings.ToUpper(service), p.ID))(t); !reflect.DeepEqual(got, p) {
			t.Errorf("read  %+v\nwrote %+v", got, p)
		}
	},
	"what is not there is ErrNotFound, and so is what is no id": func(t *testing.T, f Fixture) {
		p := point(f, 1)
		ok(t, PutPoint(t.Context(), f.Store, p))
		put(t, f.State, pointDir+"x.json", "{")
		put(t, f.State, pointDir+"a/b.json", "{")
		for _, other := range []string{"a/b", id(2) + "-s0-a1", "", "x", id(1), "../contoso-eu/" + p.ID, p.ID + ".json", p.ID + "/", p.ID + strings.Repeat("0", 2000)} {
			_, err := f.Store.Point(t.Context(), service, other)
			is(t, err, engine.ErrNotFound)
			is(t, f.Store.Pin(t.Context(), service, other, id(9)), engine.ErrNotFound)
			ok(t, f.Store.Unpin(t.Context(), service, other, id(9)))
		}
		for _, other := range []string{"", "contoso-us", "contoso-eu/", "../recovery-points/contoso-eu"} {
			_, err := f.Store.Point(t.Context(), other, p.ID)
			is(t, err, engine.ErrNotFound)
		}
		equal(t, "blobs", len(names(t, f.State)), 3)
	},
	"a record that is none of the recovery point asked for is told and left alone": func(t *testing.T, f Fixture) {
		for i, c := range []struct {
			spoil func(*dr.RecoveryPoint)
			want  error
		}{
			{func(p *dr.RecoveryPoint) { p.V = 0 }, engine.ErrUnreadable},
			{func(p *dr.RecoveryPoint) { p.V = dr.Version + 1 }, engine.ErrNewer},
			{func(p *dr.RecoveryPoint) { p.State = "splendid" }, engine.ErrUnreadable},
			{func(p *dr.RecoveryPoint) { p.Service = "contoso-us" }, engine.ErrUnreadable},
			{func(p *dr.RecoveryPoint) { p.Operation = id(99) }, engine.ErrUnreadable},
		} {
			p := point(f, i)
			c.spoil(&p)
			keep(t, f, p)
			before := text(t, f.State, pointDir+p.ID+".json")
			_, err := f.Store.Point(t.Context(), service, p.ID)
			is(t, err, c.want)
			is(t, f.Store.Pin(t.Context(), service, p.ID, id(9)), c.want)
			is(t, f.Store.Unpin(t.Context(), service, p.ID, id(9)), c.want)
			equal(t, "record", text(t, f.State, pointDir+p.ID+".json"), before)
		}
		keep(t, f, point(f, 49))
		put(t, f.State, pointDir+id(50)+"-s0-a1.json", text(t, f.State, pointDir+id(49)+"-s0-a1.json"))
		_, err := f.Store.Point(t.Context(), service, id(50)+"-s0-a1")
		is(t, err, engine.ErrUnreadable)
	},
	"the newest recovery point comes first, and what cannot be read is left out": func(t *testing.T, f Fixture) {
		const n = 20
		for i := range n {
			p := point(f, i)
			p.CreatedAt = created.Add(time.Duration(i*7%n) * time.Hour) // neither the order of the ids nor of the writes
			keep(t, f, p)
		}
		put(t, f.State, pointDir+id(31)+"-s0-a1.json", "{")
		put(t, f.State, pointDir+id(32)+"-s0-a1.json", newer)
		put(t, f.State, pointDir+"notes.json", "{}")
		put(t, f.State, pointDir+"old/"+id(1)+"-s0-a1.json", "{}")
		put(t, f.State, "recovery-points/contoso-eu2/"+id(1)+"-s0-a1.json", "{}")
		got := must(f.Store.Points(t.Context(), "Contoso-EU"))(t)
		equal(t, "points", len(got), n)
		for i, p := range got {
			equal(t, fmt.Sprint("age of ", i), p.CreatedAt, created.Add(time.Duration(n-1-i)*time.Hour))
		}
	},
	"of recovery points of one time the order is that of their ids, backwards": func(t *testing.T, f Fixture) {
		var want, got []string
		for i := range 6 {
			keep(t, f, point(f, i))
			want = append(want, point(f, i).ID)
		}
		for _, p := range must(f.Store.Points(t.Context(), service))(t) {
			got = append(got, p.ID)
		}
		slices.Sort(want)
		slices.Reverse(want)
		if !slices.Equal(got, want) {
			t.Errorf("listed %v\nwant %v", got, want)
		}
	},
	"a service without recovery points has none": func(t *testing.T, f Fixture) {
		equal(t, "points", len(must(f.Store.Points(t.Context(), service))(t)), 0)
	},
	"a recovery point remembers who restores it until each has taken that back": func(t *testing.T, f Fixture) {
		p := point(f, 1)
		ok(t, PutPoint(t.Context(), f.Store, p))
		unused := text(t, f.State, pointDir+p.ID+".json")
		for range 2 {
			ok(t, f.Store.Pin(t.Context(), "Contoso-EU", p.ID, id(8)))
		}
		ok(t, f.Store.Pin(t.Context(), service, p.ID, id(9)))
		usersAre(t, f, 1, id(8), id(9))
		ok(t, f.Store.Unpin(t.Context(), service, p.ID, id(7)))
		for range 2 {
			ok(t, f.Store.Unpin(t.Context(), service, p.ID, id(8)))
		}
		usersAre(t, f, 1, id(9))
		ok(t, f.Store.Unpin(t.Context(), service, p.ID, id(9)))
		equal(t, "record", text(t, f.State, pointDir+p.ID+".json"), unused)
		if f.Store.Pin(t.Context(), service, p.ID, "me") == nil {
			t.Error("pinned by what is no id")
		}
	},
	"what is pinned or not already is not written again": func(t *testing.T, f Fixture) {
		p := point(f, 1)
		ok(t, PutPoint(t.Context(), f.Store, p))
		ok(t, f.Store.Pin(t.Context(), service, p.ID, id(8)))
		before := listed(t, f, "recovery-points/").ETag
		ok(t, f.Store.Pin(t.Context(), service, p.ID, id(8)))
		ok(t, f.Store.Unpin(t.Context(), service, p.ID, id(9)))
		equal(t, "ETag", listed(t, f, "recovery-points/").ETag, before)
	},
	"what is being deleted cannot be pinned any more, only be let go": func(t *testing.T, f Fixture) {
		p := point(f, 1)
		p.State, p.UsedBy = dr.Deleting, []string{id(8)}
		keep(t, f, p)
		for _, user := range []string{id(8), id(9)} {
			is(t, f.Store.Pin(t.Context(), service, p.ID, user), engine.ErrDeleting)
		}
		usersAre(t, f, 1, id(8))
		ok(t, f.Store.Unpin(t.Context(), service, p.ID, id(8)))
		usersAre(t, f, 1)
	},
	"of many pins and unpins at once none is lost": func(t *testing.T, f Fixture) {
		p := point(f, 1)
		p.UsedBy = []string{id(10), id(11), id(12)}
		keep(t, f, p)
		for _, err := range atOnce(6, func(i int) error {
			if i < 3 {
				return f.Store.Unpin(t.Context(), service, p.ID, id(10+i))
			}
			return f.Store.Pin(t.Context(), service, p.ID, id(10+i))
		}) {
			ok(t, err)
		}
		got := must(f.Store.Point(t.Context(), service, p.ID))(t).UsedBy
		slices.Sort(got)
		want := []string{id(13), id(14), id(15)}
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("used by %v, want %v", got, want)
		}
	},
	"our own repeated pin counts once": func(t *testing.T, f Fixture) {
		p := point(f, 1)
		ok(t, PutPoint(t.Context(), f.Store, p))
		f.LoseAnswer(nil)
		ok(t, f.Store.Pin(t.Context(), service, p.ID, id(8)))
		usersAre(t, f, 1, id(8))
		f.LoseAnswer(nil)
		ok(t, f.Store.Unpin(t.Context(), service, p.ID, id(8)))
		usersAre(t, f, 1)
	},
	"a recovery point that is deleted while it is pinned was not pinned": func(t *testing.T, f Fixture) {
		p := point(f, 1)
		ok(t, PutPoint(t.Context(), f.Store, p))
		f.LoseAnswer(func() { ok(t, f.State.Delete(t.Context(), pointDir+p.ID+".json", "")) })
		is(t, f.Store.Pin(t.Context(), service, p.ID, id(8)), engine.ErrNotFound)
		equal(t, "blobs", len(names(t, f.State)), 0)
	},
}
