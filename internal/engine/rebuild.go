package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

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
		names := p.Members()
		c, ok := e.fleet().couple(names[0], names[1])
		if !ok { // of a fleet of before
			continue
		}
		if !c.storage.Same(s) {
			r.bad(p.Name, errors.New("the roles of this pair are not kept here, as the fleet has it"))
			continue
		}
		if p.ChangedAt.After(e.Now().Add(skew)) {
			r.bad(p.Name, fmt.Errorf("changed at %s, which is to come", p.ChangedAt))
			continue
		}
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
		why, err := e.recordFound(ctx, p)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err != nil:
		case why != nil:
			r.bad(p.ID, why)
		case !e.fleet().keeps(p.Service, s):
			r.Points++
			r.bad(p.ID, fmt.Errorf("recorded, but not taken for the newest of %s, whose backups the fleet keeps elsewhere", p.Service))
		default:
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

// recordFound records a recovery point whose backup is there as it was made; why not, otherwise.
func (e *Engine) recordFound(ctx context.Context, p dr.RecoveryPoint) (why, err error) {
	if p.CreatedAt.After(e.Now().Add(skew)) || p.ExpiresAt.After(p.CreatedAt.Add(dr.BackupLife+time.Minute)) {
		return fmt.Errorf("made at %s, to be restored until %s: that cannot be", p.CreatedAt, p.ExpiresAt), nil
	}
	blob, err := e.Vault.Head(ctx, p.Storage, p.ID)
	switch {
	case err != nil:
		return nil, err
	case !blob.Exists:
		return errors.New("the backup itself is not there"), nil
	case blob.Bytes == 0, p.Bytes > 0 && p.Bytes != blob.Bytes:
		return fmt.Errorf("the backup has %d bytes, and %d were made", blob.Bytes, p.Bytes), nil
	}
	p.UsedBy = nil
	if err := e.Store.RecordPoint(ctx, p); err != nil {
		return nil, err
	}
	// A prune between look and record has removed the blob, and then a record that is back now.
	if blob, err = e.Vault.Head(ctx, p.Storage, p.ID); err != nil || blob.Exists {
		return nil, err
	}
	why = errors.New("the backup was deleted meanwhile")
	if err = e.Store.Condemn(ctx, p.Service, p.ID, nil); err == nil {
		err = e.Store.Forget(ctx, p.Service, p.ID)
	}
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrInUse) {
		err = nil
	}
	return why, err
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
