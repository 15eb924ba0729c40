// Package engine carries out what dr decides: load the record, step, save, do the one action, step again with its answer. A message is
// only a knock at a record, so the functions of both queues, of their dead letters and the watchdog lead to the same loop.
package engine

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/trace"
)

// Engine is the product without its edges. All fields but Tags must be set.
type Engine struct {
	Store    Store
	Vault    Vault
	ARM      ARM
	Gateways Gateways
	Bus      Bus
	Fleet    Fleet
	// Tags adds the services that have the tag of a plan; nil: the fleet is all there is.
	Tags   *Tags
	Timing dr.Timing
	// APIVersion is the ARM api-version in use, held against what a service accepts.
	APIVersion string
	Now        func() time.Time
	// Nonce returns a new unguessable string; it marks the writes of an invocation and makes the ids of operations that have no natural key.
	Nonce func() string
	Log   *slog.Logger
}

// Knock takes the operation as far as it goes without waiting. A nil error completes the message: what is left to do is in a message that
// was sent. An error means that not even that could be done, and the message shall be delivered again.
func (e *Engine) Knock(ctx context.Context, w dr.Wake) error {
	return e.run(ctx, dr.Input{Wake: w})
}

// Bury is Knock for a message found in a dead-letter queue; why tells what it was and how it died.
func (e *Engine) Bury(ctx context.Context, w dr.Wake, why *dr.Error) error {
	return e.run(ctx, dr.Input{Wake: w, Buried: true, Answer: dr.Answer{Error: why}})
}

func (e *Engine) run(ctx context.Context, knock dr.Input) error {
	ctx = trace.Annotate(ctx, trace.KeyOperation, knock.Wake.ID)
	op, etag, err := e.Store.Operation(ctx, knock.Wake.ID)
	if err != nil {
		return e.unread(ctx, knock, err)
	}
	if !e.believes(knock.Wake, op) {
		e.Log.WarnContext(ctx, "a message names a Location that is not this operation's; the stored one is used")
		knock.Wake.Location = ""
	}
	if knock.Wake.Lease.After(e.Now().Add(longestLease)) { // it would keep the watchdog away
		knock.Wake.Lease = time.Time{}
	}
	knock.Nonce = e.Nonce()
	in, saved := knock, op // op may be ahead of what is saved: see Brief
	for err == nil {
		ctx = about(ctx, op)
		next, act := dr.Step(e.Timing, op, in, e.Now())
		if !act.Brief(next) && !reflect.DeepEqual(next, saved) {
			next.Rev, next.Writer = saved.Rev+1, knock.Nonce
			etag, err = e.Store.SaveOperation(ctx, next, etag)
			if errors.Is(err, ErrConflict) { // another invocation was here: its record, from the top
				var now dr.Operation
				if now, etag, err = e.Store.Operation(ctx, op.ID); err != nil {
					break // in stays: the answer to our POST travels in the next wake
				}
				if op, saved = now, now; in.To != dr.Start || op.Phase != dr.Starting || op.Leg().Claim.Nonce != knock.Nonce {
					in = knock // only the answer to our own POST is still worth hearing
				}
				continue
			}
			if err != nil {
				break
			}
			e.told(ctx, saved, next)
			saved = next
		}
		op = next
		if in, err = e.do(ctx, op, act, knock); err == nil && in.To == dr.Nothing {
			return nil
		}
	}
	w := knock.Wake
	if op.Epoch != w.Epoch { // our own step has begun a new epoch: a wake of the old one would be ignored
		w.Epoch, w.N = op.Epoch, 0
	}
	if in.To == dr.Start && in.Verdict == dr.Still { // the one fact that must not be lost with the save
		w.Leg, w.Attempt, w.Location = op.Step, op.Leg().Attempt, in.Location
	}
	return e.later(ctx, w, err)
}

// longestLease is longer than any that this program gives.
const longestLease = 48 * time.Hour

// believes tells whether a Location in a message may be followed: anybody who can send to a queue could have written it.
func (e *Engine) believes(w dr.Wake, op dr.Operation) bool {
	return w.Location == "" || e.ARM.Trusts(w.Location) && !w.Foreign(op.Leg().ResourceID)
}

// about returns a context whose log lines, messages and ARM calls belong to the operation and its trace.
func about(ctx context.Context, op dr.Operation) context.Context {
	return trace.Annotate(trace.With(ctx, op.Traceparent), trace.KeyOperation, op.ID, trace.KeyService, op.Service)
}

// do carries out one action. A dependency that cannot be reached is an error; the answers of ARM and of storage, whatever they are, go to Step.
func (e *Engine) do(ctx context.Context, op dr.Operation, act dr.Action, knock dr.Input) (dr.Input, error) {
	in := dr.Input{To: act.Do, Wake: knock.Wake, Nonce: knock.Nonce}
	var err error
	switch act.Do {
	case dr.Lock:
		in.Answer, err = e.lock(ctx, op, knock)
	case dr.Await:
		in.Answer = e.await(ctx, op)
	case dr.Prepare:
		in.Answer = e.prepare(ctx, op)
	case dr.Start:
		in.Answer = e.start(ctx, op)
	case dr.Check:
		in.Answer = e.ARM.Check(ctx, act.Location)
	case dr.Look:
		in.Answer = e.look(ctx, op)
	case dr.Verify:
		in.Answer = e.verify(ctx, op)
	case dr.Yield:
		if err = e.Store.Yield(ctx, op.Service, op.ID, knock.Nonce); err == nil {
			err = e.sleep(ctx, op, act, knock.Wake)
		}
		return dr.Input{}, err
	case dr.Sleep:
		return dr.Input{}, e.sleep(ctx, op, act, knock.Wake)
	case dr.Finish:
		return dr.Input{}, e.finish(ctx, op)
	}
	if in.Verdict != "" {
		e.Log.DebugContext(ctx, "answer", "action", act.Do, "verdict", in.Verdict, "reason", in.Reason)
	}
	return in, err
}

// told writes one line for each phase an operation enters.
func (e *Engine) told(ctx context.Context, before, after dr.Operation) {
	if before.Phase == after.Phase && before.Step == after.Step {
		return
	}
	leg := after.Leg()
	args := []any{"phase", after.Phase, "attempt", leg.Attempt}
	if after.Phase == dr.Done {
		args = append(args, "kind", after.Kind, "outcome", after.Outcome, "seconds", after.EndedAt.Sub(after.CreatedAt).Seconds())
		if after.Error != nil {
			args = append(args, "code", after.Error.Code, "reason", after.Error.Message)
		}
	}
	e.Log.InfoContext(ctx, "phase", args...)
}
