package engine

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"sync"
	"time"

	"apim-dr/internal/dr"
)

// SendTicks sends a tick message for each plan whose time has come and was not carried out yet.
func (e *Engine) SendTicks(ctx context.Context) error {
	// That a plan that never ran is about to is written down first: otherwise the watchdog would take it for a new one.
	return e.sendTicks(ctx, func(plan Plan, due time.Time) (send bool, err error) {
		return true, e.Store.MoveTick(ctx, plan.Name, due.Add(-time.Second))
	})
}

// sendTicks asks first about a plan that never ran.
func (e *Engine) sendTicks(ctx context.Context, first func(Plan, time.Time) (send bool, err error)) error {
	var errs []error
	for _, plan := range e.Fleet.Plans {
		due := dr.DueTick(plan.Schedule, e.Now())
		last, err := e.Store.LastTick(ctx, plan.Name)
		send := due.After(last)
		if err == nil && last.IsZero() {
			send, err = first(plan, due)
		}
		if err == nil && send {
			err = e.Bus.Tick(ctx, dr.Tick{V: dr.Version, Plan: plan.Name, At: due}, e.Now())
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// fanOut is how many operations of a tick are created at a time.
const fanOut = 16

// RunTick creates the backups of all services of a plan, spread over its window, and then notes that the tick was carried out. Their ids are
// derived, so a repeated tick finds them. What fails is tried again with a tick message sent for later.
func (e *Engine) RunTick(ctx context.Context, t dr.Tick, traceparent string) error {
	plan, ok := e.Fleet.plan(t.Plan)
	if !ok || !t.At.Equal(dr.DueTick(plan.Schedule, e.Now())) {
		e.Log.WarnContext(ctx, "a tick that no plan has, or that a newer one has overtaken, is dropped", "plan", t.Plan, "tick", t.At)
		return nil
	}
	last, err := e.Store.LastTick(ctx, plan.Name)
	if err == nil && !t.At.After(last) {
		return nil
	}
	if err == nil {
		err = e.createAll(ctx, plan, t.At, traceparent)
	}
	if err == nil {
		err = e.Store.MoveTick(ctx, plan.Name, t.At)
	}
	if err == nil {
		return nil
	}
	e.Log.WarnContext(ctx, "a tick could not be carried out; trying again later", "plan", t.Plan, "tick", t.At, "error", err)
	return e.TickLater(ctx, t, err)
}

// TickLater sends a tick again, for later.
func (e *Engine) TickLater(ctx context.Context, t dr.Tick, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendBudget)
	defer cancel()
	at := e.Now().Add(e.Timing.Outage(t.Try))
	t.Try++
	if err := e.Bus.Tick(ctx, t, at); err != nil {
		return errors.Join(cause, err)
	}
	return nil
}

func (e *Engine) createAll(ctx context.Context, plan Plan, tick time.Time, traceparent string) error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	free := make(chan struct{}, fanOut)
	now := e.Now()
	for _, s := range e.Fleet.Services {
		if s.Plan != plan.Name {
			continue
		}
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			id := dr.TickID(dr.KindBackup, plan.Name, s.Name, tick)
			r := Request{RequestedBy: "schedule " + plan.Name, Traceparent: traceparent}
			if _, err := e.createOnce(ctx, e.newBackup(id, s, plan, dr.TriggerTimer, r, now), now.Add(stagger(s.Name, plan.Spread))); err != nil {
				mu.Lock()
				errs = append(errs, fmt.Errorf("service %s: %w", s.Name, err))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// stagger spreads names evenly over a window, each always at the same place in it.
func stagger(name string, window time.Duration) time.Duration {
	if window <= 0 {
		return 0
	}
	h := fnv.New64a()
	h.Write([]byte(strings.ToLower(name)))
	return time.Duration(h.Sum64() % uint64(window))
}
