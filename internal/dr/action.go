package dr

import "time"

// Do names the one thing to do next.
type Do string

// The actions. Yield, Sleep and Finish end an invocation; the others are answered, and Step hears the answer.
const (
	Nothing Do = ""        // the message is out of date
	Lock    Do = "lock"    // ensure the marker, take the service's lock, hold the roles of the pair
	Await   Do = "await"   // has the final backup of the other side ended?
	Prepare Do = "prepare" // under the lock: is the service there, able and idle?
	Start   Do = "start"   // POST to ARM, once
	Check   Do = "check"   // one GET of the Location
	Look    Do = "look"    // what do the service and the blob show, where ARM cannot tell?
	Verify  Do = "verify"  // is the result there?
	Yield   Do = "yield"   // release the lock, then sleep
	Sleep   Do = "sleep"   // send the next wake message for Action.At
	Finish  Do = "finish"  // carry the stored outcome everywhere it belongs
)

// Action is what to do next.
type Action struct {
	Do       Do
	At       time.Time // Yield, Sleep: when to go on
	Location string    // Check: what to GET; Sleep: what the next poll shall GET, if not the stored one
	Try      int       // Sleep: how often in a row something could not be reached
}

// Brief tells whether an action needs no record before it: it only looks, and if its answer is lost the step before is done again. Not so what an operation
// that restores does: it writes while it prepares, and may verify for half an hour.
func (act Action) Brief(op Operation) bool {
	return op.Kind == KindBackup && (act.Do == Prepare || act.Do == Verify)
}

// Verdict is how an action went.
type Verdict string

// The verdicts. Which of them an action can have stands with the action's answers in Step.
const (
	OK      Verdict = "ok"      // it is done
	Still   Verdict = "still"   // ARM is at work; Location is where to look next
	Later   Verdict = "later"   // not now: busy, throttled, out of reach
	No      Verdict = "no"      // a definite refusal or failure; Error says why
	Lost    Verdict = "lost"    // nobody knows whether ARM heard the POST
	Refused Verdict = "refused" // this caller may not see the answer (403, 404, a 400 about the GET itself)
)

// Answer is how an action went and what was seen.
type Answer struct {
	Verdict  Verdict
	Location string        // Start, Check: where to look next
	Retry    time.Duration // a floor for the next try; 0: none was named
	Reason   string        // why Later, or what ARM said with OK
	Error    *Error
	Service  ServiceView    // Prepare, Look, Verify; Lock: as the adopted restore saw it first
	Blob     BlobView       // Look, Verify
	Gateways []Gateway      // Verify
	Note     string         // Verify: what else was seen; "": nothing
	Point    *RecoveryPoint // Await: what the final backup left; Prepare: what is to be restored, where that was not bound before
	Plan     *Plan          // Prepare: as it was found under the lock
	Held     bool           // Lock, with Later: the lock is ours, something else stands in the way
	NotAfter time.Time      // Lock, with Held: until when it may begin; zero: as was said before
	LockETag string         // Lock, with OK
	Adopted  string         // Lock, with Still: the operation whose running restore of the same point is followed
	PostedAt time.Time      // with Adopted: when that was POSTed
}

// Input is what Step hears: a knock (To is Nothing), or the answer to the action it asked for.
type Input struct {
	To     Do
	Answer        // a knock has none, but for the Error of a buried one
	Wake   Wake   // the message of this invocation
	Nonce  string // of this invocation
	Buried bool   // the knock comes from a dead-letter queue; Error tells what the message was and why it died
}
