// Package servicebus is a stand-in for a Service Bus namespace: it speaks enough AMQP 1.0
// for the real client, azservicebus v1.11, and injects faults on demand. Nothing here was
// compared with Azure. Known differences: no sessions, deferral, auto-forwarding,
// transactions, quotas, link drain or administration API; only SAS tokens, checked when a
// link attaches and not after; schedule and cancel through $management are refused (a send
// with ScheduledEnqueueTime works); filters compare string properties only; messages live in
// memory and are gone with the server.
package servicebus

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"sync"
	"time"

	"apim-dr/internal/standin/servicebus/broker"
)

type (
	// Queue configures a queue, or the queue that a subscription is.
	Queue = broker.Queue
	// Topic configures a topic with its subscriptions.
	Topic = broker.Topic
	// Subscription configures <topic>/Subscriptions/<Name>; Filter is on application properties.
	Subscription = broker.Subscription
)

// Config of a namespace. KeyName and Key are the one shared access key that it accepts; both
// are required. A nil Log logs nothing.
type Config struct {
	Queues       []Queue
	Topics       []Topic
	KeyName, Key string
	Log          *slog.Logger
}

// Server is one namespace. All methods may be called at any time from any goroutine.
type Server struct {
	keyName, key string
	log          *slog.Logger
	running      sync.WaitGroup // connections

	mu        sync.Mutex // guards the rest, the broker, and all sessions and links
	namespace *broker.Namespace
	timer     *time.Timer // runs no later than the broker's next moment
	armed     time.Time
	closed    bool
	listeners []net.Listener
	conns     map[*conn]struct{}
	busy      faults // sends to reject
	withheld  faults // sends not to answer
	sent      []Send
	requests  map[Request]int
}

// New makes a namespace that does not listen yet. It fails when a name is missing, taken or
// not allowed, or when there is no key.
func New(config Config) (*Server, error) {
	if config.KeyName == "" || config.Key == "" {
		return nil, errors.New("servicebus: KeyName and Key are required")
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	namespace, err := broker.New(config.Queues, config.Topics, func() (t broker.Token) { rand.Read(t[:]); return t })
	if err != nil {
		return nil, fmt.Errorf("servicebus: %w", err)
	}
	return &Server{
		keyName: config.KeyName, key: config.Key, log: config.Log, namespace: namespace,
		conns: map[*conn]struct{}{}, busy: faults{}, withheld: faults{}, requests: map[Request]int{},
	}, nil
}

// ConnectionString is what a client of a server at addr (host:port) needs. It contains the key.
func (s *Server) ConnectionString(addr string) string {
	return fmt.Sprintf("Endpoint=sb://%s;SharedAccessKeyName=%s;SharedAccessKey=%s;UseDevelopmentEmulator=true", addr, s.keyName, s.key)
}

// Serve accepts connections until Close, then returns nil; any other end is an error.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	s.listeners = append(s.listeners, l)
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return l.Close()
	}
	for {
		c, err := l.Accept()
		if err != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.closed {
				return nil
			}
			return fmt.Errorf("servicebus: accepting: %w", err)
		}
		go s.ServeConn(c)
	}
}

// ServeConn serves one connection until it ends, and closes it.
func (s *Server) ServeConn(network net.Conn) {
	c := newConn(s, network)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		_ = network.Close()
		return
	}
	s.conns[c] = struct{}{}
	s.running.Add(1)
	s.mu.Unlock()
	defer s.running.Done()
	c.run()
}

// Close ends all listeners and connections and waits for the connections to be gone.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
	var err error
	for _, l := range s.listeners {
		err = errors.Join(err, l.Close())
	}
	s.listeners = nil
	s.mu.Unlock()
	s.DropConnections()
	s.running.Wait()
	return err
}

// locked runs f with the lock held and sets the timer for what the broker waits for then.
func (s *Server) locked(f func(now time.Time)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	f(now)
	next, ok := s.namespace.Next()
	if !ok || s.closed || !s.armed.IsZero() && !next.Before(s.armed) {
		return
	}
	s.armed = next
	if s.timer != nil {
		s.timer.Stop() // one that runs nevertheless only finds nothing due
	}
	s.timer = time.AfterFunc(next.Sub(now), func() {
		s.locked(func(now time.Time) {
			s.armed = time.Time{}
			s.namespace.Advance(now)
		})
	})
}

// withEntity runs f with the lock held on the entity at path, and fails when there is none.
func (s *Server) withEntity(path string, f func(e *broker.Entity, now time.Time)) (err error) {
	s.locked(func(now time.Time) {
		var e *broker.Entity
		if e, err = s.namespace.Find(path); err == nil {
			f(e, now)
		}
	})
	return err
}

// Count tells what an entity holds: active messages with the locked ones, scheduled ones,
// and those in its dead-letter queue. A topic holds scheduled messages only. Entities are
// named like "operations", "results", "results/Subscriptions/all", "operations/$DeadLetterQueue";
// an unknown one is an error, here as in the other methods.
func (s *Server) Count(entity string) (active, scheduled, dead int, err error) {
	err = s.withEntity(entity, func(e *broker.Entity, now time.Time) {
		s.namespace.Advance(now)
		active, scheduled, dead = e.Count()
	})
	return active, scheduled, dead, err
}

// Request is one kind of operation on one entity: a "send" (a message, accepted or refused), a
// "delivery" to a receiver, a "settlement", or a "management" request such as a renewed lock.
type Request struct{ Entity, Kind string }

// Requests counts the operations so far: about what Azure bills. What clients ask in vain, such as
// an empty receive, does not show in AMQP.
func (s *Server) Requests() map[Request]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.requests)
}
