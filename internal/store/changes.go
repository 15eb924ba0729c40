package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// Pending implements engine.Store.
func (s *Store) Pending(ctx context.Context, service string) (dr.Pending, error) {
	name, err := serviceName(changesDir, service)
	if err != nil {
		return dr.Pending{}, fmt.Errorf("%w: %w", engine.ErrNotFound, err)
	}
	p, _, err := load(ctx, s.blobs, name, pendingOf(service))
	return p, err
}

// MergePending implements engine.Store. Version and name are filled in.
func (s *Store) MergePending(ctx context.Context, service string, merge func(dr.Pending) (dr.Pending, bool)) error {
	name, err := serviceName(changesDir, service)
	if err != nil {
		return err
	}
	return rewrite(ctx, s.blobs, name, pendingOf(service), func(p dr.Pending) (dr.Pending, outcome) {
		next, changed := merge(p)
		next.V, next.Service = dr.Version, strings.ToLower(service)
		switch {
		case !changed:
			return next, leave
		case next.Empty():
			return next, remove
		}
		return next, write
	})
}

// Pendings implements engine.Store.
func (s *Store) Pendings(ctx context.Context) ([]string, error) {
	var services []string
	err := each(ctx, s.blobs, changesDir, func(item Item) error {
		service, err := decoded(changesDir, item.Name)
		if err != nil {
			s.log.WarnContext(ctx, "a blob among the pending changes that is none of ours", "blob", item.Name)
			return nil
		}
		services = append(services, service)
		return nil
	})
	return services, err
}

func pendingOf(service string) func(dr.Pending) error {
	return func(p dr.Pending) error {
		switch {
		case !strings.EqualFold(p.Service, service):
			return fmt.Errorf("it holds service %q", p.Service)
		case !plausible(p.FirstAt) || !plausible(p.LastAt):
			return errors.New("its times cannot be")
		}
		return nil
	}
}
