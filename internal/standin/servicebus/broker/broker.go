// Package broker holds what Service Bus entities do with messages: queues, topics with
// filtered subscriptions, peek-lock, dead-lettering, scheduling, duplicate detection and
// time to live. It knows neither AMQP nor a clock nor goroutines: time is an argument, the
// caller serializes all calls into one [Namespace], and calls [Namespace.Advance] when
// [Namespace.Next] is due.
//
// Sessions, deferral, auto-forwarding and size quotas are left out.
package broker

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

var (
	// ErrNotFound says that there is no such entity.
	ErrNotFound = errors.New("not found")
	// ErrLockLost says that a lock token is unknown, or no longer valid: its lock expired or
	// its message was settled.
	ErrLockLost = errors.New("the lock is invalid: it expired, or the message was already settled")
)

// Settings of a queue or a subscription.
type Settings struct {
	LockDuration           time.Duration // 0: 60 s
	MaxDeliveryCount       int           // deliveries that may fail before dead-lettering; 0: 10
	DefaultTTL             time.Duration // also the longest TTL; 0: none
	DuplicateWindow        time.Duration // how long a message id is remembered; 0: not at all
	DeadLetterOnExpiration bool
}

// Token names one lock.
type Token [16]byte

// Message is what a sender hands in. Properties and Content are never changed; copies of
// the message share them.
type Message struct {
	ID         string         // for duplicate detection; "": never a duplicate
	EnqueueAt  time.Time      // not deliverable before; zero or past: at once
	TTL        time.Duration  // from enqueueing on; 0: the entity's default
	Properties map[string]any // for subscription filters
	Content    any
}

// State of a message.
type State int

// States of a message, with the numbers of Service Bus.
const (
	Active    State = 0
	Scheduled State = 2
)

// Delivery is a message as a receiver sees it. Token and LockedUntil are zero for a peeked
// message and for one that was removed on delivery.
type Delivery struct {
	Message
	Sequence    int64
	Enqueued    time.Time
	State       State
	Failed      int            // earlier deliveries that failed
	Extra       map[string]any // properties that a settlement added
	Token       Token
	LockedUntil time.Time
}

// Namespace is a set of entities.
type Namespace struct {
	entities map[string]*Entity // by lower-case path
	due      messageHeap
	newToken func() Token
}

// New returns an empty namespace. newToken must never return the same token twice.
func New(newToken func() Token) *Namespace {
	return &Namespace{
		entities: map[string]*Entity{}, newToken: newToken,
		due: messageHeap{
			less:  func(a, b *message) bool { return a.due.Before(b.due) || a.due.Equal(b.due) && a.Sequence < b.Sequence },
			index: func(m *message) *int { return &m.dueIndex },
		},
	}
}

// DeadLetterSuffix makes the path of an entity's dead-letter queue.
const DeadLetterSuffix = "/$DeadLetterQueue"

// AddQueue creates a queue and its dead-letter queue. It fails when the path is taken.
func (n *Namespace) AddQueue(path string, s Settings) error {
	e, err := n.add(path, s)
	if err != nil {
		return err
	}
	e.receivable, e.sendable = true, true
	return n.addDeadLetters(e)
}

// AddTopic creates a topic without subscriptions. It fails when the path is taken.
func (n *Namespace) AddTopic(path string, duplicateWindow time.Duration) error {
	e, err := n.add(path, Settings{DuplicateWindow: duplicateWindow})
	if err != nil {
		return err
	}
	e.sendable, e.topic = true, true
	return nil
}

// AddSubscription creates <topic>/Subscriptions/<name> and its dead-letter queue. It gets
// the messages whose properties equal all of filter; nil takes all. It fails when the topic
// is unknown or the path is taken.
func (n *Namespace) AddSubscription(topic, name string, s Settings, filter map[string]string) error {
	t, err := n.Find(topic)
	if err != nil {
		return err
	}
	e, err := n.add(t.path+"/Subscriptions/"+name, s)
	if err != nil {
		return err
	}
	e.receivable, e.filter = true, filter
	t.subscriptions = append(t.subscriptions, e)
	return n.addDeadLetters(e)
}

func (n *Namespace) addDeadLetters(e *Entity) (err error) {
	e.dead, err = n.add(e.path+DeadLetterSuffix, Settings{LockDuration: e.settings.LockDuration})
	if err == nil {
		e.dead.receivable = true
	}
	return err
}

func (n *Namespace) add(path string, s Settings) (*Entity, error) {
	key := strings.ToLower(path)
	if n.entities[key] != nil || key == "" || strings.HasPrefix(key, "/") || strings.HasSuffix(key, "/") {
		return nil, fmt.Errorf("entity %q: the name is taken or not allowed", path)
	}
	if s.LockDuration == 0 {
		s.LockDuration = time.Minute
	}
	if s.MaxDeliveryCount == 0 {
		s.MaxDeliveryCount = 10
	}
	n.entities[key] = &Entity{
		path: path, settings: s, namespace: n,
		all: map[*message]struct{}{}, locked: map[Token]*message{}, seen: map[string]time.Time{},
		ready: messageHeap{
			less:  func(a, b *message) bool { return a.Sequence < b.Sequence },
			index: func(m *message) *int { return &m.readyIndex },
		},
	}
	return n.entities[key], nil
}

// Find returns the entity at path, in any case of letters, or [ErrNotFound].
func (n *Namespace) Find(path string) (*Entity, error) {
	if e := n.entities[strings.ToLower(path)]; e != nil {
		return e, nil
	}
	return nil, fmt.Errorf("the messaging entity %q could not be found: %w", path, ErrNotFound)
}

// Next is when Advance has something to do; false when nothing is waiting for time to pass.
func (n *Namespace) Next() (time.Time, bool) {
	if len(n.due.items) == 0 {
		return time.Time{}, false
	}
	return n.due.items[0].due, true
}

// Advance does what is due by now, in order: scheduled messages become active, locks and
// messages expire. Every other method that takes a time does this first.
func (n *Namespace) Advance(now time.Time) {
	for len(n.due.items) > 0 && !n.due.items[0].due.After(now) {
		m := n.due.pop()
		switch e := m.entity; {
		case m.State == Scheduled:
			e.activate(m, now)
		case m.Token != Token{}:
			e.unlock(m)
			e.failed(m, now)
		default:
			e.ready.remove(m)
			e.expire(m, now)
		}
	}
}
