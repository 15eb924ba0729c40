package engine

import (
	"context"
	"errors"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/trace"
)

// Watch is one pass of the watchdog: it wakes operations that fell silent, frees locks of operations that are done, and sends ticks that were
// missed. It looks at what is in flight only, whatever the history. One failure does not hide the others.
func (e *Engine) Watch(ctx context.Context) error {
	errs := []error{e.discover(ctx)}
	markers, err := e.Store.Markers(ctx)
	errs = append(errs, err)
	for _, m := range markers {
		if e.Now().After(m.Wake.Lease.Add(e.Timing.WatchdogGrace)) {
			errs = append(errs, e.heal(ctx, m))
		}
	}
	if err == nil {
		errs = append(errs, e.freeLocks(ctx, markers))
	}
	// A plan that never ran is not started here: a new deployment would back up at once, in the middle of the day.
	errs = append(errs, e.sendTicks(ctx, e.jobs(), func(j job, due time.Time) (send bool, err error) {
		return false, e.Store.MoveTick(ctx, j.name, due)
	}))
	errs = append(errs, e.remindChanges(ctx))
	e.Log.InfoContext(ctx, "watchdog", "inFlight", len(markers))
	return errors.Join(errs...)
}

// heal wakes an operation whose lease has run out, under a new epoch: a wake that is merely late then finds itself out of date.
func (e *Engine) heal(ctx context.Context, m Marker) error {
	ctx = trace.Annotate(ctx, trace.KeyOperation, m.Wake.ID)
	op, etag, err := e.Store.Operation(ctx, m.Wake.ID)
	if err == nil {
		ctx = about(ctx, op)
	}
	switch {
	case errors.Is(err, ErrNotFound):
		if e.Now().Sub(m.CreatedAt) < e.Timing.Orphan {
			return nil // its creation may be under way
		}
		e.Log.WarnContext(ctx, "a marker without a record is removed")
		if err = e.Store.UnmarkIf(ctx, m); errors.Is(err, ErrConflict) {
			return nil
		}
		return err
	case errors.Is(err, ErrNewer):
		return nil
	case errors.Is(err, ErrUnreadable): // nothing that a machine could do; told on every pass
		e.Log.ErrorContext(ctx, "the record of an operation in flight cannot be read: see what ARM says, then delete its record, its marker and its lock", "error", err)
		return nil
	case err != nil:
		return err
	case op.Phase == dr.Done:
		e.Log.WarnContext(ctx, "an operation that is done was not finished; finishing it")
		return e.finish(ctx, op)
	}
	healed := dr.Heal(op)
	healed.Rev, healed.Writer = op.Rev+1, e.Nonce()
	if _, err = e.Store.SaveOperation(ctx, healed, etag); errors.Is(err, ErrConflict) {
		return nil // it is not silent at all
	} else if err != nil {
		return err
	}
	at := e.Now().Add(stagger(op.ID, e.Timing.Look))
	if op.Phase == dr.Starting { // a message with the answer to the POST may still wait for the end of an outage
		at = at.Add(e.Timing.OutageMost)
	}
	w := dr.Wake{V: dr.Version, ID: op.ID, Epoch: healed.Epoch, Leg: op.Step, Attempt: op.Leg().Attempt, Lease: at.Add(e.Timing.Lease)}
	if m.Wake.Belongs(op) && e.believes(m.Wake, op) {
		w.Location = m.Wake.Location
	}
	e.Log.WarnContext(ctx, "an operation fell silent; waking it", "phase", op.Phase, "epoch", healed.Epoch, "strikes", healed.Strikes)
	if err := e.beat(ctx, w); err != nil {
		return err
	}
	return e.Bus.Wake(ctx, w, queueOf(op), at)
}

// freeLocks frees the locks of operations that are done and that no marker leads to. Where one does, what is left to be done comes before that (finish).
func (e *Engine) freeLocks(ctx context.Context, markers []Marker) error {
	marked := map[string]bool{}
	for _, m := range markers {
		marked[m.Wake.ID] = true
	}
	locks, err := e.Store.Locks(ctx)
	errs := []error{err}
	for service, holder := range locks {
		if marked[holder] {
			continue
		}
		op, _, err := e.Store.Operation(ctx, holder)
		if err == nil && op.Phase == dr.Done {
			err = e.Store.Unlock(ctx, service, holder)
		}
		if err != nil && !errors.Is(err, ErrNotFound) && !illegible(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
