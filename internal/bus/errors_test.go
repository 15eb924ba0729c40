package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/go-amqp"
)

func TestErrorsAreToldApart(t *testing.T) {
	rejected := func(c amqp.ErrCond) error { return &amqp.Error{Condition: c} }
	detached := func(c amqp.ErrCond) error { return &amqp.LinkError{RemoteErr: &amqp.Error{Condition: c}} }
	for _, c := range []struct {
		err    error
		kind   Kind
		breaks bool
	}{
		{rejected("com.microsoft:server-busy"), Busy, false},
		{rejected(amqp.ErrCondResourceLimitExceeded), Busy, false},
		{detached("com.microsoft:server-busy"), Busy, true},
		{detached(amqp.ErrCondNotFound), Missing, true},
		{detached(amqp.ErrCondUnauthorizedAccess), Refused, true},
		{detached(amqp.ErrCondNotAllowed), Refused, true},
		{detached("com.microsoft:entity-disabled"), Refused, true},
		{detached("contoso:new"), Unreachable, true},
		{&azservicebus.Error{Code: azservicebus.CodeNotFound}, Missing, true},
		{&azservicebus.Error{Code: azservicebus.CodeUnauthorizedAccess}, Refused, true},
		{&azservicebus.Error{Code: azservicebus.CodeConnectionLost}, Unreachable, true},
		{&azservicebus.Error{Code: azservicebus.CodeClosed}, Unreachable, true},
		{azservicebus.ErrMessageTooLarge, TooLarge, false},
		{context.DeadlineExceeded, Unreachable, true},
		{fmt.Errorf("waiting: %w", context.Canceled), Stopped, false},
		{errClosed, Stopped, false},
		{errors.New("no such host"), Unreachable, true},
	} {
		if kind, broken := kindOf(c.err), breaks(c.err); kind != c.kind || broken != c.breaks {
			t.Errorf("%T %v: %q, breaks %v", c.err, c.err, kind, broken)
		}
	}
	for entity, want := range map[string]string{"polls": "send to queue polls: ", Results: "send to topic results: "} {
		if text := (&Error{Entity: entity, Kind: Missing, Err: errClosed}).Error(); !strings.HasPrefix(text, want+string(Missing)) {
			t.Errorf("%q does not begin with %q", text, want)
		}
	}
	if breaks(nil) {
		t.Error("success breaks the link")
	}
}
