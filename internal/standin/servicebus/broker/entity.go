package broker

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Entity is a queue, a topic, a subscription or a dead-letter queue.
type Entity struct {
	path                        string
	settings                    Settings
	namespace                   *Namespace
	sendable, receivable, topic bool
	dead                        *Entity // nil for a topic and for a dead-letter queue
	subscriptions               []*Entity
	filter                      map[string]string

	sequence int64
	all      map[*message]struct{}
	ready    messageHeap
	locked   map[Token]*message
	waiting  []*Consumer // those with credit, in the order of their turns
	seen     map[string]time.Time
	order    []string // ids in seen, oldest first
	twice    int
}

// message is a stored message. It waits for at most one moment, due: its activation, the end
// of its lock, or its expiry.
type message struct {
	Delivery
	entity               *Entity
	expires              time.Time
	due                  time.Time
	dueIndex, readyIndex int
}

// Consumer is a receiver of one entity. Deliver is called for every message handed out,
// from within other calls: it must not call back.
type Consumer struct {
	Deliver          func(Delivery)
	RemoveOnDelivery bool // receive-and-delete instead of peek-lock

	credit int
	queued bool
}

// Path is the entity's path as it was created.
func (e *Entity) Path() string { return e.path }

// Sendable tells whether messages may be sent to the entity.
func (e *Entity) Sendable() bool { return e.sendable }

// Receivable tells whether messages may be received from the entity.
func (e *Entity) Receivable() bool { return e.receivable }

// Send takes all messages and tells which of them were duplicates: one whose id was seen
// within the duplicate window is accepted and dropped, scheduled or not.
func (e *Entity) Send(now time.Time, messages []Message) (duplicates []bool) {
	e.namespace.Advance(now)
	duplicates = make([]bool, len(messages))
	for i, in := range messages {
		if duplicates[i] = e.duplicate(now, in.ID); duplicates[i] {
			continue
		}
		m := e.newMessage(in)
		if !in.EnqueueAt.After(now) {
			e.enqueue(m, now)
			continue
		}
		m.State, m.Enqueued = Scheduled, in.EnqueueAt
		e.all[m] = struct{}{}
		e.await(m, in.EnqueueAt)
	}
	e.dispatch(now)
	return duplicates
}

func (e *Entity) newMessage(in Message) *message {
	e.sequence++
	return &message{entity: e, Delivery: Delivery{Message: in, Sequence: e.sequence}}
}

func (e *Entity) duplicate(now time.Time, id string) bool {
	if e.settings.DuplicateWindow == 0 || id == "" {
		return false
	}
	for len(e.order) > 0 && now.Sub(e.seen[e.order[0]]) >= e.settings.DuplicateWindow {
		delete(e.seen, e.order[0])
		e.order = e.order[1:]
	}
	if _, ok := e.seen[id]; ok {
		return true
	}
	e.seen[id], e.order = now, append(e.order, id)
	return false
}

// activate makes a scheduled message deliverable. It gets a new sequence number, as in
// Service Bus.
func (e *Entity) activate(m *message, now time.Time) {
	e.sequence++
	m.Sequence, m.State = e.sequence, Active
	e.enqueue(m, now)
	e.dispatch(now)
}

func (e *Entity) enqueue(m *message, now time.Time) {
	if e.topic {
		delete(e.all, m)
		for _, s := range e.subscriptions {
			if s.matches(m.Properties) {
				s.enqueue(s.newMessage(m.Message), now)
				s.dispatch(now)
			}
		}
		return
	}
	m.Enqueued = now
	ttl := m.TTL
	if limit := e.settings.DefaultTTL; limit > 0 && (ttl == 0 || ttl > limit) {
		ttl = limit
	}
	if ttl > 0 {
		m.expires = now.Add(ttl)
	}
	e.all[m] = struct{}{}
	e.offer(m, now)
}

func (e *Entity) matches(properties map[string]any) bool {
	for key, want := range e.filter {
		if properties[key] != want {
			return false
		}
	}
	return true
}

// offer puts a message in its place among the deliverable ones, unless it expired meanwhile.
func (e *Entity) offer(m *message, now time.Time) {
	if !m.expires.IsZero() && !m.expires.After(now) {
		e.expire(m, now)
		return
	}
	e.ready.push(m)
	e.await(m, m.expires)
}

// await sets the moment that the message waits for; zero means none.
func (e *Entity) await(m *message, due time.Time) {
	e.namespace.due.remove(m)
	if m.due = due; !due.IsZero() {
		e.namespace.due.push(m)
	}
}

func (e *Entity) expire(m *message, now time.Time) {
	if e.settings.DeadLetterOnExpiration {
		e.deadLetter(m, now, "TTLExpiredException", "The message expired and was dead lettered.")
		return
	}
	e.drop(m)
}

func (e *Entity) drop(m *message) {
	delete(e.all, m)
	e.namespace.due.remove(m)
}

// deadLetter moves a message to the dead-letter queue; in that queue itself it only gets the
// new reason. There it keeps its sequence number and never expires.
func (e *Entity) deadLetter(m *message, now time.Time, reason, description string) {
	e.drop(m)
	to := e.dead
	if to == nil {
		to = e
	}
	m.add(map[string]any{"DeadLetterReason": reason, "DeadLetterErrorDescription": description})
	moved := &message{entity: to, Delivery: m.Delivery}
	to.all[moved] = struct{}{}
	to.offer(moved, now)
	to.dispatch(now)
}

// add adds properties without touching deliveries that were already handed out.
func (m *message) add(extra map[string]any) {
	if len(extra) > 0 {
		all := maps.Clone(m.Extra)
		if all == nil {
			all = map[string]any{}
		}
		maps.Copy(all, extra)
		m.Extra = all
	}
}

// Peek returns up to limit messages from a sequence number on, whatever their state.
func (e *Entity) Peek(from int64, limit int) []Delivery {
	var found []Delivery
	for m := range e.all {
		if m.Sequence >= from {
			d := m.Delivery
			d.Token, d.LockedUntil = Token{}, time.Time{}
			found = append(found, d)
		}
	}
	slices.SortFunc(found, func(a, b Delivery) int { return cmp.Compare(a.Sequence, b.Sequence) })
	return found[:max(0, min(limit, len(found)))]
}

// Count tells what the entity holds: active messages with the locked ones, scheduled ones,
// and those in its dead-letter queue.
func (e *Entity) Count() (active, scheduled, dead int) {
	for m := range e.all {
		if m.State == Scheduled {
			scheduled++
		}
	}
	if e.dead != nil {
		dead = len(e.dead.all)
	}
	return len(e.all) - scheduled, scheduled, dead
}
