package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"apim-dr/internal/dr"
)

// Backup creates a backup operation for an HTTP call and enqueues it. The same key with the same body is the same operation. ErrUnknownService,
// ErrKeyReused; after any other error the caller does not know whether it was accepted, and a key makes asking again safe.
func (e *Engine) Backup(ctx context.Context, r Request) (dr.Operation, error) {
	now := e.Now()
	m, ok := e.fleet().member(r.Service)
	if !ok {
		return dr.Operation{}, fmt.Errorf("%w: %q; it has %s", ErrUnknownService, r.Service, e.fleet().names())
	}
	if m.drilled {
		return dr.Operation{}, &Invalid{Field: "service", Detail: fmt.Sprintf("%s is a drill instance: a backup of it would be of whatever was drilled last", m.Name)}
	}
	return e.createFor(ctx, r, e.newBackup(dr.NewID(dr.KindBackup, now, "http", e.Nonce()), m, dr.TriggerHTTP, r, now))
}

// createFor creates op for a request, or finds the operation that the request's Idempotency-Key stands for.
func (e *Engine) createFor(ctx context.Context, r Request, op dr.Operation) (dr.Operation, error) {
	if r.KeyHash == "" {
		return e.create(ctx, op, op.CreatedAt)
	}
	claim, err := e.Store.Remember(ctx, r.KeyHash, Claim{Operation: op.ID, BodyHash: r.BodyHash})
	if err == nil {
		err = claim.fits(r)
	}
	if err != nil {
		return dr.Operation{}, err
	}
	op.ID = claim.Operation
	return e.createOnce(ctx, op, op.CreatedAt)
}

func (c Claim) fits(r Request) error {
	if c.BodyHash != r.BodyHash {
		return fmt.Errorf("%w; it belongs to operation %s", ErrKeyReused, c.Operation)
	}
	return nil
}

func (e *Engine) newBackup(id string, m member, trigger dr.Trigger, r Request, now time.Time) dr.Operation {
	return dr.Operation{
		V: dr.Version, Rev: 1, Writer: e.Nonce(), ID: id, Kind: dr.KindBackup, Service: m.Name, Plan: m.plan.Name, Trigger: trigger,
		RequestedBy: r.RequestedBy, Reason: r.Reason, Ticket: r.Ticket, Traceparent: r.Traceparent,
		CreatedAt: now, NotAfter: now.Add(e.Timing.StartWithin), Phase: dr.Queued,
		Legs: []dr.Leg{{Verb: dr.VerbBackup, Service: m.Name, ResourceID: m.ResourceID, Storage: m.plan.Storage, Within: dr.Duration(m.plan.Within)}},
	}
}

// createOnce is create for an id that may have been used before.
func (e *Engine) createOnce(ctx context.Context, op dr.Operation, start time.Time) (dr.Operation, error) {
	was, _, err := e.Store.Operation(ctx, op.ID)
	switch {
	case errors.Is(err, ErrNotFound):
		return e.create(ctx, op, start)
	case err != nil:
		return dr.Operation{}, err
	case was.Phase == dr.Queued && was.Leg().Attempt == 0 && e.Now().Sub(was.CreatedAt) < e.Timing.Lease:
		// Perhaps killed before its first wake. Later than that it is the watchdog's: a first wake sent again beside one that lives
		// would be a second chain of wakes.
		e.wakeFirst(about(ctx, was), firstWake(was, time.Time{}), start)
	}
	return was, nil
}

// wakeFirst sends the first wake. The operation is accepted already, so that a failure is the watchdog's to mend.
func (e *Engine) wakeFirst(ctx context.Context, w dr.Wake, start time.Time) {
	if err := e.Bus.Wake(ctx, w, Operations, start); err != nil {
		e.Log.WarnContext(ctx, "the first wake could not be sent; the watchdog will", "error", err)
	}
}

// create writes marker, record and first wake, in this order: a marker without a record is swept up, a record without a wake is healed. From the
// record on the operation is accepted, whatever becomes of the wake.
func (e *Engine) create(ctx context.Context, op dr.Operation, start time.Time) (dr.Operation, error) {
	ctx = about(ctx, op)
	w := firstWake(op, start.Add(e.Timing.Lease))
	if err := e.Store.Mark(ctx, w); err != nil {
		return dr.Operation{}, err
	}
	if _, err := e.Store.CreateOperation(ctx, op); errors.Is(err, ErrExists) { // a twin was quicker
		was, _, err := e.Store.Operation(ctx, op.ID)
		return was, err
	} else if err != nil {
		return dr.Operation{}, err
	}
	e.wakeFirst(ctx, w, start)
	e.Log.InfoContext(ctx, "created", "kind", op.Kind, "trigger", op.Trigger, "start", start)
	return op, nil
}

// firstWake is the first of the operation's epoch. A lease is the marker's, which is not moved while that of the wake lasts; zero: it is not known.
func firstWake(op dr.Operation, lease time.Time) dr.Wake {
	return dr.Wake{V: dr.Version, ID: op.ID, Epoch: op.Epoch, Lease: lease}
}
