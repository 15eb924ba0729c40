package engine

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"apim-dr/internal/dr"
)

// plan finds out what a plan needs to know and makes it. An error says that the recovery points could not be looked for: without them there is no plan.
func (e *Engine) plan(ctx context.Context, i dr.Intent) (dr.Plan, error) {
	var source dr.Answer
	var wg sync.WaitGroup
	if s := i.Source; !s.Is(i.Target.Name) && s.ResourceID != "" {
		wg.Go(func() {
			source = e.seen(ctx, func(ctx context.Context) dr.Answer { return e.ARM.Service(ctx, s.ResourceID) })
		})
	}
	point, err := e.point(ctx, i)
	f := e.survey(ctx, i, point)
	wg.Wait()
	f.Source = source
	return dr.MakePlan(i, f, e.Now()), err
}

// point finds the recovery point that was asked for; nil when there is none. An error says only that it could not be looked for.
func (e *Engine) point(ctx context.Context, i dr.Intent) (*dr.RecoveryPoint, error) {
	ctx, cancel := context.WithTimeout(ctx, e.Timing.Probe)
	defer cancel()
	service := i.Source.Name
	if i.Point == dr.Latest {
		return e.newestGood(ctx, service)
	}
	if at, err := time.Parse(time.RFC3339, i.Point); err == nil {
		points, err := e.Store.Points(ctx, service)
		return dr.Newest(points, at, false), err
	}
	return e.pointOf(ctx, service, i.Point)
}

// pointOf reads a recovery point; nil: there is none.
func (e *Engine) pointOf(ctx context.Context, service, id string) (*dr.RecoveryPoint, error) {
	p, err := e.Store.Point(ctx, service, id)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &p, nil
}

// newestGood is what an automatic restore takes: see dr.ServiceState.NewestGood. Where that is of no use any more, the newest good one since the
// last restore.
func (e *Engine) newestGood(ctx context.Context, service string) (*dr.RecoveryPoint, error) {
	s, err := e.Store.Service(ctx, service)
	if err != nil && !errors.Is(err, ErrNotFound) && !illegible(err) {
		return nil, err
	}
	if ref := s.NewestGood; ref.ID != "" {
		of := service
		if ref.Service != "" {
			of = ref.Service
		}
		p, err := e.Store.Point(ctx, of, ref.ID)
		if err == nil && p.State == dr.Good && e.Now().Before(p.ExpiresAt) {
			return &p, nil
		}
		if err != nil && !errors.Is(err, ErrNotFound) && !illegible(err) {
			return nil, err
		}
	}
	points, err := e.Store.Points(ctx, service)
	if err != nil {
		return nil, err
	}
	points = slices.DeleteFunc(points, func(p dr.RecoveryPoint) bool { return !p.CreatedAt.After(s.LastRestore.At) })
	return dr.Newest(points, e.Now(), true), nil
}

// survey looks at everything around the instance that is overwritten, all at the same time. Nothing that does not answer holds it up for
// longer than Timing.Probe; what could not be seen is in the facts as such.
func (e *Engine) survey(ctx context.Context, i dr.Intent, point *dr.RecoveryPoint) dr.Facts {
	ctx, cancel := context.WithTimeout(ctx, e.Timing.Survey)
	defer cancel()
	f := dr.Facts{APIVersion: e.APIVersion, Point: point, Workspaces: -1}
	var wg sync.WaitGroup
	wg.Go(func() {
		f.Target = e.seen(ctx, func(ctx context.Context) dr.Answer { return e.ARM.Service(ctx, i.Target.ResourceID) })
		if f.Target.Verdict == dr.No && f.Target.Error.Status == 404 {
			f.Deleted = within(ctx, e.Timing.Probe, func(ctx context.Context) dr.Known { return e.ARM.Deleted(ctx, i.Target.ResourceID) })
		}
	})
	wg.Go(func() {
		f.Group = e.seen(ctx, func(ctx context.Context) dr.Answer { return e.ARM.Group(ctx, i.Target.ResourceID) })
	})
	wg.Go(func() {
		f.Workspaces = within(ctx, e.Timing.Probe, func(ctx context.Context) int { return e.ARM.Workspaces(ctx, i.Target.ResourceID) })
	})
	wg.Go(func() { f.Pairs, f.Unread = e.rolesAround(ctx, i) })
	wg.Go(func() { f.Holder = e.holder(ctx, i.Target.Name) })
	if point != nil {
		f.Access = e.fleet().access(point.Storage.Account)
		wg.Go(func() { e.lookAtBlob(ctx, *point, &f) })
	}
	wg.Wait()
	return f
}

// within bounds one look.
func within[T any](ctx context.Context, limit time.Duration, look func(context.Context) T) T {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return look(ctx)
}

func (e *Engine) seen(ctx context.Context, look func(context.Context) dr.Answer) dr.Answer {
	return within(ctx, e.Timing.Probe, look)
}

func (e *Engine) lookAtBlob(ctx context.Context, p dr.RecoveryPoint, f *dr.Facts) {
	ctx, cancel := context.WithTimeout(ctx, e.Timing.Probe)
	defer cancel()
	there, err := e.Vault.Exists(ctx, p.Storage)
	if err == nil {
		f.Container = map[bool]dr.Known{true: dr.Yes, false: dr.Not}[there]
		f.Blob, err = e.Vault.Head(ctx, p.Storage, p.ID)
	}
	if err != nil {
		f.BlobError = err.Error()
	}
}

// rolesAround reads the pairs that source and target belong to, and names those that cannot be read.
func (e *Engine) rolesAround(ctx context.Context, i dr.Intent) (pairs []dr.Pair, unread []string) {
	ctx, cancel := context.WithTimeout(ctx, e.Timing.Probe)
	defer cancel()
	for _, c := range e.fleet().couplesWith(i.Source.Name, i.Target.Name) {
		k, err := e.known(ctx, c)
		if err != nil {
			e.Log.WarnContext(ctx, "the record of a pair could not be read", "pair", c.name(), "error", err)
			unread = append(unread, c.name())
			continue
		}
		pairs = append(pairs, k.Pair)
	}
	return pairs, unread
}

func (e *Engine) holder(ctx context.Context, service string) string {
	ctx, cancel := context.WithTimeout(ctx, e.Timing.Probe)
	defer cancel()
	holder, err := e.Store.Holder(ctx, service)
	if err != nil {
		e.Log.WarnContext(ctx, "the lock could not be looked at", "about", service, "error", err)
	}
	return holder
}
