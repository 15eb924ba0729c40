package storetest

import (
	"testing"

	"apim-dr/internal/engine"
)

// reserved is a lock that id(1) has through n1 and id(2) gets next.
func reserved(t *testing.T, f Fixture) {
	t.Helper()
	must(f.Store.Lock(t.Context(), service, id(1), "n1"))(t)
	ok(t, f.Store.Reserve(t.Context(), service, id(1), id(2)))
}

// lockIs checks a lock as stored.
func lockIs(t *testing.T, f Fixture, want string) {
	t.Helper()
	equal(t, "lock", text(t, f.State, "locks/"+service), want)
}

var reservations = map[string]func(*testing.T, Fixture){
	"the holder is told, and nobody of a free lock": func(t *testing.T, f Fixture) {
		equal(t, "free", must(f.Store.Holder(t.Context(), service))(t), "")
		must(f.Store.Lock(t.Context(), service, id(1), "n1"))(t)
		equal(t, "held", must(f.Store.Holder(t.Context(), "Contoso-EU"))(t), id(1))
	},
	"whoever yields or unlocks hands the lock to the one it is reserved for": func(t *testing.T, f Fixture) {
		for what, leave := range map[string]func() error{
			"yield":  func() error { return f.Store.Yield(t.Context(), service, id(1), "n1") },
			"unlock": func() error { return f.Store.Unlock(t.Context(), service, id(1)) },
		} {
			reserved(t, f)
			lockIs(t, f, `{"v":1,"operation":"`+id(1)+`","invocation":"n1","next":"`+id(2)+`"}`)
			heldBy(t, f, id(1))
			ok(t, leave())
			lockIs(t, f, `{"v":1,"operation":"`+id(2)+`","invocation":""}`)
			equal(t, "another after "+what, must(f.Store.Lock(t.Context(), service, id(3), "n3"))(t).Holder, id(2))
			ok(t, f.Store.Yield(t.Context(), service, id(1), "n1"))
			ok(t, f.Store.Unlock(t.Context(), service, id(1)))
			equal(t, "heir", must(f.Store.Lock(t.Context(), service, id(2), "n2"))(t).Holder, id(2))
			lockIs(t, f, `{"v":1,"operation":"`+id(2)+`","invocation":"n2"}`)
			ok(t, f.Store.Yield(t.Context(), service, id(2), "n2"))
			heldBy(t, f, "")
		}
	},
	"another invocation of the holder keeps the reservation, and then the first can hand over no more": func(t *testing.T, f Fixture) {
		reserved(t, f)
		must(f.Store.Lock(t.Context(), service, id(1), "n9"))(t)
		lockIs(t, f, `{"v":1,"operation":"`+id(1)+`","invocation":"n9","next":"`+id(2)+`"}`)
		ok(t, f.Store.Yield(t.Context(), service, id(1), "n1"))
		heldBy(t, f, id(1))
	},
	"a later reservation replaces an earlier one": func(t *testing.T, f Fixture) {
		reserved(t, f)
		ok(t, f.Store.Reserve(t.Context(), service, id(1), id(3)))
		ok(t, f.Store.Unlock(t.Context(), service, id(1)))
		heldBy(t, f, id(3))
	},
	"who ends takes back the reservation": func(t *testing.T, f Fixture) {
		reserved(t, f)
		ok(t, f.Store.Yield(t.Context(), service, id(2), "n2"))
		lockIs(t, f, `{"v":1,"operation":"`+id(1)+`","invocation":"n1","next":"`+id(2)+`"}`)
		ok(t, f.Store.Unlock(t.Context(), service, id(3)))
		ok(t, f.Store.Unlock(t.Context(), service, id(2)))
		lockIs(t, f, `{"v":1,"operation":"`+id(1)+`","invocation":"n1"}`)
		ok(t, f.Store.Unlock(t.Context(), service, id(1)))
		heldBy(t, f, "")
	},
	"a reservation needs the holder that was seen, and another than oneself": func(t *testing.T, f Fixture) {
		ok(t, f.Store.Reserve(t.Context(), service, id(1), id(2)))
		equal(t, "blobs", len(names(t, f.State)), 0)
		must(f.Store.Lock(t.Context(), service, id(1), "n1"))(t)
		before := listed(t, f, "locks/").ETag
		ok(t, f.Store.Reserve(t.Context(), service, id(3), id(2)))
		ok(t, f.Store.Reserve(t.Context(), service, id(1), id(1)))
		equal(t, "ETag", listed(t, f, "locks/").ETag, before)
		if f.Store.Reserve(t.Context(), service, id(1), "me") == nil {
			t.Error("reserved for what is no id")
		}
	},
	"taking over respects the reservation": func(t *testing.T, f Fixture) {
		reserved(t, f)
		equal(t, "another holder", must(f.Store.TakeOver(t.Context(), service, id(9), id(2), "n2"))(t), id(1))
		equal(t, "by another", must(f.Store.TakeOver(t.Context(), service, id(1), id(3), "n3"))(t), id(2))
		lockIs(t, f, `{"v":1,"operation":"`+id(2)+`","invocation":""}`)
		ok(t, f.Store.Unlock(t.Context(), service, id(2)))
		reserved(t, f)
		equal(t, "by the heir", must(f.Store.TakeOver(t.Context(), service, id(1), id(2), "n2"))(t), id(2))
		lockIs(t, f, `{"v":1,"operation":"`+id(2)+`","invocation":"n2"}`)
	},
	"a reservation for the holder itself, however it came there, keeps nobody out": func(t *testing.T, f Fixture) {
		put(t, f.State, "locks/"+service, `{"v":1,"operation":"`+id(1)+`","invocation":"n1","next":"`+id(1)+`"}`)
		equal(t, "taken over", must(f.Store.TakeOver(t.Context(), service, id(1), id(2), "n2"))(t), id(2))
		ok(t, f.Store.Unlock(t.Context(), service, id(2)))
		put(t, f.State, "locks/"+service, `{"v":1,"operation":"`+id(1)+`","invocation":"n1","next":"`+id(1)+`"}`)
		ok(t, f.Store.Unlock(t.Context(), service, id(1)))
		heldBy(t, f, "")
	},
	"our own repeated writes are ours": func(t *testing.T, f Fixture) {
		must(f.Store.Lock(t.Context(), service, id(1), "n1"))(t)
		f.LoseAnswer(nil)
		ok(t, f.Store.Reserve(t.Context(), service, id(1), id(2)))
		f.LoseAnswer(nil)
		ok(t, f.Store.Unlock(t.Context(), service, id(1)))
		heldBy(t, f, id(2))
		ok(t, f.Store.Reserve(t.Context(), service, id(2), id(3)))
		f.LoseAnswer(nil)
		equal(t, "taken over", must(f.Store.TakeOver(t.Context(), service, id(2), id(4), "n4"))(t), id(3))
	},
	"a hand-over whose answer was lost leaves the lock of who came between": func(t *testing.T, f Fixture) {
		reserved(t, f)
		f.LoseAnswer(func() {
			ok(t, f.Store.Unlock(t.Context(), service, id(2)))
			must(f.Store.Lock(t.Context(), service, id(3), "n3"))(t)
		})
		ok(t, f.Store.Unlock(t.Context(), service, id(1)))
		heldBy(t, f, id(3))
	},
	"a reservation that races an unlock is kept or comes too late": func(t *testing.T, f Fixture) {
		for i := range 10 {
			must(f.Store.Lock(t.Context(), service, id(1), "n1"))(t)
			for _, err := range atOnce(2, func(who int) error {
				if who == 0 {
					return f.Store.Unlock(t.Context(), service, id(1))
				}
				return f.Store.Reserve(t.Context(), service, id(1), id(2))
			}) {
				ok(t, err)
			}
			if holder := must(f.Store.Holder(t.Context(), service))(t); holder != "" && holder != id(2) {
				t.Fatalf("round %d: holder %q", i, holder)
			}
			ok(t, f.Store.Unlock(t.Context(), service, id(2)))
		}
	},
	"what cannot be read is told": func(t *testing.T, f Fixture) {
		for i, body := range []string{"{}", `{"v":1,"operation":"` + id(1) + `","invocation":"n1","next":"../x"}`} {
			name := []string{"contoso-eu", "contoso-us"}[i]
			put(t, f.State, "locks/"+name, body)
			is(t, f.Store.Reserve(t.Context(), name, id(1), id(2)), engine.ErrUnreadable)
			is(t, f.Store.Unlock(t.Context(), name, id(1)), engine.ErrUnreadable)
			_, err := f.Store.Holder(t.Context(), name)
			is(t, err, engine.ErrUnreadable)
		}
	},
}
