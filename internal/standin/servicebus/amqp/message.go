package amqp

import (
	"fmt"
	"maps"
	"time"
)

// Descriptor codes of message sections, in the order that they must have (3.2).
const (
	sectionHeader uint64 = 0x70 + iota
	sectionDeliveryAnnotations
	sectionMessageAnnotations
	sectionProperties
	sectionApplicationProperties
	sectionData
	sectionSequence
	sectionValue
	sectionFooter
)

// BatchFormat is the message-format of a Service Bus batch: each data section is a message.
const BatchFormat = 0x80013700

// Indexes into [Message.Properties] (3.2.4).
const (
	PropertyMessageID = 0
	PropertyReplyTo   = 4
)

// Message is a message split into sections. The fields are for reading; what the sender
// alone decides (properties, body, footer) is passed on as the bytes that it sent.
type Message struct {
	TTL         time.Duration // 0: none
	Annotations map[any]any
	Properties  Fields
	Application map[string]any
	Data        [][]byte
	Value       any

	header                       Fields
	properties, application, end []byte // encoded; end is body and footer
}

// ParseMessage splits a payload and keeps it: b must not change afterwards. Delivery
// annotations are dropped, being meant for one hop only (3.2.2). Its error wraps [ErrMalformed].
func ParseMessage(b []byte) (*Message, error) {
	m := &Message{}
	last := sectionHeader
	for r := NewReader(b); len(r.rest) > 0; {
		start := r.rest
		v, err := r.Value()
		if err != nil {
			return nil, err
		}
		d, _ := v.(Described)
		code, _ := d.Descriptor.(uint64)
		if code < last || code > sectionFooter || !m.add(code, d.Value, start[:len(start)-len(r.rest)]) {
			return nil, fmt.Errorf("%w: message section %v with %T", ErrMalformed, d.Descriptor, d.Value)
		}
		if last = code; code >= sectionData && m.end == nil {
			m.end = start
		}
	}
	return m, nil
}

func (m *Message) add(code uint64, value any, raw []byte) bool {
	list, isList := value.([]any)
	pairs, isMap := value.(map[any]any)
	switch code {
	case sectionHeader:
		m.header = list
		m.TTL = time.Duration(m.header.Uint(2)) * time.Millisecond
		return isList
	case sectionMessageAnnotations:
		m.Annotations = pairs
		return isMap
	case sectionProperties:
		m.properties, m.Properties = raw, list
		return isList
	case sectionApplicationProperties:
		m.application, m.Application = raw, Texts(pairs)
		return isMap
	case sectionData:
		data, isData := value.([]byte)
		m.Data = append(m.Data, data)
		return isData
	case sectionValue:
		m.Value = value
	}
	return true
}

// Texts is the part of a decoded map whose keys are strings or symbols; empty for no map.
func Texts(v any) map[string]any {
	pairs, _ := v.(map[any]any)
	out := make(map[string]any, len(pairs))
	for k, v := range pairs {
		if key := (Fields{k}).Text(0); key != "" {
			out[key] = v
		}
	}
	return out
}

// Append appends the message as a broker hands it out to b, with the broker's
// delivery-count (of failed deliveries) and delivery annotations, and with annotations and
// application properties that override the sender's. Header and properties are always
// there: azservicebus reads both without looking.
func (m *Message) Append(b []byte, failed uint32, delivery, annotations map[any]any, application map[string]any) []byte {
	header := []any{nil, nil, nil, nil, failed}
	copy(header, m.header[:min(3, len(m.header))]) // durable, priority, ttl
	b = Append(b, Described{sectionHeader, header})
	if len(delivery) > 0 {
		b = Append(b, Described{sectionDeliveryAnnotations, delivery})
	}
	b = Append(b, Described{sectionMessageAnnotations, merged(m.Annotations, annotations)})
	if m.properties == nil {
		b = Append(b, Describe(sectionProperties))
	}
	b = append(b, m.properties...)
	if len(application) == 0 {
		b = append(b, m.application...)
	} else {
		b = Append(b, Described{sectionApplicationProperties, merged(m.Application, application)})
	}
	return append(b, m.end...)
}

func merged[K comparable](below, above map[K]any) map[K]any {
	if len(below) == 0 {
		return above
	}
	all := maps.Clone(below)
	maps.Copy(all, above)
	return all
}

// Reply encodes the answer to a request: it carries the request's message-id as
// correlation-id, application properties and an amqp-value (3.2.4, 3.2.8).
func Reply(request *Message, application map[string]any, value any) []byte {
	var id any = At[any](request.Properties, PropertyMessageID)
	b := Append(nil, Describe(sectionProperties, nil, nil, nil, nil, nil, id))
	b = Append(b, Described{sectionApplicationProperties, application})
	return Append(b, Described{sectionValue, value})
}
