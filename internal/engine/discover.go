package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"apim-dr/internal/dr"
)

// Tags looks for services by their tag (dr.PlanTag). It holds the last that was read of them, and must not be copied.
type Tags struct {
	Subscriptions []string

	known   atomic.Pointer[withFound]
	reading atomic.Bool
}

// refreshEvery is how long a process goes by what it has read of the services that were found.
const refreshEvery = time.Minute

// Refresh lets what follows know the services that were found by their tag. It reads them once a minute; while they are out of reach, what was read last
// counts, and in a new process the fleet alone, see unlearnt.
func (e *Engine) Refresh(ctx context.Context) {
	if e.Tags == nil {
		return
	}
	last := e.Tags.known.Load()
	now := e.Now()
	if last != nil && now.Sub(last.tried) < refreshEvery {
		return
	}
	if !e.Tags.reading.CompareAndSwap(false, true) { // one reads, the others go by the last
		return
	}
	defer e.Tags.reading.Store(false)
	ctx, cancel := context.WithTimeout(ctx, e.Timing.Probe)
	defer cancel()
	d, err := e.Store.Discovery(ctx)
	if errors.Is(err, ErrNotFound) {
		err = nil
	}
	if err != nil {
		e.Log.ErrorContext(ctx, "the services that were found by their tag cannot be read; going on with those read before", "error", err)
		next := withFound{tried: now, fleet: e.Fleet, unread: err}
		if last != nil {
			next.fleet, next.seen, next.unread = last.fleet, last.seen, last.unread
		}
		e.Tags.known.Store(&next)
		return
	}
	e.take(d, now)
}

// withFound is the fleet with what was found.
type withFound struct {
	tried time.Time
	fleet Fleet
	seen  dr.Discovery
	// unread is why nothing was read yet; nil: something was.
	unread error
}

func (e *Engine) take(d dr.Discovery, now time.Time) {
	k := withFound{tried: now, fleet: e.Fleet, seen: d}
	k.fleet.Services = slices.Clone(e.Fleet.Services)
	for _, f := range d.Found {
		_, listed := e.Fleet.member(f.Name)
		_, planned := e.Fleet.plan(f.Plan)
		if !listed && planned { // the configuration may have changed since
			k.fleet.Services = append(k.fleet.Services, Service{Name: f.Name, ResourceID: f.ResourceID, Region: f.Region, Plan: f.Plan})
		}
	}
	e.Tags.known.Store(&k)
}

// fleet is the configured one with what was found by its tag.
func (e *Engine) fleet() Fleet {
	if e.Tags != nil {
		if k := e.Tags.known.Load(); k != nil {
			return k.fleet
		}
	}
	return e.Fleet
}

// unlearnt is why this process does not know yet what was found by its tag. Until it does, nothing may be taken for none of the fleet, or for all of it, where
// that would leave a service out.
func (e *Engine) unlearnt() error {
	if e.Tags == nil {
		return nil
	}
	const what = "the services that were found by their tag are not known yet"
	switch k := e.Tags.known.Load(); {
	case k == nil:
		return errors.New(what)
	case k.unread != nil:
		return fmt.Errorf(what+": %w", k.unread)
	}
	return nil
}

// discover looks for tagged instances in all subscriptions. What has changed is logged once.
func (e *Engine) discover(ctx context.Context) error {
	if e.Tags == nil {
		return nil
	}
	looks := make([]dr.Listed, len(e.Tags.Subscriptions))
	at := make([]int, len(looks))
	for i := range at {
		at[i] = i
	}
	_ = each(at, func(i int) error {
		l := dr.Listed{Subscription: e.Tags.Subscriptions[i]}
		var failure *dr.Error
		if l.Instances, failure = e.ARM.Tagged(ctx, l.Subscription); failure != nil {
			l.Error = failure.String()
		}
		looks[i] = l
		return nil
	})
	var plans []string
	for _, p := range e.Fleet.Plans {
		plans = append(plans, p.Name)
	}
	inFleet := func(name string) bool { _, ok := e.Fleet.member(name); return ok }
	now := e.Now()
	var before, after dr.Discovery
	err := e.Store.MergeDiscovery(ctx, func(d dr.Discovery) dr.Discovery {
		before, after = d, d.Next(looks, plans, inFleet, now)
		return after
	})
	if err != nil {
		return err
	}
	e.tellDiscovery(ctx, before, after)
	e.take(after, now)
	return nil
}

func (e *Engine) tellDiscovery(ctx context.Context, before, after dr.Discovery) {
	for _, f := range after.Found {
		if f.Since.Equal(after.At) {
			e.Log.InfoContext(ctx, "a service was found by its tag", "about", f.Name, "plan", f.Plan, "resource", f.ResourceID)
		}
	}
	for _, g := range after.Gone {
		if g.At.Equal(after.At) {
			e.Log.WarnContext(ctx, "a service that was found by its tag has vanished: it is backed up no more", "about", g.Name, "reason", g.Why, "resource", g.ResourceID)
		}
	}
	for _, f := range after.Faults {
		if !slices.Contains(before.Faults, f) {
			e.Log.ErrorContext(ctx, "a tagged instance, or a subscription, cannot be taken in", "resource", f.About, "reason", f.Why)
		}
	}
}

// discovered is what the last look came to, as far as this process has read it.
func (e *Engine) discovered() *Discovered {
	if e.Tags == nil {
		return nil
	}
	d := &Discovered{Found: []string{}}
	if k := e.Tags.known.Load(); k != nil {
		d.At, d.Gone, d.Faults = k.seen.At, k.seen.Gone, k.seen.Faults
		for _, f := range k.seen.Found {
			d.Found = append(d.Found, f.Name)
		}
	}
	return d
}
