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

// Page is a part of the records of one day.
type Page struct {
	Operations []dr.Operation // in the order of their ids
	Unreadable []string       // ids whose records cannot be read, or were written by a newer version
	Next       string         // where the next page begins; empty after the last
}

// MostListed is the greatest number of records in a page.
const MostListed = 100

var dayShape = regexp.MustCompile(`^[0-9]{8}$`)

// ListOperations reads a page of up to limit (1 to MostListed) records of a day (yyyymmdd, as in their ids), from where Next of an earlier
// page points (empty: from the first). A page may hold fewer than limit, even none, before the last. ErrCursor when it cannot be continued from
// after.
func (s *Store) ListOperations(ctx context.Context, day, after string, limit int) (Page, error) {
	if !dayShape.MatchString(day) {
		return Page{}, fmt.Errorf("list operations: day %q is not of the form yyyymmdd", day)
	}
	if limit < 1 || limit > MostListed {
		return Page{}, fmt.Errorf("list operations: limit %d is not from 1 to %d", limit, MostListed)
	}
	items, next, err := s.blobs.List(ctx, dayDir(day), after, limit)
	if err != nil {
		return Page{}, err
	}
	page := Page{Next: next}
	for _, item := range items {
		id, ok := strings.CutSuffix(path.Base(item.Name), recordSuffix)
		if !ok || !dr.ValidID(id) || operationName(id) != item.Name {
			continue // not ours
		}
		op, _, err := s.Operation(ctx, id)
		switch {
		case err == nil:
			page.Operations = append(page.Operations, op)
		case errors.Is(err, engine.ErrUnreadable), errors.Is(err, engine.ErrNewer):
			page.Unreadable = append(page.Unreadable, id)
		case errors.Is(err, engine.ErrNotFound): // deleted since it was listed
		default:
			return Page{}, err
		}
	}
	return page, nil
}
