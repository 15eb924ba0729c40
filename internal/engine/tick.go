package engine

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
	"time"

	"apim-dr/internal/dr"
)

// drills is the name of the job that drills come from. No plan can have it.
const drills = "~drills"

// job is what a tick carries out: the backups of a plan, or the drills.
type job struct {
	name     string
	kind     dr.Kind // of its operations
	schedule dr.Schedule
	spread   time.Duration
	// work lists the operations of a tick.
	work func(ctx context.Context, r Request, tick, now time.Time) ([]dr.Operation, error)
}

func (e *Engine) jobs() []job {
	var list []job
	for _, p := range e.Fleet.Plans {
		list = append(list, job{name: p.Name, kind: dr.KindBackup, schedule: p.Schedule, spread: p.Spread, work: func(ctx context.Context, r Request, tick, now time.Time) ([]dr.Operation, error) {
			return e.backups(ctx, p, r, tick, now)
		}})
	}
	if e.Fleet.Drills.String() != "" && slices.ContainsFunc(e.Fleet.Services, func(s Service) bool { return s.Drill != nil }) {
		list = append(list, job{name: drills, kind: dr.KindDrill, schedule: e.Fleet.Drills, work: e.drills})
	}
	return list
}

// backups are those of a plan's services, and of its secondaries that have become the active instance and are no services themselves: what serves
// production is backed up.
func (e *Engine) backups(ctx context.Context, p Plan, r Request, tick, now time.Time) ([]dr.Operation, error) {
	var ops []dr.Operation
	r.RequestedBy = "schedule " + p.Name
	add := func(in dr.Instance) {
		ops = append(ops, e.newBackup(dr.TickID(dr.KindBackup, p.Name, in.Name, tick), member{in, p}, dr.TriggerTimer, r, now))
	}
	for _, s := range e.Fleet.Services {
		if s.Plan == p.Name {
			add(s.instance())
		}
	}
	for _, c := range e.Fleet.couples() {
		home, plan, err := e.Fleet.service(c.home.Name)
		if _, _, listed := e.Fleet.service(c.other.Name); err != nil || plan.Name != p.Name || home.Plan != p.Name || listed == nil {
			continue
		}
		pair, err := e.pair(ctx, c)
		if beside := (*besideError)(nil); err != nil && !errors.As(err, &beside) && !illegible(err) {
			return nil, err
		}
		if pair.IsActive(c.other.Name) {
			add(c.other)
		}
	}
	return ops, nil
}

// drills are those of the services that have a drill instance.
func (e *Engine) drills(ctx context.Context, r Request, tick, now time.Time) ([]dr.Operation, error) {
	var ops []dr.Operation
	r.RequestedBy = "drill schedule"
	for _, s := range e.Fleet.Services {
		if s.Drill == nil {
			continue
		}
		d, err := e.drillOf(ctx, s, dr.Intent{Point: dr.Latest})
		if err != nil {
			return nil, err
		}
		ops = append(ops, e.newRecovery(dr.TickID(dr.KindDrill, drills, s.Name, tick), d, dr.TriggerTimer, r, now))
	}
	return ops, nil
}

// SendTicks sends a tick message for each job of a kind whose time has come and was not carried out yet. The timer of one kind leaves the other
// alone: a job that never ran is always due, and the first night would begin with a drill of what is not backed up yet.
func (e *Engine) SendTicks(ctx context.Context, kind dr.Kind) error {
	jobs := slices.DeleteFunc(e.jobs(), func(j job) bool { return j.kind != kind })
	// That a job that never ran is about to is written down first: otherwise the watchdog would take it for a new one.
	return e.sendTicks(ctx, jobs, func(j job, due time.Time) (send bool, err error) {
		return true, e.Store.MoveTick(ctx, j.name, due.Add(-time.Second))
	})
}

// sendTicks asks first about a job that never ran.
func (e *Engine) sendTicks(ctx context.Context, jobs []job, first func(job, time.Time) (send bool, err error)) error {
	var errs []error
	for _, j := range jobs {
		due := dr.DueTick(j.schedule, e.Now())
		last, err := e.Store.LastTick(ctx, j.name)
		send := due.After(last)
		if err == nil && last.IsZero() {
			send, err = first(j, due)
		}
		if err == nil && send {
			err = e.Bus.Tick(ctx, dr.Tick{V: dr.Version, Plan: j.name, At: due}, e.Now())
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// fanOut is how many operations of a tick are created at a time.
const fanOut = 16

// RunTick creates the operations of a job, spread over its window, and then notes that the tick was carried out. Their ids are
// derived, so a repeated tick finds them. What fails is tried again with a tick message sent for later.
func (e *Engine) RunTick(ctx context.Context, t dr.Tick, traceparent string) error {
	jobs := e.jobs()
	i := slices.IndexFunc(jobs, func(j job) bool { return j.name == t.Plan })
	if i < 0 || !t.At.Equal(dr.DueTick(jobs[i].schedule, e.Now())) {
		e.Log.WarnContext(ctx, "a tick that no plan has, or that a newer one has overtaken, is dropped", "plan", t.Plan, "tick", t.At)
		return nil
	}
	last, err := e.Store.LastTick(ctx, t.Plan)
	if err == nil && !t.At.After(last) {
		return nil
	}
	if err == nil {
		err = e.createAll(ctx, jobs[i], t.At, traceparent)
	}
	if err == nil {
		err = e.Store.MoveTick(ctx, t.Plan, t.At)
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

func (e *Engine) createAll(ctx context.Context, j job, tick time.Time, traceparent string) error {
	now := e.Now()
	ops, err := j.work(ctx, Request{Traceparent: traceparent}, tick, now)
	if err != nil {
		return err
	}
	return each(ops, func(op dr.Operation) error {
		if _, err := e.createOnce(ctx, op, now.Add(stagger(op.Service, j.spread))); err != nil {
			return fmt.Errorf("service %s: %w", op.Service, err)
		}
		return nil
	})
}

// each does something for all of a list, fanOut at a time, and returns what failed.
func each[T any](list []T, do func(T) error) error {
	var wg sync.WaitGroup
	errs := make([]error, len(list))
	free := make(chan struct{}, fanOut)
	for i, one := range list {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			errs[i] = do(one)
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
