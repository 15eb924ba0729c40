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

// What a request for an operation can be refused for.
var (
	ErrUnknownService = errors.New("the service is not in the fleet")
	ErrKeyReused      = errors.New("the Idempotency-Key was used before with another body")
)

// Fleet is what the engine knows of the configuration.
type Fleet struct {
	Plans    []Plan
	Services []Service
}

// Plan says when and where to its services are backed up.
type Plan struct {
	Name     string
	Schedule dr.Schedule
	Spread   time.Duration // a tick's backups are started spread over this
	Storage  dr.Storage
	Within   time.Duration // deadline of a backup
}

// Service is one API Management instance that is backed up.
type Service struct {
	Name       string // last segment of the ARM id: the key everywhere
	ResourceID string
	Plan       string
}

func (f Fleet) plan(name string) (Plan, bool) {
	for _, p := range f.Plans {
		if p.Name == name {
			return p, true
		}
	}
	return Plan{}, false
}

func (f Fleet) service(name string) (Service, Plan, error) {
	for _, s := range f.Services {
		if strings.EqualFold(s.Name, name) {
			p, _ := f.plan(s.Plan)
			return s, p, nil
		}
	}
	return Service{}, Plan{}, fmt.Errorf("%w: %q; it has %s", ErrUnknownService, name, f.names())
}

func (f Fleet) names() string {
	const most = 20
	var names []string
	for _, s := range f.Services {
		if names = append(names, s.Name); len(names) == most {
			names = append(names, "…")
			break
		}
	}
	return strings.Join(names, ", ")
}

// Request is a backup asked for.
type Request struct {
	Service     string
	RequestedBy string // who, as far as is known
	Reason      string
	Traceparent string
	KeyHash     string // hash of the Idempotency-Key; "" when there is none
	BodyHash    string // hash of the request's body
}

// Backup creates a backup operation for an HTTP call and enqueues it. The same key with the same body is the same operation. ErrUnknownService,
// ErrKeyReused; after any other error the caller does not know whether it was accepted, and a key makes asking again safe.
func (e *Engine) Backup(ctx context.Context, r Request) (dr.Operation, error) {
	now := e.Now()
	s, plan, err := e.Fleet.service(r.Service)
	if err != nil {
		return dr.Operation{}, err
	}
	id := dr.NewID(dr.KindBackup, now, "http", e.Nonce())
	if r.KeyHash == "" {
		return e.create(ctx, e.newBackup(id, s, plan, dr.TriggerHTTP, r, now), now)
	}
	claim, err := e.Store.Remember(ctx, r.KeyHash, Claim{Operation: id, BodyHash: r.BodyHash})
	if err != nil {
		return dr.Operation{}, err
	}
	if claim.BodyHash != r.BodyHash {
		return dr.Operation{}, fmt.Errorf("%w; it belongs to operation %s", ErrKeyReused, claim.Operation)
	}
	return e.createOnce(ctx, e.newBackup(claim.Operation, s, plan, dr.TriggerHTTP, r, now), now)
}

func (e *Engine) newBackup(id string, s Service, plan Plan, trigger dr.Trigger, r Request, now time.Time) dr.Operation {
	return dr.Operation{
		V: dr.Version, Rev: 1, Writer: e.Nonce(), ID: id, Kind: dr.KindBackup, Service: s.Name, Plan: plan.Name, Trigger: trigger,
		RequestedBy: r.RequestedBy, Reason: r.Reason, Traceparent: r.Traceparent,
		CreatedAt: now, NotAfter: now.Add(e.Timing.StartWithin), Phase: dr.Queued,
		Legs: []dr.Leg{{Verb: dr.VerbBackup, Service: s.Name, ResourceID: s.ResourceID, Storage: plan.Storage, Within: dr.Duration(plan.Within)}},
	}
}

// createOnce is create for an id that may have been used before.
func (e *Engine) createOnce(ctx context.Context, op dr.Operation, start time.Time) (dr.Operation, error) {
	was, _, err := e.Store.Operation(ctx, op.ID)
	switch {
	case errors.Is(err, ErrNotFound):
		return e.create(ctx, op, start)
	case err != nil:
		return dr.Operation{}, err
	case was.Phase == dr.Queued && was.Leg().Attempt == 0 && start.Sub(was.CreatedAt) < e.Timing.Lease:
		// Perhaps killed before its first wake. Later than that it is the watchdog's: a first wake sent again beside one that lives
		// would be a second chain of wakes.
		e.wakeFirst(about(ctx, was), firstWake(was, start.Add(e.Timing.Lease)), start)
	}
	return was, nil
}

// wakeFirst sends the first wake. The operation is accepted already, so that a failure is the watchdog's to mend.
func (e *Engine) wakeFirst(ctx context.Context, w dr.Wake, start time.Time) {
	if err := e.Bus.Wake(ctx, w, Operations, start); err != nil {
		e.Log.WarnContext(ctx, "the first wake could not be sent; the watchdog will", "error", err)
	}
}

// create writes marker, record and first wake, in this order: a marker without a record is swept up, a record without a wake is healed. From the
// record on the operation is accepted, whatever becomes of the wake.
func (e *Engine) create(ctx context.Context, op dr.Operation, start time.Time) (dr.Operation, error) {
	ctx = about(ctx, op)
	w := firstWake(op, start.Add(e.Timing.Lease))
	if err := e.Store.Mark(ctx, w); err != nil {
		return dr.Operation{}, err
	}
	if _, err := e.Store.CreateOperation(ctx, op); errors.Is(err, ErrExists) { // a twin was quicker
		was, _, err := e.Store.Operation(ctx, op.ID)
		return was, err
	} else if err != nil {
		return dr.Operation{}, err
	}
	e.wakeFirst(ctx, w, start)
	e.Log.InfoContext(ctx, "created", "kind", op.Kind, "trigger", op.Trigger, "start", start)
	return op, nil
}

func firstWake(op dr.Operation, lease time.Time) dr.Wake {
	return dr.Wake{V: dr.Version, ID: op.ID, Lease: lease}
}

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
