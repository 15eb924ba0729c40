package dr

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var t0 = time.Date(2026, 1, 5, 3, 0, 0, 0, time.UTC)

// idle is a service before anything was done to it.
var idle = ServiceView{ETag: "e1", State: "Succeeded", SKU: "Developer"}

func newOp() Operation {
	return Operation{
		V: Version, Rev: 1, ID: NewID(KindBackup, t0, "test"), Kind: KindBackup, Service: "contoso-eu", Trigger: TriggerTimer,
		CreatedAt: t0, NotAfter: t0.Add(12 * time.Hour), Phase: Queued,
		Legs: []Leg{{Verb: VerbBackup, Service: "contoso-eu", ResourceID: "/x/contoso-eu", Within: Duration(12 * time.Hour)}},
	}
}

// said is one input, some time after the one before.
type said struct {
	after time.Duration
	in    Input
}

func knocks(after time.Duration) said { return said{after, Input{}} }
func says(to Do, a Answer) said       { return said{0, Input{To: to, Answer: a, Nonce: "n"}} }

var (
	locks    = says(Lock, Answer{Verdict: OK})
	ready    = says(Prepare, Answer{Verdict: OK, Service: idle})
	accepted = says(Start, Answer{Verdict: Still, Location: "https://arm/1", Retry: time.Minute})
	lost     = says(Start, Answer{Verdict: Lost, Reason: "connection reset"})
	running  = says(Check, Answer{Verdict: Still, Location: "https://arm/2", Retry: time.Minute})
	refused  = says(Check, Answer{Verdict: Refused, Error: &Error{Code: "AuthorizationFailed"}})
	finished = says(Check, Answer{Verdict: OK, Reason: "200 Succeeded"})
	armFails = says(Check, Answer{Verdict: No, Error: &Error{Source: "arm", Code: "BackupFailed", Message: "no"}})
	found    = says(Verify, Answer{Verdict: OK, Blob: BlobView{Exists: true, Bytes: 7}})
	missing  = says(Verify, Answer{Verdict: No, Error: Failure("BackupBlobMissing", "not there")})
	unseen   = says(Verify, Answer{Verdict: Later, Reason: "timeout"})
	noTrace  = says(Look, Answer{Verdict: OK, Service: idle})
	busyLook = says(Look, Answer{Verdict: OK, Service: ServiceView{ETag: "e1", State: "Updating"}})
	moved    = says(Look, Answer{Verdict: OK, Service: ServiceView{ETag: "e2", State: "Succeeded"}, Blob: BlobView{Exists: true, Bytes: 7}})
	noLook   = says(Look, Answer{Verdict: Later, Reason: "timeout"})
)

func play(op Operation, script ...said) (Operation, Action, time.Time) {
	now, act := t0, Action{}
	for _, s := range script {
		now = now.Add(s.after)
		op, act = Step(DefaultTiming(), op, s.in, now)
	}
	return op, act, now
}

func TestStep(t *testing.T) {
	begun := []said{knocks(0), locks, ready}
	inFlight := slices.Concat(begun, []said{accepted})
	silent := slices.Concat(begun, []said{knocks(6 * time.Minute)}) // killed around the POST, and the look is due
	blind := slices.Concat(inFlight, []said{knocks(time.Minute), refused, knocks(5 * time.Minute), refused, knocks(6 * time.Minute), refused})
	for name, tc := range map[string]struct {
		script  []said
		phase   Phase
		do      Do
		at      time.Duration // of the action, from now; 0: none
		outcome Outcome
	}{
		"a knock asks for the lock":                         {[]said{knocks(0)}, Queued, Lock, 0, ""},
		"a taken lock waits":                                {[]said{knocks(0), says(Lock, Answer{Verdict: Later})}, Queued, Sleep, time.Minute, ""},
		"the lock leads to the preflight":                   {[]said{knocks(0), locks}, Queued, Prepare, 0, ""},
		"a busy service gives the lock back":                {[]said{knocks(0), locks, says(Prepare, Answer{Verdict: Later, Retry: 2 * time.Minute})}, Queued, Yield, 2 * time.Minute, ""},
		"a failing check rejects":                           {[]said{knocks(0), locks, says(Prepare, Answer{Verdict: No, Error: Failure("SkuNotSupported", "")})}, Done, Finish, 0, Rejected},
		"too late to begin rejects":                         {[]said{knocks(13 * time.Hour)}, Done, Finish, 0, Rejected},
		"the intent is saved before the POST":               {begun, Starting, Start, 0, ""},
		"202 is polled at Retry-After":                      {inFlight, Running, Sleep, time.Minute, ""},
		"202 without a Location is no answer":               {slices.Concat(begun, []said{says(Start, Answer{Verdict: Still})}), Starting, Sleep, 6 * time.Minute, ""},
		"a throttled POST goes back to the queue":           {slices.Concat(begun, []said{says(Start, Answer{Verdict: Later, Retry: 90 * time.Second})}), Queued, Yield, 90 * time.Second, ""},
		"ARM's no to the POST fails":                        {slices.Concat(begun, []said{says(Start, Answer{Verdict: No, Error: &Error{Code: "InvalidParameters"}})}), Done, Finish, 0, Failed},
		"a lost answer waits for window and settling":       {slices.Concat(begun, []said{lost}), Starting, Sleep, 6 * time.Minute, ""},
		"while a POST may be under way nobody looks":        {slices.Concat(begun, []said{knocks(time.Second)}), Starting, Sleep, 6*time.Minute - time.Second, ""},
		"killed around the POST: look first":                {silent, Starting, Look, 0, ""},
		"one look without a trace is not enough":            {slices.Concat(silent, []said{noTrace}), Starting, Sleep, time.Minute, ""},
		"looks keep their distance":                         {slices.Concat(silent, []said{noTrace, knocks(time.Second)}), Starting, Sleep, 59 * time.Second, ""},
		"two looks without a trace POST again":              {slices.Concat(silent, []said{noTrace, knocks(time.Minute), noTrace}), Starting, Start, 0, ""},
		"a trace after all is unknown":                      {slices.Concat(silent, []said{noTrace, knocks(time.Minute), moved}), Done, Finish, 0, Unknown},
		"a trace first is unknown":                          {slices.Concat(silent, []said{moved, knocks(time.Minute), noTrace}), Done, Finish, 0, Unknown},
		"a busy service is waited for":                      {slices.Concat(silent, []said{busyLook}), Starting, Sleep, time.Minute, ""},
		"once busy, never POSTed again":                     {slices.Concat(silent, []said{busyLook, knocks(time.Minute), noTrace, knocks(time.Minute), noTrace}), Done, Finish, 0, Unknown},
		"busy until the deadline is unknown":                {slices.Concat(silent, []said{busyLook, knocks(12 * time.Hour), busyLook}), Done, Finish, 0, Unknown},
		"nobody can look until the deadline: unknown":       {slices.Concat(silent, []said{noLook, knocks(12 * time.Hour), noLook}), Done, Finish, 0, Unknown},
		"nobody can look: again":                            {slices.Concat(silent, []said{noLook}), Starting, Sleep, time.Minute, ""},
		"past the deadline nothing is POSTed again":         {slices.Concat(silent, []said{noTrace, knocks(12 * time.Hour), noTrace}), Done, Finish, 0, Unknown},
		"a 409 after a lost attempt is not ours to believe": {slices.Concat(silent, []said{noTrace, knocks(time.Minute), noTrace, says(Start, Answer{Verdict: Later})}), Starting, Sleep, 6 * time.Minute, ""},
		"a no after a lost attempt neither":                 {slices.Concat(silent, []said{noTrace, knocks(time.Minute), noTrace, says(Start, Answer{Verdict: No})}), Starting, Sleep, 6 * time.Minute, ""},
		"a message that knows the Location repairs the record": {
			slices.Concat(begun, []said{{time.Second, Input{Wake: Wake{Attempt: 1, Location: "https://arm/1"}}}}), Running, Check, 0, ""},
		"whatever its epoch": {
			slices.Concat(begun, []said{{time.Second, Input{Wake: Wake{Epoch: 3, Attempt: 1, Location: "https://arm/1"}}}}), Running, Check, 0, ""},
		"and out of the dead letters, too": {
			slices.Concat(begun, []said{{time.Second, Input{Buried: true, Wake: Wake{Attempt: 1, Location: "https://arm/1"}}}}), Running, Check, 0, ""},
		"another attempt's Location does not": {
			slices.Concat(begun, []said{{time.Second, Input{Wake: Wake{Attempt: 2, Location: "https://arm/1"}}}}), Starting, Sleep, 6*time.Minute - time.Second, ""},
		"a poll is one GET":                              {slices.Concat(inFlight, []said{knocks(time.Minute)}), Running, Check, 0, ""},
		"still running is polled again":                  {slices.Concat(inFlight, []said{knocks(time.Minute), running}), Running, Sleep, time.Minute, ""},
		"a long backup is polled less":                   {slices.Concat(inFlight, []said{knocks(2 * time.Hour), running}), Running, Sleep, 6 * time.Minute, ""},
		"no verdict is no failure":                       {slices.Concat(inFlight, []said{knocks(time.Minute), says(Check, Answer{Verdict: Later})}), Running, Sleep, 30 * time.Second, ""},
		"a throttled poll obeys Retry-After":             {slices.Concat(inFlight, []said{knocks(time.Minute), says(Check, Answer{Verdict: Later, Retry: 7 * time.Minute})}), Running, Sleep, 7 * time.Minute, ""},
		"ARM's failure is one":                           {slices.Concat(inFlight, []said{knocks(time.Minute), armFails}), Done, Finish, 0, Failed},
		"one refused poll is nothing":                    {slices.Concat(inFlight, []said{knocks(time.Minute), refused}), Running, Sleep, time.Minute, ""},
		"refused long enough: look":                      {slices.Concat(blind, []said{knocks(time.Minute)}), Running, Look, 0, ""},
		"blind and idle twice is unknown, blob or not":   {slices.Concat(blind, []said{knocks(time.Minute), noTrace, knocks(time.Minute), noTrace}), Done, Finish, 0, Unknown},
		"blind looks keep their distance":                {slices.Concat(blind, []said{knocks(time.Minute), noTrace, knocks(time.Second)}), Running, Sleep, 59 * time.Second, ""},
		"past the deadline ARM is asked once more":       {slices.Concat(inFlight, []said{knocks(13 * time.Hour)}), Running, Check, 0, ""},
		"and may still say that it is done":              {slices.Concat(inFlight, []said{knocks(13 * time.Hour), finished}), Verifying, Verify, 0, ""},
		"past the deadline and still running: look":      {slices.Concat(inFlight, []said{knocks(13 * time.Hour), running}), Running, Look, 0, ""},
		"past the deadline and no answer: look":          {slices.Concat(inFlight, []said{knocks(13 * time.Hour), says(Check, Answer{Verdict: Later})}), Running, Look, 0, ""},
		"past the deadline one look decides":             {slices.Concat(inFlight, []said{knocks(13 * time.Hour), running, moved}), Done, Finish, 0, Unknown},
		"ARM's success is looked at":                     {slices.Concat(inFlight, []said{knocks(time.Minute), finished}), Verifying, Verify, 0, ""},
		"a knock while verifying looks again":            {slices.Concat(inFlight, []said{knocks(time.Minute), finished, knocks(0)}), Verifying, Verify, 0, ""},
		"success needs the blob":                         {slices.Concat(inFlight, []said{knocks(time.Minute), finished, found}), Done, Finish, 0, Succeeded},
		"a blob may come late":                           {slices.Concat(inFlight, []said{knocks(time.Minute), finished, missing}), Verifying, Sleep, 15 * time.Second, ""},
		"a blob that never comes is a failure":           {slices.Concat(inFlight, []said{knocks(time.Minute), finished, missing, knocks(5 * time.Minute), missing}), Done, Finish, 0, Failed},
		"storage that nobody can see is no failure":      {slices.Concat(inFlight, []said{knocks(time.Minute), finished, unseen, knocks(6 * time.Minute), unseen}), Verifying, Sleep, 30 * time.Second, ""},
		"storage that nobody sees for long is unknown":   {slices.Concat(inFlight, []said{knocks(time.Minute), finished, unseen, knocks(30 * time.Minute), unseen}), Done, Finish, 0, Unknown},
		"a redelivery repeats the ending":                {slices.Concat(inFlight, []said{knocks(time.Minute), armFails, knocks(0)}), Done, Finish, 0, Failed},
		"a redelivery of another epoch repeats it, too":  {slices.Concat(inFlight, []said{knocks(time.Minute), armFails, {0, Input{Wake: Wake{Epoch: 9}}}}), Done, Finish, 0, Failed},
		"a message of another epoch is out of date":      {slices.Concat(inFlight, []said{{time.Minute, Input{Wake: Wake{Epoch: 1}}}}), Running, Nothing, 0, ""},
		"a dead letter before any POST fails":            {[]said{{0, Input{Buried: true, Answer: Answer{Error: Failure("DeadLettered", "x")}}}}, Done, Finish, 0, Failed},
		"a dead letter after a POST only wakes":          {slices.Concat(begun, []said{{0, Input{Buried: true, Answer: Answer{Error: Failure("DeadLettered", "x")}}}}), Starting, Sleep, 5 * time.Minute, ""},
		"a dead letter of another epoch is out of date":  {[]said{{0, Input{Buried: true, Wake: Wake{Epoch: 1}}}}, Queued, Nothing, 0, ""},
		"a dead letter of an operation done finishes it": {slices.Concat(inFlight, []said{knocks(time.Minute), armFails, {0, Input{Buried: true, Answer: Answer{Error: Failure("DeadLettered", "x")}}}}), Done, Finish, 0, Failed},
	} {
		t.Run(name, func(t *testing.T) {
			op, act, now := play(newOp(), tc.script...)
			var at time.Duration
			if !act.At.IsZero() {
				at = act.At.Sub(now)
			}
			if op.Phase != tc.phase || act.Do != tc.do || at != tc.at || op.Outcome != tc.outcome {
				t.Errorf("got %s, %q in %s, outcome %q; want %s, %q in %s, %q", op.Phase, act.Do, at, op.Outcome, tc.phase, tc.do, tc.at, tc.outcome)
			}
			if op.Phase == Done && (op.EndedAt != now || op.Leg().Outcome != op.Outcome) && !strings.Contains(name, "repeats") && !strings.Contains(name, "finishes") {
				t.Errorf("ended at %s with leg %q", op.EndedAt, op.Leg().Outcome)
			}
		})
	}
}

// An answer that the phase did not ask for is not heard, whatever it says.
func TestStepHearsNoAnswerOutOfTurn(t *testing.T) {
	legal := map[Phase][]Do{Queued: {Lock, Prepare}, Starting: {Start, Look}, Running: {Check, Look}, Verifying: {Verify}}
	n := 0
	for _, phase := range []Phase{Queued, Starting, Running, Verifying, Done} {
		for _, to := range []Do{Lock, Prepare, Start, Check, Look, Verify, Yield, Sleep, Finish, "nonsense"} {
			if slices.Contains(legal[phase], to) {
				continue
			}
			for _, v := range []Verdict{OK, Still, Later, No, Lost, Refused, "nonsense"} {
				op := newOp()
				op.Phase = phase
				next, act := Step(DefaultTiming(), op, Input{To: to, Answer: Answer{Verdict: v, Location: "https://arm/9", Error: Failure("x", "y")}}, t0)
				if act != (Action{}) || !reflect.DeepEqual(next, op) {
					t.Errorf("%s hears %s %s: %+v", phase, to, v, act)
				}
				n++
			}
		}
	}
	if n != (50-7)*7 {
		t.Errorf("%d pairs", n)
	}
}

func TestRepeatedPostsAreBounded(t *testing.T) {
	op, now := newOp(), t0
	op, _, _ = play(op, knocks(0), locks, ready)
	posts := 1
	for range 20 {
		now = now.Add(10 * time.Minute)
		var act Action
		if op, act = Step(DefaultTiming(), op, Input{}, now); act.Do == Look {
			if op, act = Step(DefaultTiming(), op, noTrace.in, now); act.Do == Start {
				posts++
			}
		}
	}
	if posts != 3 || op.Outcome != Unknown {
		t.Errorf("%d POSTs, outcome %q; want 3, unknown", posts, op.Outcome)
	}
	if got := Points(op)[0]; got.ID != op.ID+"-s0-a3" || got.State != Unverified {
		t.Errorf("left %+v", got)
	}
}

func TestThrottledPostsUseUpNoAttempts(t *testing.T) {
	op, now := newOp(), t0
	for range 10 {
		now = now.Add(time.Minute)
		for _, s := range []said{knocks(0), locks, ready, says(Start, Answer{Verdict: Later})} {
			op, _ = Step(DefaultTiming(), op, s.in, now)
		}
	}
	if op.Phase != Queued || op.Leg().Lost != 0 || op.Leg().Deadline != now.Add(12*time.Hour) {
		t.Errorf("phase %s, %d lost, deadline %s", op.Phase, op.Leg().Lost, op.Leg().Deadline)
	}
}

func TestTenStrikesWithoutProgressLookAtTheService(t *testing.T) {
	op, _, now := play(newOp(), knocks(0), locks, ready, accepted)
	for range strikesOut {
		op = Heal(op)
	}
	op, act := Step(DefaultTiming(), op, Input{Wake: Wake{Epoch: strikesOut}}, now.Add(time.Minute))
	if act.Do != Look || op.Epoch != strikesOut {
		t.Errorf("got %q in epoch %d", act.Do, op.Epoch)
	}
}

// What ARM says in between takes strikes and refusals back: they count in a row only.
func TestWhatCountsInARowBeginsAnewWhenARMAnswers(t *testing.T) {
	op, _, now := play(newOp(), knocks(0), locks, ready, accepted, knocks(time.Minute), refused, knocks(5*time.Minute), refused)
	for range strikesOut - 1 {
		op = Heal(op)
	}
	op, _ = Step(DefaultTiming(), op, running.in, now)
	if op.Strikes != 0 || op.Leg().Blind != 0 || !op.Leg().BlindSince.IsZero() {
		t.Errorf("%d strikes, %d refusals since %s", op.Strikes, op.Leg().Blind, op.Leg().BlindSince)
	}
	op, _ = Step(DefaultTiming(), op, refused.in, now.Add(time.Hour))
	if _, act := Step(DefaultTiming(), op, Input{Wake: Wake{Epoch: op.Epoch}}, now.Add(time.Hour)); act.Do != Check {
		t.Errorf("one refusal after all that leads to %q", act.Do)
	}
}

// A repeated POST gets no more time than the first: otherwise each lost answer would put the end off.
func TestARepeatedPOSTKeepsTheDeadline(t *testing.T) {
	op, act, _ := play(newOp(), knocks(0), locks, ready, lost, knocks(6*time.Minute), noTrace, knocks(time.Minute), noTrace)
	if act.Do != Start || op.Leg().Deadline != t0.Add(12*time.Hour) {
		t.Errorf("%q, deadline %s", act.Do, op.Leg().Deadline)
	}
}

// The wake that follows a dead letter is a new one, and the letters that are still to come for the old epoch are not heard.
func TestADeadLetterAfterAPOSTBeginsANewEpoch(t *testing.T) {
	letter := Input{Buried: true, Answer: Answer{Error: Failure("DeadLettered", "ten deliveries")}}
	op, act, now := play(newOp(), knocks(0), locks, ready, accepted, said{time.Minute, letter})
	if op.Epoch != 1 || act.Do != Sleep || len(op.Evidence) != 1 || !strings.Contains(op.Evidence[0].Text, "ten deliveries") {
		t.Errorf("epoch %d, %q, %v", op.Epoch, act.Do, op.Evidence)
	}
	if again, act := Step(DefaultTiming(), op, letter, now); act != (Action{}) || !reflect.DeepEqual(again, op) {
		t.Errorf("a second letter leads to %+v", act)
	}
}

func TestALookThatIsThrottledObeysRetryAfter(t *testing.T) {
	_, act, now := play(newOp(), knocks(0), locks, ready, knocks(6*time.Minute), says(Look, Answer{Verdict: Later, Reason: "429", Retry: 7 * time.Minute}))
	if act.Do != Sleep || act.At.Sub(now) != 7*time.Minute {
		t.Errorf("%q in %s", act.Do, act.At.Sub(now))
	}
}

func TestALegThatSucceededLeadsToTheNext(t *testing.T) {
	op := newOp()
	op.Legs = append(op.Legs, op.Legs[0])
	op, act, _ := play(op, knocks(0), locks, ready, accepted, knocks(time.Minute), finished, found)
	if op.Phase != Queued || act.Do != Lock || op.Step != 1 || op.Legs[0].Outcome != Succeeded {
		t.Fatalf("got %s, %q, step %d", op.Phase, act.Do, op.Step)
	}
	if op.PointID() != op.ID+"-s1-a0" {
		t.Errorf("recovery point %s", op.PointID())
	}
}

// Whatever is seen in whatever order: Step keeps its argument, POSTs only what it locked, ends once, and always can end.
func TestAnyOrder(t *testing.T) {
	tos := []Do{Nothing, Nothing, Nothing, Lock, Prepare, Start, Check, Look, Verify, Sleep, Finish}
	verdicts := []Verdict{OK, Still, Later, No, Lost, Refused}
	states := []string{"Succeeded", "Updating"}
	ended := map[Outcome]int{}
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		op, now, wanted := newOp(), t0, Nothing
		for range 60 {
			in := Input{To: tos[r.IntN(len(tos))], Nonce: "n", Wake: Wake{Epoch: op.Epoch + r.IntN(10)/9}, Buried: r.IntN(20) == 0, Answer: Answer{
				Verdict: verdicts[r.IntN(len(verdicts))], Retry: time.Duration(r.IntN(90)) * time.Second, Error: Failure("x", "y"),
				Service: ServiceView{State: states[r.IntN(2)], ETag: "e1"}, Blob: BlobView{Exists: r.IntN(2) == 0},
			}}
			if r.IntN(2) == 0 && wanted != Nothing {
				in.To = wanted
			}
			if in.Verdict == Still {
				in.Location = "https://arm/1"
			}
			now = now.Add(time.Duration(r.IntN(600)) * time.Second)
			before := op
			before.Legs, before.Evidence = slices.Clone(op.Legs), slices.Clone(op.Evidence)
			next, act := Step(DefaultTiming(), op, in, now)
			if !reflect.DeepEqual(op, before) {
				t.Fatalf("seed %d: Step changed its argument", seed)
			}
			if act.Do == Start && next.Phase != Starting || act.Do == Start && next.Leg().Claim.Until != now.Add(time.Minute) {
				t.Fatalf("seed %d: a POST without its intent", seed)
			}
			if op.Phase == Queued && next.Phase == Starting && in.To != Prepare {
				t.Fatalf("seed %d: started by %s", seed, in.To)
			}
			if op.Phase == Done && !reflect.DeepEqual(next, op) {
				t.Fatalf("seed %d: done is not the end", seed)
			}
			if op.Phase != Done && next.Outcome == Succeeded && in.To != Verify {
				t.Fatalf("seed %d: %s makes it succeed", seed, in.To)
			}
			if (act.Do == Sleep || act.Do == Yield) && act.At.IsZero() {
				t.Fatalf("seed %d: sleeps for ever", seed)
			}
			op, wanted = next, act.Do
		}
		for range 40 { // the world falls silent: knocks alone, each action unanswered or "later"
			now = now.Add(24 * time.Hour)
			var act Action
			op, act = Step(DefaultTiming(), op, Input{Wake: Wake{Epoch: op.Epoch}}, now)
			for range 5 { // as the engine does: until the invocation ends
				op, act = Step(DefaultTiming(), op, Input{To: act.Do, Answer: Answer{Verdict: Later}}, now)
			}
		}
		if op.Phase != Done || op.Outcome == "" {
			t.Fatalf("seed %d: stuck in %s", seed, op.Phase)
		}
		ended[op.Outcome]++
	}
	if len(ended) != 4 {
		t.Errorf("the walk missed an outcome: %v", ended)
	}
}
