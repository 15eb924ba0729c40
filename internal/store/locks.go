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
	Operation  string `json:"operation"`  // id of the holder
	Invocation string `json:"invocation"` // nonce of the holder's invocation that took it last
}

// Lock implements engine.Store. A lock that was freed between two looks is tried again.
func (s *Store) Lock(ctx context.Context, service, operation, invocation string) (string, error) {
	name, body, err := lockRecord(service, operation, invocation)
	if err != nil {
		return "", err
	}
	for range tries {
		_, err := s.blobs.Create(ctx, name, Content{Body: body})
		if err == nil {
			return operation, nil
		}
		if !errors.Is(err, ErrCondition) {
			return "", err
		}
		held, etag, err := s.holder(ctx, name)
		switch {
		case errors.Is(err, engine.ErrNotFound):
			continue
		case err != nil || held.Operation != operation || held.Invocation == invocation:
			return held.Operation, err
		}
		// Ours already, through another invocation: from now on that one cannot free it under our feet.
		if _, err := s.blobs.Replace(ctx, name, body, etag); err == nil || !lost(err) {
			return operation, err
		}
	}
	return "", errTries(name)
}

// TakeOver implements engine.Store. A lock that is free is not taken: then nobody has it, "".
func (s *Store) TakeOver(ctx context.Context, service, holder, operation, invocation string) (string, error) {
	name, body, err := lockRecord(service, operation, invocation)
	if err != nil {
		return "", err
	}
	for range tries {
		now, etag, err := s.holder(ctx, name)
		switch {
		case errors.Is(err, engine.ErrNotFound):
			return "", nil
		case err != nil || now.Operation != holder || now.Operation == operation:
			return now.Operation, err
		}
		// Refused: the next look tells who has it, ourselves included if the answer to our own write was lost.
		if _, err := s.blobs.Replace(ctx, name, body, etag); err == nil {
			return operation, nil
		} else if !lost(err) {
			return "", err
		}
	}
	return "", errTries(name)
}

// Yield implements engine.Store.
func (s *Store) Yield(ctx context.Context, service, operation, invocation string) error {
	return s.unlock(ctx, service, lockBody{operation, invocation}, func(held lockBody) bool { return held.Invocation == invocation })
}

// Unlock implements engine.Store.
func (s *Store) Unlock(ctx context.Context, service, operation string) error {
	return s.unlock(ctx, service, lockBody{Operation: operation}, func(lockBody) bool { return true })
}

// unlock deletes the very blob that names the operation and pleases may.
func (s *Store) unlock(ctx context.Context, service string, mine lockBody, may func(lockBody) bool) error {
	name, _, err := lockRecord(service, mine.Operation, mine.Invocation)
	if err != nil {
		return err
	}
	for range tries {
		held, etag, err := s.holder(ctx, name)
		switch {
		case errors.Is(err, engine.ErrNotFound):
			return nil
		case err != nil || held.Operation != mine.Operation || !may(held):
			return err
		}
		if err := gone(s.blobs.Delete(ctx, name, etag)); !errors.Is(err, ErrCondition) {
			return err
		}
	}
	return errTries(name)
}

// Locks implements engine.Store. Services are in lower case. A lock that cannot be read is left out and logged: one bad blob must not hide
// the others, and Lock tells of it whenever its service is due.
func (s *Store) Locks(ctx context.Context) (map[string]string, error) {
	locks := map[string]string{}
	err := each(ctx, s.blobs, locksDir, func(item Item) error {
		held, _, err := s.holder(ctx, item.Name)
		service, badName := decoded(locksDir, item.Name)
		switch {
		case errors.Is(err, engine.ErrNotFound): // freed since it was listed
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

func lockRecord(service, operation, invocation string) (name string, body []byte, err error) {
	if !dr.ValidID(operation) {
		return "", nil, fmt.Errorf("lock %q: %w", service, badID(operation))
	}
	if name, err = serviceName(locksDir, service); err != nil {
		return "", nil, err
	}
	body, err = record(name, lockBody{Operation: operation, Invocation: invocation})
	return name, body, err
}

func (s *Store) holder(ctx context.Context, name string) (held lockBody, etag string, err error) {
	return load(ctx, s, name, func(l lockBody) error {
		if !dr.ValidID(l.Operation) {
			return badID(l.Operation)
		}
		return nil
	})
}
