package store

import (
	"context"
	"errors"
	"fmt"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// claimRecord is a claim as kept.
type claimRecord struct {
	V int `json:"v"`
	engine.Claim
}

// Remember implements engine.Store.
func (s *Store) Remember(ctx context.Context, keyHash string, claim engine.Claim) (engine.Claim, error) {
	name, err := encoded(idemDir, "hashed key", keyHash)
	if err != nil {
		return engine.Claim{}, err
	}
	if !dr.ValidID(claim.Operation) {
		return engine.Claim{}, fmt.Errorf("remember: %w", badID(claim.Operation))
	}
	body, err := record(name, claimRecord{V: dr.Version, Claim: claim})
	if err != nil {
		return engine.Claim{}, err
	}
	_, err = s.blobs.Create(ctx, name, Content{Body: body})
	if err == nil {
		return claim, nil
	}
	if !errors.Is(err, ErrCondition) {
		return engine.Claim{}, err
	}
	return s.claimAt(ctx, name)
}

// Recall implements engine.Store. What cannot be a key was not used: ErrNotFound.
func (s *Store) Recall(ctx context.Context, keyHash string) (engine.Claim, error) {
	name, err := encoded(idemDir, "hashed key", keyHash)
	if err != nil {
		return engine.Claim{}, fmt.Errorf("%w: %w", engine.ErrNotFound, err)
	}
	return s.claimAt(ctx, name)
}

func (s *Store) claimAt(ctx context.Context, name string) (engine.Claim, error) {
	kept, _, err := load(ctx, s.blobs, name, func(c claimRecord) error {
		if !dr.ValidID(c.Operation) {
			return badID(c.Operation)
		}
		return nil
	})
	return kept.Claim, err
}
