package store

import (
	"context"
	"errors"
	"fmt"

	"apim-dr/internal/dr"
)

// PutPoint implements engine.Store. It fails where the backup storage cannot be reached, and may then be repeated. Only where storage says that
// the container of the backup does not exist is the copy left out: there is no blob that it could lie beside.
func (s *Store) PutPoint(ctx context.Context, p dr.RecoveryPoint) error {
	m := pointShape.FindStringSubmatch(p.ID)
	switch {
	case m == nil || m[1] != p.Operation:
		return fmt.Errorf("%q is not the id of a recovery point of operation %q", p.ID, p.Operation)
	case p.V != dr.Version:
		return fmt.Errorf("recovery point %s has version %d, this program writes %d", p.ID, p.V, dr.Version)
	case s.vault == nil:
		return errors.New("the store was made without a vault: recovery points cannot be kept")
	}
	folder, err := serviceName(pointsDir, p.Service)
	if err != nil {
		return err
	}
	name := folder + "/" + p.ID + recordSuffix
	body, err := record(name, p)
	if err != nil {
		return err
	}
	if err := createOnce(ctx, s.blobs, name, Content{Body: body}); err != nil {
		return err
	}
	beside, err := s.vault.container(p.Storage)
	if err != nil {
		return err
	}
	err = createOnce(ctx, beside, p.ID+besideSuffix, Content{Body: body})
	if errors.Is(err, ErrNoContainer) {
		s.log.WarnContext(ctx, "the container of a backup is gone: its recovery point is recorded without a copy",
			"operation", p.Operation, "recoveryPoint", p.ID, "account", p.Storage.Account, "container", p.Storage.Container)
		return nil
	}
	return err
}
