package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/trace"
)

// prunes is the name of the job that lets recovery points go. No plan can have it.
const prunes = "~prune"

const (
	pruneEach  = 200 * time.Millisecond // for each service: the messages of one pass are spread over so much
	pruneTries = 5                      // then the next pass does it
)

// Retention tells what becomes of each recovery point of a service, and why, as Prune would decide now; ErrUnknownService as with RecoveryPoints.
func (e *Engine) Retention(ctx context.Context, service string) ([]dr.Decision, error) {
	points, err := e.RecoveryPoints(ctx, service)
	if err != nil {
		return nil, err
	}
	decisions, _, err := e.decide(ctx, service, points)
	return decisions, err
}

// decide also tells which operations that a point is pinned by are done.
func (e *Engine) decide(ctx context.Context, service string, points []dr.RecoveryPoint) (_ []dr.Decision, done []string, err error) {
	stock := dr.Stock{Points: points, Stands: map[string]string{}}
	m, listed := e.fleet().member(service)
	if err := e.unlearnt(); err != nil && !listed { // its plan may say more than that it has left the fleet
		return nil, nil, err
	}
	policy := m.plan.Retention
	around := e.fleet().Around(service)
	if s, ok := e.fleet().service(service); ok && s.Drill != nil {
		around = append(around, s.Drill.Name)
	}
	for _, name := range around {
		state, err := e.Store.Service(ctx, name)
		if illegible(err) { // it may name any of them
			stock.Stop = fmt.Sprintf("what is remembered of %s cannot be read: nothing is deleted", name)
		} else if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, nil, err
		}
		own := strings.EqualFold(name, service)
		if own && state.Hold.Keeps(e.Now()) {
			stock.Stop = fmt.Sprintf("%s is held until %s: nothing is deleted", service, state.Hold.Until.UTC().Format(time.RFC3339))
		}
		if b := state.LastBackup; own && listed && b.Outcome != "" && b.Outcome != dr.Succeeded {
			stock.Stop = fmt.Sprintf("the last backup %s (operation %s): nothing is deleted before one succeeds", was(b.Outcome), b.Operation)
		}
		if own && state.LastGiven.Point != "" {
			stock.Stands[state.LastGiven.Point] = "it was the last to be restored"
		}
		if state.LastRestore.Point != "" {
			stock.Stands[state.LastRestore.Point] = name + " was restored from it"
		}
		if state.NewestGood.ID != "" {
			stock.Stands[state.NewestGood.ID] = "it stands for the present state of " + name
		}
	}
	if done, err = e.users(ctx, &stock); err != nil {
		return nil, nil, err
	}
	decisions := policy.Decide(stock, e.Now())
	if newest := dr.Newest(points, e.Now().Add(dr.BackupLife), true); newest != nil && slices.ContainsFunc(decisions, goes) {
		blob, err := e.Vault.Head(ctx, newest.Storage, newest.ID)
		if err != nil {
			return nil, nil, err
		}
		if !blob.Exists || blob.Bytes == 0 {
			stock.Stop = "the blob of the newest good recovery point is not there: nothing is deleted"
			e.Log.ErrorContext(ctx, stock.Stop, "recoveryPoint", newest.ID, "account", newest.Storage.Account, "container", newest.Storage.Container)
			decisions = policy.Decide(stock, e.Now())
		}
	}
	return decisions, done, nil
}

func goes(d dr.Decision) bool { return d.Goes }

func was(o dr.Outcome) string {
	switch o {
	case dr.Unknown:
		return "ended unknown"
	case dr.Rejected:
		return "was rejected"
	}
	return string(o)
}

// users puts into the stock which operations use each recovery point, pinned or merely planned with, and tells which among the pins are done. An operation
// that cannot be read may be about to restore any of them.
func (e *Engine) users(ctx context.Context, stock *dr.Stock) (done []string, err error) {
	stock.InUse = map[string][]string{}
	add := func(point, operation string) {
		if !slices.Contains(stock.InUse[point], operation) {
			stock.InUse[point] = append(stock.InUse[point], operation)
		}
	}
	for _, p := range stock.Points {
		for _, id := range p.UsedBy {
			op, _, err := e.Store.Operation(ctx, id)
			switch {
			case err == nil && op.Phase == dr.Done:
				done = append(done, id)
			case err == nil || errors.Is(err, ErrNotFound) || illegible(err):
				add(p.ID, id)
			default:
				return nil, err
			}
		}
	}
	markers, err := e.Store.Markers(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range markers {
		if dr.KindOf(m.Wake.ID) == dr.KindBackup {
			continue
		}
		op, _, err := e.Store.Operation(ctx, m.Wake.ID)
		if illegible(err) {
			stock.Stop = fmt.Sprintf("operation %s cannot be read, which may restore it: nothing is deleted", m.Wake.ID)
		} else if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
		for _, point := range op.Uses() {
			add(point, op.ID)
		}
	}
	return done, nil
}

// pruning is the job of every service that has recovery points: what is no longer in the fleet, too.
func (e *Engine) pruning(ctx context.Context, _ Request, tick, now time.Time) ([]turn, error) {
	services, err := e.Store.Catalogued(ctx)
	if err != nil {
		return nil, err
	}
	return nil, each(services, func(service string) error {
		return e.Bus.Tick(ctx, dr.Tick{V: dr.Version, Plan: prunes, Service: service, At: tick}, now.Add(stagger(service, time.Duration(len(services))*pruneEach)))
	})
}

// runPrune is Prune for a message. What fails is tried again some times; then the next pass does it.
func (e *Engine) runPrune(ctx context.Context, t dr.Tick) error {
	err := e.Prune(ctx, t.Service)
	if err == nil {
		return nil
	}
	if t.Try >= pruneTries {
		e.Log.ErrorContext(ctx, "recovery points could not be pruned; the next pass tries again", trace.KeyService, t.Service, "error", err)
		return nil
	}
	return e.TickLater(ctx, t, err)
}

// Prune deletes the recovery points of a service that its plan lets go. A kill in between leaves some in the state deleting, which the next pass deletes.
func (e *Engine) Prune(ctx context.Context, service string) error {
	ctx = trace.Annotate(ctx, trace.KeyService, service)
	points, err := e.Store.Points(ctx, service)
	if err != nil {
		return err
	}
	decisions, done, err := e.decide(ctx, service, points)
	if err != nil {
		return err
	}
	var errs []error
	for _, d := range decisions {
		if d.Goes {
			errs = append(errs, e.letGo(ctx, d, done))
		}
	}
	return errors.Join(errs...)
}

// letGo deletes a recovery point: its state, which keeps restores away, then blob and copy, then the record. Only a blob that a record names is touched.
func (e *Engine) letGo(ctx context.Context, d dr.Decision, done []string) error {
	p := d.Point
	err := e.Store.Condemn(ctx, p.Service, p.ID, done)
	if errors.Is(err, ErrInUse) || errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	err = e.Vault.Remove(ctx, p.Storage, p.ID)
	if errors.Is(err, ErrImmutable) {
		if blob, looked := e.Vault.Head(ctx, p.Storage, p.ID); looked != nil || !blob.Exists { // its copy alone is kept, which was written later: it stays on its way out
			return looked
		}
		e.Log.InfoContext(ctx, "recovery point retained: immutable", "recoveryPoint", p.ID)
		return e.Store.Reprieve(ctx, p.Service, p.ID, "immutable")
	}
	if err == nil {
		err = e.Store.Forget(ctx, p.Service, p.ID)
	}
	if err == nil {
		e.Log.InfoContext(ctx, "recovery point deleted", "recoveryPoint", p.ID, "createdAt", p.CreatedAt, "bytes", p.Bytes, "why", d.Why)
	}
	return err
}
