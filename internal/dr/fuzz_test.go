package dr

import (
	"reflect"
	"slices"
	"testing"
	"time"
)

// script reads choices from fuzzed bytes; at the end of them everything is the first choice.
type script struct{ left []byte }

func (s *script) pick(n int) int {
	if len(s.left) == 0 {
		return 0
	}
	b := s.left[0]
	s.left = s.left[1:]
	return int(b) % n
}

func choose[T any](s *script, from ...T) T { return from[s.pick(len(from))] }

func (s *script) view() ServiceView {
	return ServiceView{
		ETag: choose(s, "e1", "e2"), State: choose(s, "Succeeded", "Updating", "Failed", ""), SKU: choose(s, "Developer", "Premium", "StandardV2", "Consumption", ""),
		Capacity: s.pick(3), Region: choose(s, "West Europe", "northeurope", ""), MinVersion: choose(s, "", "2099-01-01"),
		Settings: choose(s, nil, &Settings{}, &Settings{SystemIdentity: true, Locations: []string{"East US"}, HostNames: []HostName{{Type: "Proxy", Name: "x.contoso.com", Custom: true}}}),
	}
}

func (s *script) answer() Answer {
	return Answer{
		Verdict: choose(s, OK, Still, Later, No, Lost, Refused), Location: choose(s, "https://arm/1", ""), Retry: time.Duration(s.pick(200)) * time.Second,
		Reason: choose(s, "", "because"), Error: choose(s, &Error{Code: "X", Status: 404}, &Error{Code: "Y", Status: 403}, nil), Service: s.view(),
		Blob: s.blob(), Point: choose(s, nil, s.point()), Adopted: choose(s, "", "other"),
	}
}

func (s *script) blob() BlobView { return BlobView{Exists: s.pick(2) == 0, Bytes: int64(s.pick(9))} }

func (s *script) point() *RecoveryPoint {
	p := point
	p.State, p.SKU, p.Bytes = choose(s, Good, Unverified, Deleting), choose(s, "Developer", "Premium", ""), int64(s.pick(9))
	p.CreatedAt = t0.Add(-time.Duration(s.pick(40)) * 24 * time.Hour)
	p.ExpiresAt = p.CreatedAt.Add(BackupLife)
	return &p
}

func (s *script) intent() Intent {
	i := intent(choose(s, KindRestore, KindFailover, KindDrill))
	i.Safety, i.Auto = s.pick(2) == 1, s.pick(2) == 1
	i.Final = choose(s, FinalNever, FinalAuto, FinalRequire, "")
	if s.pick(4) == 3 {
		i.Target = i.Source
	}
	if n := s.pick(4); n > 0 {
		i.Overrides = Overridable()[:n]
	}
	return i
}

func (s *script) facts() Facts {
	f := Facts{APIVersion: "2024-05-01", Target: s.answer(), Source: choose(s, Answer{}, s.answer()), Group: s.answer(), Deleted: choose(s, Yes, Not, NotKnown, ""),
		Workspaces: s.pick(3) - 1, Point: choose(s, s.point(), nil), Container: choose(s, Yes, Not, ""), Blob: s.blob(),
		BlobError: choose(s, "", "403"), Access: choose(s, Access{Mode: "storageKey"}, Access{Mode: "systemAssigned"}, Access{Mode: "userAssigned", ClientID: "1"}, Access{}), Holder: choose(s, "", "op-1")}
	pair := NewPair("contoso-eu", "contoso-us")
	pair.Active, pair.Suspended, pair.BusyBy = choose(s, "contoso-eu", "contoso-us"), s.pick(2) == 1, choose(s, "", "op-1")
	f.Pairs = choose(s, []Pair{pair}, nil)
	return f
}

// Whatever is asked for, found out and answered, in whatever order: the same facts make the same plan; what does not pass is never begun; nothing
// automatic passes that would overwrite the active instance; and an operation POSTs only what it has bound, within its time, and ends once.
func FuzzPlanAndStep(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x01\x00\x00\x01the usual failover with a final backup"))
	f.Add([]byte{2, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &script{left: b}
		i, facts := s.intent(), s.facts()
		before := *facts.clone()
		plan := MakePlan(i, facts, t0)
		if again := MakePlan(i, facts, t0); !reflect.DeepEqual(plan, again) || !reflect.DeepEqual(facts, before) {
			t.Fatal("the plan is not a function of its facts, or it changes them")
		}
		refusal := plan.Refusal()
		active := slices.ContainsFunc(facts.Pairs, func(p Pair) bool { return p.IsActive(i.Target.Name) })
		switch {
		case refusal == nil && i.Auto && active:
			t.Fatalf("something automatic may overwrite the active instance: %+v", plan)
		case refusal == nil && plan.Point == nil:
			t.Fatal("a plan without a recovery point passes")
		case refusal != nil && (refusal.Code == "" || refusal.Message == ""):
			t.Fatalf("refused without a reason: %+v", refusal)
		}
		op := newRestore(func(op *Operation) {
			op.Kind, op.Service, op.Recovery.Intent, op.Recovery.Bound = i.Kind, i.Target.Name, i, nil
			op.Legs[0].Point = ""
			if i.Safety {
				withSafety(op)
			}
		})
		op = Planned(op, plan)
		if refusal != nil {
			if op = Refuse(op, refusal, t0); op.Phase != Done || op.Outcome != Rejected {
				t.Fatalf("refused, but %s %s", op.Phase, op.Outcome)
			}
		}
		walk(t, s, op, refusal == nil)
	})
}

func (f *Facts) clone() *Facts {
	c := *f
	if f.Point != nil {
		p := *f.Point
		c.Point = &p
	}
	c.Pairs = slices.Clone(f.Pairs)
	return &c
}

func walk(t *testing.T, s *script, op Operation, mayBegin bool) {
	now, want, posts, ends := t0, Nothing, map[int]int{}, 0
	for range 200 {
		in := Input{To: choose(s, want, want, Nothing, Lock, Await, Prepare, Start, Check, Look, Verify), Nonce: "n", Answer: s.answer(), Wake: Wake{Epoch: op.Epoch, Leg: s.pick(3), Attempt: s.pick(3)}}
		now = now.Add(time.Duration(s.pick(250)) * 3 * time.Second)
		next, act := Step(DefaultTiming(), op, in, now)
		leg := next.Leg()
		if (act.Do == Lock || op.Step != next.Step) && now.After(op.NotAfter) {
			t.Fatal("something is begun after its time")
		}
		if act.Do == Start {
			posts[next.Step]++
			switch {
			case !mayBegin:
				t.Fatal("a refused plan is carried out")
			case leg.Verb == VerbRestore && (leg.Point == "" || next.Recovery.Bound == nil || next.Recovery.Bound.ID != leg.Point):
				t.Fatalf("restores %q, bound is %+v", leg.Point, next.Recovery.Bound)
			case next.Phase != Starting || !leg.Claim.Until.After(now):
				t.Fatal("a POST without its intent")
			case now.After(next.NotAfter) && in.To != Prepare:
				t.Fatal("a POST is repeated after its time")
			case next.Step == 1 && next.Legs[0].Outcome != Succeeded:
				t.Fatal("overwritten without the safety backup")
			case next.Recovery.Intent.Final == FinalRequire && leg.Verb == VerbRestore && next.Recovery.Final.Outcome != Succeeded && next.Step == 0:
				t.Fatal("overwritten without the required final backup")
			}
		}
		if op.Phase != Done && next.Phase == Done {
			ends++
		}
		if op.Phase == Done && !reflect.DeepEqual(op, next) || (next.Phase == Done) != (next.Outcome != "") || ends > 1 {
			t.Fatalf("ended %d times: %s %q", ends, next.Phase, next.Outcome)
		}
		if next.Outcome == Succeeded && op.Phase != Done && in.To != Verify {
			t.Fatalf("%s makes it succeed", in.To)
		}
		op, want = next, act.Do
		if want == Sleep || want == Yield || want == Finish {
			want = Nothing
		}
	}
}
