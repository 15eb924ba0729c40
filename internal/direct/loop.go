package direct

import (
	"context"
	"errors"
	"fmt"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// ErrStuck says that an operation cannot be followed to its end: its record tells how far it came.
var ErrStuck = errors.New("the operation cannot be followed any further")

// As the Functions host and Service Bus do it: a failed message comes again, ten times in all.
const (
	again = 2 * time.Second
	most  = 10
)

// Loop takes one operation to its end.
type Loop struct {
	Engine *engine.Engine // its Bus is Bus
	Bus    *Bus
	// Saw is told the record after each delivery, and when the next one is due: zero when none is. Of a failover it is told the final backup's as well.
	Saw func(op dr.Operation, next time.Time)
}

// Run delivers the wakes of an operation, and of the final backup that it may wait for, until its event is published. What else the engine would begin,
// such as bringing another warm standby up to date, is left alone: nobody asked for it. When ctx ends, Run returns the cause; a step that is at work
// then is finished before, since a POST must not be cut short.
func (l Loop) Run(ctx context.Context, op dr.Operation) (dr.Event, error) {
	ids := []string{op.ID, dr.FinalID(op)}
	for {
		if e, ok := l.Bus.Event(op.ID); ok {
			return e, nil
		}
		at, ok := l.Bus.due(ids)
		if !ok {
			return dr.Event{}, fmt.Errorf("%w: it waits for nothing", ErrStuck)
		}
		if err := wait(ctx, at.Sub(l.Engine.Now())); err != nil {
			return dr.Event{}, err
		}
		m := l.Bus.take(ids)
		if err := l.deliver(ctx, m.wake); err != nil {
			if m.tries++; m.tries >= most {
				return dr.Event{}, fmt.Errorf("%w: %w", ErrStuck, err)
			}
			m.at = l.Engine.Now().Add(again)
			l.Bus.put(m)
		}
		l.tell(ctx, m.wake.ID)
	}
}

func (l Loop) deliver(ctx context.Context, w dr.Wake) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.Engine.Timing.Invocation)
	defer cancel()
	return l.Engine.Knock(ctx, w)
}

func (l Loop) tell(ctx context.Context, id string) {
	op, _, err := l.Engine.Store.Operation(context.WithoutCancel(ctx), id)
	if err != nil || l.Saw == nil {
		return
	}
	next, _ := l.Bus.due([]string{id})
	l.Saw(op, next)
}

// wait returns after d, or with the cause of ctx's end.
func wait(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil || d <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
