package dr

import "time"

// awaited: OK with the recovery point of the final backup; Still (it runs); No (it left none) or Later (it could not be begun or looked at).
func awaited(t Timing, op Operation, in Input, now time.Time) (Operation, Action) {
	f := &op.Recovery.Final
	f.Operation = FinalID(op)
	switch {
	case in.Verdict == OK && in.Point != nil:
		f.Outcome = Succeeded
		op.bind(in.Point)
		return op, Action{Do: Prepare}
	case in.Verdict != No && now.Before(f.Until):
		op.Waiting = "the final backup " + f.Operation + " is not done: " + in.Why()
		return op, Action{Do: Sleep, At: earlier(now.Add(t.VerifyAgain), f.Until)}
	case in.Verdict == No:
		f.Outcome, f.Reason = Failed, in.Why()
	default:
		f.Outcome, f.Reason = Unknown, "not done within "+time.Duration(op.Recovery.Intent.MaxWait).String()+": "+in.Why()
	}
	if op.Recovery.Intent.Final == FinalRequire {
		return op.end(Rejected, Failure("FinalBackupNotGood", "the final backup of "+op.Source()+" is required but did not succeed ("+f.Reason+"); "+op.Service+" was not touched"), now)
	}
	op.note(now, "going on without a final backup: "+f.Reason)
	return op, Action{Do: Prepare}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// adopt follows the restore of the same recovery point into the same instance that another operation has begun.
func (op Operation) adopt(in Input, now time.Time) (Operation, Action) {
	op.progress(Running)
	leg := op.Leg()
	leg.Adopted, leg.Location, leg.PostedAt, leg.Before = in.Adopted, in.Location, in.PostedAt, in.Service
	leg.Deadline = now.Add(time.Duration(leg.Within))
	op.Recovery.Admitted = op.Recovery.Role == Switch
	op.note(now, "operation "+in.Adopted+" already restores "+leg.Point+" into "+leg.Service+": following that restore")
	return op, Action{Do: Check, Location: leg.Location}
}

// disown goes back to the start after a restore that was followed has failed.
func (op Operation) disown(t Timing, in Input, now time.Time) (Operation, Action) {
	op.progress(Queued)
	leg := op.Leg()
	op.note(now, "the restore of operation "+leg.Adopted+" has failed ("+in.Why()+"): doing it again")
	leg.Adopted, leg.Location, leg.PostedAt, leg.Before = "", "", time.Time{}, ServiceView{}
	return op, Action{Do: Sleep, At: now.Add(t.VerifyAgain)}
}

// unprepared is the reason of an operation whose safety backup did not succeed.
func unprepared(leg Leg) *Error {
	why := string(leg.Outcome)
	if leg.Error != nil {
		why += " (" + leg.Error.String() + ")"
	}
	return Failure("SafetyBackupNotGood", "the safety backup of "+leg.Service+" ended "+why+"; the instance was not overwritten. With safetyBackup false it is overwritten without one")
}

// Abandon gives an operation up for a person who asks for it: our lock is freed, and ARM may still be at work. It refuses for one that is done, and while
// a POST may be on its way: what came next could meet it.
func Abandon(op Operation, by, reason string, now time.Time) (Operation, *Error) {
	switch leg := op.Leg(); {
	case op.Phase == Done:
		return op, Failure("Ended", "operation "+op.ID+" has ended already: "+string(op.Outcome))
	case op.Phase == Starting && now.Before(leg.Claim.Until):
		return op, Failure("PostOnItsWay", "a POST may be on its way to ARM; try again after "+leg.Claim.Until.UTC().Format(time.RFC3339))
	}
	op = op.clone()
	leg := op.Leg()
	last := op.Legs[len(op.Legs)-1]
	outcome, text := Rejected, "abandoned by "+by+" before ARM had taken on the "+string(last.Verb)+" of "+op.Service
	if op.Phase != Queued {
		outcome, text = Unknown, "abandoned by "+by+": ARM may still be at work on "+op.Service+"; look at it before anything else is started there"
	}
	if reason != "" {
		text += " (" + reason + ")"
	}
	why := Failure("Abandoned", text)
	leg.Outcome, leg.Error, leg.EndedAt = outcome, why, now
	if op.Step+1 < len(op.Legs) { // the safety backup was at work: what the operation is for was never begun
		outcome = Rejected
	}
	op.progress(Done)
	op.Epoch++ // a wake to finish it is no repetition of an earlier one
	op.Outcome, op.Error, op.EndedAt = outcome, why, now
	op.Epoch++ // what is woken from here on is no repetition of a wake of before
	return op, nil
}

// Same tells whether an operation that wants to restore can as well follow other, which does the very same already.
func Same(op, other Operation) bool {
	mine, theirs := op.Leg(), other.Leg()
	return mine.Verb == VerbRestore && theirs.Verb == VerbRestore && mine.Point != "" && mine.Point == theirs.Point && !op.awaits() &&
		(other.Phase == Running || other.Phase == Verifying) && theirs.Location != ""
}

// Planned binds an operation to the plan that its caller was shown.
func Planned(op Operation, plan Plan) Operation {
	op = op.clone()
	op.Recovery.Plan = &plan
	if plan.Point != nil {
		op.bind(plan.Point)
	}
	if op.Recovery.Intent.Final == FinalAuto && !plan.Final.Use {
		op.Recovery.Final.Outcome, op.Recovery.Final.Reason = Rejected, "no final backup is taken: "+plan.Final.Why
	}
	return op
}

// Because tells in an error that the approved plan no longer holds. An operation that nobody approved has none.
func (e *Error) Because(approved *Plan) *Error {
	if approved == nil {
		return e
	}
	out := *e
	out.Message = "things have changed since the plan of " + approved.MadeAt.UTC().Format(time.RFC3339) + ": " + e.Message
	return &out
}

// Refuse ends an operation whose plan does not pass before anything was begun.
func Refuse(op Operation, why *Error, now time.Time) Operation {
	op, _ = op.clone().end(Rejected, why, now)
	return op
}
