package direct

import (
	"context"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// Roles is a Vault that remembers whether the record of roles could be written beside the backups. To the engine that is a copy; here it is all that
// a stamp which returns will find.
type Roles struct {
	engine.Vault
	// Kept is the record that was written; nil: none was. Err is why.
	Kept *dr.Pair
	Err  error
}

// KeepRole implements engine.Vault.
func (r *Roles) KeepRole(ctx context.Context, s dr.Storage, p dr.Pair) error {
	if r.Err = r.Vault.KeepRole(ctx, s, p); r.Err == nil {
		r.Kept = &p
	}
	return r.Err
}
