// Package memstore is the store over containers in memory, for tests: the product's own logic and layout, with hooks that let a test kill or
// cut off its caller before and after any write. One contract suite (package storetest) holds it against Azure's emulator.
package memstore

import (
	"sync"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/store"
)

// Store is a store in memory. It is safe for concurrent use and for testing/synctest.
type Store struct {
	*store.Store
	// State is the container of the records.
	State *Container
	// Vault is where backups and the copies of recovery points lie. A container of it exists once Backups was called for it.
	Vault *store.Vault

	now     func() time.Time
	mu      sync.Mutex
	fail    func(op, key string) error
	backups map[string]*Container // by account and container: the region of one does not make it another
}

// New returns an empty store whose container exists. now dates the blobs.
func New(now func() time.Time) *Store {
	s := &Store{now: now, backups: map[string]*Container{}}
	s.State = s.container("")
	s.State.exists = true
	s.Vault = store.VaultOver(func(at dr.Storage) (store.Blobs, error) { return s.at(at), nil })
	s.Store = store.Over(s.State, store.Options{Vault: s.Vault})
	return s
}

// Fail sets the hook that is asked around every call; nil removes it. What it returns becomes the call's error.
//
// op is "before create", "before replace", "before metadata" or "before delete": an error leaves everything as it was. Or "after …" of the same:
// the write is done, and an error means that its answer was lost. Of calls that write nothing: "read", "head", "list".
// key is the name of the blob (the prefix, for a list), in a container of the vault after "<account>/<container>/".
//
// The hook may be called from several goroutines at once. It runs without locks, so that it may use the store.
func (s *Store) Fail(hook func(op, key string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = hook
}

// Backups returns a container of the vault and lets it exist. A test puts backup blobs there with Create.
func (s *Store) Backups(at dr.Storage) *Container {
	c := s.at(at)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.exists = true
	return c
}

func (s *Store) at(at dr.Storage) *Container {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := at.Account + "/" + at.Container + "/"
	if s.backups[keys] == nil {
		s.backups[keys] = s.container(keys)
	}
	return s.backups[keys]
}

func (s *Store) container(keys string) *Container {
	return &Container{owner: s, keys: keys, blobs: store.Memory(s.now)}
}

func (s *Store) ask(op, key string) error {
	s.mu.Lock()
	hook := s.fail
	s.mu.Unlock()
	if hook == nil {
		return nil
	}
	return hook(op, key)
}
