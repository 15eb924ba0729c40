package amqp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// ErrMalformed is wrapped by every error about bytes that are not AMQP.
var ErrMalformed = errors.New("malformed AMQP")

// maxDepth bounds the nesting of values, and with it the stack that hostile input can use.
const maxDepth = 32

// Reader decodes values one after the other. What it returns may alias the input.
type Reader struct {
	rest  []byte
	depth int
}

// NewReader reads from b, which must not change while its values are in use.
func NewReader(b []byte) *Reader { return &Reader{rest: b} }

// Value decodes one value: nil, bool, uint8, uint16, uint32, uint64, int32, int64, float64,
// time.Time (UTC), [UUID], []byte, string, [Symbol], []any for a list, map[any]any,
// [Described], and [Raw] for everything else, such as arrays. Memory used is proportional to the input.
// Errors wrap [ErrMalformed].
func (r *Reader) Value() (any, error) {
	if r.depth++; r.depth > maxDepth {
		return nil, fmt.Errorf("%w: nested deeper than %d", ErrMalformed, maxDepth)
	}
	defer func() { r.depth-- }()
	start := r.rest
	constructor, err := r.take(1)
	if err != nil {
		return nil, err
	}
	code := constructor[0]
	if code == 0 {
		return r.described()
	}
	p, err := r.payload(code)
	if err != nil {
		return nil, err
	}
	if scalar := scalars[code]; scalar != nil {
		return scalar(p), nil
	}
	in := &Reader{rest: p, depth: r.depth}
	switch code {
	case 0xc0, 0xd0:
		return in.list(code)
	case 0xc1, 0xd1:
		return in.pairs(code)
	}
	return Raw(start[:len(start)-len(r.rest)]), nil
}

// scalars decode the payload of a constructor (1.6).
var scalars = [256]func(p []byte) any{
	0x40: func([]byte) any { return nil },
	0x41: func([]byte) any { return true },
	0x42: func([]byte) any { return false },
	0x43: func([]byte) any { return uint32(0) },
	0x44: func([]byte) any { return uint64(0) },
	0x45: func([]byte) any { return []any{} },
	0x50: func(p []byte) any { return p[0] },
	0x52: func(p []byte) any { return uint32(p[0]) },
	0x53: func(p []byte) any { return uint64(p[0]) },
	0x54: func(p []byte) any { return int32(int8(p[0])) },
	0x55: func(p []byte) any { return int64(int8(p[0])) },
	0x56: func(p []byte) any { return p[0] != 0 },
	0x60: func(p []byte) any { return binary.BigEndian.Uint16(p) },
	0x70: func(p []byte) any { return binary.BigEndian.Uint32(p) },
	0x71: func(p []byte) any { return int32(binary.BigEndian.Uint32(p)) },
	0x80: func(p []byte) any { return binary.BigEndian.Uint64(p) },
	0x81: func(p []byte) any { return int64(binary.BigEndian.Uint64(p)) },
	0x82: func(p []byte) any { return math.Float64frombits(binary.BigEndian.Uint64(p)) },
	0x83: func(p []byte) any { return time.UnixMilli(int64(binary.BigEndian.Uint64(p))).UTC() },
	0x98: func(p []byte) any { return UUID(p) },
	0xa0: func(p []byte) any { return p }, 0xb0: func(p []byte) any { return p },
	0xa1: func(p []byte) any { return string(p) }, 0xb1: func(p []byte) any { return string(p) },
	0xa3: func(p []byte) any { return Symbol(p) }, 0xb3: func(p []byte) any { return Symbol(p) },
}

func (r *Reader) described() (any, error) {
	descriptor, err := r.Value()
	if err != nil {
		return nil, err
	}
	switch descriptor.(type) {
	case uint64, Symbol:
		value, err := r.Value()
		return Described{descriptor, value}, err
	}
	return nil, fmt.Errorf("%w: descriptor of type %T", ErrMalformed, descriptor)
}

// payload takes the bytes of a value after its constructor and, where it has one, its size.
// The high half of the constructor says how many they are (1.2).
func (r *Reader) payload(code byte) ([]byte, error) {
	switch group := code >> 4; {
	case group < 4:
		return nil, fmt.Errorf("%w: constructor %#02x", ErrMalformed, code)
	case group == 4:
		return nil, nil
	case group <= 9:
		return r.take(1 << (group - 5))
	}
	n, err := r.size(code)
	if err != nil {
		return nil, err
	}
	return r.take(n)
}

// size reads a size or a count: one byte in the even groups of constructors, else four.
func (r *Reader) size(code byte) (int, error) {
	if code&0x10 == 0 {
		p, err := r.take(1)
		if err != nil {
			return 0, err
		}
		return int(p[0]), nil
	}
	p, err := r.take(4)
	if err != nil {
		return 0, err
	}
	return int(binary.BigEndian.Uint32(p)), nil
}

func (r *Reader) take(n int) ([]byte, error) {
	if n > len(r.rest) {
		return nil, fmt.Errorf("%w: %d bytes wanted, %d left", ErrMalformed, n, len(r.rest))
	}
	p := r.rest[:n:n]
	r.rest = r.rest[n:]
	return p, nil
}

func (r *Reader) list(code byte) (any, error) {
	count, err := r.size(code)
	if err == nil && count > len(r.rest) { // every element takes a byte at least
		err = fmt.Errorf("%w: %d elements in %d bytes", ErrMalformed, count, len(r.rest))
	}
	if err != nil {
		return nil, err
	}
	list := make([]any, count)
	for i := range list {
		if list[i], err = r.Value(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (r *Reader) pairs(code byte) (any, error) {
	v, err := r.list(code)
	if err != nil {
		return nil, err
	}
	list := v.([]any)
	m := make(map[any]any, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		switch list[i].(type) {
		case string, Symbol, uint32, uint64, int32, int64, UUID:
			m[list[i]] = list[i+1]
		default: // among them types that no Go map takes as keys
			return nil, fmt.Errorf("%w: map key of type %T", ErrMalformed, list[i])
		}
	}
	return m, nil
}

// UUIDs reads a decoded array of UUIDs, nil when v is something else.
func UUIDs(v any) []UUID {
	raw, _ := v.(Raw)
	if len(raw) < 3 || raw[0] != 0xe0 && raw[0] != 0xf0 {
		return nil
	}
	at := 3 // constructor, size, count; the latter two with four bytes in the wide form
	if raw[0] == 0xf0 {
		at = 9
	}
	if len(raw) <= at || raw[at] != 0x98 {
		return nil
	}
	var out []UUID
	for rest := raw[at+1:]; len(rest) >= 16; rest = rest[16:] {
		out = append(out, UUID(rest))
	}
	return out
}
