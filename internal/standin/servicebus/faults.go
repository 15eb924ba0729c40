package servicebus

import (
	"time"

	"apim-dr/internal/standin/servicebus/broker"
)

// faults counts, for each entity, the next sends that a fault will hit.
type faults map[*broker.Entity]int

// take uses one up, if there is one.
func (f faults) take(e *broker.Entity) bool {
	hit := f[e] > 0
	f[e] = max(0, f[e]-1)
	return hit
}

// DropConnections cuts all connections without a word. Locks stay; nothing that is sent
// after the call goes to a receiver from before it.
func (s *Server) DropConnections() {
	s.locked(func(now time.Time) {
		for c := range s.conns {
			c.forget(now)
			_ = c.network.Close()
		}
	})
}

// DetachLinks detaches all senders and receivers of an entity with an AMQP error condition,
// such as "amqp:link:detach-forced", and tells how many there were.
func (s *Server) DetachLinks(entity, condition, description string) (detached int, err error) {
	err = s.withEntity(entity, func(e *broker.Entity, now time.Time) {
		for c := range s.conns {
			for _, session := range c.sessions {
				for _, l := range session.links {
					if l.entity == e && l.service == "" && !l.detached {
						l.detach(now, condition, description)
						detached++
					}
				}
			}
		}
	})
	return detached, err
}

// RejectSends rejects the next n sends to an entity with com.microsoft:server-busy, which
// azservicebus retries. A batch is one send.
func (s *Server) RejectSends(entity string, n int) error {
	return s.withEntity(entity, func(e *broker.Entity, _ time.Time) { s.busy[e] = n })
}

// WithholdDispositions accepts the next n sends to an entity but does not say so: the sender
// waits until its context ends. A batch is one send.
func (s *Server) WithholdDispositions(entity string, n int) error {
	return s.withEntity(entity, func(e *broker.Entity, _ time.Time) { s.withheld[e] = n })
}

// LoseLocks ends all locks on messages of an entity as if they had expired, and tells how
// many there were.
func (s *Server) LoseLocks(entity string) (lost int, err error) {
	err = s.withEntity(entity, func(e *broker.Entity, now time.Time) { lost = e.LoseLocks(now) })
	return lost, err
}

// DeliverTwice delivers the next message that an entity hands out a second time right after.
// Both deliveries have the same MessageID, sequence number and delivery count, each has a
// lock of its own, and both can be completed; Count counts two messages until then.
func (s *Server) DeliverTwice(entity string) error {
	return s.withEntity(entity, func(e *broker.Entity, _ time.Time) { e.DeliverTwice() })
}
