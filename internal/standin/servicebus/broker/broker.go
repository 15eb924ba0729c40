// Package broker holds what Service Bus entities do with messages: queues, topics with
// filtered subscriptions, peek-lock, dead-lettering, scheduling, duplicate detection and
// time to live. It knows neither AMQP nor a clock nor goroutines: time is an argument, the
// caller serializes all calls into one [Namespace], and calls [Namespace.Advance] when
// [Namespace.Next] is due.
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
	// ErrLockLost says that a lock expired, that its message was settled, or that it never was.
	ErrLockLost = errors.New("the lock is invalid: it expired, or the message was already settled")
)

// Queue configures a queue, or the queue that a subscription is.
type Queue struct {
	Name             string
	LockDuration     time.Duration // 0: 60 s
	DuplicateWindow  time.Duration // how long a message id is remembered, 0: not at all; not for a subscription
	DefaultTTL       time.Duration // also the longest time to live, 0: none
	MaxDeliveryCount int           // deliveries that may fail before dead-lettering, 0: 10
	// DeadLetterOnExpiration keeps expired messages in the dead-letter queue.
	DeadLetterOnExpiration bool
}

// Topic configures a topic with its subscriptions.
type Topic struct {
	Name            string
	DuplicateWindow time.Duration
	Subscriptions   []Subscription
}

// Subscription configures <topic>/Subscriptions/<Name>. Filter holds the properties that a
// message must have, all of them, as strings; nil takes every message.
type Subscription struct {
	Queue
	Filter map[string]string
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

// Delivery is a message as a receiver sees it. Token and LockedUntil are zero when it is not
// locked.
type Delivery struct {
	Message
	Sequence    int64
	Enqueued    time.Time
	State       State
	Failed      int            // earlier deliveries that failed
	Extra       map[string]any // properties that settlements added
	Token       Token
	LockedUntil time.Time
}

// Namespace is a set of entities.
type Namespace struct {
	entities map[string]*Entity // by lower-case path
	due      ordered
	newToken func() Token
}

// New returns a namespace of empty entities. newToken must never return the same token
// twice. It fails when a name is missing, taken or not allowed.
func New(queues []Queue, topics []Topic, newToken func() Token) (*Namespace, error) {
	n := &Namespace{entities: map[string]*Entity{}, due: ordered{less: byDue}, newToken: newToken}
	var errs []error
	for _, q := range queues {
		e, err := n.add(q.Name, q)
		e.sendable = true
		errs = append(errs, err, n.addDeadLetters(e))
	}
	for _, t := range topics {
		topic, err := n.add(t.Name, Queue{DuplicateWindow: t.DuplicateWindow})
		topic.sendable, topic.topic = true, true
		errs = append(errs, err)
		for _, s := range t.Subscriptions {
			if s.DuplicateWindow != 0 {
				errs = append(errs, fmt.Errorf("subscription %q: set DuplicateWindow on its topic", s.Name))
			}
			e, err := n.add(t.Name+"/Subscriptions/"+s.Name, s.Queue)
			e.filter = s.Filter
			topic.subscriptions = append(topic.subscriptions, e)
			errs = append(errs, err, n.addDeadLetters(e))
		}
	}
	return n, errors.Join(errs...)
}

func (n *Namespace) addDeadLetters(e *Entity) (err error) {
	e.dead, err = n.add(e.path+"/$DeadLetterQueue", Queue{LockDuration: e.settings.LockDuration})
	return err
}

func (n *Namespace) add(path string, q Queue) (*Entity, error) {
	key := strings.ToLower(path)
	var err error
	if n.entities[key] != nil || key == "" || strings.HasPrefix(key, "/") || strings.HasSuffix(key, "/") {
		err = fmt.Errorf("entity %q: the name is taken or not allowed", path)
	}
	if q.LockDuration == 0 {
		q.LockDuration = time.Minute
	}
	if q.MaxDeliveryCount == 0 {
		q.MaxDeliveryCount = 10
	}
	n.entities[key] = &Entity{
		path: path, settings: q, namespace: n, ready: ordered{less: bySequence},
		all: map[*message]struct{}{}, locked: map[Token]*message{}, seen: map[string]time.Time{},
	}
	return n.entities[key], err
}

// Find returns the entity at path, in any case of letters, or [ErrNotFound]: a queue, a
// topic, <topic>/Subscriptions/<name>, or one that receives and /$DeadLetterQueue.
func (n *Namespace) Find(path string) (*Entity, error) {
	if e := n.entities[strings.ToLower(path)]; e != nil {
		return e, nil
	}
	return nil, fmt.Errorf("the messaging entity %q could not be found: %w", path, ErrNotFound)
}

// Next is when Advance has something to do; false when nothing waits for time to pass.
func (n *Namespace) Next() (time.Time, bool) {
	if len(n.due.items) == 0 {
		return time.Time{}, false
	}
	return n.due.items[0].due, true
}

// Advance does what is due by now, in order: scheduled messages become active, locks and
// messages expire. Every other method that takes a time does this too.
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
