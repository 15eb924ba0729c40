// Package direct runs an operation in this process: what is due is delivered here, one message at a time, instead of by Service Bus and the
// Functions host. Nothing outlives the process, so that it is for a person who stays with it.
package direct

import (
	"context"
	"slices"
	"sync"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// Bus implements engine.Bus. Its zero value is ready for use.
type Bus struct {
	mu     sync.Mutex
	queue  []message // in the order in which they are due
	events map[string]dr.Event
}

var _ engine.Bus = (*Bus)(nil)

type message struct {
	wake  dr.Wake
	at    time.Time
	tries int // deliveries that failed
}

// Wake implements engine.Bus. The queues are two in Service Bus so that polls need not wait behind starts; here there is one.
func (b *Bus) Wake(_ context.Context, w dr.Wake, _ engine.Queue, at time.Time) error {
	b.put(message{wake: w, at: at})
	return nil
}

func (b *Bus) put(m message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queue = append(b.queue, m)
	slices.SortStableFunc(b.queue, func(a, b message) int { return a.at.Compare(b.at) })
}

// Tick implements engine.Bus. No plan is carried out here, so that it drops the tick.
func (b *Bus) Tick(context.Context, dr.Tick, time.Time) error { return nil }

// Publish implements engine.Bus: the event is kept for whoever waits for it.
func (b *Bus) Publish(_ context.Context, e dr.Event) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.events == nil {
		b.events = map[string]dr.Event{}
	}
	b.events[e.Result().Operation] = e
	return nil
}

// Event is the result of an operation; false: it was not published yet.
func (b *Bus) Event(id string) (dr.Event, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.events[id]
	return e, ok
}

// Left lists the wakes that were not delivered, in the order in which they are due.
func (b *Bus) Left() []dr.Wake {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []dr.Wake
	for _, m := range b.queue {
		list = append(list, m.wake)
	}
	return list
}

// due is when the next wake of one of these operations is due; false: there is none.
func (b *Bus) due(ids []string) (time.Time, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := b.first(ids); i >= 0 {
		return b.queue[i].at, true
	}
	return time.Time{}, false
}

// take removes that wake.
func (b *Bus) take(ids []string) message {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := b.first(ids)
	m := b.queue[i]
	b.queue = slices.Delete(b.queue, i, i+1)
	return m
}

func (b *Bus) first(ids []string) int {
	return slices.IndexFunc(b.queue, func(m message) bool { return slices.Contains(ids, m.wake.ID) })
}
