package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"apim-dr/internal/dr"
)

// Busy tells whether an instance may be worked on, for example deployed to.
type Busy struct {
	Service string `json:"service"`
	// Busy: an operation of ours has its lock, Resource Manager shows that somebody changes it, or one of the two could not be seen.
	Busy      bool     `json:"busy"`
	Why       []string `json:"why,omitempty"`
	Operation *Holder  `json:"operation,omitempty"` // has the lock
	// State is what Resource Manager shows (provisioningState), or "unknown".
	State string `json:"state"`
	// NextBackup is when the next scheduled one begins; zero: no schedule backs the instance up, or a hold or notDuring keeps it away.
	NextBackup time.Time `json:"nextBackup,omitzero"`
	Hold       dr.Hold   `json:"hold,omitzero"` // in force
}

// Holder is an operation that has a lock.
type Holder struct {
	ID    string   `json:"id"`
	Kind  dr.Kind  `json:"kind,omitempty"`
	Phase dr.Phase `json:"phase,omitempty"`
}

// unknownState is told in the place of what Resource Manager could not be asked.
const unknownState = "unknown"

// Busy looks at the lock of an instance and at the instance itself. The cost does not depend on what is in flight or was. ErrUnknownService.
func (e *Engine) Busy(ctx context.Context, service string) (Busy, error) {
	m, ok := e.fleet().member(service)
	if !ok {
		return Busy{}, fmt.Errorf("%w: %q; it has %s", ErrUnknownService, service, e.fleet().members())
	}
	b := Busy{Service: m.Name, State: unknownState}
	state, err := e.Store.Service(ctx, m.Name)
	switch {
	case illegible(err):
		b.Busy, b.Why = true, append(b.Why, "whether it is held cannot be read: "+err.Error())
	case err != nil && !errors.Is(err, ErrNotFound):
		return Busy{}, err
	}
	if err := e.locked(ctx, &b); err != nil {
		return Busy{}, err
	}
	now := e.Now()
	if state.Hold.Keeps(now) {
		b.Hold = state.Hold
	}
	if _, listed := e.fleet().service(m.Name); listed {
		b.NextBackup = e.nextBackup(m, b.Hold.Until, now)
	}
	switch a := e.seen(ctx, func(ctx context.Context) dr.Answer { return e.ARM.Service(ctx, m.ResourceID) }); {
	case a.Verdict != dr.OK:
		b.Busy, b.Why = true, append(b.Why, "Resource Manager does not show it: "+a.Why())
	default:
		if b.State = a.Service.State; !a.Service.Idle() {
			b.Busy = true
			b.Why = append(b.Why, "Resource Manager shows it "+b.State)
		}
	}
	return b, nil
}

// nextBackup is when the next scheduled backup begins: that of the last tick, if it still has to, or that of the next one. A hold keeps it away until it
// ends. Zero: a hold or notDuring keeps it away until the one after is due.
func (e *Engine) nextBackup(m member, held, now time.Time) time.Time {
	for _, due := range []time.Time{m.plan.Schedule.Last(now), m.plan.Schedule.Next(now)} {
		next := m.plan.Schedule.Next(due)
		at, ok := dr.Begin(due, e.offset(m.plan, m.Name), m.plan.NotDuring, next)
		if !ok || !at.After(now) {
			continue
		}
		if at.Before(held) {
			at = dr.Outside(m.plan.NotDuring, held)
		}
		if at.Before(next) {
			return at
		}
	}
	return time.Time{}
}

// locked fills in who has the lock.
func (e *Engine) locked(ctx context.Context, b *Busy) error {
	id, err := e.Store.Holder(ctx, b.Service)
	switch {
	case illegible(err):
		b.Busy, b.Why = true, append(b.Why, "its lock cannot be read: "+err.Error())
		return nil
	case err != nil || id == "":
		return err
	}
	op, _, err := e.Store.Operation(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound), err == nil && op.Phase == dr.Done: // the lock is the next one's to take
		return nil
	case err != nil && !illegible(err):
		return err
	}
	b.Busy, b.Operation = true, &Holder{ID: id, Kind: op.Kind, Phase: op.Phase}
	b.Why = append(b.Why, "operation "+id+" is at work on it")
	return nil
}
