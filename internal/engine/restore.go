package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"apim-dr/internal/dr"
)

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
	intent := r.Intent
	if r.Bound != nil { // that one or none: were it gone, "latest" would now mean another
		intent.Point = r.Bound.ID
	}
	plan := dr.MakePlan(intent, f, e.Now())
	for _, refusal := range []*dr.Error{plan.Refusal(), plan.Unlike(r.Plan)} {
		if refusal != nil {
			return dr.Answer{Verdict: dr.No, Error: refusal.Because(r.Plan)}
		}
	}
	switch {
	case f.Target.Verdict != dr.OK: // unknown does not block a plan, but what is about to be overwritten has to be seen
		return dr.Answer{Verdict: dr.Later, Retry: f.Target.Retry, Reason: "the target could not be read: " + f.Target.Why()}
	case r.Intent.Auto && len(f.Unread) > 0:
		return dr.Answer{Verdict: dr.Later, Reason: "the roles could not be read of " + strings.Join(f.Unread, ", ")}
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
	return e.pointOf(ctx, r.Bound.Service, r.Bound.ID)
}

// superseded tells that the standby has what it would get, or newer.
func (e *Engine) superseded(ctx context.Context, op dr.Operation, point *dr.RecoveryPoint) *dr.Error {
	if op.Recovery.Role != dr.Follow || point == nil {
		return nil
	}
	c, _ := e.fleet().couple(op.Source(), op.Service)
	p, err := e.known(ctx, c)
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
	m, ok := e.fleet().member(r.Intent.Source.Name)
	if !ok {
		return dr.Answer{Verdict: dr.No, Error: dr.Failure("UnknownService", r.Intent.Source.Name+" is no longer in the fleet")}
	}
	child := e.newBackup(dr.FinalID(op), m, dr.TriggerFailover, Request{RequestedBy: op.RequestedBy, Reason: "final backup before failover " + op.ID, Ticket: op.Ticket, Traceparent: op.Traceparent}, e.Now())
	child.NotAfter, child.Legs[0].Within = r.Final.Until, r.Intent.MaxWait
	was, _, err := e.Store.Operation(ctx, child.ID)
	if errors.Is(err, ErrNotFound) {
		was, err = e.create(ctx, child, e.Now())
	}
	if err != nil {
		return dr.Answer{Verdict: dr.Later, Reason: err.Error()}
	}
	if was.Phase == dr.Queued && was.Rev == 1 && e.Now().Sub(was.CreatedAt) > e.Timing.Look { // its first wake may be lost, and the watchdog would come too late
		e.wakeFirst(about(ctx, was), firstWake(was, time.Time{}), e.Now())
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
