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
		equal(t, "first", must(f.Store.Lock(t.Context(), service, id(1), "n1"))(t).Holder, id(1))
		equal(t, "second", must(f.Store.Lock(t.Context(), service, id(2), "n1"))(t).Holder, id(1))
		equal(t, "first again", must(f.Store.Lock(t.Context(), service, id(1), "n1"))(t).Holder, id(1))
		equal(t, "in capitals", must(f.Store.Lock(t.Context(), strings.ToUpper(service), id(2), "n1"))(t).Holder, id(1))
		equal(t, "another service", must(f.Store.Lock(t.Context(), "contoso-us", id(2), "n1"))(t).Holder, id(2))
		if got := must(f.Store.Locks(t.Context()))(t); !maps.Equal(got, map[string]string{service: id(1), "contoso-us": id(2)}) {
			t.Error(got)
		}
	},
	"of many that lock at once one has it": func(t *testing.T, f Fixture) {
		holders := atOnce(6, func(i int) string {
			locked, err := f.Store.Lock(t.Context(), service, id(i), "n1")
			if err != nil {
				t.Error(err)
			}
			return locked.Holder
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
		equal(t, "first", must(f.Store.Lock(t.Context(), service, id(1), "n1"))(t).Holder, id(1))
		equal(t, "another invocation", must(f.Store.Lock(t.Context(), service, id(1), "n2"))(t).Holder, id(1))
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
		equal(t, "lock", must(f.Store.Lock(t.Context(), service, id(1), "n1"))(t).Holder, id(1))
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
	"a lock is freed as it was taken, once": func(t *testing.T, f Fixture) {
		locked := must(f.Store.Lock(t.Context(), service, id(1), "n1"))(t)
		equal(t, "without an ETag", must(f.Store.Free(t.Context(), service, ""))(t), false)
		heldBy(t, f, id(1))
		equal(t, "ETag of whoever else has it", must(f.Store.Lock(t.Context(), service, id(2), "n1"))(t).ETag, "")
		equal(t, "freed", must(f.Store.Free(t.Context(), strings.ToUpper(service), locked.ETag))(t), true)
		heldBy(t, f, "")
		equal(t, "again", must(f.Store.Free(t.Context(), service, locked.ETag))(t), false)
		must(f.Store.Lock(t.Context(), service, id(2), "n1"))(t)
		equal(t, "of the next", must(f.Store.Free(t.Context(), service, locked.ETag))(t), false)
		heldBy(t, f, id(2))
	},
	"a lock that was written to since is not freed": func(t *testing.T, f Fixture) {
		for what, write := range map[string]func() error{
			"touched":  func() error { return f.Store.Touch(t.Context(), strings.ToUpper(service)) },
			"reserved": func() error { return f.Store.Reserve(t.Context(), service, id(1), id(2)) },
			"taken up by another invocation": func() error {
				_, err := f.Store.Lock(t.Context(), service, id(1), "n2")
				return err
			},
		} {
			locked := must(f.Store.Lock(t.Context(), service, id(1), "n1"))(t)
			was := text(t, f.State, "locks/"+service)
			ok(t, write())
			if what == "touched" {
				equal(t, what, text(t, f.State, "locks/"+service), was)
			}
			equal(t, what, must(f.Store.Free(t.Context(), service, locked.ETag))(t), false)
			heldBy(t, f, id(1))
			ok(t, f.Store.Unlock(t.Context(), service, id(2)))
			ok(t, f.Store.Unlock(t.Context(), service, id(1)))
		}
	},
	"a lock that is taken up again is freed as it is then, unless it is reserved": func(t *testing.T, f Fixture) {
		must(f.Store.Lock(t.Context(), service, id(1), "n1"))(t)
		must(f.Store.Lock(t.Context(), service, id(1), "n2"))(t)
		again := must(f.Store.Lock(t.Context(), service, id(1), "n2"))(t)
		ok(t, f.Store.Reserve(t.Context(), service, id(1), id(2)))
		for _, invocation := range []string{"n2", "n3"} {
			equal(t, "ETag of one that goes to another", must(f.Store.Lock(t.Context(), service, id(1), invocation))(t).ETag, "")
		}
		ok(t, f.Store.Unlock(t.Context(), service, id(2)))
		equal(t, "freed as it was", must(f.Store.Free(t.Context(), service, again.ETag))(t), false)
		last := must(f.Store.Lock(t.Context(), service, id(1), "n3"))(t)
		equal(t, "freed as it is", must(f.Store.Free(t.Context(), service, last.ETag))(t), true)
	},
	"our repeated freeing leaves the lock of who came between": func(t *testing.T, f Fixture) {
		locked := must(f.Store.Lock(t.Context(), service, id(1), "n1"))(t)
		f.LoseAnswer(func() { must(f.Store.Lock(t.Context(), service, id(2), "n1"))(t) })
		equal(t, "freed", must(f.Store.Free(t.Context(), service, locked.ETag))(t), false)
		heldBy(t, f, id(2))
	},
	"there is nothing to touch where nobody has the lock": func(t *testing.T, f Fixture) {
		ok(t, f.Store.Touch(t.Context(), service))
		heldBy(t, f, "")
	},
	"a lock that another version wrote is touched like any other": func(t *testing.T, f Fixture) {
		for _, body := range []string{"{}", newer} {
			put(t, f.State, "locks/"+service, body)
			_, etag, err := f.State.Get(t.Context(), "locks/"+service)
			ok(t, err)
			ok(t, f.Store.Touch(t.Context(), service))
			equal(t, "as it was", text(t, f.State, "locks/"+service), body)
			equal(t, "freed", must(f.Store.Free(t.Context(), service, etag))(t), false)
			ok(t, f.State.Delete(t.Context(), "locks/"+service, ""))
		}
	},
	"of a lock that is touched and freed at once, a touch that came first is seen": func(t *testing.T, f Fixture) {
		for range 20 {
			locked := must(f.Store.Lock(t.Context(), service, id(1), "n1"))(t)
			freed := atOnce(2, func(i int) (freed bool) {
				var err error
				if i == 0 {
					err = f.Store.Touch(t.Context(), service)
				} else {
					freed, err = f.Store.Free(t.Context(), service, locked.ETag)
				}
				if err != nil {
					t.Error(err)
				}
				return freed
			})[1]
			if holder := must(f.Store.Locks(t.Context()))(t)[service]; freed == (holder != "") {
				t.Fatalf("freed: %v, holder %q", freed, holder)
			}
			ok(t, f.Store.Unlock(t.Context(), service, id(1)))
		}
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
