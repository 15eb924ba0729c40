package store

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// MostListed is the greatest number of records in a page.
const MostListed = 200

var dayShape = regexp.MustCompile(`^[0-9]{8}$`)

// ListOperations reads up to limit (1 to MostListed) records of a day (yyyymmdd, as in their ids) in the order of their ids, from where
// next of an earlier call points (empty: from the first). next is empty after the last; before that a page may hold fewer than limit, even none.
// A record that cannot be read, or that a newer version wrote, is left out and logged; Operation tells of it. engine.ErrCursor when the listing
// cannot go on from after.
func (s *Store) ListOperations(ctx context.Context, day, after string, limit int) (ops []dr.Operation, next string, err error) {
	if err := checkDay(day); err != nil {
		return nil, "", err
	}
	if limit < 1 || limit > MostListed {
		return nil, "", fmt.Errorf("list operations: limit %d is not from 1 to %d", limit, MostListed)
	}
	items, next, err := s.blobs.List(ctx, dayDir(day), after, limit)
	if err != nil {
		return nil, "", err
	}
	for _, item := range items {
		id, ok := operationIn(item.Name)
		if !ok {
			continue
		}
		op, _, err := s.Operation(ctx, id)
		switch {
		case err == nil:
			ops = append(ops, op)
		case illegible(err):
			s.log.WarnContext(ctx, "a record is left out of the list", "operation", id, "error", err)
		case errors.Is(err, engine.ErrNotFound): // deleted since it was listed
		default:
			return nil, "", err
		}
	}
	return ops, next, nil
}

// OperationIDs implements engine.Store.
func (s *Store) OperationIDs(ctx context.Context, day string) (map[string]bool, error) {
	if err := checkDay(day); err != nil {
		return nil, err
	}
	ids := map[string]bool{}
	err := each(ctx, s.blobs, dayDir(day), func(item Item) error {
		if id, ok := operationIn(item.Name); ok {
			ids[id] = true
		}
		return nil
	})
	return ids, err
}

func checkDay(day string) error {
	if !dayShape.MatchString(day) {
		return fmt.Errorf("list operations: day %q is not of the form yyyymmdd", day)
	}
	return nil
}

// operationIn is the id in the name of a record; false: the blob is not ours.
func operationIn(name string) (id string, ok bool) {
	id, ok = strings.CutSuffix(path.Base(name), recordSuffix)
	return id, ok && dr.ValidID(id) && operationName(id) == name
}
