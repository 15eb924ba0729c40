package dr

import (
	"slices"
	"strings"
	"time"
)

// Version is the shape of stored records and messages that this code writes. A newer one is left alone.
const Version = 1

// Kind is what the caller asked for. Plans and what is remembered of drills depend on it, Step does not: there an operation is a list of legs.
type Kind string

// The kinds.
const (
	KindBackup   Kind = "backup"   // write a recovery point
	KindRestore  Kind = "restore"  // overwrite an instance with a recovery point, its own or another's
	KindFailover Kind = "failover" // restore into the standby and make it the active instance; a failback is the same the other way round
	KindDrill    Kind = "drill"    // restore into an instance that serves nothing else, as a proof
)

// Verb is what one leg asks ARM to do.
type Verb string

// The verbs.
const (
	VerbBackup  Verb = "backup"  // write a recovery point
	VerbRestore Verb = "restore" // overwrite the instance with one
)

// Phase is where an operation stands. Its ending is told by Outcome, a field of its own.
type Phase string

// The phases, in their order.
const (
	Queued    Phase = "queued"    // nothing was begun
	Starting  Phase = "starting"  // the intent is saved; the POST may or may not have been heard
	Running   Phase = "running"   // ARM accepted it: the Location is known
	Verifying Phase = "verifying" // ARM called it finished: the result is being looked at
	Done      Phase = "done"      // absorbing
)

// Outcome is how an operation or a leg ended; empty until then.
type Outcome string

// The outcomes.
const (
	Succeeded Outcome = "succeeded" // ARM said so and the result was seen
	Failed    Outcome = "failed"    // ARM said so, or the result is not there
	Rejected  Outcome = "rejected"  // never begun: a condition was not met, or it had to wait too long
	Unknown   Outcome = "unknown"   // ARM cannot confirm either way
)

// Trigger is what created an operation.
type Trigger string

// The triggers.
const (
	TriggerTimer    Trigger = "timer"
	TriggerHTTP     Trigger = "http"
	TriggerChange   Trigger = "change"   // the service was changed
	TriggerBackup   Trigger = "backup"   // a good backup of the active instance goes into its warm standby
	TriggerFailover Trigger = "failover" // the last backup of an instance that is about to be failed over from
	TriggerCLI      Trigger = "cli"      // apim-dr failover --direct
)

// Error is a reason in ARM's words or ours, whole.
type Error struct {
	Source  string `json:"source"`           // "arm" or "apim-dr"
	Code    string `json:"code"`             // ARM's error code, or ours
	Message string `json:"message"`          // unshortened
	Status  int    `json:"status,omitempty"` // HTTP status of ARM's answer
}

// Failure returns an error in our own words.
func Failure(code, message string) *Error {
	return &Error{Source: "apim-dr", Code: code, Message: message}
}

// String is code and message in one line.
func (e *Error) String() string { return e.Code + ": " + e.Message }

// Storage is where a leg's recovery point lies. It never holds a key.
type Storage struct {
	Account   string `json:"account"`          // bare account name, as ARM wants it
	Container string `json:"container"`        // must exist
	Region    string `json:"region,omitempty"` // of the account, as ARM writes it (westeurope); empty: not told
}

// Same tells whether it is the same container; a region is only what is told of it.
func (s Storage) Same(other Storage) bool {
	return s.Account == other.Account && s.Container == other.Container
}

// ServiceView is what ARM shows of an API Management instance.
type ServiceView struct {
	ETag       string `json:"etag,omitempty"`
	State      string `json:"state,omitempty"` // provisioningState, for example Succeeded or Updating
	SKU        string `json:"sku,omitempty"`   // for example Developer
	Capacity   int    `json:"capacity,omitempty"`
	Region     string `json:"region,omitempty"`
	MinVersion string `json:"minApiVersion,omitempty"` // older api-versions are refused by the service
	// Settings is what a backup does not hold; nil: not read.
	Settings *Settings `json:"settings,omitempty"`
}

// Idle tells whether no control-plane operation is at work on the service. Failed counts: an instance whose last change failed can
// still be backed up.
func (v ServiceView) Idle() bool { return v.State == "Succeeded" || v.State == "Failed" }

// BlobView is what storage shows of a backup blob.
type BlobView struct {
	Exists bool   `json:"exists"`
	Bytes  int64  `json:"bytes"`
	ETag   string `json:"etag,omitempty"`
}

// Claim is one invocation's right to POST: nobody else may, and not after Until. From is the time of the intent.
type Claim struct {
	Nonce string    `json:"nonce"`
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
}

// Leg is one ARM backup or restore with its own attempts, deadline and verification.
type Leg struct {
	Verb       Verb     `json:"verb"`
	Service    string   `json:"service"`    // name of the instance, the key of its lock
	ResourceID string   `json:"resourceId"` // ARM id of the instance
	Storage    Storage  `json:"storage"`
	Within     Duration `json:"within"`            // from the intent: then ARM's silence is unknown
	Point      string   `json:"point,omitempty"`   // restore: the recovery point to restore, which is the name of its blob; empty: not bound yet
	Safety     bool     `json:"safety,omitempty"`  // backup: taken only so that what follows can be undone
	Adopted    string   `json:"adopted,omitempty"` // restore: the operation whose restore of the same point this leg follows

	Attempt    int         `json:"attempt"` // POSTs intended so far
	Claim      Claim       `json:"claim,omitzero"`
	Before     ServiceView `json:"before,omitzero"` // seen under the lock, just before the intent
	PostedAt   time.Time   `json:"postedAt,omitzero"`
	Deadline   time.Time   `json:"deadline,omitzero"`
	Location   string      `json:"location,omitempty"` // ARM's first; later ones travel in the poll message
	ArmAnswer  string      `json:"armAnswer,omitempty"`
	ArmEndedAt time.Time   `json:"armEndedAt,omitzero"`
	After      ServiceView `json:"after,omitzero"`
	Blob       BlobView    `json:"blob,omitzero"`
	Gateways   []Gateway   `json:"gateways,omitempty"` // restore: what answered at the end
	Changed    bool        `json:"changed,omitempty"`  // backup: a change of the service was reported before the lock was freed; what came later, the recovery point alone tells

	Lost       int       `json:"lost,omitempty"`  // earlier attempts whose POST went unanswered
	Blind      int       `json:"blind,omitempty"` // polls refused in a row
	BlindSince time.Time `json:"blindSince,omitzero"`
	LookedAt   time.Time `json:"lookedAt,omitzero"`
	IdleLooks  int       `json:"idleLooks,omitempty"`
	CleanLooks int       `json:"cleanLooks,omitempty"` // idle looks in a row that show no trace of our POST
	SawBusy    bool      `json:"sawBusy,omitempty"`

	Outcome Outcome   `json:"outcome,omitempty"`
	Error   *Error    `json:"error,omitempty"`
	EndedAt time.Time `json:"endedAt,omitzero"`
}

// Note is something seen on the way that explains the outcome.
type Note struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// Operation is the whole record of one piece of work. The stored record with its ETag is the truth; messages only wake it.
type Operation struct {
	V      int    `json:"v"`
	Rev    int    `json:"rev"`    // grows by one with each save
	Writer string `json:"writer"` // nonce of the invocation that saved it

	ID          string    `json:"id"`
	Kind        Kind      `json:"kind"`
	Service     string    `json:"service"`
	Plan        string    `json:"plan,omitempty"`
	Trigger     Trigger   `json:"trigger"`
	RequestedBy string    `json:"requestedBy,omitempty"`
	Reason      string    `json:"reason,omitempty"`
	Ticket      string    `json:"ticket,omitempty"`
	Traceparent string    `json:"traceparent,omitempty"`
	CreatedAt   time.Time `json:"createdAt"`
	NotAfter    time.Time `json:"notAfter"` // not begun by then: rejected

	Phase   Phase  `json:"phase"`
	Legs    []Leg  `json:"legs"`
	Step    int    `json:"step"` // index of the leg at work
	Epoch   int    `json:"epoch"`
	Strikes int    `json:"strikes"`           // the watchdog's wakes since the last progress
	Waiting string `json:"waiting,omitempty"` // why it is not begun yet
	Yields  int    `json:"yields,omitempty"`  // how often it gave the lock back; makes each time a save
	// LockETag is that of the service's lock as this operation took it last; empty: not known.
	LockETag string `json:"lockETag,omitempty"`

	Recovery *Recovery `json:"recovery,omitempty"` // what an operation that restores has beside its legs

	Outcome  Outcome   `json:"outcome,omitempty"`
	Error    *Error    `json:"error,omitempty"`
	Evidence []Note    `json:"evidence,omitempty"`
	EndedAt  time.Time `json:"endedAt,omitzero"`
}

// Leg is the leg at work; of an operation that is done, the last one tried.
func (op *Operation) Leg() *Leg { return &op.Legs[op.Step] }

// AtWork is the leg that an operation in flight is at; nil: it has ended.
func (op *Operation) AtWork() *Leg {
	if op.Phase == Done || op.Step >= len(op.Legs) {
		return nil
	}
	return op.Leg()
}

// clone copies what Step may write, so that two steps from one record share no memory.
func (op Operation) clone() Operation {
	op.Legs = slices.Clone(op.Legs)
	op.Evidence = slices.Clone(op.Evidence)
	if op.Recovery != nil {
		r := *op.Recovery // what it points to is replaced, never written to
		op.Recovery = &r
	}
	return op
}

// maxEvidence bounds the record: a service that stays busy for hours is told once a look, and the first and last looks matter.
const (
	maxEvidence = 40
	maxNote     = 1000 // bytes; the error that ends an operation is kept whole elsewhere
)

func (op *Operation) note(now time.Time, text string) {
	if len(text) > maxNote {
		text = strings.ToValidUTF8(text[:maxNote], "") + "…"
	}
	if n := len(op.Evidence); n > 0 && op.Evidence[n-1].Text == text {
		return
	}
	if len(op.Evidence) == maxEvidence {
		op.Evidence = slices.Delete(op.Evidence, maxEvidence/2, maxEvidence/2+1)
	}
	op.Evidence = append(op.Evidence, Note{At: now, Text: text})
}

// Duration is a time.Duration that reads and writes as Go text ("12h0m0s") in JSON.
type Duration time.Duration

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}
