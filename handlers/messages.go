package handlers

import (
	"context"
	"errors"

	"apim-dr/internal/bus"
	"apim-dr/internal/customhandler"
	"apim-dr/internal/dr"
	"apim-dr/internal/usage"
)

// runOperation handles queue operations: wakes of operations that ARM has not accepted yet, the ticks of plans, and the turns of exports.
func (a *App) runOperation(ctx context.Context, m customhandler.MessageInvocation) error {
	return a.message(ctx, m, a.Engine.Knock, func(t dr.Tick) error {
		return a.Engine.RunTick(ctx, t, customhandler.InvocationFrom(ctx).TraceParent)
	}, a.Usage.Run)
}

// pollOperation handles queue polls. The record knows what comes next, so it does what runOperation does.
func (a *App) pollOperation(ctx context.Context, m customhandler.MessageInvocation) error {
	return a.runOperation(ctx, m)
}

// deadLetter handles what Service Bus gave up on, in either queue: the operation goes on or ends, nothing is dropped.
func (a *App) deadLetter(ctx context.Context, m customhandler.MessageInvocation) error {
	why := dr.Failure("DeadLettered", died(m))
	a.Log.ErrorContext(ctx, "dead letter", "reason", why.Message, "content", string(m.Body))
	bury := func(ctx context.Context, w dr.Wake) error {
		why.Message += "; content: " + string(m.Body)
		return a.Engine.Bury(ctx, w, why)
	}
	return a.message(ctx, m, bury, func(t dr.Tick) error { return a.Engine.TickLater(ctx, t, errors.New(why.Message)) },
		func(context.Context, usage.Message) error { return nil }) // the next run finds what is left
}

// message decodes and passes on. What cannot be read is quarantined: delivering it again would not help.
func (a *App) message(ctx context.Context, m customhandler.MessageInvocation, wake func(context.Context, dr.Wake) error, tick func(dr.Tick) error,
	export func(context.Context, usage.Message) error) error {
	msg, err := bus.Decode(m.Body)
	switch {
	case err != nil:
		a.Log.ErrorContext(ctx, "a message that cannot be read is quarantined", "error", err)
		return a.Records.Quarantine(ctx, m.Body, err.Error())
	case msg.Tick != nil:
		return tick(*msg.Tick)
	case msg.Usage != nil:
		return export(ctx, *msg.Usage)
	}
	return wake(ctx, *msg.Wake)
}
