package dr

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// answersIn lists, for each phase, the actions whose answers are heard in it.
var answersIn = map[Phase][]Do{
	Queued: {Lock, Await, Prepare}, Starting: {Start, Look}, Running: {Check, Look}, Verifying: {Verify},
}

// strikesOut is after how many of the watchdog's wakes without progress polling gives way to observing.
const strikesOut = 10

// traits is all that differs between the verbs.
type traits struct {
	attempts int     // POSTs at most, where a lost answer leaves no trace; see Operation.attempts
	stretch  float64 // see NextPoll; somebody waits for a restore
	leaves   bool    // a blob, which is a trace of the POST
}

var verbs = map[Verb]traits{
	VerbBackup:  {attempts: 3, stretch: 0.05, leaves: true},
	VerbRestore: {attempts: 2},
}

// Step is the whole machine: the record, what was just seen and the time in; the new record and the one thing to do out. The
// new record is to be saved before the action is begun, unless the action is Brief. Step changes none of its arguments.
func Step(t Timing, op Operation, in Input, now time.Time) (Operation, Action) {
	if op.Phase == Done {
		if in.To == Nothing {
			return op, Action{Do: Finish}
		}
		return op, Action{}
	}
	if in.To == Nothing {
		switch repairs := in.Wake.repairs(op); {
		case in.Wake.Epoch != op.Epoch && !repairs:
			return op, Action{}
		case in.Buried && !repairs:
			return unearth(t, op.clone(), in, now)
		}
		return knock(t, op.clone(), in, now)
	}
	if !slices.Contains(answersIn[op.Phase], in.To) || in.To == Await && !op.awaits() {
		return op, Action{}
	}
	op = op.clone()
	switch in.To {
	case Lock:
		return locked(t, op, in, now)
	case Await:
		return awaited(t, op, in, now)
	case Prepare:
		return prepared(t, op, in, now)
	case Start:
		return started(t, op, in, now)
	case Check:
		return checked(t, op, in, now)
	case Look:
		return looked(t, op, in, now)
	default:
		return verified(t, op, in, now)
	}
}

// knock leads to the first action of the phase.
func knock(t Timing, op Operation, in Input, now time.Time) (Operation, Action) {
	leg := op.Leg()
	switch op.Phase {
	case Queued:
		if now.After(op.NotAfter) {
			return op.end(Rejected, Failure("NotStartedInTime", notStarted(op)), now)
		}
		return op, Action{Do: Lock}
	case Starting:
		if in.Wake.repairs(op) {
			op.progress(Running)
			leg.Location, leg.PostedAt = in.Wake.Location, leg.Claim.From
			return op, Action{Do: Check, Location: leg.Location}
		}
		if due := t.lookDue(*leg); now.Before(due) {
			return op, Action{Do: Sleep, At: due}
		}
		return op, Action{Do: Look}
	case Running:
		if !t.blind(*leg, now) && op.Strikes < strikesOut {
			return op, Action{Do: Check, Location: in.Wake.locationFor(op)}
		}
		if due := leg.LookedAt.Add(t.Look); !leg.LookedAt.IsZero() && now.Before(due) {
			return op, Action{Do: Sleep, At: due}
		}
		return op, Action{Do: Look}
	default:
		return op, Action{Do: Verify}
	}
}

func notStarted(op Operation) string {
	text := fmt.Sprintf("not begun by %s", op.NotAfter.Format(time.RFC3339))
	if op.Waiting != "" {
		text += "; it waited because " + op.Waiting
	}
	return text
}

// locked: OK; Later when another operation holds the service; Still when that one restores what this one would; No when the roles of the pair forbid it.
func locked(t Timing, op Operation, in Input, now time.Time) (Operation, Action) {
	switch in.Verdict {
	case OK:
		if op.Kind == KindBackup { // what restores looks for changes at its end in any case
			op.LockETag = in.LockETag
		}
		if r := op.Recovery; r != nil {
			r.Admitted = r.Role == Switch
		}
		if op.awaits() {
			if f := &op.Recovery.Final; f.Until.IsZero() {
				// There must be time left to begin the restore.
				f.Until = earlier(now.Add(time.Duration(op.Recovery.Intent.MaxWait)), op.NotAfter.Add(-t.Busy))
			}
			return op, Action{Do: Await}
		}
		return op, Action{Do: Prepare}
	case Still:
		if op.Recovery != nil && op.Leg().Verb == VerbRestore && in.Location != "" {
			return op.adopt(in, now)
		}
	case No:
		return op.end(Rejected, in.Error, now)
	}
	if in.Held {
		if !in.NotAfter.IsZero() {
			op.NotAfter = in.NotAfter
		}
		return op.yield(t, in, now)
	}
	op.Waiting = in.Reason
	return op, Action{Do: Sleep, At: now.Add(max(in.Retry, t.wait(op)))}
}

// wait is the pause before a busy service or a taken lock is tried again: somebody stands by for an urgent operation.
func (t Timing) wait(op Operation) time.Duration {
	if op.Recovery != nil && op.Recovery.Urgent {
		return min(t.Busy, t.VerifyAgain)
	}
	return t.Busy
}

// prepared: OK, Later (busy, throttled, out of reach) or No.
func prepared(t Timing, op Operation, in Input, now time.Time) (Operation, Action) {
	switch in.Verdict {
	case OK:
		if now.After(op.NotAfter) { // the look itself took too long
			return op.end(Rejected, Failure("NotStartedInTime", notStarted(op)), now)
		}
		if op.Recovery != nil && in.Point != nil {
			op.bind(in.Point)
		}
		if op.Recovery != nil && op.Recovery.Plan == nil {
			op.Recovery.Plan = in.Plan
		}
		if leg := op.Leg(); leg.Verb == VerbRestore && leg.Point == "" {
			return op.end(Rejected, Failure("RecoveryPointNotFound", "there is no recovery point to restore"), now)
		}
		return op.intend(t, in, now)
	case Later:
		return op.yield(t, in, now)
	default:
		return op.end(Rejected, in.Error, now)
	}
}

// yield gives the lock back for a while; an urgent operation keeps it and only waits. It changes the record, so that of two invocations of one
// operation the one that yields and the one that goes on cannot both save: a lock freed by the first would no longer protect the second's POST.
func (op Operation) yield(t Timing, in Input, now time.Time) (Operation, Action) {
	op.Waiting = in.Reason
	if op.Recovery != nil && op.Recovery.Urgent { // whoever had the lock meanwhile would go before it
		return op, Action{Do: Sleep, At: now.Add(max(in.Retry, t.wait(op)))}
	}
	op.Yields, op.LockETag = op.Yields+1, ""
	return op, Action{Do: Yield, At: now.Add(max(in.Retry, t.wait(op)))}
}

// intend writes down that a POST follows. From here on a kill leaves the question whether ARM heard it.
func (op Operation) intend(t Timing, in Input, now time.Time) (Operation, Action) {
	op.progress(Starting)
	leg := op.Leg()
	leg.Attempt++
	leg.Claim = Claim{Nonce: in.Nonce, From: now, Until: now.Add(t.PostWindow)}
	leg.Before = in.Service
	leg.LookedAt, leg.IdleLooks, leg.CleanLooks, leg.SawBusy = time.Time{}, 0, 0, false
	leg.Blind, leg.BlindSince = 0, time.Time{}
	if leg.Lost == 0 { // a repeated POST gets no more time than the first
		leg.Deadline = now.Add(time.Duration(leg.Within))
	}
	return op, Action{Do: Start}
}

// started: Still with a Location, Later (429 and the transient 409s: ARM did not take it), No, or Lost.
func started(t Timing, op Operation, in Input, now time.Time) (Operation, Action) {
	leg := op.Leg()
	switch {
	case in.Verdict == Still && in.Location != "":
		op.progress(Running)
		leg.Location, leg.PostedAt = in.Location, now
		return op, Action{Do: Sleep, At: NextPoll(now, now, in.Retry, 0), Location: in.Location}
	case in.Verdict == Later && leg.Lost == 0:
		op.progress(Queued)
		return op.yield(t, in, now)
	case in.Verdict == No && leg.Lost == 0:
		return op.end(Failed, in.Error, now)
	}
	// Lost; or a no that may come from our own earlier attempt, which then runs.
	op.note(now, fmt.Sprintf("the answer to POST attempt %d does not say whether it was taken: %s", leg.Attempt, in.Why()))
	next := Action{Do: Sleep, At: leg.Claim.Until.Add(t.Settle)}
	if in.Verdict == Later { // this one was not taken and uses up nothing; what became of the one before is looked at when ARM wants to be asked again
		leg.Lost--
		if at := now.Add(in.Retry); at.After(next.At) {
			next.At = at
		}
	}
	return op, next
}

// checked: Still, Later (no verdict), Refused, No (ARM says it failed) or OK (ARM says it is finished).
func checked(t Timing, op Operation, in Input, now time.Time) (Operation, Action) {
	leg := op.Leg()
	if in.Verdict != No && in.Verdict != OK && !now.Before(leg.Deadline) { // ARM had its last chance to say how it ended
		op.note(now, strings.TrimSpace(fmt.Sprintf("asked once more past the deadline, ARM said: %s %s", in.Verdict, in.Why())))
		return op, Action{Do: Look}
	}
	next := Action{Do: Sleep, At: NextPoll(now, leg.PostedAt, in.Retry, verbs[leg.Verb].stretch), Location: in.Location}
	switch in.Verdict {
	case Still:
		leg.Blind, leg.BlindSince, op.Strikes = 0, time.Time{}, 0
		return op, next
	case Later:
		next.Try = in.Wake.Try + 1
		next.At = now.Add(max(in.Retry, t.Outage(in.Wake.Try)))
		return op, next
	case Refused:
		if leg.Blind++; leg.Blind == 1 {
			leg.BlindSince = now
		}
		op.note(now, "ARM does not show the operation: "+in.Why())
		return op, next
	case No:
		if leg.Adopted != "" {
			return op.disown(t, in, now)
		}
		return op.end(Failed, in.Error, now)
	default:
		op.progress(Verifying)
		leg.ArmAnswer, leg.ArmEndedAt = in.Reason, now
		return op, Action{Do: Verify}
	}
}

// verified: OK, No (the result is not there), Still (not yet), or Later (nobody can look).
func verified(t Timing, op Operation, in Input, now time.Time) (Operation, Action) {
	leg := op.Leg()
	waited := now.Sub(leg.ArmEndedAt)
	switch {
	case in.Verdict == OK:
		leg.After, leg.Blob, leg.Gateways = in.Service, in.Blob, in.Gateways
		if in.Note != "" {
			op.note(now, in.Note)
		}
		return op.end(Succeeded, nil, now)
	case in.Verdict == No && waited >= t.BlobMissing:
		return op.end(Failed, in.Error, now)
	case in.Verdict == No, in.Verdict == Still && waited < t.Verify:
		return op, Action{Do: Sleep, At: now.Add(t.VerifyAgain)}
	case waited >= t.Verify:
		missed := "nobody could look at the result"
		if in.Verdict == Still {
			missed = "the result did not show"
		}
		return op.end(Unknown, Failure("NotVerified", fmt.Sprintf("ARM called it finished, but for %s %s: %s", t.Verify, missed, in.Why())), now)
	}
	return op, Action{Do: Sleep, At: now.Add(max(in.Retry, t.Outage(in.Wake.Try))), Try: in.Wake.Try + 1}
}

// unearth handles a knock whose message had died: its reason is kept, and the operation goes on under a new epoch.
func unearth(t Timing, op Operation, in Input, now time.Time) (Operation, Action) {
	if op.Phase == Queued && op.Leg().Attempt == 0 {
		if op.Recovery != nil { // ARM was not asked to overwrite anything
			return op.end(Rejected, in.Error, now)
		}
		return op.end(Failed, in.Error, now)
	}
	op.note(now, in.Why())
	op.Epoch++
	return op, Action{Do: Sleep, At: now.Add(t.OutageMost)}
}

// Heal is the watchdog's step for an operation that fell silent: a new epoch, so that a wake that is still on its way is ignored.
func Heal(op Operation) Operation {
	if op.Phase != Done {
		op.Epoch++
		op.Strikes++
	}
	return op
}

// progress enters a phase.
func (op *Operation) progress(to Phase) { op.Phase, op.Strikes, op.Waiting = to, 0, "" }

// end closes the leg and goes on with the next one, or closes the operation.
func (op Operation) end(outcome Outcome, reason *Error, now time.Time) (Operation, Action) {
	leg := op.Leg()
	leg.Outcome, leg.Error, leg.EndedAt = outcome, reason, now
	switch more := op.Step+1 < len(op.Legs); {
	case more && outcome == Succeeded && !now.After(op.NotAfter):
		op.Step++
		op.progress(Queued)
		return op, Action{Do: Lock}
	case more && outcome == Succeeded: // what was confirmed never starts hours later
		outcome, reason = Rejected, Failure("NotStartedInTime", notStarted(op))
	case more && outcome != Rejected: // what the operation is for was never begun
		outcome, reason = Rejected, unprepared(*leg)
	}
	op.progress(Done)
	op.Outcome, op.Error, op.EndedAt = outcome, reason, now
	return op, Action{Do: Finish}
}

// Why is the reason of an answer, in ARM's words if it has them.
func (a Answer) Why() string {
	if a.Error != nil {
		return a.Error.String()
	}
	return a.Reason
}
