package memstore_test

import (
	"errors"
	"testing"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/store/memstore"
	"apim-dr/internal/store/storetest"
)

var start = time.Date(2026, 11, 2, 3, 0, 0, 0, time.UTC)

func open() *memstore.Store { return memstore.New(func() time.Time { return start }) }

func TestTheStoreInMemoryKeepsTheContract(t *testing.T) {
	storetest.Run(t, func(*testing.T) storetest.Fixture {
		s := open()
		at := dr.Storage{Account: "contosodr", Container: "backups"}
		backups := s.Backups(at)
		return storetest.Fixture{
			Store: s, Vault: s.Vault, State: s.State, Backups: backups, At: at,
			LoseAnswer: s.State.LoseAnswer, LoseBackupAnswer: backups.LoseAnswer,
		}
	})
}

var id = dr.NewID(dr.KindBackup, start, "test")

func TestAFailureBeforeAWriteLeavesNothingAndOneAfterItLosesTheAnswerOnly(t *testing.T) {
	down := errors.New("connection reset")
	for _, when := range []string{"before create", "after create"} {
		s := open()
		var keys []string
		s.Fail(func(op, key string) error {
			if op == when {
				keys = append(keys, key)
				return down
			}
			return nil
		})
		if _, err := s.Lock(t.Context(), "contoso-eu", id, "n1"); !errors.Is(err, down) {
			t.Errorf("%s: error is %v", when, err)
		}
		s.Fail(nil)
		locks, err := s.Locks(t.Context())
		if err != nil || (locks["contoso-eu"] == id) != (when == "after create") {
			t.Errorf("%s: locks %v, %v", when, locks, err)
		}
		if len(keys) != 1 || keys[0] != "locks/contoso-eu" {
			t.Errorf("%s: keys %v", when, keys)
		}
	}
}

func TestEachCallAsksTheHook(t *testing.T) {
	s := open()
	at := dr.Storage{Account: "contosodr", Container: "backups"}
	s.Backups(at)
	asked := map[string]bool{}
	s.Fail(func(op, key string) error { asked[op+" "+key] = true; return nil })
	w := dr.Wake{V: dr.Version, ID: id}
	for _, err := range []error{
		s.Mark(t.Context(), w), s.Beat(t.Context(), w), s.Unmark(t.Context(), id),
		s.MoveTick(t.Context(), "p", start), s.MoveTick(t.Context(), "p", start.Add(1)),
		storetest.PutPoint(t.Context(), s, dr.RecoveryPoint{V: 1, ID: id + "-s0-a1", State: dr.Good, Operation: id, Service: "x", Storage: at}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Markers(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Vault.Head(t.Context(), at, "b"); err != nil {
		t.Fatal(err)
	}
	beside := "contosodr/backups/" + id + "-s0-a1.apimdr.json"
	for _, want := range []string{
		"before create active/" + id, "after create active/" + id, "before metadata active/" + id, "after metadata active/" + id,
		"before delete active/" + id, "after delete active/" + id, "read ticks/p", "before replace ticks/p", "after replace ticks/p",
		"before create " + beside, "after create " + beside, "list active/", "head contosodr/backups/b",
	} {
		if !asked[want] {
			t.Errorf("not asked: %s", want)
		}
	}
}

func TestAnUnreachableBackupStorageFailsThePointUntilItIsRepeated(t *testing.T) {
	s := open()
	at := dr.Storage{Account: "contosodr", Container: "backups"}
	s.Backups(at)
	down := errors.New("no route to host")
	p := dr.RecoveryPoint{V: 1, ID: id + "-s0-a1", State: dr.Good, Operation: id, Service: "contoso-eu", Storage: at}
	s.Fail(func(op, key string) error {
		if op == "before create" && key == "contosodr/backups/"+p.ID+".apimdr.json" {
			return down
		}
		return nil
	})
	if err := storetest.PutPoint(t.Context(), s, p); !errors.Is(err, down) {
		t.Fatalf("error is %v", err)
	}
	s.Fail(nil)
	if err := storetest.PutPoint(t.Context(), s, p); err != nil {
		t.Fatal(err)
	}
	if names := s.Backups(at).Names(); len(names) != 1 {
		t.Errorf("beside the backups: %v", names)
	}
}
