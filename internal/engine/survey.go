package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"apim-dr/internal/dr"
)

// plan finds out what a plan needs to know and makes it.
func (e *Engine) plan(ctx context.Context, i dr.Intent) dr.Plan {
	var source dr.Answer
	var wg sync.WaitGroup
	if s := i.Source; !s.Is(i.Target.Name) && s.ResourceID != "" {
		wg.Go(func() {
			source = e.seen(ctx, func(ctx context.Context) dr.Answer { return e.ARM.Service(ctx, s.ResourceID) })
		})
	}
	point, err := e.point(ctx, i)
	f := e.survey(ctx, i, point)
	if err != nil {
		f.PointError = err.Error()
	}
	wg.Wait()
	f.Source = source
	return dr.MakePlan(i, f, e.Now())
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
	p, err := e.Store.Point(ctx, service, i.Point)
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
	wg.Go(func() { f.Pairs, f.Holder = e.rolesAround(ctx, i) })
	if point != nil {
		f.Access = e.Fleet.access(point.Storage.Account)
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

// rolesAround reads the pairs that source and target belong to, and who works on the target. What cannot be read is left out.
func (e *Engine) rolesAround(ctx context.Context, i dr.Intent) (pairs []dr.Pair, holder string) {
	ctx, cancel := context.WithTimeout(ctx, e.Timing.Probe)
	defer cancel()
	for _, c := range e.Fleet.couples() {
		if !c.has(i.Target.Name) && !c.has(i.Source.Name) {
			continue
		}
		p, err := e.pair(ctx, c)
		if beside := (*besideError)(nil); err != nil && !errors.As(err, &beside) {
			e.Log.WarnContext(ctx, "the record of a pair could not be read", "pair", c.name(), "error", err)
			continue
		}
		pairs = append(pairs, p)
	}
	holder, err := e.Store.Holder(ctx, i.Target.Name)
	if err != nil {
		e.Log.WarnContext(ctx, "the lock could not be looked at", "service", i.Target.Name, "error", err)
	}
	return pairs, holder
}

// prepareRestore binds the recovery point, if nobody has chosen one, holds it against all checks once more under the lock, and pins it.
func (e *Engine) prepareRestore(ctx context.Context, op dr.Operation) dr.Answer {
	r := op.Recovery
	point, err := e.bound(ctx, r)
	if err != nil {
		return dr.Answer{Verdict: dr.Later, Reason: err.Error()}
	}
	if refusal := e.superseded(ctx, op, point); refusal != nil {
		return dr.Answer{Verdict: dr.No, Error: refusal}
	}
	f := e.survey(ctx, r.Intent, point)
	f.Self = op.ID
	plan := dr.MakePlan(r.Intent, f, e.Now())
	if refusal := plan.Refusal(); refusal != nil {
		return dr.Answer{Verdict: dr.No, Error: refusal.Because(r.Plan)}
	}
	switch {
	case f.Target.Verdict != dr.OK: // unknown does not block a plan, but what is about to be overwritten has to be seen
		return dr.Answer{Verdict: dr.Later, Retry: f.Target.Retry, Reason: strings.TrimSpace(string("the target could not be read: " + f.Target.Reason))}
	case !f.Target.Service.Idle():
		return dr.Answer{Verdict: dr.Later, Reason: "the service is " + f.Target.Service.State}
	}
	switch err := e.Store.Pin(ctx, point.Service, point.ID, op.ID); {
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrDeleting):
		return dr.Answer{Verdict: dr.No, Error: dr.Failure("RecoveryPointNotFound", fmt.Sprintf("recovery point %s: %v", point.ID, err))}
	case err != nil && !illegible(err):
		return dr.Answer{Verdict: dr.Later, Reason: err.Error()}
	}
	return dr.Answer{Verdict: dr.OK, Service: f.Target.Service, Point: point, Plan: &plan}
}

// bound reads the recovery point of an operation anew: it may have been deleted since. nil: there is none.
func (e *Engine) bound(ctx context.Context, r *dr.Recovery) (*dr.RecoveryPoint, error) {
	if r.Bound == nil {
		return e.point(ctx, r.Intent)
	}
	p, err := e.Store.Point(ctx, r.Bound.Service, r.Bound.ID)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &p, nil
}

// superseded tells that the standby has what it would get, or newer.
func (e *Engine) superseded(ctx context.Context, op dr.Operation, point *dr.RecoveryPoint) *dr.Error {
	if op.Recovery.Role != dr.Follow || point == nil {
		return nil
	}
	p, err := e.Store.Pair(ctx, op.Recovery.Pair)
	if err != nil || p.Standby.ID == "" || p.Standby.CreatedAt.Before(point.CreatedAt) {
		return nil
	}
	return dr.Failure("Superseded", fmt.Sprintf("%s already holds recovery point %s of %s", op.Service, p.Standby.ID, p.Standby.CreatedAt.UTC().Format(time.RFC3339)))
}

// verifyRestore looks whether the instance is well again, and asks its gateways. What they answer is a finding: one in a virtual network cannot be
// reached from everywhere.
func (e *Engine) verifyRestore(ctx context.Context, resourceID string) dr.Answer {
	a := e.ARM.Service(ctx, resourceID)
	switch {
	case a.Verdict != dr.OK:
		a.Verdict = dr.Later
		return a
	case a.Service.State != "Succeeded":
		return dr.Answer{Verdict: dr.Still, Reason: "the service is " + a.Service.State}
	}
	if s := a.Service.Settings; s != nil {
		urls := slices.Clone(s.Regional)
		if s.GatewayURL != "" && !slices.Contains(urls, s.GatewayURL) {
			urls = append(urls, s.GatewayURL)
		}
		a.Gateways = within(ctx, e.Timing.Probe, func(ctx context.Context) []dr.Gateway { return e.Gateways.Probe(ctx, urls) })
	}
	return a
}

// await begins the last backup of the instance that a failover leaves, and looks how it fares. It is an operation of its own, with its own lock: the
// failover never waits for that.
func (e *Engine) await(ctx context.Context, op dr.Operation) dr.Answer {
	r := op.Recovery
	m, ok := e.Fleet.member(r.Intent.Source.Name)
	if !ok {
		return dr.Answer{Verdict: dr.No, Error: dr.Failure("UnknownService", r.Intent.Source.Name+" is no longer in the fleet")}
	}
	child := e.newBackup(dr.FinalID(op), m, dr.TriggerFailover, Request{RequestedBy: op.RequestedBy, Reason: "final backup before failover " + op.ID, Traceparent: op.Traceparent}, e.Now())
	child.NotAfter, child.Legs[0].Within = r.Final.Until, r.Intent.MaxWait
	was, err := e.createOnce(ctx, child, e.Now())
	if err != nil {
		return dr.Answer{Verdict: dr.Later, Reason: err.Error()}
	}
	switch {
	case was.Phase != dr.Done:
		return dr.Answer{Verdict: dr.Still, Reason: strings.TrimSpace(string(was.Phase) + " " + was.Waiting)}
	case was.Outcome != dr.Succeeded:
		return dr.Answer{Verdict: dr.No, Error: was.Error}
	}
	if made := dr.Points(was); len(made) > 0 {
		p, err := e.Store.Point(ctx, made[0].Service, made[0].ID)
		if err == nil {
			return dr.Answer{Verdict: dr.OK, Point: &p}
		}
		return dr.Answer{Verdict: dr.Still, Reason: err.Error()} // its record is still being written
	}
	return dr.Answer{Verdict: dr.No, Error: dr.Failure("NoRecoveryPoint", "the final backup "+was.ID+" left no recovery point")}
}
