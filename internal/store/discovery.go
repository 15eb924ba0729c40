package store

import (
	"context"

	"apim-dr/internal/dr"
)

// Discovery implements engine.Store.
func (s *Store) Discovery(ctx context.Context) (dr.Discovery, error) {
	d, _, err := load(ctx, s.blobs, discoveryName, anyDiscovery)
	return d, err
}

// MergeDiscovery implements engine.Store. The version is filled in.
func (s *Store) MergeDiscovery(ctx context.Context, merge func(dr.Discovery) dr.Discovery) error {
	return update(ctx, s.blobs, discoveryName, anyDiscovery, func(d dr.Discovery) (dr.Discovery, bool) {
		d = merge(d)
		d.V = dr.Version
		return d, true
	})
}

func anyDiscovery(dr.Discovery) error { return nil }
