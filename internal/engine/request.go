package engine

import (
	"errors"
	"fmt"

	"apim-dr/internal/dr"
)

// What a request can be refused for.
var (
	ErrUnknownService = errors.New("the service is not in the fleet")
	ErrKeyReused      = errors.New("the Idempotency-Key was used before with another body")
	// ErrUnconfirmed: the instance that would be overwritten was not named. Nothing was recorded; the plan says what would be done.
	ErrUnconfirmed = errors.New("the call does not confirm which instance is overwritten")
	// ErrRefused: a check of the plan fails. The attempt is recorded as an operation that was rejected, with its event.
	ErrRefused = errors.New("the plan does not pass its checks")
	// ErrEnded: the operation is done already.
	ErrEnded = errors.New("the operation has ended already")
)

// Invalid is a request that makes no sense in this fleet.
type Invalid struct {
	Field  string // of the request
	Detail string // what is wrong with it, and what is accepted
}

func (e *Invalid) Error() string { return fmt.Sprintf("%s: %s", e.Field, e.Detail) }

// Request is who asks for an operation, and why.
type Request struct {
	Service     string
	RequestedBy string // who, as far as is known
	Reason      string
	Ticket      string
	Traceparent string
	KeyHash     string // hash of the Idempotency-Key; "" when there is none
	BodyHash    string // hash of the request's body
}

// RecoverRequest asks for a restore, a failover or a drill. Service is a restore's target, a failover's primary, a drill's service.
type RecoverRequest struct {
	Request
	Kind dr.Kind // dr.KindRestore, dr.KindFailover or dr.KindDrill
	// From is the service whose recovery point a restore takes; empty: Service itself.
	From string
	// Target is the instance that a failover restores into; empty: the first secondary whose plan passes.
	Target string
	// Point is dr.Latest (also when empty), the id of a recovery point, or a time (RFC 3339).
	Point string
	// Confirm names the instance that is overwritten. A drill needs none: its instance is there to be overwritten.
	Confirm string
	// Safety backs the target up first.
	Safety bool
	// Final is a failover's last backup of the primary; empty: never.
	Final dr.FinalMode
	// MaxWait bounds both, as Go text; zero: Timing.MaxWait.
	MaxWait dr.Duration
	// Overrides names checks that may fail (dr.Overridable).
	Overrides []string
	// DryRun: the plan and nothing else.
	DryRun bool
	// Trigger is what the operation is created by; empty: dr.TriggerHTTP.
	Trigger dr.Trigger
}

// Recovery is the answer to a RecoverRequest: what will be done and, unless it was a dry run or went unconfirmed, the operation that does it.
type Recovery struct {
	Plan      dr.Plan
	Operation dr.Operation // without an ID: there is none
}

// Refusal is a request that the state of things does not allow.
type Refusal struct{ Why *dr.Error }

func (e *Refusal) Error() string { return e.Why.String() }
