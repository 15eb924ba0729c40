package engine

import (
	"context"
	"errors"
	"fmt"

	"apim-dr/internal/dr"
)

// couple is a configured pair: a service and one of its secondaries. Listed both ways round, the first is the home.
type couple struct {
	home, other dr.Instance
	warm        bool
	storage     dr.Storage // of the home's backups: a copy of the pair's record lies there
}

func (c couple) name() string { return dr.PairName(c.home.Name, c.other.Name) }

// partner is the other one of the two; false when the couple does not have that instance.
func (c couple) partner(name string) (dr.Instance, bool) {
	switch {
	case c.home.Is(name):
		return c.other, true
	case c.other.Is(name):
		return c.home, true
	}
	return dr.Instance{}, false
}

func (c couple) has(name string) bool { return c.home.Is(name) || c.other.Is(name) }

// couples lists each configured pair once.
func (f Fleet) couples() []couple {
	var list []couple
	at := map[string]int{}
	for _, s := range f.Services {
		plan, _ := f.plan(s.Plan)
		for _, sec := range s.Secondaries {
			c := couple{home: s.instance(), other: sec.Instance, warm: sec.Warm, storage: plan.Storage}
			if i, ok := at[c.name()]; ok {
				list[i].warm = list[i].warm || c.warm
				continue
			}
			at[c.name()] = len(list)
			list = append(list, c)
		}
	}
	return list
}

// couple finds the configured pair of two instances.
func (f Fleet) couple(a, b string) (couple, bool) {
	for _, c := range f.couples() {
		if c.name() == dr.PairName(a, b) {
			return c, true
		}
	}
	return couple{}, false
}

// pair is what is recorded of a couple, see settled.
func (e *Engine) pair(ctx context.Context, c couple) (dr.Pair, error) {
	p, _, err := e.settled(ctx, c)
	return p, err
}

// settled reads what is recorded of a couple, with what a failover brought that is done but has not merged it yet: last, nil when there is none. A
// failover that ran without the state storage has left its record beside the backups only, so that is looked at as well; if it cannot be, the error is
// a besideError and the pair is what the state storage has.
func (e *Engine) settled(ctx context.Context, c couple) (p dr.Pair, last *dr.Operation, err error) {
	p, err = e.Store.Pair(ctx, c.name())
	if errors.Is(err, ErrNotFound) {
		p, err = dr.NewPair(c.home.Name, c.other.Name), nil
	}
	if err != nil {
		return p, nil, err
	}
	if last, err = e.lastFailover(ctx, p); err != nil {
		return p, nil, err
	}
	if last != nil {
		p, _ = p.After(*last)
	}
	beside, err := e.Vault.Role(ctx, c.storage, c.name())
	if errors.Is(err, ErrNotFound) {
		return p, last, nil
	}
	if err != nil {
		return p, last, &besideError{err}
	}
	return p.Newer(beside), last, nil
}

// active is the service itself or, where a failover has made another instance of one of its pairs the active one, that.
func (e *Engine) active(ctx context.Context, s Service) (dr.Instance, error) {
	for _, c := range e.Fleet.couples() {
		if !c.has(s.Name) {
			continue
		}
		p, err := e.pair(ctx, c)
		if beside := (*besideError)(nil); err != nil && !errors.As(err, &beside) && !illegible(err) {
			return dr.Instance{}, err
		}
		if err == nil && !p.IsActive(s.Name) {
			return e.Fleet.named(p.Active), nil
		}
	}
	return s.instance(), nil
}

// besideError says that the copy of a pair's record could not be read.
type besideError struct{ error }

func (e *besideError) Unwrap() error { return e.error }

// admit holds an operation against the roles of its pair and, for a failover, notes there that it is at work.
func (e *Engine) admit(ctx context.Context, op dr.Operation) (dr.Answer, error) {
	if op.Recovery == nil || op.Recovery.Role == "" {
		return dr.Answer{Verdict: dr.OK}, nil
	}
	c, ok := e.Fleet.couple(op.Source(), op.Service)
	if !ok {
		return dr.Answer{Verdict: dr.No, Error: dr.Failure("NotAPair", fmt.Sprintf("%s and %s are no longer a pair of the fleet", op.Source(), op.Service))}, nil
	}
	seen, last, err := e.settled(ctx, c)
	if beside := (*besideError)(nil); errors.As(err, &beside) && op.Recovery.Role == dr.Switch {
		e.Log.WarnContext(ctx, "the copy of the pair's record beside the backups cannot be read; going by the state storage alone", "pair", c.name(), "error", err)
		err = nil
	}
	if illegible(err) {
		return dr.Answer{Verdict: dr.Later, Reason: "the record of the pair cannot be read: " + err.Error()}, nil
	}
	if err != nil {
		return dr.Answer{}, err
	}
	if displaced, err := e.displaced(ctx, op.Source(), c); err != nil || displaced != nil {
		return dr.Answer{Verdict: dr.No, Error: displaced}, err
	}
	var refusal *dr.Error
	err = e.Store.MergePair(ctx, c.name(), func(p dr.Pair) (dr.Pair, bool) {
		was := p
		p = c.recorded(p)
		if last != nil {
			p, _ = p.After(*last)
		}
		p = p.Newer(seen)
		p, refusal = p.Admit(op)
		return p, p != was && (p.BusyBy != was.BusyBy || p.ChangedAt != was.ChangedAt)
	})
	if err != nil {
		return dr.Answer{}, err
	}
	if refusal != nil {
		return dr.Answer{Verdict: dr.No, Error: refusal}, nil
	}
	return dr.Answer{Verdict: dr.OK}, nil
}

// displaced tells that another instance has taken over from one, in a pair other than but: what it holds is no longer what serves production.
func (e *Engine) displaced(ctx context.Context, name string, but couple) (*dr.Error, error) {
	for _, c := range e.Fleet.couples() {
		if !c.has(name) || c.name() == but.name() {
			continue
		}
		p, err := e.pair(ctx, c)
		if beside := (*besideError)(nil); err != nil && !errors.As(err, &beside) && !illegible(err) {
			return nil, err
		}
		if err == nil && !p.IsActive(name) {
			return p.Displaces(name), nil
		}
	}
	return nil, nil
}

// recorded is p, or the pair of a couple of which there is no record.
func (c couple) recorded(p dr.Pair) dr.Pair {
	if p.Name == "" {
		return dr.NewPair(c.home.Name, c.other.Name)
	}
	return p
}

// lastFailover is the failover that a pair still takes for being at work although it is done. nil: there is none.
func (e *Engine) lastFailover(ctx context.Context, p dr.Pair) (*dr.Operation, error) {
	if p.BusyBy == "" {
		return nil, nil
	}
	other, _, err := e.Store.Operation(ctx, p.BusyBy)
	switch {
	case errors.Is(err, ErrNotFound): // deleted by hand: as if it had never begun
		return &dr.Operation{ID: p.BusyBy, Phase: dr.Done, Outcome: dr.Rejected, Recovery: &dr.Recovery{Role: dr.Switch}}, nil
	case illegible(err):
		return nil, nil
	case err != nil || other.Phase != dr.Done:
		return nil, err
	}
	return &other, nil
}

// afterInPairs merges the outcome into the pairs that the overwritten instance belongs to, and keeps a copy beside the backups when the active
// instance has changed.
func (e *Engine) afterInPairs(ctx context.Context, op dr.Operation) error {
	for _, c := range e.Fleet.couples() {
		if _, ok := c.partner(op.Service); !ok {
			continue
		}
		var merged dr.Pair
		err := e.Store.MergePair(ctx, c.name(), func(p dr.Pair) (dr.Pair, bool) {
			was := p
			merged, _ = c.recorded(p).After(op)
			if was.Name == "" && merged == c.recorded(was) {
				return was, false
			}
			return merged, merged != was
		})
		if illegible(err) {
			e.Log.ErrorContext(ctx, "the record of the pair cannot be merged; going on without", "pair", c.name(), "error", err)
			continue
		}
		if err != nil {
			return err
		}
		if merged.By == op.ID {
			e.keepRole(ctx, c, merged)
		}
	}
	return nil
}

// keepRole writes the copy of a pair's record. It is for the day when the state storage is gone, and holds up nothing.
func (e *Engine) keepRole(ctx context.Context, c couple, p dr.Pair) {
	if err := e.Vault.KeepRole(ctx, c.storage, p); err != nil {
		e.Log.ErrorContext(ctx, "the copy of the pair's record could not be written beside the backups", "pair", p.Name, "active", p.Active, "error", err)
	}
}

// Refusal is a request that the state of things does not allow.
type Refusal struct{ Why *dr.Error }

func (e *Refusal) Error() string { return e.Why.String() }

// RearmRequest says which instance serves production.
type RearmRequest struct {
	Service string // one of the pair
	dr.Rearm
	Reason string
}

// Rearm takes a person's word for which instance of a service's pair serves production. Unless it shall stay suspended, the warm standby is kept up to
// date again: the other one of the pair will be overwritten. It returns the pairs it changed. ErrUnknownService, *Invalid, *Refusal.
func (e *Engine) Rearm(ctx context.Context, r RearmRequest) ([]dr.Pair, error) {
	service, active := r.Service, r.Active
	var done []dr.Pair
	known := false
	for _, c := range e.Fleet.couples() {
		other, ok := c.partner(service)
		if !ok {
			continue
		}
		known = true
		if !other.Is(active) && !e.Fleet.named(service).Is(active) {
			continue
		}
		p, err := e.rearm(ctx, c, r.Rearm)
		if err != nil {
			return done, err
		}
		e.Log.InfoContext(ctx, "re-armed", "pair", p.Name, "active", p.Active, "suspended", p.Suspended, "by", r.By, "reason", r.Reason)
		done = append(done, p)
	}
	switch {
	case !known:
		if _, ok := e.Fleet.member(service); ok {
			return nil, &Invalid{Field: "name", Detail: fmt.Sprintf("%s belongs to no pair: it has no secondaries and is nobody's", service)}
		}
		return nil, fmt.Errorf("%w: %q; it has %s", ErrUnknownService, service, e.Fleet.names())
	case len(done) == 0:
		return nil, &Invalid{Field: "active", Detail: fmt.Sprintf("%q is neither %s nor one that it forms a pair with", active, service)}
	}
	return done, nil
}

func (e *Engine) rearm(ctx context.Context, c couple, r dr.Rearm) (dr.Pair, error) {
	seen, last, err := e.settled(ctx, c)
	if err != nil {
		return seen, err
	}
	var refusal *dr.Error
	var next dr.Pair
	r.Active = e.Fleet.named(r.Active).Name // as the fleet writes it
	now := e.Now()
	err = e.Store.MergePair(ctx, c.name(), func(p dr.Pair) (dr.Pair, bool) {
		p = c.recorded(p)
		if last != nil {
			p, _ = p.After(*last)
		}
		p = p.Newer(seen)
		next, refusal = p.Rearm(r, now)
		return next, refusal == nil
	})
	if err == nil && refusal != nil {
		err = &Refusal{refusal}
	}
	if err == nil {
		e.keepRole(ctx, c, next)
	}
	return next, err
}
