package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"apim-dr/internal/dr"
)

// meanwhile is a note about what was reported while an operation restored; "": nothing was.
func (e *Engine) meanwhile(ctx context.Context, op dr.Operation) string {
	p, err := e.Store.Pending(ctx, op.Service)
	if err != nil || p.Restoring != op.ID || p.Meanwhile == 0 {
		return ""
	}
	return fmt.Sprintf("%d changes of %s were reported while it was restored; most are the restore itself, others are lost or mixed with it", p.Meanwhile, op.Service)
}

// settleChanges marks the recovery points of an operation that changes were reported of while they were made, and forgets what was counted during a restore.
func (e *Engine) settleChanges(ctx context.Context, op dr.Operation) (dr.Operation, error) {
	p, err := e.Store.Pending(ctx, op.Service)
	if err != nil && !errors.Is(err, ErrNotFound) && !illegible(err) {
		return op, err
	}
	if p.Restoring == op.ID {
		if err := e.forgetRestore(ctx, op.Service, op.ID); err != nil {
			return op, err
		}
	}
	points := dr.Points(op)
	if len(points) == 0 {
		return op, nil
	}
	changed := slices.DeleteFunc(points, func(point dr.RecoveryPoint) bool { return !p.Within(point.CreatedAt, point.EndedAt) })
	for _, point := range changed {
		if err := e.Store.MarkChanged(ctx, point.Service, point.ID); err != nil && !errors.Is(err, ErrNotFound) && !illegible(err) {
			return op, err
		}
	}
	return e.recordChanged(ctx, op, changed)
}

// recordChanged writes into the record which recovery points were marked, as long as the operation has the lock. After that its event may have been sent,
// which has to say the same when it is sent again, whatever is reported late or was followed up and forgotten since.
func (e *Engine) recordChanged(ctx context.Context, op dr.Operation, changed []dr.RecoveryPoint) (dr.Operation, error) {
	holder, err := e.Store.Holder(ctx, op.Service)
	if err != nil && !illegible(err) {
		return op, err
	}
	op, etag, err := e.Store.Operation(ctx, op.ID) // another invocation may have been here
	if err != nil || holder != op.ID {
		return op, err
	}
	news := false
	for _, point := range changed {
		leg := &op.Legs[point.Leg]
		news = news || !leg.Changed
		leg.Changed = true
	}
	if news {
		op.Rev, op.Writer = op.Rev+1, e.Nonce()
		_, err = e.Store.SaveOperation(ctx, op, etag)
	}
	return op, err
}

// forgetRestore forgets what was counted during a restore.
func (e *Engine) forgetRestore(ctx context.Context, service, restore string) error {
	return e.Store.MergePending(ctx, service, func(p dr.Pending) (dr.Pending, bool) {
		ours := p.Restoring == restore
		if ours {
			p.Restoring, p.Meanwhile = "", 0
		}
		return p, ours
	})
}
