// Package storetest is the contract of a store as a test suite. It is run against the store in memory and against Blob storage, so that
// neither can drift from what engine.Store promises and the layout says.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/store"
)

// Store is what the suite tests: the engine's interface and the listing of the handlers.
type Store interface {
	engine.Store
	ListOperations(ctx context.Context, day, after string, limit int) (ops []dr.Operation, next string, err error)
}

// Fixture is an empty store with a view behind it.
type Fixture struct {
	Store   Store
	Vault   engine.Vault
	State   store.Blobs // the container of the store; exists
	Backups store.Blobs // the container that At names; exists
	At      dr.Storage

	// LoseAnswer lets the next write to State, LoseBackupAnswer the next to Backups, be done, its answer be lost, between (nil: nothing)
	// be called, and the client repeat the write.
	LoseAnswer, LoseBackupAnswer func(between func())
}

// PutPoint keeps a recovery point as the end of a backup does.
func PutPoint(ctx context.Context, s engine.Store, p dr.RecoveryPoint) error {
	if err := s.RecordPoint(ctx, p); err != nil {
		return err
	}
	return s.CopyPoint(ctx, p)
}

// Run runs the suite. open is called for each test, from parallel ones.
func Run(t *testing.T, open func(t *testing.T) Fixture) {
	for _, group := range []struct {
		name  string
		tests map[string]func(*testing.T, Fixture)
	}{
		{"operations", operations}, {"records", records}, {"listing", listing}, {"markers", markers}, {"locks", locks},
		{"reservations", reservations}, {"points", points}, {"pruning", pruned}, {"catalog", catalog}, {"vault", vaults}, {"pairs", pairs}, {"roles", roles}, {"services", services}, {"ticks", ticks}, {"changes", pending}, {"claims", claims}, {"quarantine", quarantine}, {"layout", layout},
	} {
		for name, test := range group.tests {
			t.Run(group.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				test(t, open(t))
			})
		}
	}
}

var (
	created = time.Date(2026, 11, 2, 3, 0, 0, 0, time.UTC)
	service = "contoso-eu"
)

func id(n int) string {
	return dr.NewID(dr.KindBackup, created, "test", fmt.Sprint(n))
}

// operation returns a record with every kind of field, written by writer.
func operation(n int, writer string) dr.Operation {
	return dr.Operation{
		V: dr.Version, Rev: 1, Writer: writer, ID: id(n), Kind: dr.KindBackup, Service: service, Plan: "nightly", Trigger: dr.TriggerTimer,
		CreatedAt: created, NotAfter: created.Add(12 * time.Hour), Phase: dr.Running, Epoch: 2,
		Legs: []dr.Leg{{
			Verb: dr.VerbBackup, Service: service, ResourceID: resource(service), Storage: dr.Storage{Account: "contosodr", Container: "backups"},
			Within: dr.Duration(12 * time.Hour), Attempt: 1, Claim: dr.Claim{Nonce: writer, From: created, Until: created.Add(time.Minute)},
			Before:   dr.ServiceView{ETag: `"AAAA"`, State: "Succeeded", SKU: "Developer", Capacity: 1, Region: "West Europe"},
			Location: "https://management.azure.com//operationresults/x%3D?api-version=2024-05-01&t=<1>", Deadline: created.Add(12 * time.Hour),
		}},
		Evidence: []dr.Note{{At: created, Text: "seen ✓"}},
	}
}

func resource(name string) string {
	return "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/contoso/providers/Microsoft.ApiManagement/service/" + name
}

func wake(n int) dr.Wake {
	return dr.Wake{
		V: dr.Version, ID: id(n), Epoch: 3, N: 7, Try: 1, Attempt: 2, Lease: created.Add(90 * time.Second),
		Location: "https://management.azure.com//operationresults/x%3D?a=1&b=2",
	}
}

func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		ok(t, err)
		return v
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func is(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error is %v, want %v", err, want)
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

// atOnce runs do n times at once and returns the answers.
func atOnce[T any](n int, do func(i int) T) []T {
	answers := make([]T, n)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-start
			answers[i] = do(i)
		})
	}
	close(start)
	all.Wait()
	return answers
}

// put writes a blob behind the store's back.
func put(t *testing.T, b store.Blobs, name, body string) {
	t.Helper()
	_, err := b.Create(t.Context(), name, store.Content{Body: []byte(body)})
	ok(t, err)
}

// text reads a blob behind the store's back.
func text(t *testing.T, b store.Blobs, name string) string {
	t.Helper()
	body, _, err := b.Get(t.Context(), name)
	ok(t, err)
	return string(body)
}

// names lists a container behind the store's back.
func names(t *testing.T, b store.Blobs) []string {
	t.Helper()
	items, next, err := b.List(t.Context(), "", "", 1000)
	ok(t, err)
	equal(t, "next", next, "")
	var all []string
	for _, item := range items {
		all = append(all, item.Name)
	}
	return all
}
