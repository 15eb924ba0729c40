package amqp

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Descriptor codes of performatives, the error type, delivery states, termini and SASL frames.
const (
	Open, Begin, Attach, Flow, Transfer, Disposition = 0x10, 0x11, 0x12, 0x13, 0x14, 0x15
	Detach, End, Close, Error                        = 0x16, 0x17, 0x18, 0x1d
	Accepted, Rejected, Released, Modified           = 0x24, 0x25, 0x26, 0x27
	Source, Target                                   = 0x28, 0x29
	SASLMechanisms, SASLOutcome                      = 0x40, 0x44
)

// Frame types (2.3.1, 5.3.1).
const (
	TypeAMQP = 0
	TypeSASL = 1
)

// Empty is the frame without a body that keeps an idle connection alive (2.4.5).
var Empty = []byte{0, 0, 0, 8, 2, TypeAMQP, 0, 0}

// Fields is the field list of a performative or another described list.
type Fields []any

// At is field i as a T: the zero value when the field is absent or of another type, for a
// peer may leave out trailing fields.
func At[T any](f Fields, i int) T {
	if i < len(f) {
		v, _ := f[i].(T)
		return v
	}
	var none T
	return none
}

// Has tells whether field i is there and not null.
func (f Fields) Has(i int) bool { return i < len(f) && f[i] != nil }

// Uint is field i as a uint.
func (f Fields) Uint(i int) uint32 { return At[uint32](f, i) }

// Bool is field i as a boolean.
func (f Fields) Bool(i int) bool { return At[bool](f, i) }

// Text is field i when it is a string or a symbol.
func (f Fields) Text(i int) string { return At[string](f, i) + string(At[Symbol](f, i)) }

// List is field i when it is a list described by code, else nil.
func (f Fields) List(i int, code uint64) Fields {
	d := At[Described](f, i)
	list, _ := d.Value.([]any)
	if d.Descriptor != code {
		return nil
	}
	return list
}

// Frame is one decoded frame. Code is 0 for an empty frame.
type Frame struct {
	Channel uint16
	Code    uint64
	Fields  Fields
	Payload []byte // of a transfer; nothing else refers to it
}

// ReadFrame reads one frame of at most max bytes. Errors of r are returned as they are,
// those about the content wrap [ErrMalformed].
func ReadFrame(r io.Reader, max uint32) (Frame, error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Frame{}, err
	}
	size, offset := binary.BigEndian.Uint32(head[:]), 4*uint32(head[4])
	if offset < 8 || offset > size || size > max {
		return Frame{}, fmt.Errorf("%w: frame of %d bytes with data at %d", ErrMalformed, size, offset)
	}
	body := make([]byte, size-8)
	if _, err := io.ReadFull(r, body); err != nil {
		return Frame{}, err
	}
	frame := Frame{Channel: binary.BigEndian.Uint16(head[6:])}
	if body = body[offset-8:]; len(body) == 0 {
		return frame, nil
	}
	reader := NewReader(body)
	v, err := reader.Value()
	if err != nil {
		return Frame{}, err
	}
	d, _ := v.(Described)
	list, ok := d.Value.([]any)
	if frame.Code, _ = d.Descriptor.(uint64); !ok || frame.Code == 0 {
		return Frame{}, fmt.Errorf("%w: frame body is no described list", ErrMalformed)
	}
	frame.Fields, frame.Payload = list, reader.rest
	return frame, nil
}

// AppendFrame appends a frame to b. Trailing nil fields are left out.
func AppendFrame(b []byte, frameType byte, channel uint16, code uint64, fields Fields, payload []byte) []byte {
	at := len(b)
	b = append(b, 0, 0, 0, 0, 2, frameType, byte(channel>>8), byte(channel))
	for len(fields) > 0 && fields[len(fields)-1] == nil {
		fields = fields[:len(fields)-1]
	}
	b = append(Append(b, Described{code, []any(fields)}), payload...)
	binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at))
	return b
}
