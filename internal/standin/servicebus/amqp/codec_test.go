package amqp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestValuesSurviveARoundTrip(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, v := range []any{
		nil, true, false, uint8(200), uint16(60000), uint32(0), uint32(255), uint32(1 << 31), uint64(0), uint64(255), uint64(256), uint64(1 << 63),
		int32(-1), int32(-128), int32(1 << 30), int64(127), int64(128), int64(-1 << 62), 1.5, time.UnixMilli(1_700_000_000_123).UTC(),
		UUID{1, 2, 15: 16}, []byte{}, []byte(long), "", "é", long, Symbol("s"), Symbol(long), Raw{0x72, 0x40, 0x20, 0, 0},
		[]any{}, []any{nil, "a", []any{int64(1)}}, map[any]any{}, map[any]any{"k": int32(1), Symbol("s"): nil, uint64(3): []any{true}},
		Described{uint64(0x24), []any{}}, Described{Symbol("a:b"), Described{uint64(1 << 40), "v"}},
	} {
		r := NewReader(Append(nil, v))
		got, err := r.Value()
		if err != nil || !reflect.DeepEqual(got, v) || len(r.rest) != 0 {
			t.Errorf("%#v came back as %#v, %d bytes left (%v)", v, got, len(r.rest), err)
		}
	}
}

// The bytes are those of the specification's examples and tables (1.2, 1.6).
func TestKnownBytesDecode(t *testing.T) {
	for _, c := range []struct {
		in   []byte
		want any
	}{
		{[]byte{0x56, 1}, true},
		{[]byte{0x43}, uint32(0)},
		{[]byte{0x52, 7}, uint32(7)},
		{[]byte{0x53, 0x10}, uint64(0x10)},
		{[]byte{0x54, 0xff}, int32(-1)},
		{[]byte{0x55, 0x80}, int64(-128)},
		{[]byte{0xa1, 2, 'h', 'i'}, "hi"},
		{[]byte{0xa3, 1, 's'}, Symbol("s")},
		{[]byte{0xc0, 3, 1, 0x50, 9}, []any{uint8(9)}},
		{[]byte{0xc1, 6, 2, 0xa1, 1, 'k', 0x54, 1}, map[any]any{"k": int32(1)}},
		{[]byte{0, 0x53, 0x24, 0x45}, Described{uint64(0x24), []any{}}},
		{[]byte{0xe0, 4, 2, 0x50, 1, 2}, Raw{0xe0, 4, 2, 0x50, 1, 2}},
		{[]byte{0x74, 1, 2, 3, 4}, Raw{0x74, 1, 2, 3, 4}},
	} {
		if got, err := NewReader(c.in).Value(); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("% x is %#v (%v), want %#v", c.in, got, err, c.want)
		}
	}
}

func TestSmallCodesAreEncodedAsSmallUlong(t *testing.T) {
	if got := Append(nil, Describe(0x12)); !bytes.HasPrefix(got, []byte{0, 0x53, 0x12}) {
		t.Errorf("% x: go-amqp reads no other descriptor", got)
	}
}

func TestUUIDsReadsBothFormsOfAnArray(t *testing.T) {
	id := UUID{1, 15: 2}
	body := append(append([]byte{0x98}, id[:]...), id[:]...)
	narrow := append(Raw{0xe0, byte(len(body) + 1), 2}, body...)
	wide := append(Raw{0xf0, 0, 0, 0, byte(len(body) + 4), 0, 0, 0, 2}, body...)
	for _, v := range []Raw{narrow, wide} {
		if got := UUIDs(v); !reflect.DeepEqual(got, []UUID{id, id}) {
			t.Errorf("% x is %v", []byte(v), got)
		}
	}
	for _, v := range []any{nil, "x", Raw{}, Raw{0xe0, 1, 0}, Raw{0xf0, 0, 0}, Raw{0xe0, 2, 1, 0x50, 1}} {
		if got := UUIDs(v); got != nil {
			t.Errorf("%v is %v", v, got)
		}
	}
}

// hostile bytes must be refused, and quickly: sizes and counts that lie, bad nesting, bad keys.
var hostile = [][]byte{
	{}, {0}, {0, 0}, {0x01}, {0x3f}, {0x70}, {0x98, 1}, {0xa1}, {0xa1, 5, 'x'}, {0xb1, 0xff, 0xff, 0xff, 0xff},
	{0xc0, 0}, {0xc0, 1, 255}, {0xd0, 0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff}, {0xd1, 0, 0, 0, 4, 0x7f, 0xff, 0xff, 0xff},
	{0xc1, 4, 2, 0x45, 0x40, 0x40}, {0xc1, 5, 2, 0xa0, 0, 0x40}, {0, 0xa1, 1, 'x', 0x40}, {0, 0x53, 0x10},
	bytes.Repeat([]byte{0}, 100_000), bytes.Repeat([]byte{0, 0x53, 0x10}, 30_000),
}

func TestHostileBytesAreRefused(t *testing.T) {
	deep := []byte{0x40} // in lists in lists
	for range 100 {
		deep = append(binary.BigEndian.AppendUint32([]byte{0xd0}, uint32(len(deep)+4)), append([]byte{0, 0, 0, 1}, deep...)...)
	}
	for _, b := range append(hostile, deep) {
		if v, err := NewReader(b).Value(); !errors.Is(err, ErrMalformed) {
			t.Errorf("% .20x… is %#v (%v)", b, v, err)
		}
	}
}

func TestDecodingNeedsMemoryInProportionToTheInput(t *testing.T) {
	list := Append(nil, make([]any, 60_000)) // as many elements as a frame can hold
	array := []byte{0xf0, 0, 0, 0, 5, 0x7f, 0xff, 0xff, 0xff, 0x41}
	for _, b := range append(hostile, list, array) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _ = NewReader(b).Value()
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 64<<10+64*uint64(len(b)) {
			t.Errorf("%d bytes of input took %d bytes of memory", len(b), used)
		}
	}
}

func TestFramesSurviveARoundTrip(t *testing.T) {
	b := AppendFrame(nil, TypeAMQP, 7, Transfer, Fields{uint32(1), nil, []byte("tag"), nil, nil}, []byte("payload"))
	b = append(b, Empty...)
	b = AppendFrame(b, TypeSASL, 0, SASLOutcome, Fields{uint8(0)}, nil)
	r := bytes.NewReader(b)
	first, err := ReadFrame(r, 1000)
	if err != nil || first.Channel != 7 || first.Code != Transfer || len(first.Fields) != 3 || string(At[[]byte](first.Fields, 2)) != "tag" || string(first.Payload) != "payload" {
		t.Errorf("first frame %+v (%v)", first, err)
	}
	if empty, err := ReadFrame(r, 1000); err != nil || empty.Code != 0 {
		t.Errorf("empty frame %+v (%v)", empty, err)
	}
	if last, err := ReadFrame(r, 1000); err != nil || last.Code != SASLOutcome {
		t.Errorf("last frame %+v (%v)", last, err)
	}
	if _, err := ReadFrame(r, 1000); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

func TestFramesWithLyingHeadersAreRefused(t *testing.T) {
	for name, b := range map[string][]byte{
		"larger than allowed":      {0, 0, 4, 1, 2, 0, 0, 0},
		"smaller than its header":  {0, 0, 0, 7, 2, 0, 0, 0},
		"data before the header":   {0, 0, 0, 8, 1, 0, 0, 0},
		"data behind the end":      {0, 0, 0, 8, 3, 0, 0, 0},
		"body that is no list":     {0, 0, 0, 9, 2, 0, 0, 0, 0x40},
		"described, but no list":   {0, 0, 0, 12, 2, 0, 0, 0, 0, 0x53, 0x10, 0x40},
		"body described by symbol": {0, 0, 0, 13, 2, 0, 0, 0, 0, 0xa3, 1, 's', 0x45},
	} {
		if f, err := ReadFrame(bytes.NewReader(b), 1024); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v (%v)", name, f, err)
		}
	}
}

func TestAMessageKeepsWhatTheSenderAloneDecides(t *testing.T) {
	bare := Append(nil, Describe(sectionProperties, "id", nil, Symbol("to")))
	bare = Append(bare, Described{sectionApplicationProperties, map[any]any{"k": "v"}})
	bare = Append(bare, Described{sectionData, []byte("one")})
	bare = Append(bare, Described{sectionData, []byte("two")})
	bare = Append(bare, Described{sectionFooter, map[any]any{Symbol("f"): int32(1)}})
	in := Append(nil, Describe(sectionHeader, true, uint8(7), uint32(1500), nil, uint32(99)))
	in = Append(in, Described{sectionDeliveryAnnotations, map[any]any{Symbol("hop"): true}})
	in = Append(in, Described{sectionMessageAnnotations, map[any]any{Symbol("mine"): "kept", Symbol("theirs"): "old"}})
	m, err := ParseMessage(append(in, bare...))
	if err != nil {
		t.Fatal(err)
	}
	if m.TTL != 1500*time.Millisecond || m.Application["k"] != "v" || m.Properties.Text(PropertyMessageID) != "id" || len(m.Data) != 2 {
		t.Errorf("parsed %+v", m)
	}
	out := m.Append(nil, 3, map[any]any{Symbol("lock"): UUID{1}}, map[any]any{Symbol("theirs"): "new"}, nil)
	if !bytes.HasSuffix(out, bare) {
		t.Error("the bare message changed")
	}
	again, err := ParseMessage(out)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Fields{true, uint8(7), uint32(1500), nil, uint32(3)}); !reflect.DeepEqual(again.header, want) {
		t.Errorf("header %v, want %v", again.header, want)
	}
	if want := map[any]any{Symbol("mine"): "kept", Symbol("theirs"): "new"}; !reflect.DeepEqual(again.Annotations, want) {
		t.Errorf("annotations %v, want %v", again.Annotations, want)
	}
	more, err := ParseMessage(m.Append(nil, 0, nil, nil, map[string]any{"k": "over", "n": int32(1)}))
	if err != nil || !reflect.DeepEqual(more.Application, map[string]any{"k": "over", "n": int32(1)}) || m.Application["k"] != "v" {
		t.Errorf("application properties %v, the sender's %v (%v)", more.Application, m.Application, err)
	}
}

func TestMalformedMessagesAreRefused(t *testing.T) {
	data := Append(nil, Described{sectionData, []byte("x")})
	for name, b := range map[string][]byte{
		"no section":       {0x40},
		"unknown section":  Append(nil, Describe(0x79)),
		"symbolic section": Append(nil, Described{Symbol("amqp:data:binary"), []byte("x")}),
		"wrong order":      append(bytes.Clone(data), Append(nil, Describe(sectionHeader))...),
		"header no list":   Append(nil, Described{sectionHeader, "x"}),
		"annotations":      Append(nil, Described{sectionMessageAnnotations, []any{}}),
		"properties":       Append(nil, Described{sectionProperties, map[any]any{}}),
		"application":      Append(nil, Described{sectionApplicationProperties, nil}),
		"data no binary":   Append(nil, Described{sectionData, "x"}),
		"cut off":          data[:len(data)-1],
	} {
		if m, err := ParseMessage(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v (%v)", name, m, err)
		}
	}
}

// FuzzReader checks that whatever decodes can be encoded and decodes to the same again, and
// that frames and messages never panic.
func FuzzReader(f *testing.F) {
	for _, b := range hostile[:18] {
		f.Add(b)
	}
	f.Add(AppendFrame(nil, TypeAMQP, 1, Attach, Fields{"name", uint32(0), true, map[any]any{Symbol("a"): []any{1.5}}}, []byte("x")))
	f.Add(Append(Append(nil, Describe(sectionHeader, true)), Described{sectionData, []byte("x")}))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = ReadFrame(bytes.NewReader(b), 1<<16)
		if m, err := ParseMessage(b); err == nil {
			if _, err := ParseMessage(m.Append(nil, 1, nil, nil, nil)); err != nil {
				t.Errorf("a message that parsed does not parse again: %v", err)
			}
		}
		v, err := NewReader(b).Value()
		if err != nil {
			return
		}
		encoded := Append(nil, v)
		again, err := NewReader(encoded).Value()
		if err != nil {
			t.Fatalf("%#v does not decode again: %v", v, err)
		}
		if len(Append(nil, again)) != len(encoded) {
			t.Errorf("%#v came back as %#v", v, again)
		}
	})
}
