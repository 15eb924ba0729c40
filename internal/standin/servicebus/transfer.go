package servicebus

import (
	"fmt"
	"time"

	"apim-dr/internal/standin/servicebus/amqp"
	"apim-dr/internal/standin/servicebus/broker"
)

// transfer takes one frame of a message that the client sends.
func (s *session) transfer(f amqp.Fields, payload []byte, now time.Time) {
	s.nextIncoming++
	l := s.links[f.Uint(0)]
	if l == nil || l.receiver || l.detached {
		return
	}
	if l.incoming == nil {
		l.incoming = f
	}
	l.partial = append(l.partial, payload...)
	if len(l.partial) > maxMessageSize {
		l.detach(now, "amqp:link:message-size-exceeded", fmt.Sprintf("The message exceeds the limit of %d bytes.", maxMessageSize))
		return
	}
	aborted, more := f.Bool(9), f.Bool(5)
	if more && !aborted {
		return
	}
	first, message := l.incoming, l.partial
	l.incoming, l.partial = nil, nil
	if aborted {
		return
	}
	l.deliveryCount++
	l.credit--
	settled := first.Bool(4) || f.Bool(4)
	if state, answer := l.accept(first.Uint(3), message, now); answer && !settled {
		s.send(amqp.Disposition, true, first.Uint(1), nil, true, state)
	}
	if l.credit < senderCredit/2 {
		l.grant()
	}
}

func rejected(condition, text string) amqp.Described {
	return amqp.Describe(amqp.Rejected, errorOf(condition, text))
}

// accept acts on a whole message and returns its delivery state, and whether to answer at all.
func (l *link) accept(format uint32, payload []byte, now time.Time) (state amqp.Described, answer bool) {
	server := l.session.conn.server
	message, err := amqp.ParseMessage(payload)
	if err != nil {
		return rejected("amqp:decode-error", err.Error()), true
	}
	if l.service != "" {
		l.request(message, now)
		return amqp.Describe(amqp.Accepted), true
	}
	messages := []broker.Message{brokerMessage(message)}
	if format == amqp.BatchFormat {
		messages = messages[:0]
		for _, data := range message.Data {
			m, err := amqp.ParseMessage(data)
			if err != nil {
				return rejected("amqp:decode-error", err.Error()), true
			}
			messages = append(messages, brokerMessage(m))
		}
	}
	server.requests[Request{l.entity.Path(), "send"}] += len(messages)
	if server.busy.take(l.entity) {
		return rejected("com.microsoft:server-busy", "The server is busy. Please retry the operation."), true
	}
	for i, duplicate := range l.entity.Send(now, messages) {
		server.logSend(l.entity, messages[i], now, duplicate)
	}
	return amqp.Describe(amqp.Accepted), !server.withheld.take(l.entity)
}

func brokerMessage(m *amqp.Message) broker.Message {
	out := broker.Message{TTL: m.TTL, Properties: m.Application, Content: m}
	if m.Properties.Has(amqp.PropertyMessageID) {
		out.ID = fmt.Sprint(m.Properties[amqp.PropertyMessageID])
	}
	out.EnqueueAt, _ = m.Annotations[amqp.Symbol("x-opt-scheduled-enqueue-time")].(time.Time)
	return out
}

// deliver sends a message to the client. The tag is the lock token in the byte order of a
// .NET GUID.
func (l *link) deliver(d broker.Delivery) {
	l.session.conn.server.requests[Request{l.entity.Path(), "delivery"}]++
	t, settled := d.Token, l.consumer.RemoveOnDelivery
	tag := append([]byte{t[3], t[2], t[1], t[0], t[5], t[4], t[7], t[6]}, t[8:]...)
	id := l.transfer(encode(d), tag, settled)
	if !settled {
		l.session.unsettled[id] = unsettled{l, t}
	}
}

func encode(d broker.Delivery) []byte {
	annotations := map[any]any{
		amqp.Symbol("x-opt-sequence-number"): d.Sequence,
		amqp.Symbol("x-opt-enqueued-time"):   d.Enqueued,
		amqp.Symbol("x-opt-message-state"):   int32(d.State),
	}
	var delivery map[any]any
	if d.Token != (broker.Token{}) {
		annotations[amqp.Symbol("x-opt-locked-until")] = d.LockedUntil
		delivery = map[any]any{amqp.Symbol("x-opt-lock-token"): amqp.UUID(d.Token)}
	}
	return d.Content.(*amqp.Message).Append(nil, uint32(d.Failed), delivery, annotations, d.Extra)
}

// transfer sends a message in as many frames as it takes and returns its delivery id.
func (l *link) transfer(message, tag []byte, settled bool) uint32 {
	const overhead = 128 // more than the frame header and the performative take
	s := l.session
	id := s.nextDelivery
	s.nextDelivery++
	l.deliveryCount++
	l.credit--
	fields := amqp.Fields{l.handle, id, tag, uint32(0), settled, true}
	for fields[5] == true {
		n := min(len(message), s.conn.peerMax-overhead)
		fields[5] = n < len(message) // more
		s.held = append(s.held, amqp.AppendFrame(nil, amqp.TypeAMQP, s.channel, amqp.Transfer, fields, message[:n]))
		message = message[n:]
		fields[1], fields[2], fields[3] = nil, nil, nil // only on the first frame
	}
	s.flush()
	return id
}

// flush sends the held frames that the window allows.
func (s *session) flush() {
	for len(s.held) > 0 && s.window > 0 {
		s.conn.queue(s.held[0])
		s.held = s.held[1:]
		s.window--
		s.nextOutgoing++
	}
}

// disposition settles messages that the client received. One of a sender only confirms ours.
func (s *session) disposition(f amqp.Fields, now time.Time) {
	if receiver := f.Bool(0); !receiver {
		return
	}
	first := f.Uint(1)
	last := max(first, f.Uint(2))                        // none: first alone
	for i := range min(last-first, transferWindow) + 1 { // a peer may name any range
		s.settle(first+i, amqp.At[amqp.Described](f, 4), f.Bool(3), now)
	}
}

func (s *session) settle(id uint32, state amqp.Described, settled bool, now time.Time) {
	u, ok := s.unsettled[id]
	if !ok {
		return // the link is gone: an answer would end the client's session
	}
	delete(s.unsettled, id)
	s.conn.server.requests[Request{u.link.entity.Path(), "settlement"}]++
	answer := amqp.Describe(amqp.Accepted)
	if verdict, extra, ok := verdictOf(state); !ok {
		answer = rejected(notAllowed, "Messages cannot be deferred here.")
	} else if err := u.link.entity.Settle(now, u.token, verdict, extra); err != nil {
		answer = rejected(lockLost, err.Error())
	}
	if !settled {
		s.send(amqp.Disposition, false, id, nil, true, answer)
	}
}

// verdictOf reads a delivery state as azservicebus means it: modified abandons, or defers
// when undeliverable-here is set; rejected dead-letters, with the reasons in the error's info.
func verdictOf(state amqp.Described) (verdict broker.Verdict, extra map[string]any, ok bool) {
	list, _ := state.Value.([]any)
	f := amqp.Fields(list)
	switch state.Descriptor {
	case uint64(amqp.Accepted):
		return broker.Complete, nil, true
	case uint64(amqp.Released):
		return broker.Release, nil, true
	case uint64(amqp.Modified):
		return broker.Abandon, amqp.Texts(amqp.At[any](f, 2)), !f.Bool(1)
	case uint64(amqp.Rejected):
		return broker.DeadLetter, amqp.Texts(amqp.At[any](f.List(0, amqp.Error), 2)), true
	}
	return 0, nil, false
}
