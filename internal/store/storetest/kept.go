package storetest

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// newest merges a newest good recovery point, of the operation n.
func newest(n int) func(dr.ServiceState) (dr.ServiceState, bool) {
	return func(s dr.ServiceState) (dr.ServiceState, bool) {
		s.NewestGood = dr.PointRef{ID: id(n) + "-s0-a1", CreatedAt: created}
		return s, true
	}
}

var services = map[string]func(*testing.T, Fixture){
	"what was merged is read, whatever the case of the name": func(t *testing.T, f Fixture) {
		_, err := f.Store.Service(t.Context(), service)
		is(t, err, engine.ErrNotFound)
		ok(t, f.Store.MergeService(t.Context(), service, newest(1)))
		got := must(f.Store.Service(t.Context(), strings.ToUpper(service)))(t)
		want, _ := newest(1)(dr.ServiceState{V: dr.Version, Service: service})
		equal(t, "state", got, want)
		ok(t, f.Store.MergeService(t.Context(), service, func(s dr.ServiceState) (dr.ServiceState, bool) {
			equal(t, "state merged into", s, want)
			return s, false
		}))
	},
	"a merge that changes nothing writes nothing": func(t *testing.T, f Fixture) {
		nothing := func(s dr.ServiceState) (dr.ServiceState, bool) { return s, false }
		ok(t, f.Store.MergeService(t.Context(), service, nothing))
		equal(t, "blobs", len(names(t, f.State)), 0)
		ok(t, f.Store.MergeService(t.Context(), service, newest(1)))
		before := listed(t, f, "services/").ETag
		ok(t, f.Store.MergeService(t.Context(), service, nothing))
		equal(t, "ETag", listed(t, f, "services/").ETag, before)
	},
	"of many merges at once none is lost": func(t *testing.T, f Fixture) {
		const n = 6
		for _, err := range atOnce(n, func(int) error {
			return f.Store.MergeService(t.Context(), service, func(s dr.ServiceState) (dr.ServiceState, bool) {
				s.LastOutcome.Operation += "x"
				return s, true
			})
		}) {
			ok(t, err)
		}
		equal(t, "merges", must(f.Store.Service(t.Context(), service))(t).LastOutcome.Operation, strings.Repeat("x", n))
	},
	"our own repeated write is merged into, not doubled": func(t *testing.T, f Fixture) {
		calls := 0
		once := func(s dr.ServiceState) (dr.ServiceState, bool) {
			calls++
			next, _ := newest(calls)(s)
			return next, s.NewestGood.ID == "" || calls > 2
		}
		f.LoseAnswer(nil)
		ok(t, f.Store.MergeService(t.Context(), service, once))
		equal(t, "calls", calls, 2)
		f.LoseAnswer(nil)
		ok(t, f.Store.MergeService(t.Context(), service, once))
	},
	"a state that cannot be read is told and left alone": func(t *testing.T, f Fixture) {
		for i, c := range []struct {
			body string
			want error
		}{{"{", engine.ErrUnreadable}, {newer, engine.ErrNewer}, {`{"v":1,"service":"another"}`, engine.ErrUnreadable}} {
			name := fmt.Sprint("contoso-", i)
			put(t, f.State, "services/"+name, c.body)
			is(t, f.Store.MergeService(t.Context(), name, newest(1)), c.want)
			_, err := f.Store.Service(t.Context(), name)
			is(t, err, c.want)
			equal(t, "body", text(t, f.State, "services/"+name), c.body)
		}
	},
}

var ticks = map[string]func(*testing.T, Fixture){
	"a plan without a tick has the zero time, and plans are apart": func(t *testing.T, f Fixture) {
		ok(t, f.Store.MoveTick(t.Context(), "nightly", created))
		equal(t, "other plan", must(f.Store.LastTick(t.Context(), "weekly"))(t), time.Time{})
		equal(t, "other case", must(f.Store.LastTick(t.Context(), "Nightly"))(t), time.Time{})
		equal(t, "plan", must(f.Store.LastTick(t.Context(), "nightly"))(t), created)
	},
	"a tick moves forward only": func(t *testing.T, f Fixture) {
		for _, by := range []time.Duration{0, time.Hour, -time.Hour, time.Hour, time.Minute} {
			ok(t, f.Store.MoveTick(t.Context(), "nightly", created.Add(by)))
		}
		equal(t, "last", must(f.Store.LastTick(t.Context(), "nightly"))(t), created.Add(time.Hour))
	},
	"of many moves at once the newest stays": func(t *testing.T, f Fixture) {
		for _, err := range atOnce(6, func(i int) error {
			return f.Store.MoveTick(t.Context(), "nightly", created.Add(time.Duration(i)*time.Hour))
		}) {
			ok(t, err)
		}
		equal(t, "last", must(f.Store.LastTick(t.Context(), "nightly"))(t), created.Add(5*time.Hour))
	},
	"our own repeated move is a success": func(t *testing.T, f Fixture) {
		for i := range 2 {
			f.LoseAnswer(nil)
			ok(t, f.Store.MoveTick(t.Context(), "nightly", created.Add(time.Duration(i)*time.Hour)))
		}
	},
	"a tick that cannot be read is told": func(t *testing.T, f Fixture) {
		put(t, f.State, "ticks/nightly", `{"v":1,"plan":"weekly","last":"2026-11-02T03:00:00Z"}`)
		put(t, f.State, "ticks/weekly", newer)
		_, err := f.Store.LastTick(t.Context(), "nightly")
		is(t, err, engine.ErrUnreadable)
		is(t, f.Store.MoveTick(t.Context(), "weekly", created), engine.ErrNewer)
	},
}

func claim(n int) engine.Claim {
	return engine.Claim{Operation: id(n), BodyHash: fmt.Sprint("body ", n)}
}

var claims = map[string]func(*testing.T, Fixture){
	"the first claim of a key is kept and told to all": func(t *testing.T, f Fixture) {
		equal(t, "first", must(f.Store.Remember(t.Context(), "k", claim(1)))(t), claim(1))
		equal(t, "second", must(f.Store.Remember(t.Context(), "k", claim(2)))(t), claim(1))
		equal(t, "other key", must(f.Store.Remember(t.Context(), "l", claim(2)))(t), claim(2))
	},
	"a claim is recalled without making one": func(t *testing.T, f Fixture) {
		for _, key := range []string{"k", "", strings.Repeat("x", 1000)} {
			_, err := f.Store.Recall(t.Context(), key)
			is(t, err, engine.ErrNotFound)
		}
		equal(t, "blobs", len(names(t, f.State)), 0)
		must(f.Store.Remember(t.Context(), "k", claim(1)))(t)
		equal(t, "recalled", must(f.Store.Recall(t.Context(), "k"))(t), claim(1))
	},
	"of many claims at once all hear the same": func(t *testing.T, f Fixture) {
		heard := atOnce(6, func(i int) engine.Claim {
			c, err := f.Store.Remember(t.Context(), "k", claim(i))
			if err != nil {
				t.Error(err)
			}
			return c
		})
		for _, c := range heard {
			equal(t, "claim", c, heard[0])
		}
	},
	"our own repeated claim is kept": func(t *testing.T, f Fixture) {
		f.LoseAnswer(nil)
		equal(t, "claim", must(f.Store.Remember(t.Context(), "k", claim(1)))(t), claim(1))
	},
	"a claim that cannot be read is told, and one for no operation is not kept": func(t *testing.T, f Fixture) {
		put(t, f.State, "idem/k", `{"v":1,"operation":"x"}`)
		put(t, f.State, "idem/l", newer)
		_, err := f.Store.Remember(t.Context(), "k", claim(1))
		is(t, err, engine.ErrUnreadable)
		_, err = f.Store.Remember(t.Context(), "l", claim(1))
		is(t, err, engine.ErrNewer)
		_, err = f.Store.Recall(t.Context(), "k")
		is(t, err, engine.ErrUnreadable)
		_, err = f.Store.Recall(t.Context(), "l")
		is(t, err, engine.ErrNewer)
		if _, err := f.Store.Remember(t.Context(), "m", engine.Claim{Operation: "x"}); err == nil {
			t.Error("kept")
		}
	},
}

var quarantine = map[string]func(*testing.T, Fixture){
	"the same content is kept once, with the reason given first": func(t *testing.T, f Fixture) {
		ok(t, f.Store.Quarantine(t.Context(), []byte(`{"a": <1>}`), "no id"))
		ok(t, f.Store.Quarantine(t.Context(), []byte(`{"a": <1>}`), "another reason"))
		equal(t, "kept", text(t, f.State, listed(t, f, "quarantine/").Name), `{"v":1,"reason":"no id","content":"{\"a\": <1>}"}`)
	},
	"what is no text is kept byte for byte, and so is nothing and much": func(t *testing.T, f Fixture) {
		raw := []byte{0xff, 0, 1}
		ok(t, f.Store.Quarantine(t.Context(), raw, "binary"))
		equal(t, "kept", text(t, f.State, listed(t, f, "quarantine/").Name),
			`{"v":1,"reason":"binary","contentBase64":"`+base64.StdEncoding.EncodeToString(raw)+`"}`)
		ok(t, f.Store.Quarantine(t.Context(), nil, "empty"))
		ok(t, f.Store.Quarantine(t.Context(), []byte(strings.Repeat("\x01", 300<<10)), "big"))
		equal(t, "blobs", len(names(t, f.State)), 3)
	},
	"our own repeated write is a success": func(t *testing.T, f Fixture) {
		f.LoseAnswer(nil)
		ok(t, f.Store.Quarantine(t.Context(), []byte("x"), "y"))
	},
}
