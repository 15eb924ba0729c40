package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"apim-dr/internal/dr"
)

// draft is one way to do what was asked for: one instance restored into another, and what that means for the pair of the two.
type draft struct {
	intent dr.Intent
	role   dr.Role
	couple couple // of a role
	urgent bool
	needs  bool // the instance that is overwritten must be confirmed
}

// Recover plans a restore, failover or drill for an HTTP call and, unless it is a dry run, creates the operation and enqueues it. *Invalid,
// ErrUnknownService, ErrKeyReused, ErrUnconfirmed (with the plan), ErrRefused (with plan and operation); after any other error the caller
// does not know whether it was accepted, and a key makes asking again safe.
func (e *Engine) Recover(ctx context.Context, r RecoverRequest) (Recovery, error) {
	now := e.Now()
	if was, err := e.replay(ctx, r); err != nil || was.Operation.ID != "" {
		return was, err
	}
	drafts, err := e.drafts(ctx, r)
	if err != nil {
		return Recovery{}, err
	}
	d, plan, err := e.choose(ctx, drafts, r.Confirm)
	if err != nil {
		return Recovery{}, err
	}
	answer := Recovery{Plan: plan}
	if r.DryRun {
		return answer, nil
	}
	if d.needs && !d.intent.Target.Is(r.Confirm) {
		return answer, fmt.Errorf("%w: this overwrites %s; repeat the call with confirm %q", ErrUnconfirmed, d.intent.Target.Name, d.intent.Target.Name)
	}
	trigger := cmp.Or(r.Trigger, dr.TriggerHTTP)
	op := e.newRecovery(dr.NewID(r.Kind, now, string(trigger), e.Nonce()), d, trigger, r.Request, now)
	op = dr.Planned(op, plan)
	if why := plan.Refusal(); why != nil {
		op = dr.Refuse(op, why, e.Now())
	}
	if answer.Operation, err = e.createFor(ctx, r.Request, op); err != nil {
		return answer, err
	}
	if was := answer.Operation.Recovery; was != nil && was.Plan != nil { // the same call may have got there first, with a plan of its own
		answer.Plan = *was.Plan
	}
	return answer, refused(answer.Plan)
}

// replay finds the operation that an Idempotency-Key stands for already, before anything is looked at again: none when the ID is empty.
func (e *Engine) replay(ctx context.Context, r RecoverRequest) (Recovery, error) {
	if r.KeyHash == "" || r.DryRun {
		return Recovery{}, nil
	}
	claim, err := e.Store.Recall(ctx, r.KeyHash)
	if err == nil {
		err = claim.fits(r.Request)
	}
	if errors.Is(err, ErrNotFound) {
		return Recovery{}, nil
	}
	if err != nil {
		return Recovery{}, err
	}
	op, _, err := e.Store.Operation(ctx, claim.Operation)
	if errors.Is(err, ErrNotFound) { // remembered, and then killed: from the top, with the same id
		return Recovery{}, nil
	}
	if err != nil || op.Recovery == nil || op.Recovery.Plan == nil {
		return Recovery{Operation: op}, err
	}
	return Recovery{Plan: *op.Recovery.Plan, Operation: op}, refused(*op.Recovery.Plan)
}

// refused is ErrRefused for a plan that does not pass.
func refused(p dr.Plan) error {
	if why := p.Refusal(); why != nil {
		return fmt.Errorf("%w: %s", ErrRefused, why)
	}
	return nil
}

// drafts are the ways to do what was asked for, in the order in which they are tried.
func (e *Engine) drafts(ctx context.Context, r RecoverRequest) ([]draft, error) {
	if err := e.hasMeaning(r); err != nil {
		return nil, err
	}
	i := dr.Intent{Kind: r.Kind, Point: r.Point, Safety: r.Safety, Final: r.Final, MaxWait: r.MaxWait, Overrides: r.Overrides}
	if i.Point == "" {
		i.Point = dr.Latest
	}
	if i.MaxWait == 0 {
		i.MaxWait = dr.Duration(e.Timing.MaxWait)
	}
	m, ok := e.fleet().member(r.Service)
	if !ok {
		return nil, fmt.Errorf("%w: %q; it has %s", ErrUnknownService, r.Service, e.fleet().names())
	}
	return draftsOf[r.Kind](ctx, e, r, i, m)
}

// draftsOf is all that differs between the kinds: what is restored into what.
var draftsOf = map[dr.Kind]func(context.Context, *Engine, RecoverRequest, dr.Intent, member) ([]draft, error){
	dr.KindRestore: func(_ context.Context, e *Engine, r RecoverRequest, i dr.Intent, target member) ([]draft, error) {
		i.Source, i.Target = target.Instance, target.Instance
		if r.From != "" {
			i.Source = e.fleet().named(r.From)
		}
		return []draft{{intent: i, needs: true}}, nil
	},
	dr.KindDrill: func(ctx context.Context, e *Engine, r RecoverRequest, i dr.Intent, source member) ([]draft, error) {
		s, ok := e.fleet().service(source.Name)
		if !ok || s.Drill == nil {
			return nil, &Invalid{Field: "service", Detail: fmt.Sprintf("%s has no drillInstance in the fleet: a drill overwrites one that serves nothing else", source.Name)}
		}
		d, err := e.drillOf(ctx, s, i)
		return []draft{d}, err
	},
	dr.KindFailover: func(_ context.Context, e *Engine, r RecoverRequest, i dr.Intent, source member) ([]draft, error) {
		f := e.Fleet
		i.Source = source.Instance
		targets := f.partners(source.Name)
		if len(targets) == 0 {
			return nil, &Invalid{Field: "primary", Detail: fmt.Sprintf("%s has no secondaries in the fleet, nor is it one", source.Name)}
		}
		if source.Is(r.Target) {
			return nil, &Invalid{Field: "target", Detail: fmt.Sprintf("%s is the primary itself; accepted: %s", r.Target, namesOf(targets))}
		}
		var drafts []draft
		for _, target := range targets {
			if r.Target == "" || target.Is(r.Target) {
				c, _ := f.couple(source.Name, target.Name)
				i.Target = target
				drafts = append(drafts, draft{intent: i, role: dr.Switch, couple: c, urgent: true, needs: true})
			}
		}
		if len(drafts) == 0 {
			return nil, &Invalid{Field: "target", Detail: fmt.Sprintf("%q forms no pair with %s; accepted: %s", r.Target, source.Name, namesOf(targets))}
		}
		return drafts, nil
	},
}

// drillOf proves the backups of the instance that serves production now.
func (e *Engine) drillOf(ctx context.Context, s Service, i dr.Intent) (draft, error) {
	active, _, err := e.active(ctx, s)
	i.Kind, i.Source, i.Target, i.Auto = dr.KindDrill, active, *s.Drill, true
	return draft{intent: i}, err
}

// Understands tells what in a request makes no sense in this fleet, without looking at anything outside it for a failover or a restore. *Invalid,
// ErrUnknownService.
func (e *Engine) Understands(ctx context.Context, r RecoverRequest) error {
	_, err := e.drafts(ctx, r)
	return err
}

// hasMeaning refuses values that mean nothing; the callers check their shape.
func (e *Engine) hasMeaning(r RecoverRequest) error {
	if draftsOf[r.Kind] == nil {
		return &Invalid{Field: "kind", Detail: fmt.Sprintf("%q; accepted: restore, failover, drill", r.Kind)}
	}
	if p := r.Point; p != "" && p != dr.Latest && !dr.ValidPointID(p) {
		if _, err := time.Parse(time.RFC3339, p); err != nil {
			return &Invalid{Field: "recoveryPoint", Detail: "accepted: latest, the id of a recovery point, or a time such as 2026-01-31T03:00:00Z"}
		}
	}
	if most := e.Timing.RestoreWithin; time.Duration(r.MaxWait) > most {
		return &Invalid{Field: "maxWait", Detail: fmt.Sprintf("accepted: up to %s, within which a confirmed restore must begin", most)}
	}
	for _, name := range r.Overrides {
		if !slices.Contains(dr.Overridable(), name) {
			return &Invalid{Field: "override", Detail: fmt.Sprintf("%q cannot be overridden; accepted: %s", name, strings.Join(dr.Overridable(), ", "))}
		}
	}
	return nil
}

// choose plans the drafts in turn and returns the first whose plan passes with its target in sight; when there is none, one that passes, or the one that
// the caller confirmed, or else the first.
func (e *Engine) choose(ctx context.Context, drafts []draft, confirm string) (draft, dr.Plan, error) {
	ctx, cancel := context.WithTimeout(ctx, e.Timing.Survey)
	defer cancel()
	best, rank := 0, -1
	plans := make([]dr.Plan, len(drafts))
	for n, d := range drafts {
		p, err := e.plan(ctx, d.intent)
		if err != nil && rank == 2 { // one that passes is enough
			break
		}
		if err != nil {
			return d, p, err
		}
		plans[n] = p
		now := 0
		switch passes := p.Refusal() == nil; {
		case passes && p.Sees():
			return d, p, nil
		case passes:
			now = 2
		case d.intent.Target.Is(confirm):
			now = 1
		}
		if now > rank {
			best, rank = n, now
		}
	}
	return drafts[best], plans[best], nil
}

// newRecovery is the operation that carries out a draft.
func (e *Engine) newRecovery(id string, d draft, trigger dr.Trigger, r Request, now time.Time) dr.Operation {
	i := d.intent
	source, _ := e.fleet().member(i.Source.Name)
	target, _ := e.fleet().member(i.Target.Name)
	within := max(source.plan.Within, target.plan.Within)
	op := dr.Operation{
		V: dr.Version, Rev: 1, Writer: e.Nonce(), ID: id, Kind: i.Kind, Service: i.Target.Name, Plan: target.plan.Name, Trigger: trigger,
		RequestedBy: r.RequestedBy, Reason: r.Reason, Ticket: r.Ticket, Traceparent: r.Traceparent,
		CreatedAt: now, NotAfter: now.Add(e.begunWithin(i)), Phase: dr.Queued,
		Recovery: &dr.Recovery{Intent: i, Role: d.role, Urgent: d.urgent},
	}
	if d.role != "" {
		op.Recovery.Pair = d.couple.name()
	}
	leg := dr.Leg{Service: i.Target.Name, ResourceID: i.Target.ResourceID}
	if i.Safety {
		safety := leg
		safety.Verb, safety.Safety, safety.Storage, safety.Within = dr.VerbBackup, true, target.plan.Storage, i.MaxWait
		op.Legs = append(op.Legs, safety)
	}
	leg.Verb, leg.Within = dr.VerbRestore, dr.Duration(within)
	op.Legs = append(op.Legs, leg)
	return op
}

// begunWithin is how long an operation may wait for its turn: what somebody has confirmed never starts hours later. What nobody stands by for takes the
// newest good recovery point at its turn, and may wait as long as a backup.
func (e *Engine) begunWithin(i dr.Intent) time.Duration {
	if i.Auto {
		return e.Timing.StartWithin
	}
	return e.Timing.RestoreWithin
}

// Abandon gives an operation up: its lock is freed, and ARM may still be at work. ErrNotFound, ErrEnded, *Refusal.
func (e *Engine) Abandon(ctx context.Context, id, by, reason string) (dr.Operation, error) {
	const tries = 20
	for range tries {
		op, etag, err := e.Store.Operation(ctx, id)
		if err != nil {
			return op, err
		}
		ctx := about(ctx, op)
		next, refusal := dr.Abandon(op, by, reason, e.Now())
		if op.Phase == dr.Done {
			return op, ErrEnded
		} else if refusal != nil {
			return op, &Refusal{refusal}
		}
		next.Rev, next.Writer = op.Rev+1, e.Nonce()
		if _, err = e.Store.SaveOperation(ctx, next, etag); errors.Is(err, ErrConflict) {
			continue
		} else if err != nil {
			return op, err
		}
		e.told(ctx, op, next)
		e.Log.WarnContext(ctx, "abandoned", "by", by, "reason", reason, "outcome", next.Outcome)
		// The end is recorded: what follows from it is repeated by whoever meets the record next.
		if err := e.finish(ctx, next); err != nil {
			w := firstWake(next, e.Now().Add(e.Timing.Lease))
			w.Epoch = next.Epoch
			e.wakeFirst(ctx, w, e.Now().Add(e.Timing.OutageFirst))
			e.Log.WarnContext(ctx, "an abandoned operation could not be finished at once", "error", err)
		}
		return next, nil
	}
	return dr.Operation{}, fmt.Errorf("%w: operation %s changes all the time", ErrConflict, id)
}
