package model

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// scene is what is explored: how it begins and which faults may happen.
type scene struct {
	name      string
	instances []string
	fleet     func(*engine.Fleet)
	// calls are those over HTTP. Those of before have been answered, and what they began has ended, when it begins; the others come at their times.
	before       []httpCall
	calls        []httpCall
	small, large []budget
	faults       budget // one of them
	// detection: the bus drops a MessageID that comes again within ten minutes.
	detection bool
}

// httpCall is a call over HTTP.
type httpCall struct {
	at time.Duration // after the beginning
	do func(context.Context, *engine.Engine) error
}

// mutant is a rule that is broken.
type mutant struct {
	sameID     bool // a heal sends with the MessageID of an earlier wake
	unlockAny  bool // who ends deletes the lock, whoever has it
	yieldAny   bool // who yields deletes the lock, whichever of its invocations has it
	noLock     bool
	eventFirst bool // the event goes out before the record is saved
	doneIsDone bool // a message for an operation that is done is dropped, without Finish
	failDead   bool // a dead letter ends an operation as failed, whatever it was about
	markerLast bool // the marker is made after the record
	followAll  bool // a warm sync does not look at the roles
	pruneUsed  bool // a recovery point is deleted although it is in use
	saveAlways bool // a record is saved although it was changed meanwhile
	noPin      bool // a restore does not say that it uses its recovery point
	early      bool // a service is looked at before what was accepted must show
}

type explorer struct {
	scene  scene
	mutant mutant
	engine engine.Engine
	most   int // states

	mu     sync.Mutex
	seen   map[sum]from
	states int
	steps  int
	depth  int
	ends   int
	done   map[string]int // outcomes at the ends
	wrong  *violation
	at     sum
}

// from is how a state was first reached.
type from struct {
	parent sum
	step   string
}

// invoke is what the host starts.
func (x *explorer) invoke(r *run) error {
	e, m := r.engine(), r.f.msg
	switch {
	case m == nil:
		return e.Watch(ctx)
	case m.call > 0:
		return x.scene.calls[m.call-1].do(ctx, e)
	case m.dead:
		return e.Bury(ctx, m.wake, dr.Failure("DeadLettered", "ten deliveries"))
	}
	return e.Knock(ctx, m.wake)
}

// step is a state that can follow, or a violation on the way to it.
type step struct {
	name  string
	next  *state
	wrong []violation
}

// successors lists all that can happen in a state.
func (x *explorer) successors(s *state) []step {
	var list []step
	for _, f := range s.flight {
		list = append(list, x.stepsOf(s, f)...)
	}
	if len(s.flight) < mostFlight {
		for _, m := range s.queue {
			if m.due <= s.clock {
				list = append(list, x.start(s, m))
			}
		}
	}
	list = append(list, x.faults(s)...)
	if len(s.flight) == 0 && !slices.ContainsFunc(s.queue, func(m *message) bool { return m.due <= s.clock }) {
		if next, ok := x.later(s); ok {
			list = append(list, next)
		}
	}
	return list
}

// alone tells whether nothing else can happen between two calls of the only invocation.
func alone(s *state) bool { return len(s.flight) == 1 }

// variants of an effect, each with the budget that it takes.
func (x *explorer) variants(s *state, f *invocation) []string {
	list := []string{"done"}
	post, poll := strings.HasPrefix(f.next.key, "POST"), strings.HasPrefix(f.next.key, "poll")
	if s.left.unheard > 0 && !post && !poll {
		list = append(list, "unheard")
	}
	if s.left.down > 0 && !post {
		list = append(list, "down")
	}
	if post && s.left.odd > 0 {
		list = append(list, "taken, unanswered", "not taken, unanswered", "429", "400")
		if s.left.invisible > 0 {
			list = append(list, "taken, unanswered, not shown")
		}
	}
	if poll && s.left.odd > 0 {
		list = append(list, "403 from now on")
	}
	if post && s.left.fail > 0 {
		list = append(list, "taken, will fail")
	}
	return list
}

func (b *budget) spend(variant string) {
	switch variant {
	case "done":
	case "unheard":
		b.unheard--
	case "down":
		b.down--
	case "taken, will fail":
		b.fail--
	case "taken, unanswered, not shown":
		b.invisible--
		b.odd--
	default:
		b.odd--
	}
}

// stepsOf is what an invocation can do next, or what can become of it.
func (x *explorer) stepsOf(s *state, f *invocation) []step {
	var list []step
	switch f.next.kind {
	case ended:
		return []step{x.settle(s, f)}
	case reads:
		n := s.clone()
		r := x.advance(n, f, "", alone(s))
		return []step{{f.what + " reads", n, r.wrong}}
	}
	for _, variant := range x.variants(s, f) {
		n := s.clone()
		n.left.spend(variant)
		r := x.advance(n, f, variant, alone(s))
		list = append(list, step{f.what + " " + r.did, n, r.wrong})
	}
	if s.left.kill > 0 {
		n := s.clone()
		n.left.kill--
		n.flight = slices.DeleteFunc(n.flight, func(other *invocation) bool { return other == f })
		if m := f.msg; m != nil && !f.lost {
			again := *m
			again.delivered++
			again.due = f.began + busLock
			if m.call > 0 { // its client
				again.due = s.clock + 10*time.Second
			}
			n.put(&again)
		}
		list = append(list, step{name: f.what + " is killed before " + f.next.key, next: n})
		if f.msg != nil && f.msg.call > 0 {
			given := n.clone()
			given.queue = slices.DeleteFunc(given.queue, func(m *message) bool { return m.call == f.msg.call })
			list = append(list, step{name: f.what + " is killed before " + f.next.key + ", and its client gives up", next: given})
		}
	}
	if m := f.msg; m != nil && m.call == 0 && !f.lost && s.left.unlock > 0 {
		n := s.clone()
		n.left.unlock--
		lost := *f
		lost.lost = true
		n.flight[slices.Index(n.flight, f)] = &lost
		again := *m
		again.delivered++
		again.due = s.clock
		n.put(&again)
		list = append(list, step{name: f.what + " loses the lock of its message", next: n})
	}
	return list
}

// put puts a message back.
func (s *state) put(m *message) {
	if m.delivered >= 10 && !m.dead {
		m.dead, m.delivered = true, 0
	}
	s.queue = append(s.queue, m)
}

// settle is the end of an invocation.
func (x *explorer) settle(s *state, f *invocation) step {
	n := s.clone()
	n.flight = slices.DeleteFunc(n.flight, func(other *invocation) bool { return other == f })
	st := step{name: f.what + " ends", next: n}
	if f.next.err != nil {
		st.name += ": " + f.next.err.Error()
	}
	m := f.msg
	if m == nil || f.lost {
		return st
	}
	refusal := (*engine.Refusal)(nil)
	final := errors.Is(f.next.err, engine.ErrRefused) || errors.As(f.next.err, &refusal) // a call was answered
	if f.next.err != nil && !final {
		again := *m
		again.delivered++
		again.due = s.clock + 2*time.Second
		n.put(&again)
	}
	return st
}

// start delivers a message.
func (x *explorer) start(s *state, m *message) step {
	n := s.clone()
	n.queue = slices.DeleteFunc(n.queue, func(other *message) bool { return other == m })
	if x.mutant.doneIsDone && m.call == 0 {
		records, _ := n.records()
		if op, _, err := records.Operation(ctx, m.wake.ID); err == nil && op.Phase == dr.Done {
			return step{name: m.String() + " is dropped: the operation is done", next: n}
		}
	}
	return x.begin(n, &invocation{what: fmt.Sprintf("[%s #%d %s]", m, m.delivered, s.clock), msg: m, began: s.clock}, "delivered: "+m.String())
}

// begin starts an invocation and takes it to its first call.
func (x *explorer) begin(n *state, f *invocation, name string) step {
	f.sum = sumOf(f.what, int(f.began), int(f.ahead))
	n.flight = append(n.flight, f)
	f.next = call{kind: reads}
	r := x.advance(n, f, "", alone(n))
	return step{name, n, r.wrong}
}

// faults are what happens beside the invocations' own calls.
func (x *explorer) faults(s *state) []step {
	var list []step
	with := func(name string, change func(*state)) {
		n := s.clone()
		change(n)
		list = append(list, step{name: name, next: n})
	}
	for i, m := range s.queue {
		if m.call > 0 {
			continue
		}
		at := func(change func(*message)) func(*state) {
			return func(n *state) {
				c := *m
				change(&c)
				n.queue[i] = &c
			}
		}
		if s.left.twice > 0 {
			with(m.String()+" comes twice", func(n *state) {
				n.left.twice--
				c := *m
				c.id = n.fresh(c.id)
				n.queue = append(n.queue, &c)
			})
		}
		if s.left.lose > 0 {
			with(m.String()+" is lost", func(n *state) { n.left.lose--; n.queue = slices.Delete(n.queue, i, i+1) })
		}
		if s.left.late > 0 {
			with(m.String()+" is late", func(n *state) { n.left.late--; at(func(c *message) { c.due += lateBy })(n) })
		}
		if s.left.bury > 0 && !m.dead {
			with(m.String()+" dies", func(n *state) { n.left.bury--; at(func(c *message) { c.dead, c.delivered = true, 0 })(n) })
		}
	}
	if s.left.slow > 0 && len(s.flight) > 0 {
		with("all stop for 65 s", func(n *state) { n.left.slow--; n.clock += 65 * time.Second; n.settle() })
	}
	if s.left.watch > 0 && len(s.flight) < mostFlight {
		if lease := s.leases(); len(lease) > 0 {
			ahead := max(0, slices.Max(lease)+x.engine.Timing.WatchdogGrace+time.Second-s.clock)
			n := s.clone()
			n.left.watch--
			list = append(list, x.begin(n, &invocation{what: fmt.Sprintf("[watchdog, early, %s]", s.clock), began: s.clock, ahead: ahead}, "the watchdog comes early"))
		}
	}
	if s.left.prune > 0 {
		list = append(list, x.prune(s)...)
	}
	return list
}

func (s *state) has(prefix string) bool {
	return slices.ContainsFunc(s.blobs, func(b *blob) bool { return strings.HasPrefix(b.name, prefix) })
}

// leases are those of all markers, after t0.
func (s *state) leases() []time.Duration {
	records, _ := s.records()
	markers, err := records.Markers(ctx)
	if err != nil {
		panic(err)
	}
	var list []time.Duration
	for _, m := range markers {
		list = append(list, m.Wake.Lease.Sub(t0))
	}
	return list
}

// later lets the time pass until something is due.
func (x *explorer) later(s *state) (step, bool) {
	var due []time.Duration
	for _, m := range s.queue {
		due = append(due, m.due)
	}
	watch := time.Duration(-1)
	if leases := s.leases(); len(leases) > 0 {
		watch = max(s.clock, slices.Min(leases)+x.engine.Timing.WatchdogGrace+time.Second)
	}
	if watch == s.clock || watch < 0 && s.has("locks/") { // it has just looked; or a lock is left, which it frees when it comes
		watch = s.clock + 5*time.Minute
	}
	n := s.clone()
	switch {
	case len(due) == 0 && watch < 0:
		return step{}, false
	case watch >= 0 && (len(due) == 0 || watch < slices.Min(due)):
		n.clock = watch
		n.settle()
		return x.begin(n, &invocation{what: fmt.Sprintf("[watchdog %s]", n.clock), began: n.clock}, "the watchdog comes"), true
	}
	n.clock = slices.Min(due)
	n.settle()
	return step{name: "it is " + n.clock.String(), next: n}, true
}

// explore walks through all states that can be reached, or as many as most, nearest first.
func (x *explorer) explore(first *state) {
	x.seen = map[sum]from{first.hash(): {}}
	x.states, x.done = 1, map[string]int{}
	level := []*state{first}
	for x.depth = 0; len(level) > 0 && x.wrong == nil && x.states < x.most; x.depth++ {
		var next []*state
		var wg sync.WaitGroup
		work := make(chan *state)
		for range runtime.GOMAXPROCS(0) {
			wg.Go(func() {
				for s := range work {
					found := x.expand(s)
					x.mu.Lock()
					next = append(next, found...)
					x.mu.Unlock()
				}
			})
		}
		for _, s := range level {
			work <- s
		}
		close(work)
		wg.Wait()
		level = next
	}
}

// expand returns the successors that are new.
func (x *explorer) expand(s *state) []*state {
	here := s.hash()
	steps := x.successors(s)
	var wrong []violation
	if len(steps) == 0 {
		wrong = x.atTheEnd(s)
	}
	if s.clock > longest {
		wrong = append(wrong, violation{oneOutcome, "it goes on for ever"})
		steps = nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(wrong) > 0 && x.wrong == nil {
		x.wrong, x.at = &wrong[0], here
	}
	var found []*state
	for _, st := range steps {
		x.steps++
		if x.wrong == nil && len(st.wrong) == 0 {
			st.wrong = inState(st.next)
		}
		h := st.next.hash()
		if _, ok := x.seen[h]; !ok {
			x.seen[h] = from{here, st.name}
			x.states++
			found = append(found, st.next)
		}
		if len(st.wrong) > 0 && x.wrong == nil {
			x.wrong, x.at = &st.wrong[0], h
			if x.seen[h].parent != here { // reached before, without a violation
				x.seen[h] = from{here, st.name}
			}
		}
	}
	return found
}

// path lists the steps to a state.
func (x *explorer) path(to sum) string {
	var names []string
	for at := to; x.seen[at].step != ""; at = x.seen[at].parent {
		names = append(names, x.seen[at].step)
	}
	slices.Reverse(names)
	var b strings.Builder
	for i, name := range names {
		fmt.Fprintf(&b, "%4d  %s\n", i+1, name)
	}
	return b.String()
}

// outcomes counts how operations ended.
func (x *explorer) outcomes() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(x.done)) {
		parts = append(parts, fmt.Sprintf("%d %s", x.done[name], name))
	}
	return cmp.Or(strings.Join(parts, ", "), "none")
}
