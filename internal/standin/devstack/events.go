package devstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
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
		RecoveryPoints                       []struct{ ID string }
	} `json:"data"`
}

// Events receives result events and hands each to got, until ctx ends or got returns false. It is a subscriber like any other: the real client,
// peek-lock, complete.
func (s *Stack) Events(ctx context.Context, got func(Event) bool) error {
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
