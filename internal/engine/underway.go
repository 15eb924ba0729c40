package engine

import (
	"context"
	"errors"
	"sync"

	"apim-dr/internal/dr"
	"apim-dr/internal/trace"
)

// UnderWay is an operation in flight.
type UnderWay struct {
	dr.Operation
	UsualSeconds float64 // what the leg at work usually takes on that instance; zero: not known
}

// InFlight lists the operations in flight in no order, limit at most, and tells how many more there are. The cost does not grow with history.
func (e *Engine) InFlight(ctx context.Context, limit int) (list []UnderWay, notShown int, err error) {
	markers, err := e.Store.Markers(ctx)
	if err != nil {
		return nil, 0, err
	}
	shown := markers[:min(limit, len(markers))]
	var mu sync.Mutex
	err = each(shown, func(m Marker) error {
		op, _, err := e.Store.Operation(ctx, m.Wake.ID)
		if errors.Is(err, ErrNotFound) || illegible(err) {
			return nil
		}
		if err != nil {
			return err
		}
		usual := e.Usual(ctx, op)
		mu.Lock()
		defer mu.Unlock()
		list = append(list, UnderWay{op, usual})
		return nil
	})
	return list, len(markers) - len(shown), err
}

// Usual is how many seconds the leg at work of an operation in flight usually takes on its instance; zero when that is not known, or it has ended.
func (e *Engine) Usual(ctx context.Context, op dr.Operation) float64 {
	leg := op.AtWork()
	if leg == nil {
		return 0
	}
	s, err := e.stateOf(ctx, leg.Service)
	if err != nil {
		e.Log.WarnContext(ctx, "what work on a service usually takes could not be read", trace.KeyOperation, op.ID, "about", leg.Service, "error", err)
	}
	return s.Usual().Of(leg.Verb)
}
