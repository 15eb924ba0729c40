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
	if !dayShape.MatchString(day) {
		return nil, "", fmt.Errorf("list operations: day %q is not of the form yyyymmdd", day)
	}
	if limit < 1 || limit > MostListed {
		return nil, "", fmt.Errorf("list operations: limit %d is not from 1 to %d", limit, MostListed)
	}
	items, next, err := s.blobs.List(ctx, dayDir(day), after, limit)
	if err != nil {
		return nil, "", err
	}
	for _, item := range items {
		id, ok := strings.CutSuffix(path.Base(item.Name), recordSuffix)
		if !ok || !dr.ValidID(id) || operationName(id) != item.Name {
			continue // not ours
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
