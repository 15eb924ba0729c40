package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"apim-dr/internal/dr"
)

// known is what is known of a pair.
type known struct {
	dr.Pair
	// done are operations that the record takes for being at work although they are done: what they brought is in Pair, but not in the record.
	done []dr.Operation
	// beside is the copy of the record that lies among the backups; unseen why it could not be read: then Pair is what the state storage has.
	beside dr.Pair
	unseen error
}

// known reads what is recorded of a couple. A failover that ran without the state storage has left its record beside the backups only, so that the copy
// there is looked at as well, and the one that was changed later counts. An error says that the state storage could not be read.
func (e *Engine) known(ctx context.Context, c couple) (known, error) {
	p, err := e.Store.Pair(ctx, c.name())
	if errors.Is(err, ErrNotFound) {
		err = nil
	}
	k := known{Pair: c.recorded(p)}
	if err != nil {
		return k, err
	}
	for _, id := range []string{p.BusyBy, p.Syncing} {
		op, err := e.ended(ctx, id)
		if err != nil {
			return k, err
		}
		if op != nil {
			k.done = append(k.done, *op)
		}
	}
	k.Pair = k.merged(k.Pair)
	k.beside, k.unseen = e.copied(ctx, c)
	k.Pair = c.recorded(k.Newer(k.beside))
	return k, nil
}

// merged is a record with what the operations brought that are done.
func (k known) merged(p dr.Pair) dr.Pair {
	for _, op := range k.done {
		p, _ = p.After(op)
	}
	return p
}

// latest is a record, read since, with what was known before.
func (k known) latest(p dr.Pair) dr.Pair { return k.merged(p).Newer(k.Pair) }

func (e *Engine) copied(ctx context.Context, c couple) (dr.Pair, error) {
	ctx, cancel := context.WithTimeout(ctx, e.Timing.Probe)
	defer cancel()
	p, err := e.Vault.Role(ctx, c.storage, c.name())
	switch {
	case errors.Is(err, ErrNotFound):
		return dr.Pair{}, nil
	case err == nil && p.ChangedAt.After(e.Now().Add(skew)):
		return dr.Pair{}, fmt.Errorf("%w: the copy of pair %s was changed at %s, which is to come", ErrUnreadable, p.Name, p.ChangedAt)
	}
	return p, err
}

// skew is how much the clocks of those may differ who write beside the backups: stamps and laptops.
const skew = 24 * time.Hour

// ended is the operation if it is done; nil: it is at work, or there is none. One whose record was deleted by hand is as if it had never begun.
func (e *Engine) ended(ctx context.Context, id string) (*dr.Operation, error) {
	if id == "" {
		return nil, nil
	}
	op, _, err := e.Store.Operation(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound):
		return &dr.Operation{ID: id, Phase: dr.Done, Outcome: dr.Rejected, Recovery: &dr.Recovery{Role: dr.Switch}}, nil
	case illegible(err), err == nil && op.Phase != dr.Done:
		return nil, nil
	}
	return &op, err
}

// active is the service itself or, where a failover has made another instance of one of its pairs the active one, that. pairs are those of the service;
// those that cannot be read are left out.
func (e *Engine) active(ctx context.Context, s Service) (active dr.Instance, pairs []dr.PairView, err error) {
	active = s.instance()
	for _, c := range e.fleet().couplesWith(s.Name) {
		k, err := e.known(ctx, c)
		if illegible(err) {
			e.Log.ErrorContext(ctx, "the record of a pair cannot be read", "pair", c.name(), "error", err)
			continue
		}
		if err != nil {
			return active, pairs, err
		}
		pairs = append(pairs, dr.PairView{Pair: k.Pair, Warm: c.warm})
		if !k.IsActive(s.Name) && active.Is(s.Name) {
			active = e.fleet().named(k.Active)
		}
	}
	return active, pairs, nil
}

// admit holds an operation against holds and windows, and against the roles of its pair, and notes there that it is at work.
func (e *Engine) admit(ctx context.Context, op dr.Operation) (dr.Answer, error) {
	if a, err := e.notNow(ctx, op); err != nil || a.Verdict != "" {
		return a, err
	}
	if op.Recovery == nil || op.Recovery.Role == "" {
		return dr.Answer{Verdict: dr.OK}, nil
	}
	c, ok := e.fleet().couple(op.Source(), op.Service)
	if !ok {
		return dr.Answer{Verdict: dr.No, Error: dr.Failure("NotAPair", fmt.Sprintf("%s and %s are no longer a pair of the fleet", op.Source(), op.Service))}, nil
	}
	k, err := e.known(ctx, c)
	if err != nil && !illegible(err) {
		return dr.Answer{}, err
	}
	if err == nil && op.Recovery.Role == dr.Follow { // a failover goes on without the copy, a warm sync can wait
		err = k.unseen
	}
	if err != nil {
		return dr.Answer{Verdict: dr.Later, Held: true, Reason: "the roles of the pair cannot be read: " + err.Error()}, nil
	}
	var refusal *dr.Error
	err = e.Store.MergePair(ctx, c.name(), func(p dr.Pair) (dr.Pair, bool) {
		was := p
		p, refusal = k.latest(c.recorded(p)).Admit(op)
		return p, refusal == nil && p != was
	})
	if err != nil {
		return dr.Answer{}, err
	}
	if refusal != nil {
		return dr.Answer{Verdict: dr.No, Error: refusal}, nil
	}
	if op.Recovery.Admitted { // whoever came later has seen it, and gave way
		return dr.Answer{Verdict: dr.OK}, nil
	}
	return e.displaced(ctx, op, c) // after the note: of two that cross at least one sees the other
}

// displaced tells whether another instance has taken over from the source in another of its pairs, or is about to: what the source holds is no longer what
// serves production. OK: none has; No; Later: that cannot be seen now, or a rival that has noted itself as well will give way.
func (e *Engine) displaced(ctx context.Context, op dr.Operation, but couple) (dr.Answer, error) {
	for _, c := range e.fleet().couplesWith(op.Source()) {
		if c.name() == but.name() {
			continue
		}
		k, err := e.known(ctx, c)
		if err != nil && !illegible(err) {
			return dr.Answer{}, err
		}
		if err == nil {
			err = k.unseen
		}
		if err != nil && op.Recovery.Role == dr.Follow {
			return dr.Answer{Verdict: dr.Later, Held: true, Reason: "the roles of the pair " + c.name() + " cannot be read: " + err.Error()}, nil
		}
		refusal := k.Displaces(op.Source())
		if refusal == nil {
			continue
		}
		if op.Recovery.Role == dr.Switch && k.IsActive(op.Source()) && op.ID < k.BusyBy && !e.admitted(ctx, k.BusyBy) {
			return dr.Answer{Verdict: dr.Later, Held: true, Reason: refusal.Message}, nil
		}
		return dr.Answer{Verdict: dr.No, Error: refusal}, nil
	}
	return dr.Answer{Verdict: dr.OK}, nil
}

// admitted tells whether a failover was let through. One whose record cannot be read counts as one that was.
func (e *Engine) admitted(ctx context.Context, id string) bool {
	op, _, err := e.Store.Operation(ctx, id)
	return err != nil || op.Recovery == nil || op.Recovery.Admitted
}

// afterInPairs merges the outcome into the pairs that the overwritten instance belongs to.
func (e *Engine) afterInPairs(ctx context.Context, op dr.Operation) error {
	var errs []error
	for _, c := range e.fleet().couplesWith(op.Service) {
		err := e.Store.MergePair(ctx, c.name(), func(p dr.Pair) (dr.Pair, bool) {
			was := p
			merged, _ := c.recorded(p).After(op)
			if was.Name == "" && merged == c.recorded(was) {
				return was, false
			}
			return merged, merged != was
		})
		if illegible(err) {
			e.Log.ErrorContext(ctx, "the record of the pair cannot be merged; going on without", "pair", c.name(), "error", err)
			err = nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// keepRoles writes the copies of the pairs' records whose roles the operation has changed, or made doubtful.
func (e *Engine) keepRoles(ctx context.Context, op dr.Operation) error {
	if op.Recovery == nil || op.Recovery.Role != dr.Switch {
		return nil
	}
	c, ok := e.fleet().couple(op.Source(), op.Service)
	if !ok {
		return nil
	}
	p, err := e.Store.Pair(ctx, c.name())
	switch {
	case errors.Is(err, ErrNotFound), illegible(err): // it was rejected before anything was noted, or has been told
		return nil
	case err != nil || p.By != op.ID:
		return err
	}
	return e.keepRole(ctx, c, p)
}

// keepRole writes the copy of a pair's record, for the day when the state storage is gone. What is at work then is not known there.
func (e *Engine) keepRole(ctx context.Context, c couple, p dr.Pair) error {
	p.BusyBy, p.WasSuspended, p.Syncing = "", false, ""
	err := e.Vault.KeepRole(ctx, c.storage, p)
	if errors.Is(err, ErrConflict) || illegible(err) { // trying again does not help
		e.Log.ErrorContext(ctx, "the copy of the pair's record beside the backups was not replaced", "pair", p.Name, "active", p.Active, "error", err)
		return nil
	}
	return err
}

// mendCopy writes the copy again where that was not possible at its time.
func (e *Engine) mendCopy(ctx context.Context, c couple, k known) {
	if k.unseen != nil || k.BusyBy != "" || !k.ChangedAt.After(k.beside.ChangedAt) {
		return
	}
	if err := e.keepRole(ctx, c, k.Pair); err != nil {
		e.Log.WarnContext(ctx, "the copy of the pair's record could not be written beside the backups", "pair", k.Name, "active", k.Active, "error", err)
	}
}
