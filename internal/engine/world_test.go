package engine_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/store"
	"apim-dr/internal/store/memstore"
)

var (
	t0      = time.Date(2026, 1, 5, 3, 0, 0, 0, time.UTC)
	nightly = dr.Storage{Account: "contosodrbackups", Container: "apim-backups"}
)

const armHost = "https://management.azure.com/"

// errKilled is what every call of a dead process meets.
var errKilled = errors.New("killed")

type message struct {
	id        string
	queue     engine.Queue
	wake      *dr.Wake
	tick      *dr.Tick
	due       time.Time
	delivered int
	dead      bool
}

// world is a small Azure with a clock of its own. It delivers messages when they are due, runs the watchdog every five minutes, and can kill
// an invocation at its n-th call, before or after the call has its effect: from then on nothing that the invocation does has any.
type world struct {
	t       *testing.T
	mu      sync.Mutex // a tick creates its operations side by side
	dead    bool
	e       *engine.Engine
	store   *memstore.Store
	now     time.Time
	nonces  int
	queue   []message
	past    []message            // all that was ever sent
	sent    map[string]time.Time // MessageID: duplicate detection
	events  map[string][]dr.Event
	rpo     []dr.Event
	calls   int
	killAt  map[int]bool
	between map[int]func()     // what others do just before a call
	intrude func() (kill bool) // the same for every call
	busDown func() error
	hook    func(op, key string) error // of the store

	tagged   map[string][]dr.Tagged // by subscription
	unlisted map[string]bool        // subscriptions that may not be listed
	arm      sync.Mutex             // a plan looks at several instances at once
	services map[string]*instance
	posts    []string // points POSTed, in order
	inPost   func()   // what others do while a POST is on its way
	etags    int
	restores []string        // "<point> into <instance>", in order
	asleep   map[string]bool // instances that do not answer
	groups   string          // region of all resource groups
	overlaps int
	takes    time.Duration // how long ARM works
	onPost   func() (answer *dr.Answer, accepted bool)
	onStart  func(dr.Leg) (refused *dr.Answer) // before the POST is heard
	postedAt []time.Time                       // when ARM took what
	onPoll   func() *dr.Answer
	showLate time.Duration // from acceptance to showing Updating
}

type instance struct {
	view   dr.ServiceView
	verb   dr.Verb
	point  string
	holds  string // the recovery point restored last
	began  time.Time
	ends   time.Time
	failed *dr.Error
	noBlob bool
}

func newWorld(t *testing.T, services ...string) *world {
	w := &world{t: t, now: t0, sent: map[string]time.Time{}, events: map[string][]dr.Event{}, killAt: map[int]bool{}, services: map[string]*instance{}, asleep: map[string]bool{}, groups: "northeurope", takes: 5 * time.Minute}
	w.store = memstore.New(w.clock)
	w.store.Backups(nightly)
	w.hook = func(string, string) error { return w.call() }
	w.store.Fail(w.hook)
	schedule, err := dr.ParseSchedule("0 0 3 * * *")
	if err != nil {
		t.Fatal(err)
	}
	fleet := engine.Fleet{Plans: []engine.Plan{{Name: "nightly", Schedule: schedule, Storage: nightly, Within: 12 * time.Hour}}}
	for _, s := range services {
		fleet.Services = append(fleet.Services, engine.Service{Name: s, ResourceID: "/x/" + s, Plan: "nightly"})
		w.add(s)
	}
	fleet.Storages = []engine.Storage{{Storage: nightly, Access: dr.Access{Mode: "storageKey"}}}
	w.e = &engine.Engine{
		Store: w.store, Vault: w.store.Vault, ARM: w, Gateways: w, Bus: w, Fleet: fleet, Timing: dr.DefaultTiming(), APIVersion: "2024-05-01",
		Now: w.clock, Log: slog.New(slog.DiscardHandler),
		Nonce: func() string {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.nonces++
			return fmt.Sprint("n", w.nonces)
		},
	}
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) add(name string) {
	w.services[name] = &instance{view: dr.ServiceView{ETag: "e0", State: "Succeeded", SKU: "Developer", Capacity: 1, Region: "West Europe",
		Settings: &dr.Settings{GatewayURL: "https://" + name + ".azure-api.net"}}}
}

// call is where a kill can fall: before and after each effect outside the process.
func (w *world) call() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls++
	if f := w.between[w.calls]; f != nil {
		w.mu.Unlock()
		f()
		w.mu.Lock()
	}
	if w.killAt[w.calls] {
		w.dead = true
	}
	if w.intrude != nil && !w.dead {
		w.mu.Unlock()
		kill := w.intrude()
		w.mu.Lock()
		w.dead = w.dead || kill
	}
	if w.dead {
		return errKilled
	}
	return nil
}

// effect does f, unless the process is dead by then.
func (w *world) effect(f func() error) error {
	if err := w.call(); err != nil {
		return err
	}
	w.mu.Lock()
	err := f()
	w.mu.Unlock()
	return errors.Join(err, w.call())
}

var noAnswer = dr.Answer{Verdict: dr.Lost, Reason: "killed"}

// ---- Service Bus

func (w *world) send(m message) error {
	return w.effect(func() error {
		if w.busDown != nil {
			if err := w.busDown(); err != nil {
				return err
			}
		}
		if at, ok := w.sent[m.id]; !ok || w.now.Sub(at) >= 10*time.Minute {
			w.sent[m.id] = w.now
			w.queue, w.past = append(w.queue, m), append(w.past, m)
		}
		return nil
	})
}

func (w *world) Wake(_ context.Context, k dr.Wake, q engine.Queue, at time.Time) error {
	return w.send(message{id: string(q) + k.MessageID(), queue: q, wake: &k, due: at})
}

func (w *world) Tick(_ context.Context, k dr.Tick, at time.Time) error {
	return w.send(message{id: k.MessageID(), tick: &k, due: at})
}

func (w *world) Publish(_ context.Context, e dr.Event) error {
	return w.effect(func() error {
		if w.busDown != nil {
			if err := w.busDown(); err != nil {
				return err
			}
		}
		if _, ok := e.Data.(dr.RPOChange); ok {
			w.rpo = append(w.rpo, e)
			return nil
		}
		w.events[e.Result().Operation] = append(w.events[e.Result().Operation], e)
		return nil
	})
}

// ---- ARM

func (w *world) Trusts(location string) bool { return strings.HasPrefix(location, armHost) }

func (w *world) of(resourceID string) *instance {
	s := w.services[strings.TrimPrefix(resourceID, "/x/")]
	if s == nil {
		return nil
	}
	if s.point != "" && !w.now.Before(s.ends) {
		if s.verb == dr.VerbRestore && s.failed == nil {
			s.holds = s.point
		} else if s.failed == nil && !s.noBlob {
			w.aside(func() error {
				_, err := w.store.Backups(nightly).Create(w.t.Context(), s.point, store.Content{Body: []byte("backup")})
				return err
			})
		}
		w.etags++
		s.point, s.view.ETag = "", fmt.Sprint("after ", s.point, w.etags)
	}
	return s
}

// aside does what others than the product do: it cannot be killed and counts for nothing.
func (w *world) aside(f func() error) {
	w.t.Helper()
	w.store.Fail(nil)
	defer w.store.Fail(w.hook)
	if err := f(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) Service(_ context.Context, resourceID string) dr.Answer {
	if w.call() != nil {
		return noAnswer
	}
	if w.asleep[strings.TrimPrefix(resourceID, "/x/")] {
		return dr.Answer{Verdict: dr.Later, Reason: "no answer"}
	}
	w.arm.Lock()
	defer w.arm.Unlock()
	s := w.of(resourceID)
	if s == nil {
		return dr.Answer{Verdict: dr.No, Error: &dr.Error{Source: "arm", Code: "ResourceNotFound", Status: 404}}
	}
	v := s.view
	if s.point != "" && !w.now.Before(s.began.Add(w.showLate)) {
		v.State = "Updating"
	}
	return dr.Answer{Verdict: dr.OK, Service: v}
}

func (w *world) Start(_ context.Context, leg dr.Leg, point string) dr.Answer {
	if w.call() != nil {
		return noAnswer
	}
	if f := w.inPost; f != nil {
		w.inPost = nil
		f()
	}
	if w.onStart != nil {
		if refused := w.onStart(leg); refused != nil {
			return *refused
		}
	}
	w.postedAt = append(w.postedAt, w.now)
	answer, accepted := (*dr.Answer)(nil), true
	if w.onPost != nil {
		answer, accepted = w.onPost()
	}
	if accepted {
		w.arm.Lock()
		s := w.of(leg.ResourceID)
		if s.point != "" {
			w.overlaps++ // as an ARM that accepts everything would: then it is on us
		}
		s.verb, s.point, s.began, s.ends = leg.Verb, point, w.now, w.now.Add(w.takes)
		w.arm.Unlock()
	}
	if leg.Verb == dr.VerbRestore {
		w.guard(leg)
		w.restores = append(w.restores, point+" into "+leg.Service)
	} else {
		w.posts = append(w.posts, point)
	}
	if w.call() != nil {
		return noAnswer
	}
	if answer != nil {
		return *answer
	}
	return dr.Answer{Verdict: dr.Still, Location: armHost + leg.Service + "//" + point, Retry: time.Minute}
}

func (w *world) Group(context.Context, string) dr.Answer {
	return dr.Answer{Verdict: dr.OK, Service: dr.ServiceView{Region: w.groups}}
}

func (w *world) Deleted(context.Context, string) dr.Known { return dr.Not }

func (w *world) Tagged(_ context.Context, subscription string) ([]dr.Tagged, *dr.Error) {
	if w.call() != nil {
		return nil, dr.Failure("OutOfReach", "killed")
	}
	if w.unlisted[subscription] {
		return nil, &dr.Error{Source: "arm", Code: "AuthorizationFailed", Status: 403}
	}
	return w.tagged[subscription], nil
}

func (w *world) Workspaces(context.Context, string) int { return 0 }

func (w *world) Probe(_ context.Context, urls []string) []dr.Gateway {
	var list []dr.Gateway
	for _, u := range urls {
		list = append(list, dr.Gateway{URL: u, Status: 200})
	}
	return list
}

// guard holds a restore against the invariant that nothing automatic ever overwrites the active instance of a pair.
func (w *world) guard(leg dr.Leg) {
	w.aside(func() error {
		holder, err := w.store.Holder(w.t.Context(), leg.Service)
		if err != nil {
			return err
		}
		op, _, err := w.store.Operation(w.t.Context(), holder)
		if err != nil {
			return err
		}
		pairs := w.pairs()
		if slices.ContainsFunc(pairs, func(p dr.Pair) bool { return strings.EqualFold(p.Home, leg.Service) && !p.IsActive(leg.Service) }) {
			return nil // failed over from: what its other pairs say of it is out of date
		}
		for _, p := range pairs {
			if p.IsActive(leg.Service) && (op.Recovery.Intent.Auto || op.Kind == dr.KindFailover) {
				w.t.Errorf("%s %s overwrites %s, the active instance of %+v", op.Kind, op.ID, leg.Service, p)
			}
		}
		return nil
	})
}

// markers are those of the operations in flight.
func (w *world) markers() (list []engine.Marker) {
	w.t.Helper()
	w.aside(func() (err error) {
		list, err = w.store.Markers(w.t.Context())
		return err
	})
	return list
}

func (w *world) pairs() (pairs []dr.Pair) {
	for _, s := range w.e.Fleet.Services {
		for _, sec := range s.Secondaries {
			if p, err := w.store.Pair(w.t.Context(), dr.PairName(s.Name, sec.Name)); err == nil {
				pairs = append(pairs, p)
			} else if !errors.Is(err, engine.ErrNotFound) {
				w.t.Error(err)
			}
		}
	}
	return pairs
}

func (w *world) Check(_ context.Context, location string) dr.Answer {
	if w.call() != nil {
		return noAnswer
	}
	if w.onPoll != nil {
		if a := w.onPoll(); a != nil {
			return *a
		}
	}
	name, point, _ := strings.Cut(strings.TrimPrefix(location, armHost), "//")
	w.arm.Lock()
	defer w.arm.Unlock()
	s := w.of("/x/" + name)
	switch {
	case s.point == point:
		return dr.Answer{Verdict: dr.Still, Location: location, Retry: time.Minute}
	case s.failed != nil:
		return dr.Answer{Verdict: dr.No, Error: s.failed}
	}
	return dr.Answer{Verdict: dr.OK, Reason: "200 Succeeded", Service: s.view}
}

// ---- the host

// run lets the world go on until nothing is left to do, or until the clock has moved by horizon.
func (w *world) run(horizon time.Duration) {
	w.t.Helper()
	end := w.now.Add(horizon)
	watch := w.now.Truncate(5 * time.Minute).Add(5 * time.Minute)
	for steps := 0; ; steps++ {
		if steps > 5000 {
			w.t.Fatalf("it goes on for ever: %d messages, the first %+v", len(w.queue), w.queue[0])
		}
		slices.SortStableFunc(w.queue, func(a, b message) int { return cmp.Compare(a.due.UnixNano(), b.due.UnixNano()) })
		switch {
		case len(w.queue) > 0 && !w.queue[0].due.After(watch) && !w.queue[0].due.After(end):
			m := w.queue[0]
			w.queue = w.queue[1:]
			if m.due.After(w.now) {
				w.now = m.due
			}
			w.deliver(m)
		case watch.After(end), len(w.queue) == 0 && w.atRest():
			return
		default:
			w.now = watch
			watch = watch.Add(5 * time.Minute)
			w.survive(func() error { return w.e.Watch(w.t.Context()) })
		}
	}
}

func (w *world) atRest() bool {
	return !slices.ContainsFunc(w.store.State.Names(), func(n string) bool { return strings.HasPrefix(n, "active/") || strings.HasPrefix(n, "locks/") })
}

// deliver gives a message to the engine and settles it as the host does.
func (w *world) deliver(m message) {
	m.delivered++
	err := w.survive(func() error {
		ctx := w.t.Context()
		switch {
		case m.tick != nil:
			return w.e.RunTick(ctx, *m.tick, "")
		case m.dead:
			return w.e.Bury(ctx, *m.wake, dr.Failure("DeadLettered", "MaxDeliveryCountExceeded"))
		}
		return w.e.Knock(ctx, *m.wake)
	})
	switch {
	case err == nil:
		return
	case errors.Is(err, errKilled):
		m.due = w.now.Add(5 * time.Minute) // its lock runs out
	default:
		m.due = w.now.Add(2 * time.Second)
	}
	if m.delivered >= 10 && !m.dead {
		m.dead, m.delivered = true, 0
	}
	w.queue = append(w.queue, m)
}

// survive runs an invocation and brings a killed process back.
func (w *world) survive(f func() error) error {
	err := f()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead {
		w.dead, err = false, errKilled
	}
	return err
}

// ops reads all records.
func (w *world) ops() []dr.Operation {
	w.t.Helper()
	var ops []dr.Operation
	for _, name := range w.store.State.Names() {
		if id, ok := strings.CutPrefix(name, "operations/"); ok {
			id = strings.TrimSuffix(id[strings.Index(id, "/")+1:], ".json")
			w.aside(func() error {
				op, _, err := w.store.Operation(w.t.Context(), id)
				ops = append(ops, op)
				return err
			})
		}
	}
	return ops
}

// check holds the end of a run against the invariants.
func (w *world) check(wantOps int) []string {
	w.t.Helper()
	var wrong []string
	ops := w.ops()
	if len(ops) != wantOps {
		wrong = append(wrong, fmt.Sprintf("%d operations, want %d", len(ops), wantOps))
	}
	for _, op := range ops {
		if op.Phase != dr.Done || op.Outcome == "" {
			wrong = append(wrong, fmt.Sprintf("%s is %s", op.ID, op.Phase))
		}
		events := w.events[op.ID]
		if len(events) == 0 {
			wrong = append(wrong, op.ID+" has no event")
		}
		for _, e := range events {
			if e.ID != op.ID+":result" || e.Result().Outcome != op.Outcome {
				wrong = append(wrong, fmt.Sprintf("event %s %s for outcome %s", e.ID, e.Type, op.Outcome))
			}
		}
	}
	if w.overlaps > 0 {
		wrong = append(wrong, "two ARM operations of ours at once")
	}
	if !w.atRest() {
		wrong = append(wrong, fmt.Sprintf("left behind: %v", w.store.State.Names()))
	}
	if len(w.queue) > 0 {
		wrong = append(wrong, fmt.Sprintf("%d messages left", len(w.queue)))
	}
	return wrong
}
