package servicebus

import (
	"bytes"
	"maps"
	"strings"
	"time"

	"apim-dr/internal/standin/servicebus/amqp"
	"apim-dr/internal/standin/servicebus/broker"
)

// Send is one accepted message. EnqueueAt is zero unless it was scheduled. Body is the data
// of the message, nil when its body is something else.
type Send struct {
	MessageID  string
	Entity     string
	At         time.Time
	EnqueueAt  time.Time
	Duplicate  bool // accepted and dropped
	Properties map[string]any
	Body       []byte
}

func (s *Server) logSend(e *broker.Entity, m broker.Message, at time.Time, duplicate bool) {
	if len(s.sent) == 100_000 { // so many are remembered
		s.sent = s.sent[1:]
	}
	s.sent = append(s.sent, Send{m.ID, e.Path(), at, m.EnqueueAt, duplicate, m.Properties, bytes.Join(m.Content.(*amqp.Message).Data, nil)})
}

// Sent returns the accepted sends to an entity, oldest first, as far as they are among the
// last 100,000 sends to the namespace.
func (s *Server) Sent(entity string) []Send {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Send
	for _, send := range s.sent {
		if strings.EqualFold(send.Entity, entity) {
			send.Properties, send.Body = maps.Clone(send.Properties), bytes.Clone(send.Body)
			out = append(out, send)
		}
	}
	return out
}
