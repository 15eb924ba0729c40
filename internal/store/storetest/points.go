package storetest

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/store"
)

func point(f Fixture, n int) dr.RecoveryPoint {
	return dr.RecoveryPoint{
		V: dr.Version, ID: id(n) + "-s0-a1", State: dr.Good, Service: service, ResourceID: resource(service), Operation: id(n), Plan: "nightly",
		CreatedAt: created, EndedAt: created.Add(time.Hour), ExpiresAt: created.Add(dr.BackupLife), Storage: f.At, Bytes: 4096,
		BlobETag: `"0x8D"`, SKU: "Developer", Capacity: 1, Region: "West Europe",
	}
}

const pointDir = "recovery-points/contoso-eu/"

var points = map[string]func(*testing.T, Fixture){
	"a recovery point is recorded, and the same lies beside its blob": func(t *testing.T, f Fixture) {
		p := point(f, 1)
		put(t, f.Backups, p.ID, "a backup")
		ok(t, PutPoint(t.Context(), f.Store, p))
		record, beside := text(t, f.State, pointDir+p.ID+".json"), text(t, f.Backups, p.ID+".apimdr.json")
		equal(t, "copy", beside, record)
		var got dr.RecoveryPoint
		ok(t, json.Unmarshal([]byte(record), &got))
		if !reflect.DeepEqual(got, p) {
			t.Errorf("recorded %+v", got)
		}
		equal(t, "backup", text(t, f.Backups, p.ID), "a backup")
	},
	"what is there of a recovery point stays as it is, and what is missing is added": func(t *testing.T, f Fixture) {
		p := point(f, 1)
		put(t, f.Backups, p.ID+".apimdr.json", "older copy")
		ok(t, PutPoint(t.Context(), f.Store, p))
		first := text(t, f.State, pointDir+p.ID+".json")
		p.State, p.Bytes = dr.Unverified, 1
		ok(t, PutPoint(t.Context(), f.Store, p))
		equal(t, "record", text(t, f.State, pointDir+p.ID+".json"), first)
		equal(t, "copy", text(t, f.Backups, p.ID+".apimdr.json"), "older copy")
		p = point(f, 2)
		put(t, f.State, pointDir+p.ID+".json", "older record")
		ok(t, PutPoint(t.Context(), f.Store, p))
		text(t, f.Backups, p.ID+".apimdr.json")
	},
	"where the container of the backup is gone, the recovery point is recorded without a copy": func(t *testing.T, f Fixture) {
		p := point(f, 1)
		p.Storage.Container = "never-made"
		ok(t, PutPoint(t.Context(), f.Store, p))
		text(t, f.State, pointDir+p.ID+".json")
	},
	"our own repeated writes are successes": func(t *testing.T, f Fixture) {
		f.LoseAnswer(nil)
		f.LoseBackupAnswer(nil)
		ok(t, PutPoint(t.Context(), f.Store, point(f, 1)))
	},
	"names that are none are refused": func(t *testing.T, f Fixture) {
		for what, spoil := range map[string]func(*dr.RecoveryPoint){
			"id": func(p *dr.RecoveryPoint) { p.ID = "../x" }, "another's id": func(p *dr.RecoveryPoint) { p.Operation = id(9) },
			"service": func(p *dr.RecoveryPoint) { p.Service = "" }, "account": func(p *dr.RecoveryPoint) { p.Storage.Account = "evil.example/" },
			"container": func(p *dr.RecoveryPoint) { p.Storage.Container = "a/../b" }, "version": func(p *dr.RecoveryPoint) { p.V = 0 },
			"state": func(p *dr.RecoveryPoint) { p.State = "" },
		} {
			p := point(f, 1)
			spoil(&p)
			if PutPoint(t.Context(), f.Store, p) == nil {
				t.Errorf("%s was taken", what)
			}
		}
	},
	"head tells size and ETag, and that a blob or its container is absent": func(t *testing.T, f Fixture) {
		absent := must(f.Vault.Head(t.Context(), f.At, "blob"))(t)
		equal(t, "absent blob", absent, dr.BlobView{})
		put(t, f.Backups, "blob", "12345")
		put(t, f.Backups, "empty", "")
		there := must(f.Vault.Head(t.Context(), f.At, "blob"))(t)
		if !there.Exists || there.Bytes != 5 || there.ETag == "" {
			t.Errorf("%+v", there)
		}
		empty := must(f.Vault.Head(t.Context(), f.At, "empty"))(t)
		if !empty.Exists || empty.Bytes != 0 {
			t.Errorf("%+v", empty)
		}
		_, etag, err := f.Backups.Get(t.Context(), "blob")
		ok(t, err)
		equal(t, "ETag", there.ETag, etag)
		gone := f.At
		gone.Container = "never-made"
		equal(t, "absent container", must(f.Vault.Head(t.Context(), gone, "blob"))(t), dr.BlobView{})
		gone.Container = "Not A Container"
		if _, err := f.Vault.Head(t.Context(), gone, "blob"); err == nil {
			t.Error("a name that no container can have was looked up")
		}
	},
}

var layout = map[string]func(*testing.T, Fixture){
	"every record lies where the layout says": func(t *testing.T, f Fixture) {
		must(f.Store.CreateOperation(t.Context(), operation(1, "me")))(t)
		ok(t, f.Store.Mark(t.Context(), wake(1)))
		must(f.Store.Lock(t.Context(), "Contoso-EU", id(1), "n1"))(t)
		ok(t, PutPoint(t.Context(), f.Store, point(f, 1)))
		ok(t, f.Store.MergeService(t.Context(), "Contoso-EU", newest(1)))
		ok(t, f.Store.MergePair(t.Context(), pair(1).Name, change(1)))
		ok(t, f.Vault.KeepRole(t.Context(), f.At, pair(1)))
		must(f.Store.Remember(t.Context(), "cafe", claim(1)))(t)
		ok(t, f.Store.MoveTick(t.Context(), "nightly", created))
		ok(t, f.Store.Quarantine(t.Context(), []byte("hello"), "not JSON"))
		want := []string{
			"active/" + id(1), "idem/cafe", "locks/contoso-eu", "operations/20261102/" + id(1) + ".json", "pairs/contoso-eu~7Econtoso-us",
			"quarantine/2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
			"recovery-points/contoso-eu/" + id(1) + "-s0-a1.json", "services/contoso-eu", "ticks/nightly",
		}
		if got := names(t, f.State); !slices.Equal(got, want) {
			t.Errorf("names are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if got := names(t, f.Backups); !slices.Equal(got, []string{id(1) + "-s0-a1.apimdr.json", "roles/contoso-eu~7Econtoso-us.apimdr.json"}) {
			t.Errorf("beside the backups: %v", got)
		}
		equal(t, "lock", text(t, f.State, "locks/contoso-eu"), `{"v":1,"operation":"`+id(1)+`","invocation":"n1"}`)
		equal(t, "lease in clear", listed(t, f, "active/").Metadata["leaseuntil"], "2026-11-02T03:01:30Z")
	},
	"a name from outside never becomes a path, and is listed as it was": func(t *testing.T, f Fixture) {
		hostile := []string{"../operations/x", "a/b", "..", ".", "%2e%2e%2f", "a b+c", "~2e", "é✓", "a?b#c", "x\x00\n", `"\`}
		for i, name := range hostile {
			equal(t, name, must(f.Store.Lock(t.Context(), name, id(i), "n1"))(t).Holder, id(i))
			ok(t, f.Store.MergeService(t.Context(), name, newest(i)))
			ok(t, f.Store.MoveTick(t.Context(), name, created))
			must(f.Store.Remember(t.Context(), name, claim(i)))(t)
			if !strings.Contains(name, "~") { // which parts the names of a pair
				p := dr.NewPair("Contoso", name)
				ok(t, f.Store.MergePair(t.Context(), p.Name, func(dr.Pair) (dr.Pair, bool) { return p, true }))
				ok(t, f.Vault.KeepRole(t.Context(), f.At, p))
				equal(t, "pair", must(f.Store.Pair(t.Context(), p.Name))(t), p)
				equal(t, "role", must(f.Vault.Role(t.Context(), f.At, p.Name))(t), p)
			}
		}
		for _, name := range names(t, f.State) {
			dir, rest, _ := strings.Cut(name, "/")
			if !slices.Contains([]string{"locks", "services", "ticks", "idem", "pairs"}, dir) || rest == "" || strings.ContainsAny(rest, "/.%?#\\\x00") {
				t.Errorf("blob %q", name)
			}
		}
		for _, name := range names(t, f.Backups) {
			inner := strings.TrimSuffix(strings.TrimPrefix(name, "roles/"), ".apimdr.json")
			if len(inner)+len("roles/.apimdr.json") != len(name) || strings.ContainsAny(inner, "/.%?#\\\x00") {
				t.Errorf("beside the backups: %q", name)
			}
		}
		held := must(f.Store.Locks(t.Context()))(t)
		equal(t, "locks", len(held), len(hostile))
		for i, name := range hostile {
			equal(t, "holder of "+name, held[name], id(i))
		}
		for _, name := range []string{"", strings.Repeat("x", 1000)} {
			if _, err := f.Store.Lock(t.Context(), name, id(1), "n1"); err == nil {
				t.Errorf("a name of %d letters was taken", len(name))
			}
		}
	},
}

// listed is the only blob below a prefix, behind the store's back.
func listed(t *testing.T, f Fixture, prefix string) store.Item {
	t.Helper()
	items, _, err := f.State.List(t.Context(), prefix, "", 2)
	ok(t, err)
	equal(t, "blobs in "+prefix, len(items), 1)
	return items[0]
}
