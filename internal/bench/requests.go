package main

import (
	"context"
	"time"

	"apim-dr/internal/engine"
	"apim-dr/internal/standin/arm"
	"apim-dr/internal/standin/devstack"
)

// requests is what one backup asks of the bus, of Resource Manager and of storage, as the stand-ins count it. internal/cost asserts the same counts, so that
// they cannot creep.
func requests(ctx context.Context, r rig) ([]row, error) {
	stack, err := devstack.Start(ctx, devstack.Options{App: r.app, Services: names(1), Meter: true, BackupDuration: 4500 * time.Millisecond, RetryAfter: time.Second, Settings: quiet})
	if err != nil {
		return nil, err
	}
	defer stack.Close()
	if err := backUp(ctx, stack, names(1)); err != nil { // the first one makes records that later ones change
		return nil, err
	}
	if err := settled(ctx, stack); err != nil {
		return nil, err
	}
	before, asked, messages := stack.Bill(), len(stack.ARM.Requests()), messagesOf(stack)
	if err := backUp(ctx, stack, names(1)); err != nil {
		return nil, err
	}
	if err := settled(ctx, stack); err != nil {
		return nil, err
	}
	polls := 0
	for _, q := range stack.ARM.Requests()[asked:] {
		if q.Verb == arm.Poll {
			polls++
		}
	}
	blobs := 0
	for _, n := range stack.Bill().Since(before).Blobs {
		blobs += n
	}
	sends, calls := messagesOf(stack)-messages, len(stack.ARM.Requests())-asked
	blobs -= polls // the one read of each
	return []row{
		atMost("messages sent for a backup, of p + 6", float64(sends)/float64(polls+6), 1, "%d with %d polls", sends, polls),
		atMost("ARM requests for a backup, of p + 3", float64(calls)/float64(polls+3), 1, "%d with %d polls", calls, polls),
		atMost("blob requests for a backup, of 14", float64(blobs)/14, 1, "%d beside one read for each poll", blobs),
	}, nil
}

func messagesOf(stack *devstack.Stack) (n int) {
	for _, entity := range []string{string(engine.Operations), string(engine.Polls), "results"} {
		n += len(stack.Bus.Sent(entity))
	}
	return n
}

// settled waits until no message is left, and the last invocation has done what comes after the event.
func settled(ctx context.Context, stack *devstack.Stack) error {
	for same, last := 0, -1; same < 20; {
		now := 0
		for _, n := range stack.Bill().Blobs {
			now += n
		}
		if same++; now != last {
			same, last = 0, now
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
