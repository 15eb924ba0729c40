package broker

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Entity is a queue, a topic, a subscription or a dead-letter queue.
type Entity struct {
	path            string
	settings        Queue
	namespace       *Namespace
	sendable, topic bool
	dead            *Entity // nil for a topic and for a dead-letter queue
	subscriptions   []*Entity
	filter          map[string]string

	sequence int64
	all      map[*message]struct{}
	ready    ordered
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
	entity       *Entity
	expires, due time.Time // zero: never
}

// ordered is a slice of messages in order. They mostly come in order and leave at the front.
type ordered struct {
	items []*message
	less  func(a, b *message) int
}

func bySequence(a, b *message) int { return cmp.Compare(a.Sequence, b.Sequence) }

func byDue(a, b *message) int { return cmp.Or(a.due.Compare(b.due), bySequence(a, b)) }

func (o *ordered) push(m *message) {
	i, _ := slices.BinarySearchFunc(o.items, m, o.less)
	o.items = slices.Insert(o.items, i, m)
}

func (o *ordered) pop() *message {
	m := o.items[0]
	o.items[0], o.items = nil, o.items[1:]
	return m
}

func (o *ordered) remove(m *message) {
	i, _ := slices.BinarySearchFunc(o.items, m, o.less)
	for ; i < len(o.items) && o.less(o.items[i], m) == 0; i++ {
		if o.items[i] != m {
			continue
		}
		if i == 0 {
			o.pop()
		} else {
			o.items = slices.Delete(o.items, i, i+1)
		}
		return
	}
}

// Path is the entity's path as it was created.
func (e *Entity) Path() string { return e.path }

// Sendable tells whether messages may be sent to the entity: a queue or a topic.
func (e *Entity) Sendable() bool { return e.sendable }

// Receivable tells whether messages may be received from the entity: all but a topic.
func (e *Entity) Receivable() bool { return !e.topic }

// Send takes all messages and tells which of them were duplicates: one whose id was seen
// within the duplicate window is accepted and dropped, scheduled or not.
func (e *Entity) Send(now time.Time, messages []Message) (duplicates []bool) {
	e.namespace.Advance(now)
	for _, in := range messages {
		duplicates = append(duplicates, e.duplicate(now, in.ID))
		if duplicates[len(duplicates)-1] {
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

// activate makes a scheduled message deliverable. It gets a new sequence number.
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
		m.add(reason("TTLExpiredException", "The message expired and was dead lettered."))
		e.deadLetter(m, now)
		return
	}
	e.drop(m)
}

func (e *Entity) drop(m *message) {
	delete(e.all, m)
	e.namespace.due.remove(m)
}

func reason(text, description string) map[string]any {
	return map[string]any{"DeadLetterReason": text, "DeadLetterErrorDescription": description}
}

// deadLetter moves a message to the dead-letter queue, or back to its place in one. There it
// keeps its sequence number and never expires.
func (e *Entity) deadLetter(m *message, now time.Time) {
	e.drop(m)
	to := cmp.Or(e.dead, e)
	moved := &message{entity: to, Delivery: m.Delivery}
	to.all[moved] = struct{}{}
	to.offer(moved, now)
	to.dispatch(now)
}

// add adds properties, in a copy: deliveries that were handed out share the map.
func (m *message) add(extra map[string]any) {
	if len(extra) > 0 {
		all := map[string]any{}
		maps.Copy(all, m.Extra)
		maps.Copy(all, extra)
		m.Extra = all
	}
}

// Peek returns up to limit messages from a sequence number on, whatever their state.
func (e *Entity) Peek(from int64, limit int) []Delivery {
	var found []Delivery
	for _, m := range slices.SortedFunc(maps.Keys(e.all), bySequence) {
		if m.Sequence >= from && len(found) < limit {
			d := m.Delivery
			d.Token, d.LockedUntil = Token{}, time.Time{}
			found = append(found, d)
		}
	}
	return found
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
