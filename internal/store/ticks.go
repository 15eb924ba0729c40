package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// tickRecord is what is kept of a plan.
type tickRecord struct {
	V    int       `json:"v"`
	Plan string    `json:"plan"`
	Last time.Time `json:"last"`
}

// LastTick implements engine.Store.
func (s *Store) LastTick(ctx context.Context, plan string) (time.Time, error) {
	name, err := encoded(ticksDir, "plan", plan)
	if err != nil {
		return time.Time{}, err
	}
	t, _, err := load(ctx, s.blobs, name, tickOf(plan))
	if errors.Is(err, engine.ErrNotFound) {
		return time.Time{}, nil
	}
	return t.Last, err
}

// MoveTick implements engine.Store.
func (s *Store) MoveTick(ctx context.Context, plan string, to time.Time) error {
	name, err := encoded(ticksDir, "plan", plan)
	if err != nil {
		return err
	}
	return update(ctx, s.blobs, name, tickOf(plan), func(t tickRecord) (tickRecord, bool) {
		return tickRecord{V: dr.Version, Plan: plan, Last: to.UTC()}, to.After(t.Last)
	})
}

func tickOf(plan string) func(tickRecord) error {
	return func(t tickRecord) error {
		if t.Plan != plan || t.Last.IsZero() {
			return fmt.Errorf("it holds plan %q at %s", t.Plan, t.Last)
		}
		return nil
	}
}
