package engine

import (
	"context"
	"errors"

	"apim-dr/internal/dr"
)

// finish carries the stored outcome everywhere it belongs. It reads the record only and can be repeated: the marker goes last.
func (e *Engine) finish(ctx context.Context, op dr.Operation) error {
	for _, p := range dr.Points(op) {
		if err := e.Store.PutPoint(ctx, p); err != nil {
			if e.Now().Sub(op.EndedAt) < e.Timing.Verify {
				return err
			}
			// A storage account that stays away must not hold back the lock and the event.
			e.Log.ErrorContext(ctx, "the recovery point could not be recorded; going on without", "point", p.ID, "error", err)
		}
	}
	if err := e.remember(ctx, op); err != nil {
		return err
	}
	err := e.Store.Unlock(ctx, op.Service, op.ID)
	if illegible(err) {
		e.Log.ErrorContext(ctx, "the lock of the service cannot be read and stays: delete it once no operation is at work on the service", "error", err)
	} else if err != nil {
		return err
	}
	if err := e.Bus.Publish(ctx, dr.ResultEvent(op)); err != nil {
		return err
	}
	e.Log.InfoContext(ctx, "result published", "kind", op.Kind, "outcome", op.Outcome)
	if err := e.followUp(ctx, op); err != nil {
		return err
	}
	return e.Store.Unmark(ctx, op.ID)
}

// remember merges the outcome into what is kept between operations. What cannot be read there must not hold back the lock and the event: it can
// be rebuilt.
func (e *Engine) remember(ctx context.Context, op dr.Operation) error {
	names := []string{op.Service}
	if source := op.Source(); source != "" && source != op.Service {
		names = append(names, source)
	}
	for _, name := range names {
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
	for _, p := range dr.Points(op) {
		if p.State != dr.Good || p.Safety {
			continue
		}
		for _, c := range e.Fleet.couples() {
			target, ok := c.partner(p.Service)
			if !ok || !c.warm {
				continue
			}
			pair, err := e.pair(ctx, c)
			switch {
			case illegible(err):
				e.Log.ErrorContext(ctx, "the record of the pair cannot be read; its standby is not kept up to date", "pair", c.name(), "error", err)
				continue
			case err != nil:
				return err
			case !pair.IsActive(p.Service) || pair.Suspended || pair.BusyBy != "":
				continue
			}
			if displaced, err := e.displaced(ctx, p.Service, c); err != nil {
				return err
			} else if displaced != nil {
				continue
			}
			now := e.Now()
			d := draft{
				intent: dr.Intent{Kind: dr.KindRestore, Source: e.Fleet.named(p.Service), Target: target, Point: dr.Latest, Auto: true},
				role:   dr.Follow, couple: c,
			}
			r := Request{RequestedBy: "warm standby of " + p.Service, Traceparent: op.Traceparent}
			if _, err := e.createOnce(ctx, e.newRecovery(dr.WarmID(target.Name, p), d, dr.TriggerBackup, r, now), now); err != nil && !errors.Is(err, ErrExists) {
				return err
			}
		}
	}
	return nil
}
