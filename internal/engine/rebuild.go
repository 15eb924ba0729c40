package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"apim-dr/internal/dr"
)

// Rebuilt tells what Rebuild found.
type Rebuilt struct {
	Points int      `json:"recoveryPoints"`
	Pairs  int      `json:"pairs"`
	Bad    []string `json:"unreadable,omitempty"`
}

// Rebuild makes the catalog anew from what lies beside the backups in a container: recovery points, the newest good one of each service, and which
// instance of each pair is active. What is recorded already stays unless it is older. It writes to the state storage only. Where services are named, the
// recovery points of others are left out: a failover does not wait for those of a whole fleet.
func (e *Engine) Rebuild(ctx context.Context, s dr.Storage, services ...string) (Rebuilt, error) {
	r, err := e.rebuildPoints(ctx, s, services)
	if err != nil {
		return r, err
	}
	pairs, err := e.Vault.Roles(ctx, s)
	if illegible(err) { // the others are there all the same
		r.bad("roles", err)
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

func (r *Rebuilt) bad(what string, why error) {
	r.Bad = append(r.Bad, fmt.Sprintf("%s: %v", what, why))
}

// rebuildPoints records the recovery points whose backup is there, and the newest good one of each service.
func (e *Engine) rebuildPoints(ctx context.Context, s dr.Storage, services []string) (Rebuilt, error) {
	var r Rebuilt
	var points []dr.RecoveryPoint
	keep := func(p dr.RecoveryPoint) error {
		if len(services) == 0 || slices.ContainsFunc(services, func(name string) bool { return strings.EqualFold(name, p.Service) }) {
			points = append(points, p)
		}
		return nil
	}
	if err := e.Vault.Beside(ctx, s, keep, r.bad); err != nil {
		return r, err
	}
	var mu sync.Mutex
	of := map[string][]dr.RecoveryPoint{} // by service
	err := each(points, func(p dr.RecoveryPoint) error {
		blob, err := e.Vault.Head(ctx, p.Storage, p.ID)
		if p.UsedBy = nil; err == nil && blob.Exists {
			err = e.Store.RecordPoint(ctx, p)
		}
		mu.Lock()
		defer mu.Unlock()
		if err == nil && !blob.Exists {
			r.bad(p.ID, errors.New("the backup itself is not there"))
		} else if err == nil {
			r.Points++
			of[p.Service] = append(of[p.Service], p)
		}
		return err
	})
	return r, errors.Join(err, each(slices.Collect(maps.Keys(of)), func(service string) error {
		return e.Store.MergeService(ctx, service, func(state dr.ServiceState) (dr.ServiceState, bool) {
			before := state
			for _, p := range of[service] {
				state, _ = state.Offer(p)
			}
			return state, state != before
		})
	}))
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
