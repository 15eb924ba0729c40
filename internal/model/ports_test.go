package model

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// invocation is one that runs: what it has heard so far.
type invocation struct {
	what  string   // for people, and to make its nonces
	msg   *message // nil: the watchdog
	began time.Duration
	ahead time.Duration // of its clock
	lost  bool          // its message's lock has run out: what it says of the message is not heard
	heard []answer
	sum   sum // of heard
	next  call
}

func (f *invocation) delivered() int {
	if f.msg == nil {
		return 0
	}
	return f.msg.delivered
}

// answer is what a call got.
type answer struct {
	key string // the call and what it was given
	val any
	at  time.Duration // the clock
}

// call is what an invocation does next.
type call struct {
	kind kind
	key  string
	err  error // ended: what the host hears
}

type kind int

const (
	reads  kind = iota // it looks at something; so is all that it looks at until its next effect
	effect             // one call that changes something, or asks Resource Manager
	ended
)

// errDown is what a caller hears of something that cannot be reached.
var errDown = errors.New("out of reach")

// run is one execution of an invocation: what was heard is repeated, then it may do one effect, or read, and is stopped at the next call.
type run struct {
	x       *explorer
	s       *state
	f       *invocation
	variant string // of the effect; "": none may be done
	reading bool   // what is not heard yet may be read
	eager   bool   // and after the effect as well

	mu      sync.Mutex
	at      map[string]int // how many answers of a key were repeated
	by      map[string][]answer
	clock   time.Duration // of the last answer
	nonces  int
	stopped bool
	next    call
	did     string // what was done, for people
	heard   []answer
	wrong   []violation
}

// violation is an invariant that does not hold.
type violation struct{ invariant, text string }

func (r *run) violate(invariant, format string, args ...any) {
	r.wrong = append(r.wrong, violation{invariant, fmt.Sprintf(format, args...)})
}

// advance runs the invocation on.
func (x *explorer) advance(s *state, f *invocation, variant string, eager bool) *run {
	r := &run{x: x, s: s, f: f, variant: variant, reading: f.next.kind == reads, eager: eager, at: map[string]int{}, by: map[string][]answer{}, clock: f.began, heard: f.heard}
	for _, a := range f.heard {
		r.by[a.key] = append(r.by[a.key], a)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := x.invoke(r)
		r.mu.Lock()
		defer r.mu.Unlock()
		if !r.stopped {
			r.next = call{kind: ended, key: "end", err: err}
		}
	}()
	<-done
	next := *f
	next.heard, next.next = r.heard, r.next
	news := slices.Clone(r.heard[len(f.heard):]) // a survey reads side by side, in any order
	slices.SortStableFunc(news, func(a, b answer) int { return strings.Compare(a.key, b.key) })
	for _, a := range news {
		next.sum = sumOf(next.sum, a.key, stamp(a.val), int(a.at))
	}
	i := slices.Index(s.flight, f)
	s.flight[i] = &next
	r.f = &next
	return r
}

// stop ends the execution here. Goroutines of a survey end as well; whoever waits for them comes to the next call, and ends there.
func (r *run) stop(next call) {
	if !r.stopped {
		r.stopped, r.next = true, next
	}
	r.mu.Unlock()
	runtime.Goexit()
}

// repeated gives the recorded answer to a call.
func (r *run) repeated(key string) (answer, bool) {
	if r.stopped {
		r.stop(call{})
	}
	if n := r.at[key]; n < len(r.by[key]) {
		r.at[key]++
		r.clock = max(r.clock, r.by[key][n].at)
		return r.by[key][n], true
	}
	return answer{}, false
}

func (r *run) record(key string, val any) {
	r.clock = r.s.clock
	r.heard = append(slices.Clip(r.heard), answer{key, val, r.s.clock})
}

// read is a call that changes nothing.
func read[T any](r *run, key string, do func(*state) T) T {
	r.mu.Lock()
	if a, ok := r.repeated(key); ok {
		defer r.mu.Unlock()
		val, _ := a.val.(T) // of a nil error: nil
		return val
	}
	if !r.reading {
		r.stop(call{kind: reads})
	}
	defer r.mu.Unlock()
	val := do(r.s)
	r.record(key, val)
	return val
}

// act is a call with an effect. failed is what the caller hears of one that could not be done, or whose answer was lost.
func act[T any](r *run, key string, do func(s *state, variant string) T, failed T) T {
	r.mu.Lock()
	if a, ok := r.repeated(key); ok {
		defer r.mu.Unlock()
		val, _ := a.val.(T) // of a nil error: nil
		return val
	}
	if r.variant == "" {
		r.stop(call{kind: effect, key: key})
	}
	defer r.mu.Unlock()
	variant := r.variant
	r.variant, r.reading = "", r.eager
	r.did = key
	val := failed
	if variant != "down" {
		val = do(r.s, variant)
	}
	if variant == "unheard" {
		val = failed
	}
	if variant != "done" {
		r.did += ": " + variant
	}
	r.record(key, val)
	return val
}

// engine is the product, whose outside is the run.
func (r *run) engine() *engine.Engine {
	e := r.x.engine // a copy
	e.Store, e.Vault, e.ARM, e.Gateways, e.Bus = records{r}, vault{r}, arm{r}, arm{r}, bus{r}
	e.Now = func() time.Time {
		r.mu.Lock()
		defer r.mu.Unlock()
		return t0.Add(r.clock + r.f.ahead)
	}
	e.Nonce = func() string {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.nonces++
		return fmt.Sprintf("%s/%d", r.f.what, r.nonces)
	}
	e.Log = slog.New(slog.DiscardHandler)
	return &e
}

type (
	records struct{ r *run }
	vault   struct{ r *run }
	arm     struct{ r *run }
	bus     struct{ r *run }
)

// two is a pair of answers.
type two[A, B any] struct {
	a A
	b B
}

func (t two[A, B]) stamp() string { return stamp(t.a) + stamp(t.b) }

// stamp is the same for answers that say the same.
func stamp(val any) string {
	switch val := val.(type) {
	case interface{ stamp() string }:
		return val.stamp()
	case nil:
		return ""
	case string:
		return val
	case error:
		return val.Error()
	}
	text, err := json.Marshal(val)
	if err != nil {
		panic(err)
	}
	return string(text)
}

var ctx = context.Background()

func (p records) CreateOperation(_ context.Context, op dr.Operation) (string, error) {
	if p.r.x.mutant.markerLast {
		defer func() { _ = p.mark(dr.Wake{V: 1, ID: op.ID, Lease: op.CreatedAt.Add(p.r.x.engine.Timing.Lease)}) }()
	}
	got := act(p.r, "create "+short(op.ID), func(s *state, _ string) two[string, error] {
		records, _ := s.records()
		etag, err := records.CreateOperation(ctx, op)
		return two[string, error]{etag, err}
	}, two[string, error]{"", errDown})
	return got.a, got.b
}

// found is a record; its ETag tells it from others.
type found struct {
	op   dr.Operation
	etag string
	err  error
}

func (f found) stamp() string { return f.etag + stamp(f.err) }

func (p records) Operation(_ context.Context, id string) (dr.Operation, string, error) {
	got := read(p.r, "record "+id, func(s *state) found {
		records, _ := s.records()
		op, etag, err := records.Operation(ctx, id)
		return found{op, etag, err}
	})
	if m := p.r.f.msg; p.r.x.mutant.failDead && m != nil && m.dead && m.wake.ID == id && got.op.Phase != dr.Done && got.err == nil {
		got.op.Phase, got.op.Legs = dr.Queued, slices.Clone(got.op.Legs)
		got.op.Leg().Attempt = 0
	}
	return got.op, got.etag, got.err
}

func (p records) SaveOperation(_ context.Context, op dr.Operation, etag string) (string, error) {
	if p.r.x.mutant.eventFirst && op.Phase == dr.Done {
		_ = bus(p).Publish(ctx, dr.ResultEvent(op))
	}
	got := act(p.r, fmt.Sprintf("save %s r%d %s", short(op.ID), op.Rev, op.Phase), func(s *state, _ string) two[string, error] {
		records, _ := s.records()
		before, now, err := records.Operation(ctx, op.ID)
		if p.r.x.mutant.saveAlways && err == nil {
			etag = now
		}
		newETag, err := records.SaveOperation(ctx, op, etag)
		if err == nil {
			p.r.saved(before, op)
		}
		return two[string, error]{newETag, err}
	}, two[string, error]{"", errDown})
	return got.a, got.b
}

func (p records) OperationIDs(context.Context, string) (map[string]bool, error) {
	panic("no tick comes")
}

// pruned: see explorer.prune.
const pruned = "no operation prunes"

func (p records) Condemn(context.Context, string, string, []string) error { panic(pruned) }
func (p records) Reprieve(context.Context, string, string, string) error  { panic(pruned) }
func (p records) Forget(context.Context, string, string) error            { panic(pruned) }
func (p records) Catalogued(context.Context) ([]string, error)            { panic(pruned) }

// Nothing is reported to change here: no step of its own, which would multiply the states.
func (p records) Pending(context.Context, string) (dr.Pending, error) {
	return dr.Pending{}, engine.ErrNotFound
}
func (p records) Pendings(context.Context) ([]string, error) { return nil, nil }
func (p records) MergePending(context.Context, string, func(dr.Pending) (dr.Pending, bool)) error {
	panic("nothing changes")
}
func (p records) Discovery(context.Context) (dr.Discovery, error) { panic("nobody looks for services") }
func (p records) MergeDiscovery(context.Context, func(dr.Discovery) dr.Discovery) error {
	panic("nobody looks for services")
}
func (p arm) Tagged(context.Context, string) ([]dr.Tagged, *dr.Error) {
	panic("nobody looks for services")
}
func (p records) MarkChanged(context.Context, string, string) error { panic("nothing changes") }

// plain is an effect on the records with nothing but an error.
func (p records) plain(key string, do func(*state, engine.Store) error) error {
	return act(p.r, key, func(s *state, _ string) error {
		records, _ := s.records()
		return do(s, records)
	}, errDown)
}

func (p records) mark(w dr.Wake) error {
	return p.plain("mark "+short(w.ID), func(_ *state, s engine.Store) error { return s.Mark(ctx, w) })
}

func (p records) Mark(_ context.Context, w dr.Wake) error {
	if p.r.x.mutant.markerLast && p.r.f.msg != nil && p.r.f.msg.call > 0 {
		return nil
	}
	return p.mark(w)
}

func (p records) Beat(_ context.Context, w dr.Wake) error {
	return p.plain(fmt.Sprintf("beat %s %s", short(w.ID), w.Lease.Format("15:04:05.000")), func(_ *state, s engine.Store) error { return s.Beat(ctx, w) })
}

func (p records) Unmark(_ context.Context, id string) error {
	return p.plain("unmark "+short(id), func(_ *state, s engine.Store) error { return s.Unmark(ctx, id) })
}

func (p records) UnmarkIf(_ context.Context, m engine.Marker) error {
	return p.plain("unmark if "+short(m.Wake.ID), func(_ *state, s engine.Store) error { return s.UnmarkIf(ctx, m) })
}

func (p records) Markers(context.Context) ([]engine.Marker, error) {
	got := read(p.r, "markers", func(s *state) two[[]engine.Marker, error] {
		records, _ := s.records()
		list, err := records.Markers(ctx)
		if p.r.x.mutant.doneIsDone {
			list = slices.DeleteFunc(list, func(m engine.Marker) bool {
				op, _, err := records.Operation(ctx, m.Wake.ID)
				return err == nil && op.Phase == dr.Done
			})
		}
		return two[[]engine.Marker, error]{list, err}
	})
	return got.a, got.b
}

// holder is an effect on a lock that tells who has it.
func (p records) holder(key string, do func(engine.Store) (string, error)) (string, error) {
	got := act(p.r, key, func(s *state, _ string) two[string, error] {
		records, _ := s.records()
		holder, err := do(records)
		return two[string, error]{holder, err}
	}, two[string, error]{"", errDown})
	return got.a, got.b
}

func (p records) Lock(_ context.Context, service, operation, invocation string) (engine.Locked, error) {
	got := act(p.r, "lock "+service+" for "+short(operation), func(s *state, _ string) two[engine.Locked, error] {
		records, _ := s.records()
		locked, err := records.Lock(ctx, service, operation, invocation)
		if p.r.x.mutant.noLock {
			locked.Holder = operation
		}
		return two[engine.Locked, error]{locked, err}
	}, two[engine.Locked, error]{engine.Locked{}, errDown})
	return got.a, got.b
}

func (p records) Free(_ context.Context, service, etag string) (bool, error) {
	got := act(p.r, "free "+service, func(s *state, _ string) two[bool, error] {
		if p.r.x.mutant.unlockAny {
			return two[bool, error]{container{s, ""}.Delete(ctx, "locks/"+service, "") == nil, nil}
		}
		records, _ := s.records()
		freed, err := records.Free(ctx, service, etag)
		return two[bool, error]{freed, err}
	}, two[bool, error]{false, errDown})
	return got.a, got.b
}

func (p records) Touch(context.Context, string) error { panic("nothing changes") }

func (p records) TakeOver(_ context.Context, service, holder, operation, invocation string) (string, error) {
	return p.holder("take over "+service+" for "+short(operation), func(s engine.Store) (string, error) {
		return s.TakeOver(ctx, service, holder, operation, invocation)
	})
}

func (p records) Yield(_ context.Context, service, operation, invocation string) error {
	return p.plain("yield "+service, func(_ *state, s engine.Store) error {
		if p.r.x.mutant.yieldAny { // whichever of the operation's invocations has it
			return s.Unlock(ctx, service, operation)
		}
		return s.Yield(ctx, service, operation, invocation)
	})
}

func (p records) Unlock(_ context.Context, service, operation string) error {
	return p.plain("unlock "+service, func(state *state, s engine.Store) error {
		if p.r.x.mutant.unlockAny {
			_ = container{state, ""}.Delete(ctx, "locks/"+service, "")
			return nil
		}
		return s.Unlock(ctx, service, operation)
	})
}

func (p records) Reserve(_ context.Context, service, holder, operation string) error {
	return p.plain("reserve "+service, func(_ *state, s engine.Store) error { return s.Reserve(ctx, service, holder, operation) })
}

func (p records) Holder(_ context.Context, service string) (string, error) {
	got := read(p.r, "holder "+service, func(s *state) two[string, error] {
		records, _ := s.records()
		holder, err := records.Holder(ctx, service)
		return two[string, error]{holder, err}
	})
	return got.a, got.b
}

func (p records) Locks(context.Context) (map[string]string, error) {
	got := read(p.r, "locks", func(s *state) two[map[string]string, error] {
		records, _ := s.records()
		locks, err := records.Locks(ctx)
		return two[map[string]string, error]{locks, err}
	})
	return got.a, got.b
}

func (p records) CopyPoint(_ context.Context, point dr.RecoveryPoint) error {
	return p.plain("copy point "+short(point.ID), func(_ *state, s engine.Store) error { return s.CopyPoint(ctx, point) })
}

func (p records) RecordPoint(_ context.Context, point dr.RecoveryPoint) error {
	return p.plain("record point "+short(point.ID), func(_ *state, s engine.Store) error { return s.RecordPoint(ctx, point) })
}

func (p records) Point(_ context.Context, service, id string) (dr.RecoveryPoint, error) {
	got := read(p.r, "point of "+service+" "+id, func(s *state) two[dr.RecoveryPoint, error] {
		records, _ := s.records()
		point, err := records.Point(ctx, service, id)
		return two[dr.RecoveryPoint, error]{point, err}
	})
	return got.a, got.b
}

func (p records) Points(_ context.Context, service string) ([]dr.RecoveryPoint, error) {
	got := read(p.r, "points of "+service, func(s *state) two[[]dr.RecoveryPoint, error] {
		records, _ := s.records()
		points, err := records.Points(ctx, service)
		return two[[]dr.RecoveryPoint, error]{points, err}
	})
	return got.a, got.b
}

func (p records) Pin(_ context.Context, service, id, operation string) error {
	return p.plain("pin "+short(id), func(_ *state, s engine.Store) error {
		if p.r.x.mutant.noPin {
			return nil
		}
		return s.Pin(ctx, service, id, operation)
	})
}

func (p records) Unpin(_ context.Context, service, id, operation string) error {
	return p.plain("unpin "+short(id), func(_ *state, s engine.Store) error { return s.Unpin(ctx, service, id, operation) })
}

func (p records) Service(_ context.Context, service string) (dr.ServiceState, error) {
	got := read(p.r, "state of "+service, func(s *state) two[dr.ServiceState, error] {
		records, _ := s.records()
		state, err := records.Service(ctx, service)
		return two[dr.ServiceState, error]{state, err}
	})
	return got.a, got.b
}

func (p records) Pair(_ context.Context, name string) (dr.Pair, error) {
	got := read(p.r, "pair", func(s *state) two[dr.Pair, error] {
		records, _ := s.records()
		pair, err := records.Pair(ctx, name)
		return two[dr.Pair, error]{pair, err}
	})
	return p.r.blindfold(got.a), got.b
}

// merged is what a merge was given and came to: repeated, it is given the same again, since it tells its caller more than it returns.
type merged[T any] struct {
	given T
	err   error
}

func (m merged[T]) stamp() string { return stamp(m.given) + stamp(m.err) }

func (p records) MergePair(_ context.Context, name string, merge func(dr.Pair) (dr.Pair, bool)) error {
	seen := false
	got := act(p.r, "merge pair", func(s *state, _ string) merged[dr.Pair] {
		var given dr.Pair
		records, _ := s.records()
		err := records.MergePair(ctx, name, func(pair dr.Pair) (dr.Pair, bool) {
			given, seen = pair, true
			next, changed := merge(p.r.blindfold(pair))
			if p.r.blind() && pair.Name != "" {
				next.Active, next.Suspended, next.BusyBy = pair.Active, pair.Suspended, pair.BusyBy
			}
			return next, changed
		})
		return merged[dr.Pair]{given, err}
	}, merged[dr.Pair]{err: errDown})
	if got.err == nil && !seen {
		merge(p.r.blindfold(got.given))
	}
	return got.err
}

func (p records) MergeService(_ context.Context, service string, merge func(dr.ServiceState) (dr.ServiceState, bool)) error {
	return p.plain("merge state of "+service, func(_ *state, s engine.Store) error { return s.MergeService(ctx, service, merge) })
}

func (p records) Remember(_ context.Context, key string, claim engine.Claim) (engine.Claim, error) {
	got := act(p.r, "remember", func(s *state, _ string) two[engine.Claim, error] {
		records, _ := s.records()
		kept, err := records.Remember(ctx, key, claim)
		return two[engine.Claim, error]{kept, err}
	}, two[engine.Claim, error]{b: errDown})
	return got.a, got.b
}

func (p records) Recall(_ context.Context, key string) (engine.Claim, error) {
	got := read(p.r, "recall", func(s *state) two[engine.Claim, error] {
		records, _ := s.records()
		kept, err := records.Recall(ctx, key)
		return two[engine.Claim, error]{kept, err}
	})
	return got.a, got.b
}

// No plan's time comes within what is explored.
func (p records) LastTick(context.Context, string) (time.Time, error) {
	return t0.AddDate(1, 0, 0), nil
}

func (p records) MoveTick(context.Context, string, time.Time) error { return nil }

func (p records) Quarantine(_ context.Context, content []byte, reason string) error {
	return p.plain("quarantine", func(_ *state, s engine.Store) error { return s.Quarantine(ctx, content, reason) })
}

// ---- the storage of the backups

func (p vault) Head(_ context.Context, at dr.Storage, name string) (dr.BlobView, error) {
	return read(p.r, "head "+name, func(s *state) dr.BlobView {
		_, vault := s.records()
		view, _ := vault.Head(ctx, at, name)
		return view
	}), nil
}

func (p vault) Exists(context.Context, dr.Storage) (bool, error) { return true, nil }

func (p vault) Remove(context.Context, dr.Storage, string) error { panic(pruned) }

func (p vault) Beside(context.Context, dr.Storage, func(dr.RecoveryPoint) error, func(string, error)) error {
	panic("no operation reads all copies")
}

func (p vault) Roles(context.Context, dr.Storage) ([]dr.Pair, error) {
	panic("no operation reads all copies")
}

func (p vault) Role(_ context.Context, at dr.Storage, name string) (dr.Pair, error) {
	got := read(p.r, "role", func(s *state) two[dr.Pair, error] {
		_, vault := s.records()
		pair, err := vault.Role(ctx, at, name)
		return two[dr.Pair, error]{pair, err}
	})
	return p.r.blindfold(got.a), got.b
}

func (p vault) KeepRole(_ context.Context, at dr.Storage, pair dr.Pair) error {
	return act(p.r, "keep role", func(s *state, _ string) error {
		_, vault := s.records()
		return vault.KeepRole(ctx, at, pair)
	}, errDown)
}

// ---- Resource Manager

const armHost = "https://management.azure.com/"

func nameOf(resourceID string) string { return strings.TrimPrefix(resourceID, "/x/") }

func (p arm) Trusts(location string) bool { return strings.HasPrefix(location, armHost) }

func (p arm) Service(_ context.Context, resourceID string) dr.Answer {
	return read(p.r, "service "+nameOf(resourceID), func(s *state) dr.Answer {
		in := s.instance(nameOf(resourceID))
		v := dr.ServiceView{ETag: fmt.Sprint("e", in.etag), State: "Succeeded", SKU: "Developer", Capacity: 1, Region: "West Europe"}
		if in.run != nil && s.clock >= in.run.shown {
			v.State = "Updating"
		}
		return dr.Answer{Verdict: dr.OK, Service: v}
	})
}

func (p arm) Group(context.Context, string) dr.Answer {
	return dr.Answer{Verdict: dr.OK, Service: dr.ServiceView{Region: "northeurope"}}
}

func (p arm) Deleted(context.Context, string) dr.Known { return dr.Not }

func (p arm) Workspaces(context.Context, string) int { return 0 }

func (p arm) Probe(context.Context, []string) []dr.Gateway { return nil }

func (p arm) Start(_ context.Context, leg dr.Leg, point string) dr.Answer {
	lost := dr.Answer{Verdict: dr.Lost, Reason: "no answer"}
	return act(p.r, fmt.Sprintf("POST %s of %s", leg.Verb, leg.Service), func(s *state, variant string) dr.Answer {
		switch variant {
		case "not taken, unanswered":
			return lost
		case "429":
			return dr.Answer{Verdict: dr.Later, Retry: 90 * time.Second, Reason: "429 TooManyRequests"}
		case "400":
			return dr.Answer{Verdict: dr.No, Error: &dr.Error{Source: "arm", Code: "BadRequest", Message: "no", Status: 400}}
		}
		p.r.accepted(leg, point)
		in := s.instance(leg.Service)
		op := armOp{verb: leg.Verb, point: point, operation: p.r.operation(), began: s.clock, shown: s.clock, ends: s.clock + armTakes, fails: variant == "taken, will fail"}
		if variant == "taken, unanswered, not shown" {
			op.shown, op.ends = s.clock+hidden, s.clock+hidden+armTakes
		}
		in.run = &op
		if strings.HasPrefix(variant, "taken, unanswered") {
			return lost
		}
		return dr.Answer{Verdict: dr.Still, Location: fmt.Sprintf("%s%s//%d", armHost, leg.Service, s.clock), Retry: time.Minute}
	}, lost)
}

func (p arm) Check(_ context.Context, location string) dr.Answer {
	name, began, _ := strings.Cut(strings.TrimPrefix(location, armHost), "//")
	later := dr.Answer{Verdict: dr.Later, Reason: "no answer"}
	return act(p.r, "poll "+name, func(s *state, variant string) dr.Answer {
		in, this := s.instance(name), func(op armOp) bool { return fmt.Sprintf("%d", op.began) == began }
		if variant == "403 from now on" {
			in.change(this, func(op *armOp) { op.denied = true })
		}
		op, over := in.ended(this)
		switch {
		case op.denied, in.run != nil && this(*in.run) && in.run.denied:
			return dr.Answer{Verdict: dr.Refused, Error: &dr.Error{Source: "arm", Code: "AuthorizationFailed", Message: "no", Status: 403}}
		case !over:
			return dr.Answer{Verdict: dr.Still, Location: location, Retry: time.Minute}
		case op.fails:
			return dr.Answer{Verdict: dr.No, Error: &dr.Error{Source: "arm", Code: "Failed", Message: "no space", Status: 400}}
		}
		return dr.Answer{Verdict: dr.OK, Reason: "200 Succeeded"}
	}, later)
}

// ---- Service Bus

func (p bus) Wake(_ context.Context, w dr.Wake, q engine.Queue, at time.Time) error {
	id := w.MessageID()
	if p.r.x.mutant.sameID {
		id = fmt.Sprintf("%s:w:%d:%d", w.ID, w.N, w.Try)
	}
	return act(p.r, fmt.Sprintf("send %s to %s for %s", short(id), q, at.Sub(t0).Round(time.Second)), func(s *state, _ string) error {
		if p.r.x.scene.detection {
			this := sent{s.clock, fmt.Sprint(w.Epoch, w.N, w.Try)}
			if last, ok := s.sent[id]; ok && s.clock-last.at < 10*time.Minute {
				if last.what != this.what {
					p.r.violate(nothingSwallowed, "the wake %s of epoch %d is swallowed as a repetition of another", short(w.MessageID()), w.Epoch)
				}
				return nil
			}
			s.sent[id] = this
		}
		due := max(s.clock, at.Sub(t0).Truncate(time.Second)+time.Second)
		if !at.After(s.now()) {
			due = s.clock
		}
		s.queue = append(s.queue, &message{id: s.fresh(id), queue: q, wake: w, due: due})
		return nil
	}, errDown)
}

// fresh tells messages with the same MessageID apart: invocations take their nonces from it.
func (s *state) fresh(id string) string {
	same := func(m *message) bool { return m != nil && m.id == id }
	for slices.ContainsFunc(s.queue, same) || slices.ContainsFunc(s.flight, func(f *invocation) bool { return same(f.msg) }) {
		id += "'"
	}
	return id
}

func (p bus) Tick(context.Context, dr.Tick, time.Time) error { panic("no plan's time comes") }

func (p bus) Publish(_ context.Context, e dr.Event) error {
	return act(p.r, "publish "+short(e.ID), func(s *state, _ string) error {
		p.r.published(e)
		s.events[e.Result().Operation] = e.Result().Outcome
		return nil
	}, errDown)
}
