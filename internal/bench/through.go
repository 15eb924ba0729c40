package main

import (
	"context"
	"time"

	"apim-dr/internal/standin/devstack"
)

const (
	backups = 240 // each of an instance of its own
	atOnce  = 16
	singles = 15 // one after the other
)

// through is a backup from its HTTP call to its event, through the real handler, the bus stand-in and Azurite: one at a time, and many at once.
// Resource Manager is done at once and asks for the shortest Retry-After, a second, which is taken off.
func through(ctx context.Context, r rig) ([]row, error) {
	stack, err := devstack.Start(ctx, devstack.Options{App: r.app, Services: names(backups), RetryAfter: time.Second, Settings: quiet})
	if err != nil {
		return nil, err
	}
	defer stack.Close()
	bare, err := newBare(ctx, stack)
	if err != nil {
		return nil, err
	}
	defer bare.close()
	if err := backUp(ctx, stack, names(backups)[:atOnce]); err != nil { // the connections of both
		return nil, err
	}
	if _, err := bare.run(ctx, atOnce); err != nil {
		return nil, err
	}
	var ours, theirs []time.Duration
	for i := range singles {
		began := time.Now()
		if err := backUp(ctx, stack, names(backups)[i:i+1]); err != nil {
			return nil, err
		}
		ours = append(ours, time.Since(began)-time.Second)
		took, err := bare.run(ctx, 1)
		if err != nil {
			return nil, err
		}
		theirs = append(theirs, took)
	}
	began := time.Now()
	if err := backUp(ctx, stack, names(backups)); err != nil {
		return nil, err
	}
	many := time.Since(began) - time.Second
	bareMany, err := bare.run(ctx, backups)
	if err != nil {
		return nil, err
	}
	return []row{
		atMost("backup from call to event", float64(median(ours))/float64(median(theirs)), 2, "%.0f ms, without the second that ARM asks to wait, beside %.0f ms of a bare client's messages and blobs", ms(median(ours)), ms(median(theirs))),
		atMost("backups at once", many.Seconds()/bareMany.Seconds(), 2, "%.0f a second beside %.0f", backups/many.Seconds(), backups/bareMany.Seconds()),
	}, nil
}
