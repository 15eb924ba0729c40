package engine

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"apim-dr/internal/dr"
)

// sleep sends the next wake. The marker's lease is moved only when it would end before that wake is due: most polls write nothing.
func (e *Engine) sleep(ctx context.Context, op dr.Operation, act dr.Action, w dr.Wake) error {
	next := w.Next(op, act)
	if !next.Lease.After(act.At) {
		next.Lease = act.At.Add(e.Timing.Lease)
		if err := e.beat(ctx, next); err != nil {
			return err
		}
	}
	return e.Bus.Wake(ctx, next, queueOf(op), act.At)
}

// beat moves the lease of the marker, or makes the marker anew.
func (e *Engine) beat(ctx context.Context, w dr.Wake) error {
	err := e.Store.Beat(ctx, w)
	if errors.Is(err, ErrNotFound) {
		err = e.Store.Mark(ctx, w)
	}
	return err
}

func queueOf(op dr.Operation) Queue {
	if op.Phase == dr.Running || op.Phase == dr.Verifying {
		return Polls
	}
	return Operations
}

// sendBudget bounds the last send of an invocation whose own time may be over.
const sendBudget = 15 * time.Second

// unread ends an invocation whose operation could not be loaded.
func (e *Engine) unread(ctx context.Context, knock dr.Input, cause error) error {
	w := knock.Wake
	switch {
	case errors.Is(cause, ErrNotFound) && knock.Buried:
		e.Log.ErrorContext(ctx, "a dead letter for an operation that does not exist is quarantined", "error", cause)
		return e.quarantineWake(ctx, w, knock.Error.String())
	case errors.Is(cause, ErrNotFound):
		e.Log.WarnContext(ctx, "a message for an operation that does not exist is dropped", "error", cause)
		return nil
	case errors.Is(cause, ErrUnreadable):
		e.Log.ErrorContext(ctx, "the record of an operation cannot be read; its message is quarantined", "error", cause)
		return e.quarantineWake(ctx, w, "Unreadable: "+cause.Error())
	}
	return e.later(ctx, w, cause)
}

// later ends an invocation that could not go on: something was out of reach, or is not ours to read.
func (e *Engine) later(ctx context.Context, w dr.Wake, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendBudget)
	defer cancel()
	at := e.Now().Add(e.Timing.Outage(w.Try))
	e.Log.WarnContext(ctx, "cannot go on now; trying again later", "at", at, "error", cause)
	w.Try++
	if !w.Lease.After(at) {
		w = e.tryBeat(ctx, w, at.Add(e.Timing.Lease))
	}
	queue := Operations
	if w.Location != "" {
		queue = Polls
	}
	if err := e.Bus.Wake(ctx, w, queue, at); err != nil {
		return errors.Join(cause, err)
	}
	return nil
}

// tryBeat moves the lease, and returns w with it, if that can be done in a third of the time: the send that follows matters more. It may be the store
// that is out of reach: then the watchdog wakes the operation once too often.
func (e *Engine) tryBeat(ctx context.Context, w dr.Wake, lease time.Time) dr.Wake {
	ctx, cancel := context.WithTimeout(ctx, sendBudget/3)
	defer cancel()
	moved := w
	moved.Lease = lease
	if err := e.beat(ctx, moved); err != nil {
		e.Log.DebugContext(ctx, "the lease could not be moved", "error", err)
		return w
	}
	return moved
}

func (e *Engine) quarantineWake(ctx context.Context, w dr.Wake, reason string) error {
	content, err := json.Marshal(w)
	if err != nil {
		return err
	}
	return e.Store.Quarantine(ctx, content, reason)
}
