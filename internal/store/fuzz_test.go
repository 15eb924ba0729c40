package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/store"
)

const fuzzedID = "20261102-backup-749854d888f313f8761f"

// FuzzRecords: whatever lies where a record should, it is read as one that can be written again, or is refused as unreadable or newer, and stays as it is.
func FuzzRecords(f *testing.F) {
	golden, err := filepath.Glob("testdata/*.golden.json")
	if err != nil || len(golden) == 0 {
		f.Fatal(err, "no golden files")
	}
	for _, file := range golden {
		body, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body, "{}")
	}
	for _, body := range []string{"", "null", "[]", `{"v":2}`, `{"v":-1}`, strings.Repeat("[", 20_000), `{"v":1,"operation":"` + fuzzedID + `","next":"../x"}`, `{"v":1,"id":"` + fuzzedID + `","phase":"queued","legs":[]}`} {
		f.Add([]byte(body), `{"v":1,"id":"`+fuzzedID+`"}`)
	}
	f.Fuzz(func(t *testing.T, body []byte, wake string) {
		ctx := context.Background()
		blobs := store.Memory(func() time.Time { return time.Date(2026, 11, 2, 3, 0, 0, 0, time.UTC) })
		backups := store.Memory(func() time.Time { return time.Date(2026, 11, 2, 3, 0, 0, 0, time.UTC) })
		vault := store.VaultOver(func(dr.Storage) (store.Blobs, error) { return backups, nil })
		s := store.Over(blobs, store.Options{Vault: vault})
		at := dr.Storage{Account: "contosodr", Container: "backups"}
		point := fuzzedID + "-s0-a1"
		names := []string{"operations/20261102/" + fuzzedID + ".json", "locks/contoso-eu", "services/contoso-eu", "pairs/contoso-eu~7Econtoso-us", "recovery-points/contoso-eu/" + point + ".json", "idem/k", "ticks/nightly", "usage/contoso-eu"}
		for _, name := range names {
			if _, err := blobs.Create(ctx, name, store.Content{Body: body}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := blobs.Create(ctx, "active/"+fuzzedID, store.Content{Body: body, Metadata: map[string]string{"wake": wake, "leaseuntil": wake}}); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{point + ".apimdr.json", "roles/contoso-eu~7Econtoso-us.apimdr.json"} {
			if _, err := backups.Create(ctx, name, store.Content{Body: body}); err != nil {
				t.Fatal(err)
			}
		}
		refused := func(what string, err error) bool {
			if err != nil && !errors.Is(err, engine.ErrUnreadable) && !errors.Is(err, engine.ErrNewer) {
				t.Fatalf("%s: an error of no kind: %v", what, err)
			}
			return err != nil
		}
		op, etag, err := s.Operation(ctx, fuzzedID)
		if !refused("operation", err) {
			if op.Leg() == nil || op.ID != fuzzedID {
				t.Fatalf("%+v", op)
			}
			if _, err := s.SaveOperation(ctx, op, etag); err != nil {
				t.Fatalf("what was read cannot be written: %v", err)
			}
			dr.Step(dr.DefaultTiming(), op, dr.Input{Nonce: "n"}, time.Date(2026, 11, 2, 3, 0, 0, 0, time.UTC)) // does not panic
		}
		_, err = s.Holder(ctx, "contoso-eu")
		refused("lock", err)
		_, err = s.Service(ctx, "contoso-eu")
		refused("service", err)
		p, err := s.Pair(ctx, "contoso-eu~contoso-us")
		if !refused("pair", err) && !p.Has(p.Active) {
			t.Fatalf("%+v", p)
		}
		_, err = s.Point(ctx, "contoso-eu", point)
		refused("point", err)
		_, err = s.Recall(ctx, "k")
		refused("idem", err)
		_, err = s.LastTick(ctx, "nightly")
		refused("tick", err)
		_, err = s.Usage(ctx, "contoso-eu")
		refused("usage", err)
		_, err = vault.Role(ctx, at, "contoso-eu~contoso-us")
		refused("role", err)
		_, err = s.Locks(ctx)
		refused("locks", err)
		if _, err := s.Points(ctx, "contoso-eu"); err != nil {
			t.Fatal(err)
		}
		markers, err := s.Markers(ctx)
		if err != nil || len(markers) != 1 || markers[0].Wake.ID != fuzzedID {
			t.Fatalf("%+v %v", markers, err)
		}
		if err := vault.Beside(ctx, at, func(dr.RecoveryPoint) error { return nil }, func(string, error) {}); err != nil {
			t.Fatal(err)
		}
		for _, name := range names[1:] {
			if now, _, err := blobs.Get(ctx, name); err != nil || string(now) != string(body) {
				t.Fatalf("%s was changed: %v", name, err)
			}
		}
	})
}
