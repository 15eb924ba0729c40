package engine

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/trace"
)

// drills is the name of the job that drills come from. No plan can have it.
const drills = "~drills"

// job is what a tick carries out: the backups of a plan, the drills, or the pruning.
type job struct {
	kind     dr.Kind // of its operations, and of the timer that sends its ticks; "": the watchdog alone does
	name     string
	schedule dr.Schedule
	// work lists the operations of a tick; the pruning has none, and sends messages. What could not be found out is an error beside those that could.
	work func(ctx context.Context, r Request, tick, now time.Time) ([]turn, error)
}

// turn is an operation and when it begins.
type turn struct {
	dr.Operation
	start time.Time
}

func (e *Engine) jobs() []job {
	var list []job
	for _, p := range e.fleet().Plans {
		list = append(list, job{kind: dr.KindBackup, name: p.Name, schedule: p.Schedule, work: func(ctx context.Context, r Request, tick, now time.Time) ([]turn, error) {
			return e.backups(ctx, p, r, tick, now)
		}})
	}
	if e.fleet().Drills.String() != "" && slices.ContainsFunc(e.fleet().Services, func(s Service) bool { return s.Drill != nil }) {
		list = append(list, job{kind: dr.KindDrill, name: drills, schedule: e.fleet().Drills, work: e.drills})
	}
	if e.fleet().Prunes.String() != "" {
		list = append(list, job{name: prunes, schedule: e.fleet().Prunes, work: e.pruning})
	}
	return list
}

// backups are those of a plan's services, and of its secondaries that have become the active instance and are no services themselves: what serves
// production is backed up.
func (e *Engine) backups(ctx context.Context, p Plan, r Request, tick, now time.Time) ([]turn, error) {
	r.RequestedBy = "schedule " + p.Name
	instances, unseen := e.serving(ctx, p)
	var turns []turn
	for _, in := range instances {
		op := e.newBackup(dr.TickID(dr.KindBackup, p.Name, in.Name, tick), member{Instance: in, plan: p}, dr.TriggerTimer, r, now)
		if t, ok := e.turn(ctx, op, e.offset(p, in.Name), p.Schedule.Next(tick)); ok {
			turns = append(turns, t)
		}
	}
	return turns, unseen
}

// serving lists the instances that a plan backs up. What could not be found out is an error beside the others.
func (e *Engine) serving(ctx context.Context, p Plan) ([]dr.Instance, error) {
	var instances []dr.Instance
	standbys := map[string]couple{} // of the plan's services, where they are none themselves
	for _, s := range e.fleet().Services {
		if s.Plan != p.Name {
			continue
		}
		instances = append(instances, s.instance())
		for _, sec := range s.Secondaries {
			if _, listed := e.fleet().service(sec.Name); listed {
				continue
			}
			if c, ok := e.fleet().couple(s.Name, sec.Name); ok {
				standbys[c.name()] = c
			}
		}
	}
	var mu sync.Mutex
	err := each(slices.Collect(maps.Values(standbys)), func(c couple) error {
		k, err := e.known(ctx, c)
		if illegible(err) { // told, since nobody backs it up
			e.Log.ErrorContext(ctx, "the record of a pair cannot be read: if its standby is active, it is not backed up", "pair", c.name(), "error", err)
			return nil
		}
		if err != nil || !k.IsActive(c.other.Name) {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		instances = append(instances, c.other)
		return nil
	})
	return instances, err
}

// turn is an operation with its time, see begin; false when that is not before the next tick.
func (e *Engine) turn(ctx context.Context, op dr.Operation, offset time.Duration, next time.Time) (turn, bool) {
	t, ok := e.begin(op, offset, next)
	if !ok {
		e.Log.WarnContext(ctx, "left out: notDuring lasts until the next one is due", "kind", op.Kind, "about", op.Service, "next", next)
	}
	return t, ok
}

// drillPause is left between the drills that share an instance: each overwrites it, and users report restores of half an hour and more.
const drillPause = 45 * time.Minute

// drills are those of the services that have a drill instance.
func (e *Engine) drills(ctx context.Context, r Request, tick, now time.Time) ([]turn, error) {
	r.RequestedBy = "drill schedule"
	var drilled []Service
	offsets := map[string]time.Duration{} // of the service
	before := map[string]int{}            // drills on the instance
	for _, s := range e.fleet().Services {
		if s.Drill != nil {
			at := strings.ToLower(s.Drill.Name)
			offsets[s.Name] = time.Duration(before[at]) * drillPause
			before[at]++
			drilled = append(drilled, s)
		}
	}
	var mu sync.Mutex
	var turns []turn
	err := each(drilled, func(s Service) error {
		d, err := e.drillOf(ctx, s, dr.Intent{Point: dr.Latest})
		if err != nil {
			return fmt.Errorf("service %s: %w", s.Name, err)
		}
		op := e.newRecovery(dr.TickID(dr.KindDrill, drills, s.Name, tick), d, dr.TriggerTimer, r, now)
		if t, ok := e.turn(ctx, op, offsets[s.Name], e.fleet().Drills.Next(tick)); ok {
			mu.Lock()
			defer mu.Unlock()
			turns = append(turns, t)
		}
		return nil
	})
	return turns, err
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
	switch { // those for one service
	case t.Plan == prunes && t.Service != "":
		return e.runPrune(trace.With(ctx, traceparent), t)
	case t.Plan == changed && t.Service != "":
		return e.runChanges(trace.With(ctx, traceparent), t)
	}
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

// createAll creates what it can; what could not be found out or created is tried again with the tick, which finds the others.
func (e *Engine) createAll(ctx context.Context, j job, tick time.Time, traceparent string) error {
	turns, err := j.work(ctx, Request{Traceparent: traceparent}, tick, e.Now())
	errs := []error{e.unlearnt(), err}
	if len(turns) == 0 {
		return errors.Join(errs...)
	}
	made, err := e.Store.OperationIDs(ctx, dr.Day(turns[0].ID)) // of all at once: most nights there are none
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	return errors.Join(append(errs, each(turns, func(t turn) error {
		create := e.create
		if made[t.ID] {
			create = e.createOnce
		}
		if _, err := create(ctx, t.Operation, t.start); err != nil {
			return fmt.Errorf("service %s: %w", t.Service, err)
		}
		return nil
	}))...)
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

// offset is how long after a tick the backup of an instance of a plan begins.
func (e *Engine) offset(p Plan, name string) time.Duration {
	return stagger(name, max(p.Spread, dr.StartWindow(len(e.fleet().Services)))) // of all plans: their ticks may fall together
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
