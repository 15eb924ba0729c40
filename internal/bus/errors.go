package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/go-amqp"
)

// Kind tells why a message was not accepted, and what to do.
type Kind string

// The kinds.
const (
	Missing     Kind = "it does not exist: create it in the namespace"
	Refused     Kind = "not allowed: check that it is enabled, and the key, or that the identity has the role Azure Service Bus Data Sender"
	Busy        Kind = "Service Bus has no room for the message now: the namespace is throttled, or the entity full"
	TooLarge    Kind = "the message is larger than the namespace accepts"
	Unreachable Kind = "Service Bus, or what issues its tokens, did not answer: check the namespace's name, its state and its network rules"
	Late        Kind = "the time of whoever sends was over: look at what took it, Service Bus or the work before"
	Stopped     Kind = "given up"
)

// Error is a message that Service Bus is not known to have accepted. Sending it again, with the same MessageID, is safe.
type Error struct {
	Entity string // name of the queue or topic
	Kind   Kind
	Err    error // in the words of azservicebus
}

func (e *Error) Error() string {
	what := "queue"
	if e.Entity == Results {
		what = "topic"
	}
	return fmt.Sprintf("send to %s %s: %s: %v", what, e.Entity, e.Kind, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

var errClosed = errors.New("the bus is closed")

// conditions are Service Bus's errors that tell more than that something went wrong (azservicebus, internal/errors.go).
var conditions = map[amqp.ErrCond]Kind{
	amqp.ErrCondNotFound: Missing, amqp.ErrCondUnauthorizedAccess: Refused, amqp.ErrCondNotAllowed: Refused,
	"com.microsoft:entity-disabled": Refused, "com.microsoft:server-busy": Busy, amqp.ErrCondResourceLimitExceeded: Busy,
}

func kindOf(err error) Kind {
	var coded *azservicebus.Error // hides what it wraps; an error without a code of its own comes as go-amqp made it
	var condition *amqp.Error
	switch {
	case errors.Is(err, azservicebus.ErrMessageTooLarge):
		return TooLarge
	case errors.Is(err, context.Canceled), errors.Is(err, errClosed):
		return Stopped
	case errors.As(err, &coded) && coded.Code == azservicebus.CodeNotFound:
		return Missing
	case errors.As(err, &coded) && coded.Code == azservicebus.CodeUnauthorizedAccess:
		return Refused
	case errors.As(err, &condition) && conditions[condition.Condition] != "":
		return conditions[condition.Condition]
	}
	return Unreachable
}

// breaks tells whether err leaves the link in doubt. azservicebus itself keeps a link for ever that was detached with an error it takes
// for fatal (not found, disabled), even when the cause is long gone.
func breaks(err error) bool {
	if kind := kindOf(err); err == nil || kind == TooLarge || kind == Stopped {
		return false
	}
	_, rejected := err.(*amqp.Error) // the answer to this message alone; a detached link has an amqp.LinkError around it
	return !rejected
}
