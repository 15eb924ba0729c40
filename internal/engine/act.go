package engine

import (
	"context"
	"errors"
	"fmt"

	"apim-dr/internal/dr"
)

// lock ensures the marker, with a lease so long that the watchdog keeps still during the POST, and takes the service's lock.
func (e *Engine) lock(ctx context.Context, op dr.Operation, knock dr.Input) (dr.Answer, error) {
	if w, now := knock.Wake, e.Now(); w.Lease.Before(now.Add(e.Timing.Lease / 2)) { // else it was marked when this wake was sent
		w.Lease = now.Add(e.Timing.Lease)
		if err := e.beat(ctx, w); err != nil {
			return dr.Answer{}, err
		}
	}
	locked, err := e.Store.Lock(ctx, op.Service, op.ID, knock.Nonce)
	holder := locked.Holder
	if err == nil && holder != op.ID {
		holder, err = e.inherit(ctx, op, holder, knock.Nonce)
	}
	if illegible(err) {
		return dr.Answer{Verdict: dr.Later, Reason: "its lock cannot be read: " + err.Error()}, nil
	}
	if err != nil {
		return dr.Answer{}, err
	}
	if holder != op.ID {
		return e.behind(ctx, op, holder)
	}
	a, err := e.admit(ctx, op)
	a.LockETag = locked.ETag
	return a, err
}

// behind is where an operation stands that does not have the lock. An urgent one follows a restore of the same point that already runs, or is
// next in line.
func (e *Engine) behind(ctx context.Context, op dr.Operation, holder string) (dr.Answer, error) {
	wait := dr.Answer{Verdict: dr.Later, Reason: "operation " + holder + " is at work on the service"}
	if op.Recovery == nil || !op.Recovery.Urgent {
		return wait, nil
	}
	other, _, err := e.Store.Operation(ctx, holder)
	if err != nil && !illegible(err) && !errors.Is(err, ErrNotFound) {
		return dr.Answer{}, err
	}
	// Also when it follows: whoever had the lock next would work on the service before this operation has seen that it is well again.
	if err := e.Store.Reserve(ctx, op.Service, holder, op.ID); err != nil {
		return dr.Answer{}, err
	}
	if err != nil || !dr.Same(op, other) {
		return wait, nil
	}
	a, err := e.admit(ctx, op)
	if a.Held = false; err == nil && a.Verdict == dr.OK {
		leg := other.Leg()
		a = dr.Answer{Verdict: dr.Still, Adopted: other.ID, Location: leg.Location, PostedAt: leg.PostedAt, Service: leg.Before}
	}
	return a, err
}

// inherit takes the lock over from an operation that is done, or that has no record: one that is at work has a record, for it was read before the lock was taken.
func (e *Engine) inherit(ctx context.Context, op dr.Operation, holder, invocation string) (string, error) {
	other, _, err := e.Store.Operation(ctx, holder)
	switch {
	case errors.Is(err, ErrNotFound), err == nil && other.Phase == dr.Done:
		return e.Store.TakeOver(ctx, op.Service, holder, op.ID, invocation)
	case err == nil, illegible(err):
		return holder, nil
	}
	return "", err
}

// prepare looks, under the lock, whether the service is there, idle and able.
func (e *Engine) prepare(ctx context.Context, op dr.Operation) dr.Answer {
	if op.Leg().Verb == dr.VerbRestore {
		return e.prepareRestore(ctx, op)
	}
	a := e.ARM.Service(ctx, op.Leg().ResourceID)
	if a.Verdict != dr.OK {
		return a
	}
	if refusal := dr.SupportsBackup(a.Service); refusal != nil && !op.Overrides("tier") {
		return dr.Answer{Verdict: dr.No, Error: refusal}
	}
	if refusal := dr.AcceptsVersion(a.Service, e.APIVersion); refusal != nil && !op.Overrides("apiVersion") {
		return dr.Answer{Verdict: dr.No, Error: refusal}
	}
	if !a.Service.Idle() {
		return dr.Answer{Verdict: dr.Later, Reason: "the service is " + a.Service.State}
	}
	return a
}

// start POSTs within the claim's window. Whoever comes later than that has lost the right to.
func (e *Engine) start(ctx context.Context, op dr.Operation) dr.Answer {
	leg := op.Leg()
	left := leg.Claim.Until.Sub(e.Now())
	if left <= 0 {
		return dr.Answer{Verdict: dr.Later, Reason: "the invocation was too slow for its POST"}
	}
	ctx, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	return e.ARM.Start(ctx, *leg, op.Blob())
}

// look collects what shows from outside of an operation that ARM cannot tell about.
func (e *Engine) look(ctx context.Context, op dr.Operation) dr.Answer {
	leg := op.Leg()
	a := e.ARM.Service(ctx, leg.ResourceID)
	if a.Verdict != dr.OK {
		a.Verdict = dr.Later // a refusal to show the service proves nothing about the operation
		return a
	}
	blob, err := e.Vault.Head(ctx, leg.Storage, op.Blob())
	if err != nil && leg.Verb == dr.VerbBackup { // of a restore it tells nothing
		return dr.Answer{Verdict: dr.Later, Reason: err.Error()}
	}
	a.Blob = blob
	return a
}

// verify looks for the result that ARM announced. Of a backup that is its blob; the state of the service is a note only: somebody else may have
// changed it since.
func (e *Engine) verify(ctx context.Context, op dr.Operation) dr.Answer {
	leg := op.Leg()
	if leg.Verb == dr.VerbRestore {
		a := e.verifyRestore(ctx, leg.ResourceID)
		if a.Verdict == dr.OK {
			a.Note = e.meanwhile(ctx, op)
		}
		return a
	}
	blob, err := e.Vault.Head(ctx, leg.Storage, op.PointID())
	if err != nil {
		return dr.Answer{Verdict: dr.Later, Reason: err.Error()}
	}
	where := fmt.Sprintf("%s/%s/%s", leg.Storage.Account, leg.Storage.Container, op.PointID())
	switch {
	case !blob.Exists:
		return dr.Answer{Verdict: dr.No, Error: dr.Failure("BackupBlobMissing", "ARM called the backup finished, but the blob "+where+" is not there")}
	case blob.Bytes == 0:
		return dr.Answer{Verdict: dr.No, Error: dr.Failure("BackupBlobEmpty", "ARM called the backup finished, but the blob "+where+" is empty")}
	}
	return dr.Answer{Verdict: dr.OK, Blob: blob, Service: e.ARM.Service(ctx, leg.ResourceID).Service}
}
