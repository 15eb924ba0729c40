package storetest

import (
	"maps"
	"strings"
	"testing"

	"apim-dr/internal/engine"
)

// heldBy checks the holder of the service's lock; "" for none.
func heldBy(t *testing.T, f Fixture, want string) {
	t.Helper()
	equal(t, "holder", must(f.Store.Locks(t.Context()))(t)[service], want)
}

var locks = map[string]func(*testing.T, Fixture){
	"the first has the lock, and everybody hears so": func(t *testing.T, f Fixture) {
		equal(t, "first", must(f.Store.Lock(t.Context(), service, id(1), "n1"))(t), id(1))
		equal(t, "second", must(f.Store.Lock(t.Context(), service, id(2), "n1"))(t), id(1))
		equal(t, "first again", must(f.Store.Lock(t.Context(), service, id(1), "n1"))(t), id(1))
		equal(t, "in capitals", must(f.Store.Lock(t.Context(), strings.ToUpper(service), id(2), "n1"))(t), id(1))
		equal(t, "another service", must(f.Store.Lock(t.Context(), "contoso-us", id(2), "n1"))(t), id(2))
		if got := must(f.Store.Locks(t.Context()))(t); !maps.Equal(got, map[string]string{service: id(1), "contoso-us": id(2)}) {
			t.Error(got)
		}
	},
	"of many that lock at once one has it": func(t *testing.T, f Fixture) {
		holders := atOnce(6, func(i int) string {
			holder, err := f.Store.Lock(t.Context(), service, id(i), "n1")
			if err != nil {
				t.Error(err)
			}
			return holder
		})
		for _, h := range holders {
			heldBy(t, f, h)
		}
	},
	"unlocking frees one's own lock and no other": func(t *testing.T, f Fixture) {
		ok(t, f.Store.Unlock(t.Context(), service, id(1)))
		must(f.Store.Lock(t.Context(), service, id(1), "n1"))(t)
		ok(t, f.Store.Unlock(t.Context(), service, id(2)))
		heldBy(t, f, id(1))
		ok(t, f.Store.Unlock(t.Context(), service, id(1)))
		heldBy(t, f, "")
		ok(t, f.Store.Unlock(t.Context(), service, id(1)))
	},
	"an invocation yields only what it took last itself": func(t *testing.T, f Fixture) {
		equal(t, "first", must(f.Store.Lock(t.Context(), service, id(1), "n1"))(t), id(1))
		equal(t, "another invocation", must(f.Store.Lock(t.Context(), service, id(1), "n2"))(t), id(1))
		ok(t, f.Store.Yield(t.Context(), service, id(1), "n1"))
		heldBy(t, f, id(1))
		ok(t, f.Store.Yield(t.Context(), service, id(2), "n2"))
		heldBy(t, f, id(1))
		ok(t, f.Store.Yield(t.Context(), service, id(1), "n2"))
		heldBy(t, f, "")
		must(f.Store.Lock(t.Context(), service, id(2), "n3"))(t)
		must(f.Store.TakeOver(t.Context(), service, id(2), id(1), "n4"))(t)
		ok(t, f.Store.Yield(t.Context(), service, id(1), "n4"))
		heldBy(t, f, "")
	},
	"taking over needs the holder that was seen": func(t *testing.T, f Fixture) {
		equal(t, "free", must(f.Store.TakeOver(t.Context(), service, id(1), id(2), "n1"))(t), "")
		heldBy(t, f, "")
		must(f.Store.Lock(t.Context(), service, id(1), "n1"))(t)
		equal(t, "another holder", must(f.Store.TakeOver(t.Context(), service, id(3), id(2), "n1"))(t), id(1))
		equal(t, "the holder", must(f.Store.TakeOver(t.Context(), service, id(1), id(2), "n1"))(t), id(2))
		equal(t, "again", must(f.Store.TakeOver(t.Context(), service, id(1), id(2), "n1"))(t), id(2))
		equal(t, "too late", must(f.Store.TakeOver(t.Context(), service, id(1), id(3), "n1"))(t), id(2))
		heldBy(t, f, id(2))
	},
	"of many that take over at once one has it": func(t *testing.T, f Fixture) {
		must(f.Store.Lock(t.Context(), service, id(0), "n1"))(t)
		holders := atOnce(6, func(i int) string {
			holder, err := f.Store.TakeOver(t.Context(), service, id(0), id(i+1), "n1")
			if err != nil {
				t.Error(err)
			}
			return holder
		})
		for _, h := range holders {
			heldBy(t, f, h)
		}
	},
	"an unlock that races a take-over never frees the new holder's lock": func(t *testing.T, f Fixture) {
		for i := range 10 {
			must(f.Store.Lock(t.Context(), service, id(1), "n1"))(t)
			answers := atOnce(2, func(who int) string {
				if who == 0 {
					if err := f.Store.Unlock(t.Context(), service, id(1)); err != nil {
						t.Error(err)
					}
					return ""
				}
				holder, err := f.Store.TakeOver(t.Context(), service, id(1), id(2), "n1")
				if err != nil {
					t.Error(err)
				}
				return holder
			})
			if answers[1] != "" && answers[1] != id(2) {
				t.Fatalf("round %d: holder %q", i, answers[1])
			}
			heldBy(t, f, answers[1])
			ok(t, f.Store.Unlock(t.Context(), service, id(2)))
		}
	},
	"our own repeated writes are ours": func(t *testing.T, f Fixture) {
		f.LoseAnswer(nil)
		equal(t, "lock", must(f.Store.Lock(t.Context(), service, id(1), "n1"))(t), id(1))
		f.LoseAnswer(nil)
		equal(t, "take over", must(f.Store.TakeOver(t.Context(), service, id(1), id(2), "n1"))(t), id(2))
		f.LoseAnswer(nil)
		ok(t, f.Store.Unlock(t.Context(), service, id(2)))
		heldBy(t, f, "")
	},
	"our repeated unlock leaves the lock of who came between": func(t *testing.T, f Fixture) {
		must(f.Store.Lock(t.Context(), service, id(1), "n1"))(t)
		f.LoseAnswer(func() { must(f.Store.Lock(t.Context(), service, id(2), "n1"))(t) })
		ok(t, f.Store.Unlock(t.Context(), service, id(1)))
		heldBy(t, f, id(2))
	},
	"an unreadable lock is an error to its service and hides no other": func(t *testing.T, f Fixture) {
		put(t, f.State, "locks/"+service, "{}")
		must(f.Store.Lock(t.Context(), "contoso-us", id(2), "n1"))(t)
		_, err := f.Store.Lock(t.Context(), service, id(1), "n1")
		is(t, err, engine.ErrUnreadable)
		_, err = f.Store.TakeOver(t.Context(), service, "", id(1), "n1")
		is(t, err, engine.ErrUnreadable)
		is(t, f.Store.Unlock(t.Context(), service, id(1)), engine.ErrUnreadable)
		if got := must(f.Store.Locks(t.Context()))(t); !maps.Equal(got, map[string]string{"contoso-us": id(2)}) {
			t.Error(got)
		}
	},
	"a newer version's lock is an error to its service, hides no other and stays": func(t *testing.T, f Fixture) {
		put(t, f.State, "locks/"+service, newer)
		must(f.Store.Lock(t.Context(), "contoso-us", id(2), "n1"))(t)
		_, err := f.Store.Lock(t.Context(), service, id(1), "n1")
		is(t, err, engine.ErrNewer)
		is(t, f.Store.Unlock(t.Context(), service, id(1)), engine.ErrNewer)
		if got := must(f.Store.Locks(t.Context()))(t); !maps.Equal(got, map[string]string{"contoso-us": id(2)}) {
			t.Error(got)
		}
		equal(t, "lock", text(t, f.State, "locks/"+service), newer)
	},
	"what is no id takes no lock": func(t *testing.T, f Fixture) {
		if _, err := f.Store.Lock(t.Context(), service, "me", "n1"); err == nil {
			t.Error("locked")
		}
		if _, err := f.Store.Lock(t.Context(), "", id(1), "n1"); err == nil {
			t.Error("locked the service without a name")
		}
	},
}
