package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// RecordPoint implements engine.Store.
func (s *Store) RecordPoint(ctx context.Context, p dr.RecoveryPoint) error {
	name, body, err := pointRecord(p)
	if err != nil {
		return err
	}
	return createOnce(ctx, s.blobs, name, Content{Body: body})
}

// CopyPoint implements engine.Store. It fails where the backup storage cannot be reached, and may then be repeated. Only where storage says that
// the container of the backup does not exist is the copy left out: there is no blob that it could lie beside.
func (s *Store) CopyPoint(ctx context.Context, p dr.RecoveryPoint) error {
	if s.vault == nil {
		return errors.New("the store was made without a vault: recovery points cannot be copied")
	}
	_, body, err := pointRecord(p)
	if err != nil {
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

// pointRecord is the record of a recovery point and its name.
func pointRecord(p dr.RecoveryPoint) (name string, body []byte, err error) {
	if err := soundPoint(p); err != nil {
		return "", nil, fmt.Errorf("not written: %w", err)
	}
	if name, err = pointName(p.Service, p.ID); err == nil {
		body, err = record(name, p)
	}
	return name, body, err
}

// Point implements engine.Store. Under what is no id there can be no record: ErrNotFound.
func (s *Store) Point(ctx context.Context, service, id string) (dr.RecoveryPoint, error) {
	name, err := pointName(service, id)
	if err != nil {
		return dr.RecoveryPoint{}, fmt.Errorf("%w: %w", engine.ErrNotFound, err)
	}
	p, _, err := load(ctx, s.blobs, name, pointOf(service, id))
	return p, err
}

// Points implements engine.Store. A recovery point that cannot be read, or that a newer version wrote, is logged; Point tells of it.
func (s *Store) Points(ctx context.Context, service string) ([]dr.RecoveryPoint, error) {
	folder, err := serviceName(pointsDir, service)
	if err != nil {
		return nil, err
	}
	var names []string
	err = each(ctx, s.blobs, folder+"/", func(item Item) error {
		if name, err := pointName(service, idIn(item.Name)); err == nil && name == item.Name {
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	points, err := loadAll(ctx, s.blobs, names, func(name string, p dr.RecoveryPoint) error {
		return pointOf(service, idIn(name))(p)
	}, func(name string, why error) {
		s.log.WarnContext(ctx, "a record is left out of the list", "recoveryPoint", idIn(name), "error", why)
	})
	slices.SortFunc(points, func(a, b dr.RecoveryPoint) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.ID, a.ID))
	})
	return points, err
}

// idIn is the id in the name of the record of a recovery point.
func idIn(name string) string { return strings.TrimSuffix(path.Base(name), recordSuffix) }

// Pin implements engine.Store.
func (s *Store) Pin(ctx context.Context, service, id, operation string) error {
	if !dr.ValidID(operation) {
		return fmt.Errorf("pin: %w", badID(operation))
	}
	var refusal error
	err := s.updatePoint(ctx, service, id, func(p dr.RecoveryPoint) (dr.RecoveryPoint, bool) {
		switch {
		case p.ID == "":
			refusal = fmt.Errorf("%w: recovery point %s of %s", engine.ErrNotFound, id, service)
		case p.State == dr.Deleting:
			refusal = fmt.Errorf("%w: %s", engine.ErrDeleting, id)
		case !slices.Contains(p.UsedBy, operation):
			p.UsedBy = append(p.UsedBy, operation)
			return p, true
		}
		return p, false
	})
	return cmp.Or(err, refusal)
}

// Unpin implements engine.Store.
func (s *Store) Unpin(ctx context.Context, service, id, operation string) error {
	err := s.updatePoint(ctx, service, id, func(p dr.RecoveryPoint) (dr.RecoveryPoint, bool) {
		n := len(p.UsedBy)
		p.UsedBy = slices.DeleteFunc(p.UsedBy, func(user string) bool { return user == operation })
		return p, len(p.UsedBy) < n
	})
	if errors.Is(err, engine.ErrNotFound) { // what is no id has no record
		return nil
	}
	return err
}

// MarkChanged implements engine.Store.
func (s *Store) MarkChanged(ctx context.Context, service, id string) error {
	return s.updatePoint(ctx, service, id, func(p dr.RecoveryPoint) (dr.RecoveryPoint, bool) {
		changed := p.ID != "" && !p.Changed
		p.Changed = p.Changed || changed
		return p, changed
	})
}

// Condemn implements engine.Store.
func (s *Store) Condemn(ctx context.Context, service, id string, done []string) error {
	var refusal error
	err := s.updatePoint(ctx, service, id, func(p dr.RecoveryPoint) (dr.RecoveryPoint, bool) {
		refusal = nil
		users := slices.DeleteFunc(slices.Clone(p.UsedBy), func(user string) bool { return slices.Contains(done, user) })
		switch {
		case p.ID == "":
			refusal = fmt.Errorf("%w: recovery point %s of %s", engine.ErrNotFound, id, service)
		case len(users) > 0:
			refusal = fmt.Errorf("%w: %s, by %s", engine.ErrInUse, id, strings.Join(users, ", "))
		case p.State != dr.Deleting:
			p.State, p.Was = dr.Deleting, p.State
			return p, true
		}
		return p, false
	})
	return cmp.Or(err, refusal)
}

// Reprieve implements engine.Store.
func (s *Store) Reprieve(ctx context.Context, service, id, why string) error {
	err := s.updatePoint(ctx, service, id, func(p dr.RecoveryPoint) (dr.RecoveryPoint, bool) {
		if p.State != dr.Deleting {
			return p, false
		}
		p.State, p.Was, p.Retained = cmp.Or(p.Was, dr.Unverified), "", why
		return p, true
	})
	if errors.Is(err, engine.ErrNotFound) {
		return nil
	}
	return err
}

// Forget implements engine.Store.
func (s *Store) Forget(ctx context.Context, service, id string) error {
	name, err := pointName(service, id)
	if err != nil {
		return err
	}
	p, etag, err := load(ctx, s.blobs, name, pointOf(service, id))
	if errors.Is(err, engine.ErrNotFound) {
		return nil
	}
	if err == nil && p.State != dr.Deleting {
		err = fmt.Errorf("%w: %s is %s", engine.ErrConflict, id, p.State)
	}
	if err != nil {
		return err
	}
	err = s.blobs.Delete(ctx, name, etag)
	if errors.Is(err, engine.ErrNotFound) {
		return nil
	}
	if !errors.Is(err, ErrCondition) {
		return err
	}
	// Our own deletion whose answer was lost, or another's.
	if view, looked := s.blobs.Head(ctx, name); looked == nil && !view.Exists {
		return nil
	}
	return fmt.Errorf("%w: %s", engine.ErrConflict, name)
}

// Catalogued implements engine.Store.
func (s *Store) Catalogued(ctx context.Context) ([]string, error) {
	var services []string
	err := each(ctx, s.blobs, pointsDir, func(item Item) error {
		folder, _, _ := strings.Cut(strings.TrimPrefix(item.Name, pointsDir), "/")
		service, err := decoded("", folder)
		if err != nil {
			s.log.WarnContext(ctx, "a blob among the recovery points that is none of ours", "blob", item.Name)
		} else if n := len(services); n == 0 || services[n-1] != service { // the listing is in the order of the names
			services = append(services, service)
		}
		return nil
	})
	return services, err
}

// updatePoint is update for a recovery point; next must not change one without an ID, which there is no record of.
func (s *Store) updatePoint(ctx context.Context, service, id string, next func(dr.RecoveryPoint) (dr.RecoveryPoint, bool)) error {
	name, err := pointName(service, id)
	if err != nil {
		return fmt.Errorf("%w: %w", engine.ErrNotFound, err)
	}
	return update(ctx, s.blobs, name, pointOf(service, id), next)
}

// pointOf checks that a record is the one asked for.
func pointOf(service, id string) func(dr.RecoveryPoint) error {
	return func(p dr.RecoveryPoint) error {
		if p.ID != id || !strings.EqualFold(p.Service, service) {
			return fmt.Errorf("it holds recovery point %q of %q", p.ID, p.Service)
		}
		return soundPoint(p)
	}
}

var pointStates = []dr.PointState{dr.Good, dr.Unverified, dr.Deleting}

// soundPoint refuses what nothing could be restored from, or what would be taken for another's.
func soundPoint(p dr.RecoveryPoint) error {
	switch {
	case !dr.ValidPointID(p.ID) || !dr.ValidID(p.Operation) || !strings.HasPrefix(p.ID, p.Operation+"-"):
		return fmt.Errorf("%q is not the id of a recovery point of operation %q", p.ID, p.Operation)
	case p.V < 1 || p.V > dr.Version:
		return fmt.Errorf("recovery point %s has version %d, this program writes %d", p.ID, p.V, dr.Version)
	case !plausible(p.CreatedAt) || !plausible(p.EndedAt) || !plausible(p.ExpiresAt):
		return fmt.Errorf("recovery point %s was made at %s and expires at %s", p.ID, p.CreatedAt, p.ExpiresAt)
	case !slices.Contains(pointStates, p.State):
		return fmt.Errorf("recovery point %s has the state %q", p.ID, p.State)
	}
	return nil
}
