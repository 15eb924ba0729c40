// Package amqp holds the part of AMQP 1.0 that the Service Bus stand-in needs: the type
// codec, frames, and messages split into their sections. It knows no entity, no link state
// and no clock. Section numbers in comments refer to the OASIS AMQP 1.0 specification.
package amqp

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// Symbol is an AMQP symbol (1.6.21).
type Symbol string

// UUID is an AMQP uuid in network byte order (1.6.18).
type UUID [16]byte

// Raw is an encoded value of a type that this package only passes on, such as a decimal.
type Raw []byte

// Described is a described value. Descriptor is a uint64 or a Symbol.
type Described struct {
	Descriptor any
	Value      any
}

// Describe returns a list described by a numeric code: a delivery state, an error.
func Describe(code uint64, fields ...any) Described { return Described{code, fields} }

// Append appends the encoding of v to b. It takes every type that [Reader.Value] returns,
// and map[string]any and []time.Time besides; any other type is a caller's mistake and panics.
func Append(b []byte, v any) []byte {
	be := binary.BigEndian
	switch v := v.(type) {
	case nil:
		return append(b, 0x40)
	case Raw:
		return append(b, v...)
	case bool:
		if v {
			return append(b, 0x41)
		}
		return append(b, 0x42)
	case uint8:
		return append(b, 0x50, v)
	case uint16:
		return be.AppendUint16(append(b, 0x60), v)
	case uint32:
		return be.AppendUint32(append(b, 0x70), v)
	case uint64:
		if v < 256 { // go-amqp reads the descriptors of performatives in no other form
			return append(b, 0x53, byte(v))
		}
		return be.AppendUint64(append(b, 0x80), v)
	case int32:
		return be.AppendUint32(append(b, 0x71), uint32(v))
	case int64:
		return be.AppendUint64(append(b, 0x81), uint64(v))
	case float64:
		return be.AppendUint64(append(b, 0x82), math.Float64bits(v))
	case time.Time:
		return be.AppendUint64(append(b, 0x83), uint64(v.UnixMilli()))
	case UUID:
		return append(append(b, 0x98), v[:]...)
	case []byte:
		return append(be.AppendUint32(append(b, 0xb0), uint32(len(v))), v...)
	case string:
		return append(be.AppendUint32(append(b, 0xb1), uint32(len(v))), v...)
	case Symbol:
		return append(be.AppendUint32(append(b, 0xb3), uint32(len(v))), v...)
	case Described:
		return Append(Append(append(b, 0), v.Descriptor), v.Value)
	case []any:
		return sized(b, 0xd0, len(v), func(b []byte) []byte {
			for _, e := range v {
				b = Append(b, e)
			}
			return b
		})
	case map[any]any:
		return appendMap(b, v)
	case map[string]any:
		return appendMap(b, v)
	case []time.Time:
		return sized(b, 0xf0, len(v), func(b []byte) []byte {
			b = append(b, 0x83)
			for _, e := range v {
				b = be.AppendUint64(b, uint64(e.UnixMilli()))
			}
			return b
		})
	}
	panic(fmt.Sprintf("amqp: no encoding for %T", v))
}

func appendMap[K comparable](b []byte, m map[K]any) []byte {
	return sized(b, 0xd1, 2*len(m), func(b []byte) []byte {
		for k, v := range m {
			b = Append(Append(b, k), v)
		}
		return b
	})
}

// sized appends a compound value: its constructor, size and count, and what body appends.
func sized(b []byte, code byte, count int, body func([]byte) []byte) []byte {
	b = append(b, code, 0, 0, 0, 0)
	at := len(b)
	b = body(binary.BigEndian.AppendUint32(b, uint32(count)))
	binary.BigEndian.PutUint32(b[at-4:], uint32(len(b)-at))
	return b
}
