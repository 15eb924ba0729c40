package handlers

import (
	"context"
	"errors"
	"fmt"

	"apim-dr/internal/changes"
	"apim-dr/internal/customhandler"
)

// configurationChanged handles queue changes, which Event Grid sends to. A message that cannot be read, or not all of it, is quarantined: delivering it again
// would not help.
func (a *App) configurationChanged(ctx context.Context, m customhandler.MessageInvocation) error {
	list, err := changes.Parse(m.Body)
	var errs []error
	if err != nil {
		a.Log.ErrorContext(ctx, "a message that cannot be read is quarantined", "error", err)
		errs = append(errs, a.Records.Quarantine(ctx, m.Body, err.Error()))
	}
	for _, c := range list {
		errs = append(errs, a.Engine.Changed(ctx, c))
	}
	return errors.Join(errs...)
}

// deadChange handles what Service Bus gave up on in queue changes: once more. Its content is not logged: Resource Manager tells in it who made the change, and
// from which address.
func (a *App) deadChange(ctx context.Context, m customhandler.MessageInvocation) error {
	a.Log.ErrorContext(ctx, "dead letter", "reason", died(m))
	return a.configurationChanged(ctx, m)
}

// died tells how a message came into a dead-letter queue.
func died(m customhandler.MessageInvocation) string {
	return fmt.Sprintf("message %s died after %d deliveries: %s %s", m.MessageID, m.DeliveryCount,
		m.ApplicationProperties["DeadLetterReason"], m.ApplicationProperties["DeadLetterErrorDescription"])
}
