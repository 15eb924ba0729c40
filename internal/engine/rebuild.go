package engine

import (
	"context"
	"errors"
	"fmt"

	"apim-dr/internal/dr"
)

// Rebuilt tells what Rebuild found.
type Rebuilt struct {
	Points int      `json:"recoveryPoints"`
	Pairs  int      `json:"pairs"`
	Bad    []string `json:"unreadable,omitempty"`
}

// Rebuild makes the catalog anew from what lies beside the backups in a container: recovery points, the newest good one of each service, and which
// instance of each pair is active. What is recorded already stays unless it is older. It writes to the state storage only.
func (e *Engine) Rebuild(ctx context.Context, s dr.Storage) (Rebuilt, error) {
	var r Rebuilt
	bad := func(blob string, why error) { r.Bad = append(r.Bad, fmt.Sprintf("%s: %v", blob, why)) }
	err := e.Vault.Beside(ctx, s, func(p dr.RecoveryPoint) error {
		blob, err := e.Vault.Head(ctx, p.Storage, p.ID)
		if err != nil {
			return err
		}
		if !blob.Exists {
			bad(p.ID, errors.New("the backup itself is not there"))
			return nil
		}
		r.Points++
		p.UsedBy = nil
		if err := e.Store.RecordPoint(ctx, p); err != nil {
			return err
		}
		return e.Store.MergeService(ctx, p.Service, func(state dr.ServiceState) (dr.ServiceState, bool) { return state.Offer(p) })
	}, bad)
	if err != nil {
		return r, err
	}
	pairs, err := e.Vault.Roles(ctx, s)
	if illegible(err) { // the others are there all the same
		bad("roles", err)
		err = nil
	}
	for _, p := range pairs {
		r.Pairs++
		if err := e.rebuildPair(ctx, p); err != nil {
			return r, err
		}
	}
	return r, err
}

func (e *Engine) rebuildPair(ctx context.Context, p dr.Pair) error {
	err := e.Store.MergePair(ctx, p.Name, func(was dr.Pair) (dr.Pair, bool) {
		if was.Name == "" {
			return p, true
		}
		next := was.Newer(p)
		return next, next != was
	})
	if err != nil || p.Restored.ID == "" {
		return err
	}
	return e.Store.MergeService(ctx, p.Active, func(s dr.ServiceState) (dr.ServiceState, bool) { return s.Holds(p.Active, p.Restored) })
}
