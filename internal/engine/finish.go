package engine

import (
	"context"
	"errors"
	"slices"

	"apim-dr/internal/dr"
)

// finish carries the stored outcome everywhere it belongs. It can be repeated: the marker goes last.
func (e *Engine) finish(ctx context.Context, op dr.Operation) error {
	if err := e.keepPoints(ctx, op, e.Store.RecordPoint); err != nil {
		return err
	}
	if err := e.remember(ctx, op); err != nil {
		return err
	}
	op, err := e.unlock(ctx, op)
	if err != nil {
		return err
	}
	// The copy is written once, and so when it is known whether the service was changed.
	if err := e.keepPoints(ctx, op, e.Store.CopyPoint); err != nil {
		return err
	}
	if err := e.Bus.Publish(ctx, dr.ResultEvent(op)); err != nil {
		return err
	}
	e.Log.InfoContext(ctx, "result published", "kind", op.Kind, "outcome", op.Outcome)
	// What follows may have to be repeated, and holds back the marker alone: the event says the same however often it comes.
	if err := errors.Join(e.keepRoles(ctx, op), e.followUp(ctx, op)); err != nil {
		if e.Now().Sub(op.EndedAt) < e.Timing.Verify {
			return err
		}
		e.Log.ErrorContext(ctx, "the copy of the roles could not be written, or the standby not brought up to date; the next backup will", "error", err)
	}
	return e.Store.Unmark(ctx, op.ID)
}

// keepPoints keeps the recovery points of an operation somewhere. A storage account that stays away must not hold back for ever what follows.
func (e *Engine) keepPoints(ctx context.Context, op dr.Operation, keep func(context.Context, dr.RecoveryPoint) error) error {
	for _, p := range dr.Points(op) {
		if err := keep(ctx, p); err != nil {
			if e.Now().Sub(op.EndedAt) < e.Timing.Verify {
				return err
			}
			e.Log.ErrorContext(ctx, "the recovery point could not be recorded; going on without", "recoveryPoint", p.ID, "error", err)
		}
	}
	return nil
}

// unlock frees the lock. Where somebody has written to it since it was taken (noteChange), what was reported is looked for first. The operation that it
// returns is what its event tells of.
func (e *Engine) unlock(ctx context.Context, op dr.Operation) (dr.Operation, error) {
	if freed, err := e.Store.Free(ctx, op.Service, op.LockETag); err != nil || freed {
		return op, err
	}
	op, err := e.settleChanges(ctx, op)
	if err != nil {
		return op, err
	}
	if err = e.Store.Unlock(ctx, op.Service, op.ID); illegible(err) {
		e.Log.ErrorContext(ctx, "the lock of the service cannot be read and stays: delete it once no operation is at work on the service", "error", err)
		err = nil
	}
	return op, err
}

// remember merges the outcome into what is kept between operations. What cannot be read there must not hold back the lock and the event: it can
// be rebuilt.
func (e *Engine) remember(ctx context.Context, op dr.Operation) error {
	names := []string{op.Service, op.Source()}
	if r := op.Recovery; r != nil && r.Bound != nil {
		names = append(names, r.Bound.Service)
	}
	slices.Sort(names)
	for _, name := range slices.DeleteFunc(slices.Compact(names), func(name string) bool { return name == "" }) {
		err := e.Store.MergeService(ctx, name, func(s dr.ServiceState) (dr.ServiceState, bool) { return s.After(op, name) })
		if illegible(err) {
			e.Log.ErrorContext(ctx, "what is remembered of the service cannot be merged; going on without", "about", name, "error", err)
		} else if err != nil {
			return err
		}
	}
	if op.Recovery == nil {
		return nil
	}
	if err := e.afterInPairs(ctx, op); err != nil {
		return err
	}
	if b := op.Recovery.Bound; b != nil {
		if err := e.Store.Unpin(ctx, b.Service, b.ID, op.ID); err != nil && !illegible(err) {
			return err
		}
	}
	return nil
}

// followUp brings a good backup of the active instance into its warm standby. Whether it still may is decided when that begins.
func (e *Engine) followUp(ctx context.Context, op dr.Operation) error {
	var errs []error
	for _, p := range dr.Points(op) {
		if p.State != dr.Good || p.Safety {
			continue
		}
		for _, c := range e.fleet().couplesWith(p.Service) {
			k, err := e.known(ctx, c)
			switch {
			case illegible(err):
				e.Log.ErrorContext(ctx, "the record of the pair cannot be read; its standby is not kept up to date", "pair", c.name(), "error", err)
			case err != nil:
				errs = append(errs, err)
			default:
				e.mendCopy(ctx, c, k)
				errs = append(errs, e.sync(ctx, c, k, p, op))
			}
		}
	}
	return errors.Join(errs...)
}

// sync creates the operation that restores a recovery point into the standby of a warm pair. Where the roles cannot be seen now the next backup does.
func (e *Engine) sync(ctx context.Context, c couple, k known, p dr.RecoveryPoint, op dr.Operation) error {
	if !c.warm || !k.IsActive(p.Service) || k.Suspended || k.BusyBy != "" {
		return nil
	}
	target, _ := c.partner(p.Service)
	d := draft{
		intent: dr.Intent{Kind: dr.KindRestore, Source: e.fleet().named(p.Service), Target: target, Point: dr.Latest, Auto: true},
		role:   dr.Follow, couple: c,
	}
	now := e.Now()
	r := Request{RequestedBy: "warm standby of " + p.Service, Traceparent: op.Traceparent}
	made := e.newRecovery(dr.WarmID(target.Name, p), d, dr.TriggerBackup, r, now)
	t, ok := e.begin(made, 0, now.Add(e.Timing.StartWithin))
	if !ok {
		e.Log.WarnContext(ctx, "the standby is not kept up to date now: notDuring lasts too long", "pair", c.name())
		return nil
	}
	seen, err := e.displaced(ctx, made, c)
	if err == nil && k.unseen != nil {
		seen = dr.Answer{Verdict: dr.Later, Reason: k.unseen.Error()}
	}
	switch {
	case err != nil:
		return err
	case seen.Verdict == dr.Later:
		e.Log.WarnContext(ctx, "the standby is not kept up to date now", "pair", c.name(), "reason", seen.Reason)
	case seen.Verdict == dr.OK:
		_, err = e.createOnce(ctx, t.Operation, t.start)
	}
	return err
}
