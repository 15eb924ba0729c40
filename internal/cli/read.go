package cli

import (
	"context"
	"sync"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// found is what lay beside the backups of one container.
type found struct {
	storage dr.Storage
	engine.Rebuilt
	err error
}

// read fills the records from containers of backups, with what concerns the services, or all of it, all at the same time: one that is out of reach must
// not hold up the others.
func read(ctx context.Context, e *engine.Engine, storages []dr.Storage, services ...string) []found {
	list := make([]found, len(storages))
	var wg sync.WaitGroup
	for i, s := range storages {
		wg.Go(func() {
			got, err := e.Rebuild(ctx, s, services...)
			list[i] = found{s, got, err}
		})
	}
	wg.Wait()
	return list
}
