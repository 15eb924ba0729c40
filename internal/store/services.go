package store

import (
	"context"
	"fmt"
	"strings"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// MergeService implements engine.Store. merge may be called several times, each time with what was just read (zero when nothing is
// remembered). Version and name are filled in.
func (s *Store) MergeService(ctx context.Context, service string, merge func(dr.ServiceState) (dr.ServiceState, bool)) error {
	name, err := serviceName(servicesDir, service)
	if err != nil {
		return err
	}
	return update(ctx, s.blobs, name, stateOf(service), func(state dr.ServiceState) (dr.ServiceState, bool) {
		next, changed := merge(state)
		next.V, next.Service = dr.Version, service
		return next, changed
	})
}

// Service implements engine.Store. What cannot be the name of a service is not remembered: ErrNotFound.
func (s *Store) Service(ctx context.Context, service string) (dr.ServiceState, error) {
	name, err := serviceName(servicesDir, service)
	if err != nil {
		return dr.ServiceState{}, fmt.Errorf("%w: %w", engine.ErrNotFound, err)
	}
	state, _, err := load(ctx, s.blobs, name, stateOf(service))
	return state, err
}

func stateOf(service string) func(dr.ServiceState) error {
	return func(state dr.ServiceState) error {
		if !strings.EqualFold(state.Service, service) {
			return fmt.Errorf("it holds service %q", state.Service)
		}
		return nil
	}
}
