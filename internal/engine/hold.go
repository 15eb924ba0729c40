package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"apim-dr/internal/dr"
)

// HoldRequest asks for a hold.
type HoldRequest struct {
	Service string // an instance of the fleet, in any role
	Until   time.Time
	Reason  string
	By      string
}

// Holding is a hold with the one that it has replaced; zero: none was in force.
type Holding struct {
	dr.Held
	Replaced dr.Hold `json:"replaced,omitzero"`
}

// Hold keeps what begins by itself away from an instance; a hold that is there is replaced. ErrUnknownService, *Invalid.
func (e *Engine) Hold(ctx context.Context, r HoldRequest) (Holding, error) {
	now := e.Now()
	if !r.Until.After(now) || r.Until.After(now.Add(dr.LongestHold)) {
		return Holding{}, &Invalid{Field: "until", Detail: fmt.Sprintf("accepted: a time to come, %d days ahead at most (a backup can be restored for as long), such as %s",
			dr.LongestHold/(24*time.Hour), now.Add(2*time.Hour).UTC().Format(time.RFC3339))}
	}
	h, err := e.setHold(ctx, r.Service, dr.Hold{Until: r.Until.UTC(), Reason: r.Reason, By: r.By, At: now})
	if err == nil {
		e.Log.WarnContext(ctx, "held: no scheduled backup or drill and no warm sync begins", "about", h.Service, "until", h.Until, "by", r.By, "reason", r.Reason)
	}
	return h, err
}

// Release ends the hold in force and tells which; zero: there was none. ErrUnknownService.
func (e *Engine) Release(ctx context.Context, service, by, reason string) (dr.Held, error) {
	h, err := e.setHold(ctx, service, dr.Hold{})
	if err == nil {
		e.Log.InfoContext(ctx, "the hold is released", "about", h.Service, "by", by, "reason", reason)
	}
	return dr.Held{Service: h.Service, Hold: h.Replaced}, err
}

func (e *Engine) setHold(ctx context.Context, service string, h dr.Hold) (Holding, error) {
	m, ok := e.fleet().member(service)
	if !ok {
		return Holding{}, fmt.Errorf("%w: %q; it has %s", ErrUnknownService, service, e.fleet().members())
	}
	done := Holding{Held: dr.Held{Service: m.Name, Hold: h}}
	err := e.Store.MergeService(ctx, m.Name, func(s dr.ServiceState) (dr.ServiceState, bool) {
		if s.Hold == h { // also by our own write, whose answer was lost: what that has replaced is known
			return s, false
		}
		if done.Replaced = s.Hold; !s.Hold.Keeps(e.Now()) {
			done.Replaced = dr.Hold{}
		}
		s.Hold = h
		return s, true
	})
	return done, err
}

// held is the hold in force that keeps an operation away longest: of what it works on, or of whose recovery points it restores. Zero: none does. ErrNewer:
// a newer version has kept something there; what cannot be read at all holds nothing back, as everywhere.
func (e *Engine) held(ctx context.Context, op dr.Operation) (dr.Held, error) {
	var longest dr.Held
	for _, name := range []string{op.Service, op.Source()} {
		if name == "" {
			continue
		}
		s, err := e.Store.Service(ctx, name)
		switch {
		case errors.Is(err, ErrUnreadable):
			e.Log.ErrorContext(ctx, "what is remembered of a service cannot be read: whether it is held is not known", "about", name, "error", err)
		case err != nil && !errors.Is(err, ErrNotFound):
			return longest, err
		}
		if s.Hold.Keeps(e.Now()) && s.Hold.Until.After(longest.Until) {
			longest = dr.Held{Service: name, Hold: s.Hold}
		}
	}
	return longest, nil
}

// windows are those in which an operation that nobody asked for does not begin. A drill leaves production alone.
func (e *Engine) windows(op dr.Operation) []dr.Window {
	if op.Kind == dr.KindDrill {
		return nil
	}
	m, _ := e.fleet().member(cmp.Or(op.Source(), op.Service))
	return m.plan.NotDuring
}

// begin is when an operation that nobody asked for begins: offset from now, or after the windows of its plan; false when these last until the next one is
// due. Whether a hold keeps it away is asked then (notNow).
func (e *Engine) begin(op dr.Operation, offset time.Duration, next time.Time) (turn, bool) {
	start, ok := dr.Begin(op.CreatedAt, offset, e.windows(op), next)
	op.NotAfter = start.Add(e.Timing.StartWithin)
	return turn{op, start}, ok
}

// patience is until when an operation that a hold keeps away may begin: it gets as much time after the hold as it has without one, but no scheduled one waits
// past the next. A standby is brought up to date by the next backup anyway: it gets no more.
func (e *Engine) patience(op dr.Operation, held dr.Held) time.Time {
	last := held.Until.Add(e.Timing.StartWithin)
	if !last.After(op.NotAfter) || op.Trigger == dr.TriggerBackup {
		return op.NotAfter
	}
	if next := e.nextOf(op); !next.IsZero() && last.After(next) {
		return next
	}
	return last
}

// nextOf is when the schedule that has made an operation makes another one; zero: none has, or there is none any more.
func (e *Engine) nextOf(op dr.Operation) time.Time {
	if op.Trigger != dr.TriggerTimer {
		return time.Time{}
	}
	for _, j := range e.jobs() {
		if j.kind == op.Kind && (op.Kind == dr.KindDrill || j.name == op.Plan) {
			return j.schedule.Next(dr.DueTick(j.schedule, op.CreatedAt))
		}
	}
	return time.Time{}
}

// holdLook is after how long a hold is looked at again: it may have been released.
const holdLook = 15 * time.Minute

// notNow tells of an operation that nobody in particular asked for whether a hold or a window keeps it from beginning. It is asked under the lock, so that
// of a hold and a beginning at the same time either the beginning sees the hold, or who holds sees the lock (Busy).
func (e *Engine) notNow(ctx context.Context, op dr.Operation) (dr.Answer, error) {
	if !op.Automatic() {
		return dr.Answer{}, nil
	}
	held, err := e.held(ctx, op)
	if err != nil && !errors.Is(err, ErrNewer) {
		return dr.Answer{}, err
	}
	now := e.Now()
	a := dr.Answer{Verdict: dr.Later, Held: true, NotAfter: op.NotAfter}
	free := dr.Outside(e.windows(op), now)
	switch {
	case err != nil:
		a.Reason, a.Retry = "whether it is held cannot be read: "+err.Error(), holdLook
	case held.Keeps(now):
		a.Reason, a.Retry, a.NotAfter = held.String(), min(held.Until.Sub(now), holdLook), e.patience(op, held)
	case !free.Equal(now):
		a.Reason, a.Retry = "notDuring of its plan lasts until "+free.Format(time.RFC3339), free.Sub(now)
	default:
		return dr.Answer{}, nil
	}
	a.Retry = min(a.Retry, a.NotAfter.Sub(now)+time.Second)
	return a, nil
}
