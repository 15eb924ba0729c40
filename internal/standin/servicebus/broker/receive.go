package broker

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Consumer is a receiver of one entity. Deliver is called for every message handed out,
// from within other calls: it must not call back.
type Consumer struct {
	Deliver          func(Delivery)
	RemoveOnDelivery bool // receive-and-delete instead of peek-lock

	credit int
	queued bool
}

// SetCredit tells how many more messages the consumer takes, those that are due now
// included: delivered before, they would not be counted. Consumers with credit get messages
// in turn.
func (e *Entity) SetCredit(now time.Time, c *Consumer, credit int) {
	if c.credit = credit; credit > 0 && !c.queued {
		c.queued = true
		e.waiting = append(e.waiting, c)
	}
	e.namespace.Advance(now)
	e.dispatch(now)
}

// dispatch hands out messages while there are both messages and credit.
func (e *Entity) dispatch(now time.Time) {
	for len(e.waiting) > 0 {
		c := e.waiting[0]
		if c.credit > 0 {
			if len(e.ready.items) == 0 {
				return
			}
			e.hand(c, e.ready.pop(), now)
		}
		e.waiting = e.waiting[1:]
		if c.queued = c.credit > 0; c.queued {
			e.waiting = append(e.waiting, c)
		}
	}
}

func (e *Entity) hand(c *Consumer, m *message, now time.Time) {
	c.credit--
	if e.twice > 0 {
		e.twice--
		twin := &message{entity: e, Delivery: m.Delivery, expires: m.expires}
		e.all[twin] = struct{}{}
		e.offer(twin, now)
	}
	if c.RemoveOnDelivery {
		e.drop(m)
	} else {
		m.Token, m.LockedUntil = e.namespace.newToken(), now.Add(e.settings.LockDuration)
		e.locked[m.Token] = m
		e.await(m, m.LockedUntil)
	}
	c.Deliver(m.Delivery)
}

func (e *Entity) unlock(m *message) {
	delete(e.locked, m.Token)
	m.Token, m.LockedUntil = Token{}, time.Time{}
}

// failed counts a failed delivery and offers the message again, until it failed too often.
// A dead-letter queue does not count.
func (e *Entity) failed(m *message, now time.Time) {
	if e.dead != nil {
		if m.Failed++; m.Failed >= e.settings.MaxDeliveryCount {
			m.add(reason("MaxDeliveryCountExceeded", fmt.Sprintf("Message could not be consumed after %d delivery attempts.", m.Failed)))
			e.deadLetter(m, now)
			return
		}
	}
	e.offer(m, now)
	e.dispatch(now)
}

// Verdict is what a receiver says of a locked message.
type Verdict int

// The verdicts.
const (
	Release    Verdict = iota // deliver it again, this delivery does not count
	Complete                  // remove it
	Abandon                   // deliver it again, this delivery failed
	DeadLetter                // move it to the dead-letter queue
)

// Settle ends a lock and adds properties to the message: for DeadLetter, DeadLetterReason and
// DeadLetterErrorDescription belong there. It returns [ErrLockLost], and does nothing, when
// the lock is not valid.
func (e *Entity) Settle(now time.Time, token Token, verdict Verdict, extra map[string]any) error {
	e.namespace.Advance(now)
	m := e.locked[token]
	if m == nil {
		return ErrLockLost
	}
	e.unlock(m)
	m.add(extra)
	switch verdict {
	case Complete:
		e.drop(m)
	case Abandon:
		e.failed(m, now)
	case DeadLetter:
		e.deadLetter(m, now)
	default:
		e.offer(m, now)
		e.dispatch(now)
	}
	return nil
}

// Renew makes locks last a whole lock duration from now on, all or, with [ErrLockLost], none.
func (e *Entity) Renew(now time.Time, tokens []Token) ([]time.Time, error) {
	e.namespace.Advance(now)
	for _, t := range tokens {
		if e.locked[t] == nil {
			return nil, ErrLockLost
		}
	}
	until := make([]time.Time, len(tokens))
	for i, t := range tokens {
		m := e.locked[t]
		m.LockedUntil = now.Add(e.settings.LockDuration)
		e.await(m, m.LockedUntil)
		until[i] = m.LockedUntil
	}
	return until, nil
}

// LoseLocks ends all locks as if they had expired, and tells how many there were.
func (e *Entity) LoseLocks(now time.Time) int {
	e.namespace.Advance(now)
	lost := slices.SortedFunc(maps.Values(e.locked), bySequence)
	for _, m := range lost { // all first: offering a message may lock it again
		e.unlock(m)
	}
	for _, m := range lost {
		e.failed(m, now)
	}
	return len(lost)
}

// DeliverTwice makes the next message handed out be delivered a second time right after, as
// a copy with the same id and sequence number and a lock of its own: both can be completed.
func (e *Entity) DeliverTwice() { e.twice++ }
