package engine

import (
	"context"
	"fmt"

	"apim-dr/internal/dr"
)

// RearmRequest says which instance serves production.
type RearmRequest struct {
	Service string // one of the pair
	dr.Rearm
	Reason string
}

// Rearm takes a person's word for which instance of a service's pair serves production. Unless it shall stay suspended, the warm standby is kept up to
// date again: the other one of the pair will be overwritten. It returns the pairs it changed. ErrUnknownService, *Invalid, *Refusal.
func (e *Engine) Rearm(ctx context.Context, r RearmRequest) ([]dr.Pair, error) {
	couples := e.fleet().couplesWith(r.Service)
	if len(couples) == 0 {
		if _, ok := e.fleet().member(r.Service); ok {
			return nil, &Invalid{Field: "name", Detail: fmt.Sprintf("%s belongs to no pair: it has no secondaries and is nobody's", r.Service)}
		}
		return nil, fmt.Errorf("%w: %q; it has %s", ErrUnknownService, r.Service, e.fleet().names())
	}
	var done []dr.Pair
	for _, c := range couples {
		if _, ok := c.partner(r.Active); !ok {
			continue
		}
		p, err := e.rearm(ctx, c, r.Rearm)
		if err != nil {
			return done, err
		}
		e.Log.InfoContext(ctx, "re-armed", "pair", p.Name, "active", p.Active, "suspended", p.Suspended, "by", r.By, "reason", r.Reason)
		done = append(done, p)
	}
	if len(done) == 0 {
		return nil, &Invalid{Field: "active", Detail: fmt.Sprintf("%q is neither %s nor one that it forms a pair with", r.Active, r.Service)}
	}
	return done, nil
}

func (e *Engine) rearm(ctx context.Context, c couple, r dr.Rearm) (dr.Pair, error) {
	k, err := e.known(ctx, c)
	if err != nil {
		return k.Pair, err
	}
	var refusal *dr.Error
	var next dr.Pair
	r.Active = e.fleet().named(r.Active).Name // as the fleet writes it
	now := e.Now()
	err = e.Store.MergePair(ctx, c.name(), func(p dr.Pair) (dr.Pair, bool) {
		next, refusal = k.latest(c.recorded(p)).Rearm(r, now)
		return next, refusal == nil
	})
	if err == nil && refusal != nil {
		err = &Refusal{refusal}
	}
	if err == nil {
		err = e.keepRole(ctx, c, next)
	}
	return next, err
}
