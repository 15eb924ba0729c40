package dr

import (
	"fmt"
	"time"
)

// looked: OK with what service and blob show, or Later when one of them cannot be seen. Observing never ends in succeeded or
// failed: only ARM's own answer does.
func looked(t Timing, op Operation, in Input, now time.Time) (Operation, Action) {
	leg := op.Leg()
	leg.LookedAt = now
	over := !now.Before(leg.Deadline)
	if in.Verdict != OK {
		op.note(now, "could not look: "+in.Why())
		if over {
			return op.end(Unknown, unconfirmed(*leg), now)
		}
		return op, Action{Do: Sleep, At: now.Add(max(in.Retry, t.Look)), Try: in.Wake.Try + 1}
	}
	leg.After, leg.Blob = in.Service, in.Blob
	op.note(now, fmt.Sprintf("service %s (etag %s, before %s)%s", in.Service.State, in.Service.ETag, leg.Before.ETag, leg.seenBlob()))
	if !in.Service.Idle() {
		leg.SawBusy = true
	} else {
		leg.IdleLooks++
	}
	if leg.CleanLooks++; !traceless(op.Phase, *leg) {
		leg.CleanLooks = 0
	}
	switch {
	case over:
	case leg.IdleLooks < 2: // one idle look may come too early
		return op, Action{Do: Sleep, At: now.Add(t.Look)}
	case leg.CleanLooks >= 2 && leg.Lost+1 < verbs[leg.Verb].attempts && !now.After(op.NotAfter):
		leg.Lost++
		return op.intend(t, in, now)
	}
	return op.end(Unknown, unconfirmed(*leg), now)
}

// traceless tells whether nothing that was seen could come from our POST. After a 202 that is never so.
func traceless(p Phase, leg Leg) bool {
	return p == Starting && !leg.SawBusy && leg.After.Idle() && leg.After.ETag == leg.Before.ETag && !(verbs[leg.Verb].leaves && leg.Blob.Exists)
}

// seenBlob tells of the blob where it says anything about the leg.
func (leg Leg) seenBlob() string {
	if !verbs[leg.Verb].leaves {
		return ""
	}
	return ", blob " + leg.Blob.String()
}

func unconfirmed(leg Leg) *Error {
	what := fmt.Sprintf("ARM cannot confirm how %s attempt %d of %s ended", leg.Verb, leg.Attempt, leg.Service)
	if leg.After.State != "" {
		what += fmt.Sprintf("; the service was last seen %s%s", leg.After.State, leg.seenBlob())
	}
	return Failure("Unconfirmed", what+"; see evidence")
}

// String tells what storage showed.
func (b BlobView) String() string {
	if !b.Exists {
		return "absent"
	}
	return fmt.Sprintf("%d bytes", b.Bytes)
}

// lookDue is when a leg whose POST went unanswered may be looked at.
func (t Timing) lookDue(leg Leg) time.Time {
	if !leg.LookedAt.IsZero() {
		return leg.LookedAt.Add(t.Look)
	}
	return leg.Claim.Until.Add(t.Settle)
}

// blindPolls is how many refused polls, spread over Timing.Blind, make a leg blind.
const blindPolls = 3

func (t Timing) blind(leg Leg, now time.Time) bool {
	return leg.Blind >= blindPolls && now.Sub(leg.BlindSince) >= t.Blind
}
