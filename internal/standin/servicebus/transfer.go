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
		l.incoming = &f
	}
	if aborted := f.Bool(9); aborted {
		l.incoming, l.partial = nil, nil
		return
	}
	l.partial = append(l.partial, payload...)
	if len(l.partial) > maxMessageSize {
		l.detach(condTooLarge, fmt.Sprintf("The message exceeds the limit of %d bytes.", maxMessageSize))
		return
	}
	if more := f.Bool(5); more {
		return
	}
	first, message := *l.incoming, l.partial
	l.incoming, l.partial = nil, nil
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
	return amqp.Describe(amqp.Rejected, []any{errorOf(condition, text)})
}

// accept acts on a whole message and returns its delivery state, and whether to answer at all.
func (l *link) accept(format uint32, payload []byte, now time.Time) (state amqp.Described, answer bool) {
	server := l.session.conn.server
	message, err := amqp.ParseMessage(payload)
	if err != nil {
		return rejected(condMalformed, err.Error()), true
	}
	accepted := amqp.Describe(amqp.Accepted, []any{})
	if l.service != "" {
		l.request(message, now)
		return accepted, true
	}
	messages := []broker.Message{brokerMessage(message)}
	if format == amqp.BatchFormat {
		messages = messages[:0]
		for _, data := range message.Data {
			m, err := amqp.ParseMessage(data)
			if err != nil {
				return rejected(condMalformed, err.Error()), true
			}
			messages = append(messages, brokerMessage(m))
		}
	}
	server.requests += len(messages)
	faults := server.faultsOf(l.entity)
	if take(&faults.busy) {
		return rejected(condBusy, "The server is busy. Please retry the operation."), true
	}
	for i, duplicate := range l.entity.Send(now, messages) {
		server.sent.add(sendOf(l.entity, messages[i], now, duplicate))
	}
	return accepted, !take(&faults.withheld)
}

func brokerMessage(m *amqp.Message) broker.Message {
	out := broker.Message{TTL: m.TTL, Properties: m.Application, Content: m}
	if id := m.Properties.At(amqp.PropertyMessageID); id != nil {
		out.ID = fmt.Sprint(id)
	}
	out.EnqueueAt, _ = m.Annotations[amqp.Symbol("x-opt-scheduled-enqueue-time")].(time.Time)
	return out
}

// deliver sends a message to the client.
func (l *link) deliver(d broker.Delivery) {
	l.session.conn.server.requests++
	settled := l.consumer.RemoveOnDelivery
	// The tag is the lock token in the byte order of a .NET GUID.
	t := d.Token
	tag := []byte{t[3], t[2], t[1], t[0], t[5], t[4], t[7], t[6], t[8], t[9], t[10], t[11], t[12], t[13], t[14], t[15]}
	id := l.transfer(encode(d), tag, settled)
	if !settled {
		l.session.unsettled[id] = unsettled{l, d.Token}
	}
}

func encode(d broker.Delivery) []byte {
	stamp := amqp.Stamp{
		DeliveryCount: uint32(d.Failed), Application: d.Extra,
		Annotations: map[any]any{
			amqp.Symbol("x-opt-sequence-number"): d.Sequence,
			amqp.Symbol("x-opt-enqueued-time"):   d.Enqueued,
			amqp.Symbol("x-opt-message-state"):   int32(d.State),
		},
	}
	if d.Token != (broker.Token{}) {
		stamp.Annotations[amqp.Symbol("x-opt-locked-until")] = d.LockedUntil
		stamp.DeliveryAnnotations = map[any]any{amqp.Symbol("x-opt-lock-token"): amqp.UUID(d.Token)}
	}
	return d.Content.(*amqp.Message).Append(nil, stamp)
}

// transfer sends a message in as many frames as it takes and returns its delivery id.
func (l *link) transfer(message, tag []byte, settled bool) uint32 {
	const overhead = 128 // more than the frame header and the performative take
	s := l.session
	id := s.nextDelivery
	s.nextDelivery++
	l.deliveryCount++
	l.credit--
	fields := amqp.Fields{l.handle, id, tag, uint32(0), settled, false}
	for {
		n := min(len(message), s.conn.peerMax-overhead)
		more := n < len(message)
		fields[5] = more
		s.held = append(s.held, amqp.AppendFrame(nil, amqp.TypeAMQP, s.channel, amqp.Transfer, fields, message[:n]))
		if message = message[n:]; !more {
			s.flush()
			return id
		}
		fields[1], fields[2], fields[3] = nil, nil, nil // only on the first frame
	}
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
	first, last := f.Uint(1), f.Uint(1)
	if n, ok := amqp.Get[uint32](f, 2); ok {
		last = n
	}
	state, _ := amqp.Get[amqp.Described](f, 4)
	if first == last {
		s.settle(first, state, f.Bool(3), now)
		return
	}
	for id := range s.unsettled { // not from first to last: a peer may name any range
		if id-first <= last-first {
			s.settle(id, state, f.Bool(3), now)
		}
	}
}

func (s *session) settle(id uint32, state amqp.Described, settled bool, now time.Time) {
	u, ok := s.unsettled[id]
	if !ok {
		return // the link is gone: an answer would end the client's session
	}
	delete(s.unsettled, id)
	s.conn.server.requests++
	answer := amqp.Describe(amqp.Accepted, []any{})
	if settlement, ok := settlementOf(state); !ok {
		answer = rejected(condNotAllowed, "Messages cannot be deferred here.")
	} else if err := u.link.entity.Settle(now, u.token, settlement); err != nil {
		answer = rejected(condLockLost, err.Error())
	}
	if !settled {
		s.send(amqp.Disposition, false, id, nil, true, answer)
	}
}

// settlementOf reads a delivery state as azservicebus means it: modified abandons, or defers
// when undeliverable-here is set; rejected dead-letters, with the reasons in the error's info.
func settlementOf(state amqp.Described) (s broker.Settlement, ok bool) {
	list, _ := state.Value.([]any)
	f := amqp.Fields(list)
	switch state.Descriptor {
	case uint64(amqp.Accepted):
		s.Verdict = broker.Complete
	case uint64(amqp.Released):
		s.Verdict = broker.Release
	case uint64(amqp.Modified):
		s.Verdict, s.Extra = broker.Abandon, properties(f.At(2))
		return s, !f.Bool(1)
	case uint64(amqp.Rejected):
		e, _ := f.List(0, amqp.Error)
		return deadLetter(properties(e.At(2))), true
	default:
		return s, false
	}
	return s, true
}

// deadLetter makes the two well-known entries of info the reasons, and the rest properties.
func deadLetter(info map[string]any) broker.Settlement {
	s := broker.Settlement{Verdict: broker.DeadLetter, Extra: info}
	s.Reason, _ = info["DeadLetterReason"].(string)
	s.Description, _ = info["DeadLetterErrorDescription"].(string)
	return s
}

// properties reads a map with string or symbol keys.
func properties(v any) map[string]any {
	pairs, _ := v.(map[any]any)
	out := make(map[string]any, len(pairs))
	for k, v := range pairs {
		if key := (amqp.Fields{k}).Text(0); key != "" {
			out[key] = v
		}
	}
	return out
}
