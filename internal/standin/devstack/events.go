package devstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"apim-dr/internal/standin/servicebus"
)

// Event is a result event as a subscriber of the topic receives it.
type Event struct {
	MessageID string
	Raw       []byte // the CloudEvent
	ID        string `json:"id"`
	Type      string `json:"type"`
	Data      struct {
		Operation, Service, Trigger, Outcome string
		DurationSeconds                      float64
		CreatedAt, EndedAt                   time.Time
		RecoveryPoints                       []struct{ ID string }
		Days                                 []string // these two: of an export of usage
		Rows                                 int
		Recovery                             struct {
			Source, RecoveryPoint  string
			RTOSeconds, RPOSeconds float64
			Gateways               []struct {
				URL    string
				Status int
			}
			NextSteps []string
		}
	} `json:"data"`
}

// Events receives result events and hands each to got, until ctx ends or got returns false. It is a subscriber like any other: the real client,
// peek-lock, complete.
func (s *Stamp) Events(ctx context.Context, got func(Event) bool) error {
	r, err := s.Client.NewReceiverForSubscription("results", Subscription, nil)
	if err != nil {
		return err
	}
	defer r.Close(context.WithoutCancel(ctx))
	for {
		messages, err := r.ReceiveMessages(ctx, 1, nil)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("receive from results: %w", err)
		}
		for _, m := range messages {
			e, err := eventOf(m)
			if err = errors.Join(err, r.CompleteMessage(ctx, m, nil)); err != nil {
				return err
			}
			if !got(e) {
				return nil
			}
		}
	}
}

func eventOf(m *azservicebus.ReceivedMessage) (Event, error) {
	e := Event{MessageID: m.MessageID, Raw: m.Body}
	if err := json.Unmarshal(m.Body, &e); err != nil {
		return e, fmt.Errorf("event %s: %w", m.MessageID, err)
	}
	return e, nil
}

// inbox keeps the events that a subscriber received, so that one that came early is not missed.
type inbox struct {
	mu   sync.Mutex
	rest []Event // not awaited yet
	ids  map[string]int
	err  error         // why no more come
	more chan struct{} // closed at the next change
}

// listen receives until ctx ends or the returned function, which waits for the end, is called. each hears of every event first.
func (s *Stamp) listen(ctx context.Context, each func(Event) error) (in *inbox, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	in = &inbox{ids: map[string]int{}, more: make(chan struct{})}
	done := make(chan struct{})
	change := func(f func()) {
		in.mu.Lock()
		defer in.mu.Unlock()
		f()
		close(in.more)
		in.more = make(chan struct{})
	}
	go func() {
		defer close(done)
		err := s.Events(ctx, func(e Event) bool {
			err := each(e)
			change(func() {
				if in.ids[e.ID]++; in.ids[e.ID] == 1 {
					in.rest = append(in.rest, e)
				}
				in.err = err
			})
			return err == nil
		})
		if err != nil {
			change(func() { in.err = err })
		}
	}()
	return in, func() { cancel(); <-done }
}

// await returns the oldest event that fits, each once; what says what is waited for.
func (in *inbox) await(ctx context.Context, what string, fits func(Event) bool) (Event, error) {
	for {
		in.mu.Lock()
		i, err, more := slices.IndexFunc(in.rest, fits), in.err, in.more
		if i >= 0 {
			defer in.mu.Unlock()
			e := in.rest[i]
			in.rest = slices.Delete(in.rest, i, i+1)
			return e, nil
		}
		in.mu.Unlock()
		if err != nil {
			return Event{}, fmt.Errorf("waiting for %s: %w", what, err)
		}
		select {
		case <-more:
		case <-ctx.Done():
			return Event{}, fmt.Errorf("%s did not come: %w", what, ctx.Err())
		}
	}
}

// once fails when an event came that nobody awaited, or when one came twice, here or at the topic.
func (in *inbox) once(topic []servicebus.Send) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	var errs []error
	for _, e := range in.rest {
		errs = append(errs, fmt.Errorf("an event that was not expected: %s", e.Raw))
	}
	taken := map[string]int{}
	for _, s := range topic {
		if !s.Duplicate {
			taken[s.MessageID]++
		}
	}
	for id, n := range in.ids {
		if n != 1 || taken[id] != 1 {
			errs = append(errs, fmt.Errorf("the topic took event %s %d times and the subscriber received it %d times", id, taken[id], n))
		}
	}
	if len(taken) != len(in.ids) {
		errs = append(errs, fmt.Errorf("the topic took %d events, %d were received", len(taken), len(in.ids)))
	}
	return errors.Join(errs...)
}
