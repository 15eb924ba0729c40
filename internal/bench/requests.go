package main

import (
	"context"
	"time"

	"apim-dr/internal/standin/arm"
	"apim-dr/internal/standin/devstack"
)

// requests is what a backup by call asks of the bus, of Resource Manager and of storage, as the stand-ins count it. internal/cost holds the same counts, so
// that they cannot creep.
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
	before := stack.Bill()
	if err := backUp(ctx, stack, names(1)); err != nil {
		return nil, err
	}
	if err := settled(ctx, stack); err != nil {
		return nil, err
	}
	bill := stack.Bill().Since(before)
	polls, messages := bill.ARM[arm.Poll], 0
	for request, n := range bill.Bus {
		if request.Kind == "send" {
			messages += n
		}
	}
	calls, blobs := sum(bill.ARM), sum(bill.Blobs)-polls // each poll has its one read
	return []row{
		atMost("messages sent for a backup, of p + 6", float64(messages)/float64(polls+6), 1, "%d with %d polls", messages, polls),
		atMost("ARM requests for a backup, of p + 3", float64(calls)/float64(polls+3), 1, "%d with %d polls", calls, polls),
		atMost("blob requests for a backup, of 14", float64(blobs)/14, 1, "%d beside one read for each poll", blobs),
	}, nil
}

func sum[K comparable](counts map[K]int) (n int) {
	for _, v := range counts {
		n += v
	}
	return n
}
