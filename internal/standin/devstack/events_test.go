package devstack

import (
	"context"
	"errors"
	"strings"
	"testing"

	"apim-dr/internal/standin/servicebus"
)

func received(ids ...string) *inbox {
	in := &inbox{ids: map[string]int{}, more: make(chan struct{})}
	for _, id := range ids {
		if in.ids[id]++; in.ids[id] == 1 {
			in.rest = append(in.rest, Event{ID: id, Raw: []byte(id)})
		}
	}
	return in
}

func sent(ids ...string) (list []servicebus.Send) {
	for _, id := range ids {
		id, again := strings.CutSuffix(id, " again")
		list = append(list, servicebus.Send{MessageID: id, Duplicate: again})
	}
	return list
}

// What the demos say of their events, that each came once, holds.
func TestAnEventThatNobodyAwaitedOrThatDidNotComeOnceIsTold(t *testing.T) {
	for name, tt := range map[string]struct {
		received, awaited []string
		topic             []servicebus.Send
		want              string // in the error; empty: none
	}{
		"each once":              {[]string{"a", "b"}, []string{"b", "a"}, sent("a", "b", "a again"), ""},
		"nobody awaited b":       {[]string{"a", "b"}, []string{"a"}, sent("a", "b"), "an event that was not expected: b"},
		"a was received twice":   {[]string{"a", "a"}, []string{"a"}, sent("a"), "took event a 1 times and the subscriber received it 2 times"},
		"the topic took a twice": {[]string{"a"}, []string{"a"}, sent("a", "a"), "took event a 2 times"},
		"b did not come":         {[]string{"a"}, []string{"a"}, sent("a", "b"), "the topic took 2 events, 1 were received"},
		"b never was":            {[]string{"a", "b"}, []string{"a", "b"}, sent("a"), "took event b 0 times"},
	} {
		in := received(tt.received...)
		for _, id := range tt.awaited {
			if e, err := in.await(t.Context(), id, func(e Event) bool { return e.ID == id }); err != nil || e.ID != id {
				t.Errorf("%s: %+v, %v", name, e, err)
			}
		}
		if err := in.once(tt.topic); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

func TestAnEventIsAwaitedOnceAndNotForEver(t *testing.T) {
	in, any := received("a"), func(Event) bool { return true }
	if _, err := in.await(t.Context(), "a", any); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := in.await(ctx, "the second", any); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "the second did not come") {
		t.Errorf("got %v", err)
	}
	in.err = errors.New("cut off")
	if _, err := in.await(t.Context(), "the second", any); !errors.Is(err, in.err) {
		t.Errorf("got %v", err)
	}
}
