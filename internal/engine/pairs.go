package engine

import (
	"context"
	"errors"
	"fmt"

	"apim-dr/internal/dr"
)

// known is what is known of a pair.
type known struct {
	dr.Pair
	// done are operations that the record takes for being at work although they are done: what they brought is in Pair, but not in the record.
	done []dr.Operation
	// beside is the copy of the record that lies among the backups; unseen why it could not be read: then Pair is what the state storage has.
	beside dr.Pair
	unseen error
}

// known reads what is recorded of a couple. A failover that ran without the state storage has left its record beside the backups only, so that the copy
// there is looked at as well, and the one that was changed later counts. An error says that the state storage could not be read.
func (e *Engine) known(ctx context.Context, c couple) (known, error) {
	p, err := e.Store.Pair(ctx, c.name())
	if errors.Is(err, ErrNotFound) {
		p, err = dr.NewPair(c.home.Name, c.other.Name), nil
	}
	k := known{Pair: p}
	if err != nil {
		return k, err
	}
	for _, id := range []string{p.BusyBy, p.Syncing} {
		op, err := e.ended(ctx, id)
		if err != nil {
			return k, err
		}
		if op != nil {
			k.done = append(k.done, *op)
		}
	}
	k.Pair = k.merged(k.Pair)
	k.beside, k.unseen = e.copied(ctx, c)
	k.Pair = k.Newer(k.beside)
	return k, nil
}

// merged is a record with what the operations brought that are done.
func (k known) merged(p dr.Pair) dr.Pair {
	for _, op := range k.done {
		p, _ = p.After(op)
	}
	return p
}

func (e *Engine) copied(ctx context.Context, c couple) (dr.Pair, error) {
	ctx, cancel := context.WithTimeout(ctx, e.Timing.Probe)
	defer cancel()
	p, err := e.Vault.Role(ctx, c.storage, c.name())
	if errors.Is(err, ErrNotFound) {
		return dr.Pair{}, nil
	}
	return p, err
}

// ended is the operation if it is done; nil: it is at work, or there is none. One whose record was deleted by hand is as if it had never begun.
func (e *Engine) ended(ctx context.Context, id string) (*dr.Operation, error) {
	if id == "" {
		return nil, nil
	}
	op, _, err := e.Store.Operation(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound):
		return &dr.Operation{ID: id, Phase: dr.Done, Outcome: dr.Rejected, Recovery: &dr.Recovery{Role: dr.Switch}}, nil
	case illegible(err), err == nil && op.Phase != dr.Done:
		return nil, nil
	}
	return &op, err
}

// active is the service itself or, where a failover has made another instance of one of its pairs the active one, that. pairs are those of the service;
// those that cannot be read are left out.
func (e *Engine) active(ctx context.Context, s Service) (active dr.Instance, pairs []dr.PairView, err error) {
	active = s.instance()
	for _, c := range e.Fleet.couplesWith(s.Name) {
		k, err := e.known(ctx, c)
		if illegible(err) {
			e.Log.ErrorContext(ctx, "the record of a pair cannot be read", "pair", c.name(), "error", err)
			continue
		}
		if err != nil {
			return active, pairs, err
		}
		pairs = append(pairs, dr.PairView{Pair: k.Pair, Warm: c.warm})
		if !k.IsActive(s.Name) && active.Is(s.Name) {
			active = e.Fleet.named(k.Active)
		}
	}
	return active, pairs, nil
}

// admit holds an operation against the roles of its pair and notes there that it is at work.
func (e *Engine) admit(ctx context.Context, op dr.Operation) (dr.Answer, error) {
	if op.Recovery == nil || op.Recovery.Role == "" {
		return dr.Answer{Verdict: dr.OK}, nil
	}
	c, ok := e.Fleet.couple(op.Source(), op.Service)
	if !ok {
		return dr.Answer{Verdict: dr.No, Error: dr.Failure("NotAPair", fmt.Sprintf("%s and %s are no longer a pair of the fleet", op.Source(), op.Service))}, nil
	}
	k, err := e.known(ctx, c)
	if err == nil && op.Recovery.Role == dr.Follow { // a failover goes on without the copy, a warm sync can wait
		err = k.unseen
	}
	if illegible(err) {
		return dr.Answer{Verdict: dr.Later, Reason: "the record of the pair cannot be read: " + err.Error()}, nil
	}
	if err != nil {
		return dr.Answer{}, err
	}
	var refusal *dr.Error
	err = e.Store.MergePair(ctx, c.name(), func(p dr.Pair) (dr.Pair, bool) {
		was := p
		p, refusal = k.merged(c.recorded(p)).Newer(k.Pair).Admit(op)
		return p, refusal == nil && p != was
	})
	if err == nil && refusal == nil { // after the note, so that of two that cross at least one sees the other
		refusal, err = e.displaced(ctx, op, c)
	}
	if err != nil {
		return dr.Answer{}, err
	}
	if refusal != nil {
		return dr.Answer{Verdict: dr.No, Error: refusal}, nil
	}
	return dr.Answer{Verdict: dr.OK}, nil
}

// displaced tells that another instance has taken over from the source in another of its pairs, or is about to: what the source holds is no longer what
// serves production.
func (e *Engine) displaced(ctx context.Context, op dr.Operation, but couple) (*dr.Error, error) {
	for _, c := range e.Fleet.couplesWith(op.Source()) {
		if c.name() == but.name() {
			continue
		}
		k, err := e.known(ctx, c)
		if err == nil && op.Recovery.Role == dr.Follow {
			err = k.unseen
		}
		if err != nil && !illegible(err) {
			return nil, err
		}
		if refusal := k.Displaces(op.Source()); err == nil && refusal != nil {
			return refusal, nil
		}
	}
	return nil, nil
}

// afterInPairs merges the outcome into the pairs that the overwritten instance belongs to, and keeps a copy beside the backups when it changed who is
// active, or made that doubtful.
func (e *Engine) afterInPairs(ctx context.Context, op dr.Operation) error {
	for _, c := range e.Fleet.couplesWith(op.Service) {
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
		if err == nil && merged.By == op.ID {
			err = e.keepRole(ctx, c, merged)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// keepRole writes the copy of a pair's record, for the day when the state storage is gone.
func (e *Engine) keepRole(ctx context.Context, c couple, p dr.Pair) error {
	err := e.Vault.KeepRole(ctx, c.storage, p)
	if errors.Is(err, ErrConflict) || illegible(err) { // trying again does not help
		e.Log.ErrorContext(ctx, "the copy of the pair's record beside the backups was not replaced", "pair", p.Name, "active", p.Active, "error", err)
		return nil
	}
	return err
}

// mendCopy writes the copy again where that was not possible at its time.
func (e *Engine) mendCopy(ctx context.Context, c couple, k known) {
	if k.unseen != nil || !k.ChangedAt.After(k.beside.ChangedAt) {
		return
	}
	if err := e.keepRole(ctx, c, k.Pair); err != nil {
		e.Log.WarnContext(ctx, "the copy of the pair's record could not be written beside the backups", "pair", k.Name, "active", k.Active, "error", err)
	}
}
