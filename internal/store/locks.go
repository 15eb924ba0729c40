package store

import (
	"context"
	"errors"
	"fmt"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// lockBody is the content of a lock.
type lockBody struct {
	V          int    `json:"v"`              // 0 in locks of the first versions
	Operation  string `json:"operation"`      // id of the holder
	Invocation string `json:"invocation"`     // nonce of the holder's invocation that took it last; empty: it was handed over and not taken up yet
	Next       string `json:"next,omitempty"` // id of the operation that gets it when it becomes free
}

// heir is who gets the lock when leaving gives it up; empty: nobody waits for it.
func (l lockBody) heir(leaving string) string {
	if l.Next == leaving {
		return ""
	}
	return l.Next
}

// at tells of a lock that has etag. One that is reserved is not for Free, which would not hand it over.
func (l lockBody) at(etag string) engine.Locked {
	if l.Next != "" {
		etag = ""
	}
	return engine.Locked{Holder: l.Operation, ETag: etag}
}

// Lock implements engine.Store. A lock that was freed between two looks is tried again.
func (s *Store) Lock(ctx context.Context, service, operation, invocation string) (engine.Locked, error) {
	name, err := lockName(service, operation)
	if err != nil {
		return engine.Locked{}, err
	}
	mine := lockBody{Operation: operation, Invocation: invocation}
	for range tries {
		etag, err := s.putLock(ctx, name, mine, "")
		if err == nil {
			return mine.at(etag), nil
		}
		if !errors.Is(err, ErrCondition) {
			return engine.Locked{}, err
		}
		held, etag, err := s.lockAt(ctx, name)
		switch {
		case errors.Is(err, engine.ErrNotFound):
			continue
		case err != nil || held.Operation != operation:
			return engine.Locked{Holder: held.Operation}, err
		case held.Invocation == invocation:
			return held.at(etag), nil
		}
		// Ours already, through another invocation: from now on that one cannot free it under our feet.
		held.Invocation = invocation
		if etag, err := s.putLock(ctx, name, held, etag); err == nil || !lost(err) {
			return held.at(etag), err
		}
	}
	return engine.Locked{}, errTries(name)
}

// Free implements engine.Store.
func (s *Store) Free(ctx context.Context, service, etag string) (bool, error) {
	if etag == "" {
		return false, nil
	}
	name, err := serviceName(locksDir, service)
	if err != nil {
		return false, err
	}
	if err = s.blobs.Delete(ctx, name, etag); lost(err) {
		return false, nil
	}
	return err == nil, err
}

// Touch implements engine.Store. The lock is not read: one of another version is touched as well.
func (s *Store) Touch(ctx context.Context, service string) error {
	name, err := serviceName(locksDir, service)
	if err != nil {
		return err
	}
	return gone(s.blobs.SetMetadata(ctx, name, nil))
}

// TakeOver implements engine.Store. A lock that is free is not taken: then nobody has it, "". One that is reserved for somebody else goes to that
// operation, which is the new holder.
func (s *Store) TakeOver(ctx context.Context, service, holder, operation, invocation string) (string, error) {
	name, err := lockName(service, operation)
	if err != nil {
		return "", err
	}
	for range tries {
		now, etag, err := s.lockAt(ctx, name)
		switch {
		case errors.Is(err, engine.ErrNotFound):
			return "", nil
		case err != nil || now.Operation != holder || now.Operation == operation:
			return now.Operation, err
		}
		next := lockBody{Operation: operation, Invocation: invocation}
		if heir := now.heir(holder); heir != "" && heir != operation {
			next = lockBody{Operation: heir}
		}
		// Refused: the next look tells who has it, ourselves included if the answer to our own write was lost.
		if _, err := s.putLock(ctx, name, next, etag); err == nil {
			return next.Operation, nil
		} else if !lost(err) {
			return "", err
		}
	}
	return "", errTries(name)
}

// Reserve implements engine.Store. To have one's own lock next means nothing: no error.
func (s *Store) Reserve(ctx context.Context, service, holder, operation string) error {
	name, err := lockName(service, operation)
	if err != nil {
		return err
	}
	for range tries {
		held, etag, err := s.lockAt(ctx, name)
		switch {
		case errors.Is(err, engine.ErrNotFound):
			return nil
		case err != nil || held.Operation != holder || held.Operation == operation || held.Next == operation:
			return err
		}
		held.Next = operation
		if _, err = s.putLock(ctx, name, held, etag); !lost(err) {
			return err
		}
	}
	return errTries(name)
}

// Yield implements engine.Store.
func (s *Store) Yield(ctx context.Context, service, operation, invocation string) error {
	return s.giveUp(ctx, service, operation, func(held lockBody) bool { return held.Operation == operation && held.Invocation == invocation })
}

// Unlock implements engine.Store.
func (s *Store) Unlock(ctx context.Context, service, operation string) error {
	return s.giveUp(ctx, service, operation, func(held lockBody) bool { return held.Operation == operation || held.Next == operation })
}

// giveUp takes an operation out of a lock that pleases may: its reservation, or the lock itself, which goes to the heir or, without one, is deleted.
func (s *Store) giveUp(ctx context.Context, service, operation string, may func(lockBody) bool) error {
	name, err := lockName(service, operation)
	if err != nil {
		return err
	}
	for range tries {
		held, etag, err := s.lockAt(ctx, name)
		switch {
		case errors.Is(err, engine.ErrNotFound):
			return nil
		case err != nil || !may(held):
			return err
		}
		if held.Operation != operation {
			held.Next = ""
			_, err = s.putLock(ctx, name, held, etag)
		} else if heir := held.heir(operation); heir != "" {
			_, err = s.putLock(ctx, name, lockBody{Operation: heir}, etag)
		} else {
			err = s.blobs.Delete(ctx, name, etag)
		}
		if !lost(err) {
			return err
		}
	}
	return errTries(name)
}

// Holder implements engine.Store; engine.ErrUnreadable.
func (s *Store) Holder(ctx context.Context, service string) (string, error) {
	name, err := serviceName(locksDir, service)
	if err != nil {
		return "", err
	}
	held, _, err := s.lockAt(ctx, name)
	if errors.Is(err, engine.ErrNotFound) {
		return "", nil
	}
	return held.Operation, err
}

// Locks implements engine.Store. Services are in lower case. A lock that cannot be read is left out and logged: one bad blob must not hide
// the others, and Lock tells of it whenever its service is due.
func (s *Store) Locks(ctx context.Context) (map[string]string, error) {
	locks := map[string]string{}
	err := each(ctx, s.blobs, locksDir, func(item Item) error {
		held, _, err := s.lockAt(ctx, item.Name)
		service, badName := decoded(locksDir, item.Name)
		switch {
		case errors.Is(err, engine.ErrNotFound), errors.Is(err, engine.ErrNewer): // freed since it was listed; the newer version's affair
		case errors.Is(err, engine.ErrUnreadable), err == nil && badName != nil:
			s.log.ErrorContext(ctx, "a lock cannot be read: delete it once no operation is at work on the service", "blob", item.Name)
		case err != nil:
			return err
		default:
			locks[service] = held.Operation
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return locks, nil
}

// lockName is the name of a service's lock, for what operation does with it.
func lockName(service, operation string) (string, error) {
	if !dr.ValidID(operation) {
		return "", fmt.Errorf("lock %q: %w", service, badID(operation))
	}
	return serviceName(locksDir, service)
}

// lockAt reads a lock.
func (s *Store) lockAt(ctx context.Context, name string) (held lockBody, etag string, err error) {
	return load(ctx, s.blobs, name, func(l lockBody) error {
		switch {
		case !dr.ValidID(l.Operation):
			return badID(l.Operation)
		case l.Next != "" && !dr.ValidID(l.Next):
			return badID(l.Next)
		}
		return nil
	})
}

// putLock replaces the lock that has etag; without one it creates it.
func (s *Store) putLock(ctx context.Context, name string, l lockBody, etag string) (newETag string, err error) {
	l.V = dr.Version
	body, err := record(name, l)
	if err != nil {
		return "", err
	}
	return put(ctx, s.blobs, name, body, etag)
}
