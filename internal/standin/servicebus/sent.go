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

// The log of sends keeps the last maxSends, and no more than maxSentBytes of bodies.
const (
	maxSends     = 100_000
	maxSentBytes = 64 << 20
)

type sentLog struct {
	sends []Send
	bytes int
}

func (l *sentLog) add(s Send) {
	l.sends, l.bytes = append(l.sends, s), l.bytes+len(s.Body)
	for len(l.sends) > maxSends || l.bytes > maxSentBytes {
		l.bytes -= len(l.sends[0].Body)
		l.sends[0] = Send{}
		l.sends = l.sends[1:]
	}
}

func sendOf(e *broker.Entity, m broker.Message, at time.Time, duplicate bool) Send {
	content := m.Content.(*amqp.Message)
	return Send{
		MessageID: m.ID, Entity: e.Path(), At: at, EnqueueAt: m.EnqueueAt,
		Duplicate: duplicate, Properties: m.Properties, Body: bytes.Join(content.Data, nil),
	}
}

// Sent returns the accepted sends to an entity, oldest first: those among the last 100,000
// sends to the namespace (fewer when their bodies exceed 64 MiB).
func (s *Server) Sent(entity string) []Send {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Send
	for _, send := range s.sent.sends {
		if strings.EqualFold(send.Entity, entity) {
			send.Properties, send.Body = maps.Clone(send.Properties), bytes.Clone(send.Body)
			out = append(out, send)
		}
	}
	return out
}
