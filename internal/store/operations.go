package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// CreateOperation implements engine.Store. A record that this very call has written, but whose answer was lost, counts as created.
func (s *Store) CreateOperation(ctx context.Context, op dr.Operation) (string, error) {
	name, body, err := operationRecord(op)
	if err != nil {
		return "", err
	}
	etag, err := s.blobs.Create(ctx, name, Content{Body: body})
	if !errors.Is(err, ErrCondition) {
		return etag, err
	}
	return s.ours(ctx, op, name, body, engine.ErrExists)
}

// SaveOperation implements engine.Store. As in CreateOperation, our own write is not another writer's.
func (s *Store) SaveOperation(ctx context.Context, op dr.Operation, etag string) (string, error) {
	name, body, err := operationRecord(op)
	if err != nil {
		return "", err
	}
	if etag == "" {
		return "", fmt.Errorf("save %s: no ETag was given", name)
	}
	newETag, err := s.blobs.Replace(ctx, name, body, etag)
	if !errors.Is(err, ErrCondition) {
		return newETag, err
	}
	return s.ours(ctx, op, name, body, engine.ErrConflict)
}

// ours settles a conditional write that was refused. azcore repeats a PUT whose answer was lost, and the repetition meets the first one's
// blob: what lies there is byte for byte what we wrote, writer and rev included, so that it is our own and its ETag is returned.
// Otherwise, and without a writer that could tell us from others, it is refusal.
func (s *Store) ours(ctx context.Context, op dr.Operation, name string, body []byte, refusal error) (string, error) {
	there, etag, err := s.blobs.Get(ctx, name)
	if err == nil && (op.Writer == "" || !bytes.Equal(there, body)) {
		return "", fmt.Errorf("%w: %s", refusal, name)
	}
	return etag, err
}

// Operation implements engine.Store. Under what is no id there can be no record: ErrNotFound.
func (s *Store) Operation(ctx context.Context, id string) (dr.Operation, string, error) {
	if !dr.ValidID(id) {
		return dr.Operation{}, "", fmt.Errorf("%w: %w", engine.ErrNotFound, badID(id))
	}
	return load(ctx, s.blobs, operationName(id), func(op dr.Operation) error {
		if op.ID != id {
			return fmt.Errorf("it holds operation %q", op.ID)
		}
		return sound(op)
	})
}

func operationRecord(op dr.Operation) (name string, body []byte, err error) {
	if err := sound(op); err != nil {
		return "", nil, fmt.Errorf("not written: %w", err)
	}
	name = operationName(op.ID)
	body, err = record(name, op)
	return name, body, err
}

var phases = []dr.Phase{dr.Queued, dr.Starting, dr.Running, dr.Verifying, dr.Done}

// sound refuses what Step could not work on.
func sound(op dr.Operation) error {
	switch {
	case !dr.ValidID(op.ID):
		return badID(op.ID)
	case op.V < 1 || op.V > dr.Version:
		return fmt.Errorf("operation %s has version %d, this program writes %d", op.ID, op.V, dr.Version)
	case !slices.Contains(phases, op.Phase):
		return fmt.Errorf("operation %s has the phase %q", op.ID, op.Phase)
	case op.Step < 0 || op.Step >= len(op.Legs):
		return fmt.Errorf("operation %s is at step %d of %d", op.ID, op.Step, len(op.Legs))
	}
	for i, leg := range op.Legs {
		switch {
		case leg.Verb != dr.VerbBackup && leg.Verb != dr.VerbRestore:
			return fmt.Errorf("step %d of operation %s has the verb %q", i, op.ID, leg.Verb)
		case leg.Verb == dr.VerbRestore && op.Recovery == nil:
			return fmt.Errorf("step %d of operation %s restores, but nothing says what and why", i, op.ID)
		}
	}
	return nil
}
