package store

import (
	"context"
	"fmt"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// Pair implements engine.Store. What cannot be the name of a pair has no record: ErrNotFound.
func (s *Store) Pair(ctx context.Context, name string) (dr.Pair, error) {
	blob, name, err := pairName(pairsDir, name)
	if err != nil {
		return dr.Pair{}, fmt.Errorf("%w: %w", engine.ErrNotFound, err)
	}
	p, _, err := load(ctx, s.blobs, blob, pairOf(name))
	return p, err
}

// MergePair implements engine.Store. Version and name are filled in. A record that could not be read again is not written.
func (s *Store) MergePair(ctx context.Context, name string, merge func(dr.Pair) (dr.Pair, bool)) error {
	blob, name, err := pairName(pairsDir, name)
	if err != nil {
		return err
	}
	return updatePair(ctx, s.blobs, blob, name, func(p dr.Pair) (dr.Pair, bool) {
		next, changed := merge(p)
		next.V, next.Name = dr.Version, name
		return next, changed
	})
}

// updatePair is update for a pair, in whichever container.
func updatePair(ctx context.Context, blobs Blobs, blob, name string, next func(dr.Pair) (dr.Pair, bool)) error {
	var unsound error
	err := update(ctx, blobs, blob, pairOf(name), func(p dr.Pair) (dr.Pair, bool) {
		p, changed := next(p)
		if changed {
			unsound = pairOf(name)(p)
		}
		return p, changed && unsound == nil
	})
	if err == nil && unsound != nil {
		err = fmt.Errorf("%s was not written: %w", blob, unsound)
	}
	return err
}

// pairOf checks that a record is that of the pair, and that it names one of the two as active: where neither is, nothing would be protected as
// production.
func pairOf(name string) func(dr.Pair) error {
	return func(p dr.Pair) error {
		switch {
		case p.V < 1 || p.V > dr.Version:
			return fmt.Errorf("it has version %d, this program writes %d", p.V, dr.Version)
		case p.Name != name:
			return fmt.Errorf("it holds pair %q", p.Name)
		case !plausible(p.ChangedAt) || !plausible(p.StandbyAt):
			return fmt.Errorf("it was changed at %s, the standby at %s", p.ChangedAt, p.StandbyAt)
		case !p.Has(p.Active) || !p.Has(p.Home):
			return fmt.Errorf("its active instance %q or its home %q is none of the pair", p.Active, p.Home)
		}
		return nil
	}
}

// plausible refuses times that no clock showed: near the year 9999 JSON ends.
func plausible(t time.Time) bool { return t.IsZero() || t.Year() >= 2000 && t.Year() < 3000 }
