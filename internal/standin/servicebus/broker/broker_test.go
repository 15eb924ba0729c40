package broker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

var t0 = time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return t0.Add(d) }

// fixture is a namespace and a record of what its consumers got.
type fixture struct {
	*Namespace
	t   *testing.T
	got []Delivery
}

func setup(t *testing.T, queues []Queue, topics ...Topic) *fixture {
	t.Helper()
	var last uint64
	n, err := New(queues, topics, func() (token Token) {
		last++
		binary.BigEndian.PutUint64(token[:], last)
		return token
	})
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{Namespace: n, t: t}
}

func (f *fixture) entity(path string) *Entity {
	f.t.Helper()
	e, err := f.Find(path)
	if err != nil {
		f.t.Fatal(err)
	}
	return e
}

func (f *fixture) consumer() *Consumer {
	return &Consumer{Deliver: func(d Delivery) { f.got = append(f.got, d) }}
}

// ids are those of the deliveries since the last call, with the failed ones counted.
func (f *fixture) ids() string {
	var out []string
	for _, d := range f.got {
		out = append(out, fmt.Sprintf("%s%d", d.ID, d.Failed))
	}
	f.got = nil
	return strings.Join(out, " ")
}

func (f *fixture) want(got, want string) {
	f.t.Helper()
	if got != want {
		f.t.Errorf("got %q, want %q", got, want)
	}
}

func counts(e *Entity) string { return fmt.Sprint(e.Count()) }

func named(ids ...string) (out []Message) {
	for _, id := range ids {
		out = append(out, Message{ID: id})
	}
	return out
}

func TestNamesMustBeThereAndUnique(t *testing.T) {
	for name, c := range map[string]struct {
		queues []Queue
		topics []Topic
	}{
		"empty":            {queues: []Queue{{}}},
		"slash":            {queues: []Queue{{Name: "/q"}}},
		"twice":            {queues: []Queue{{Name: "q"}, {Name: "Q"}}},
		"queue and topic":  {[]Queue{{Name: "q"}}, []Topic{{Name: "q"}}},
		"no subscription":  {topics: []Topic{{Name: "t", Subscriptions: []Subscription{{}}}}},
		"window on a copy": {topics: []Topic{{Name: "t", Subscriptions: []Subscription{{Queue: Queue{Name: "s", DuplicateWindow: 1}}}}}},
	} {
		if _, err := New(c.queues, c.topics, nil); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := setup(t, nil).Find("q"); !errors.Is(err, ErrNotFound) {
		t.Errorf("finding nothing: %v", err)
	}
}

func TestConsumersTakeTurns(t *testing.T) {
	f := setup(t, []Queue{{Name: "q"}})
	q := f.entity("q")
	var got []string
	for _, name := range []string{"a", "b"} {
		q.SetCredit(t0, &Consumer{Deliver: func(d Delivery) { got = append(got, name+d.ID) }}, 3)
	}
	q.Send(t0, named("1", "2", "3", "4", "5", "6", "7"))
	f.want(strings.Join(got, " "), "a1 b2 a3 b4 a5 b6")
	f.want(counts(q), "7 0 0")
}

// What becomes due at the very moment of a change of credit counts against the new credit, and is not kept for a consumer that takes nothing any more.
func TestCreditCoversWhatBecomesDueAtItsMoment(t *testing.T) {
	f := setup(t, []Queue{{Name: "q"}})
	q, a := f.entity("q"), f.consumer()
	q.SetCredit(at(0), a, 1)
	q.Send(at(0), []Message{{ID: "1", EnqueueAt: at(1)}, {ID: "2", EnqueueAt: at(1)}, {ID: "3", EnqueueAt: at(1)}, {ID: "4", EnqueueAt: at(2)}})
	q.SetCredit(at(1), a, 2)
	f.want(f.ids(), "10 20")
	q.SetCredit(at(2), a, 0)
	f.want(f.ids(), "")
}

func TestLocksExpireToTheInstantAndMessagesReturnToTheirPlace(t *testing.T) {
	f := setup(t, []Queue{{Name: "q", LockDuration: time.Minute}})
	q, c := f.entity("q"), f.consumer()
	q.Send(t0, named("a", "b", "c"))
	q.SetCredit(t0, c, 2)
	locked := slices.Clone(f.got)
	f.want(f.ids(), "a0 b0")
	if next, ok := f.Next(); !ok || !next.Equal(at(time.Minute)) {
		t.Errorf("next is %v, %v", next, ok)
	}
	f.Advance(at(time.Minute - 1))
	if until, err := q.Renew(at(time.Minute-1), []Token{locked[1].Token}); err != nil || !until[0].Equal(at(2*time.Minute-1)) {
		t.Errorf("renewed until %v (%v)", until, err)
	}
	if err := q.Settle(at(time.Minute), locked[0].Token, Complete, nil); !errors.Is(err, ErrLockLost) {
		t.Errorf("settling at the end of the lock: %v", err)
	}
	if _, err := q.Renew(at(time.Minute), []Token{locked[1].Token, locked[0].Token}); !errors.Is(err, ErrLockLost) {
		t.Errorf("renewing a lost lock: %v", err)
	}
	q.SetCredit(at(time.Minute), c, 5)
	f.want(f.ids(), "a1 c0")
}

func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		verdict    Verdict
		queue, ids string
	}{{Complete, "0 0 0", ""}, {Abandon, "1 0 0", "a1"}, {Release, "1 0 0", "a0"}, {DeadLetter, "0 0 1", ""}} {
		f := setup(t, []Queue{{Name: "q"}})
		q := f.entity("q")
		q.Send(t0, named("a"))
		q.SetCredit(t0, f.consumer(), 2)
		token := f.got[0].Token
		f.ids()
		if err := q.Settle(t0, token, c.verdict, map[string]any{"x": 1}); err != nil {
			t.Fatal(err)
		}
		f.want(counts(q), c.queue)
		f.want(f.ids(), c.ids)
		if err := q.Settle(t0, token, Complete, nil); !errors.Is(err, ErrLockLost) {
			t.Errorf("verdict %d: settling again: %v", c.verdict, err)
		}
	}
}

func TestPropertiesOfSettlementsAddUpWithoutTouchingEarlierDeliveries(t *testing.T) {
	f := setup(t, []Queue{{Name: "q"}})
	q := f.entity("q")
	q.Send(t0, named("a"))
	q.SetCredit(t0, f.consumer(), 3)
	_ = q.Settle(t0, f.got[0].Token, Abandon, map[string]any{"x": 1, "y": 1})
	_ = q.Settle(t0, f.got[1].Token, Abandon, map[string]any{"y": 2})
	f.want(fmt.Sprint(f.got[0].Extra, f.got[1].Extra, f.got[2].Extra), "map[] map[x:1 y:1] map[x:1 y:2]")
}

func TestTooManyFailuresDeadLetterAndDeadLettersNeverDie(t *testing.T) {
	f := setup(t, []Queue{{Name: "q", MaxDeliveryCount: 2, LockDuration: time.Minute, DefaultTTL: time.Hour}})
	q, dead := f.entity("q"), f.entity("Q/$deadletterqueue")
	q.Send(t0, named("a"))
	q.SetCredit(t0, f.consumer(), 10)
	f.Advance(at(time.Minute))
	f.Advance(at(2 * time.Minute))
	f.want(f.ids(), "a0 a1")
	f.want(counts(q), "0 0 1")
	dead.SetCredit(at(2*time.Minute), f.consumer(), 100)
	for i := range 20 {
		f.Advance(at(time.Duration(3+i) * time.Minute))
	}
	if d := f.got[20]; d.Failed != 2 || d.Sequence != 1 || d.Extra["DeadLetterReason"] != "MaxDeliveryCountExceeded" || !d.Enqueued.Equal(t0) {
		t.Errorf("dead letter %+v", d)
	}
	_ = dead.Settle(at(22*time.Minute), f.got[20].Token, DeadLetter, nil) // stays where it is
	f.Advance(at(1000 * time.Hour))
	f.want(counts(dead), "1 0 0")
	if dead.Sendable() || !dead.Receivable() {
		t.Error("a dead-letter queue is for receiving only")
	}
}

func TestScheduledMessagesBecomeActiveInOrderOfTime(t *testing.T) {
	f := setup(t, []Queue{{Name: "q", LockDuration: 10 * time.Hour}})
	q := f.entity("q")
	q.Send(t0, []Message{{ID: "late", EnqueueAt: at(2 * time.Hour)}, {ID: "soon", EnqueueAt: at(time.Hour)}, {ID: "past", EnqueueAt: at(-time.Hour)}})
	q.SetCredit(t0, f.consumer(), 10)
	f.want(counts(q), "1 2 0")
	f.Advance(at(time.Hour - 1))
	f.want(f.ids(), "past0")
	f.Advance(at(3 * time.Hour))
	if f.got[0].Sequence != 4 || f.got[1].Sequence != 5 || f.got[0].State != Active {
		t.Errorf("sequences %d and %d", f.got[0].Sequence, f.got[1].Sequence)
	}
	f.want(f.ids(), "soon0 late0")
}

func TestDuplicatesAreForgottenAfterTheWindow(t *testing.T) {
	f := setup(t, []Queue{{Name: "q", DuplicateWindow: time.Minute}, {Name: "free"}})
	q := f.entity("q")
	for _, c := range []struct {
		after time.Duration
		ids   string
		want  string
	}{{0, "a b a", "[false false true]"}, {59 * time.Second, "a", "[true]"}, {time.Minute, "a", "[false]"}, {61 * time.Second, "a b", "[true false]"}} {
		f.want(fmt.Sprint(q.Send(at(c.after), named(strings.Fields(c.ids)...))), c.want)
	}
	f.want(fmt.Sprint(q.Send(at(time.Hour), named("", ""))), "[false false]")
	f.want(fmt.Sprint(f.entity("free").Send(t0, named("a", "a"))), "[false false]")
}

func TestMessagesExpireUnlessTheyAreLocked(t *testing.T) {
	for _, keep := range []bool{false, true} {
		f := setup(t, []Queue{{Name: "q", LockDuration: time.Minute, DefaultTTL: 10 * time.Second, DeadLetterOnExpiration: keep}})
		q := f.entity("q")
		q.Send(t0, []Message{{ID: "locked"}, {ID: "short", TTL: time.Second}, {ID: "capped", TTL: time.Hour}, {ID: "later", EnqueueAt: at(time.Minute)}})
		q.SetCredit(t0, f.consumer(), 1)
		for _, c := range []struct {
			after time.Duration
			lost  int
			left  string
		}{{999 * time.Millisecond, 0, "3 1"}, {time.Second, 1, "2 1"}, {10 * time.Second, 2, "1 1"}, {61 * time.Second, 3, "1 0"}, {time.Hour, 4, "0 0"}} {
			f.Advance(at(c.after))
			dead := 0
			if keep {
				dead = c.lost
			}
			f.want(counts(q), fmt.Sprintf("%s %d", c.left, dead))
		}
	}
}

func TestAMessageThatExpiredWhileLockedIsNotDeliveredAgain(t *testing.T) {
	f := setup(t, []Queue{{Name: "q", DefaultTTL: 10 * time.Second}})
	q := f.entity("q")
	q.Send(t0, named("a"))
	q.SetCredit(t0, f.consumer(), 9)
	if err := q.Settle(at(10*time.Second), f.got[0].Token, Abandon, nil); err != nil {
		t.Error(err)
	}
	f.want(f.ids(), "a0")
	f.want(counts(q), "0 0 0")
}

func TestTopicsFanOutByFilterWhenTheMessageIsDue(t *testing.T) {
	f := setup(t, nil, Topic{Name: "t", DuplicateWindow: time.Minute, Subscriptions: []Subscription{
		{Queue: Queue{Name: "all"}}, {Queue: Queue{Name: "bad"}, Filter: map[string]string{"outcome": "failed"}},
	}})
	topic, all, bad := f.entity("t"), f.entity("t/subscriptions/ALL"), f.entity("t/Subscriptions/bad")
	topic.Send(t0, []Message{
		{ID: "1", Properties: map[string]any{"outcome": "failed"}}, {ID: "2", Properties: map[string]any{"outcome": int32(1)}},
		{ID: "3"}, {ID: "1"}, {ID: "4", EnqueueAt: at(time.Hour), Properties: map[string]any{"outcome": "failed"}},
	})
	f.want(counts(topic)+"; "+counts(all)+"; "+counts(bad), "0 1 0; 3 0 0; 1 0 0")
	f.Advance(at(time.Hour))
	f.want(counts(topic)+"; "+counts(all)+"; "+counts(bad), "0 0 0; 4 0 0; 2 0 0")
	if topic.Receivable() || all.Sendable() {
		t.Error("a topic is for sending only, a subscription for receiving only")
	}
}

func TestLostLocksAndDoubleDeliveries(t *testing.T) {
	f := setup(t, []Queue{{Name: "q"}})
	q, c := f.entity("q"), f.consumer()
	q.DeliverTwice()
	q.Send(t0, named("a", "b"))
	q.SetCredit(t0, c, 9)
	if f.got[0].Token == f.got[1].Token || f.got[0].Sequence != f.got[1].Sequence {
		t.Errorf("twins %+v, %+v", f.got[0], f.got[1])
	}
	f.want(f.ids(), "a0 a0 b0")
	if n := q.LoseLocks(t0); n != 3 {
		t.Errorf("lost %d locks", n)
	}
	f.want(f.ids(), "a1 a1 b1")
	f.want(counts(q), "3 0 0")
}

// TestNothingIsLostOrInventedInARandomRun plays thousands of random operations and checks
// after each that every message is in exactly one place.
func TestNothingIsLostOrInventedInARandomRun(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		f := setup(t, []Queue{{Name: "q", LockDuration: 10 * time.Second, MaxDeliveryCount: 3}})
		q, dead := f.entity("q"), f.entity("q/$DeadLetterQueue")
		consumers := []*Consumer{f.consumer(), f.consumer()}
		now, sent, completed := t0, 0, 0
		for range 2000 {
			now = now.Add(time.Duration(rng.IntN(2000)) * time.Millisecond)
			switch rng.IntN(4) {
			case 0:
				q.Send(now, []Message{{ID: fmt.Sprint(sent), EnqueueAt: now.Add(time.Duration(rng.IntN(20)-10) * time.Second)}})
				sent++
			case 1:
				q.SetCredit(now, consumers[rng.IntN(2)], rng.IntN(3))
			case 2:
				f.Advance(now)
			case 3:
				if len(f.got) == 0 {
					continue
				}
				i := rng.IntN(len(f.got))
				verdict := Verdict(rng.IntN(4))
				err := q.Settle(now, f.got[i].Token, verdict, nil)
				if valid := f.got[i].LockedUntil.After(now); valid != (err == nil) {
					t.Fatalf("seed %d: a lock until %v settles at %v with %v", seed, f.got[i].LockedUntil, now, err)
				}
				if err == nil && verdict == Complete {
					completed++
				}
				f.got = slices.Delete(f.got, i, i+1)
			}
			active, scheduled, dead := q.Count()
			if active+scheduled+dead+completed != sent {
				t.Fatalf("seed %d: %d active, %d scheduled, %d dead, %d completed of %d", seed, active, scheduled, dead, completed, sent)
			}
			if ready := len(q.ready.items); ready+len(q.locked) != active {
				t.Fatalf("seed %d: %d ready and %d locked of %d active", seed, ready, len(q.locked), active)
			}
			if due := len(f.due.items); due != scheduled+len(q.locked) {
				t.Fatalf("seed %d: %d wait for a time, %d are scheduled and %d locked", seed, due, scheduled, len(q.locked))
			}
		}
		if !slices.IsSortedFunc(q.ready.items, bySequence) || !slices.IsSortedFunc(f.due.items, byDue) || len(dead.all) == 0 {
			t.Fatalf("seed %d: out of order, or a run without dead letters", seed)
		}
	}
}
