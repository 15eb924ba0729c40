package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"apim-dr/internal/standin/arm"
	"apim-dr/internal/standin/devstack"
)

const pollEvery = 2 * time.Second

// restores are how long Resource Manager takes for them: they end all over the time between two polls.
var restores = []time.Duration{4300 * time.Millisecond, 5500 * time.Millisecond, 4700 * time.Millisecond, 5900 * time.Millisecond, 5100 * time.Millisecond}

// recovery is what apim-dr adds to the time that Resource Manager takes for a restore: from the failover's call to the POST, and from the true end of
// the restore to the event.
func recovery(ctx context.Context, r rig) ([]row, error) {
	stack, err := devstack.Start(ctx, devstack.Options{App: r.app, Instances: devstack.DemoFleet(), RetryAfter: time.Second, Settings: quiet})
	if err != nil {
		return nil, err
	}
	defer stack.Close()
	var added, own []time.Duration
	active, standby := "contoso-eu", "contoso-us"
	for _, takes := range restores {
		stack.ARM.Change(func(c *arm.Config) { c.RetryAfter = time.Second })
		if err := backUp(ctx, stack, []string{active}); err != nil {
			return nil, err
		}
		stack.ARM.Change(func(c *arm.Config) { c.RestoreDuration, c.RetryAfter = takes, pollEvery })
		events, began := sends(stack, "results"), time.Now()
		if err := ask(ctx, stack, "/api/failovers", `{"primary":"`+active+`","target":"`+standby+`","confirm":"`+standby+`"}`); err != nil {
			return nil, err
		}
		if err := sent(ctx, stack, "results", events+1); err != nil {
			return nil, err
		}
		told := stack.Bus.Sent("results")[events].At
		ops := stack.ARM.Operations()
		restore := ops[len(ops)-1]
		looked := lastPoll(stack.ARM.Requests(), restore)
		call := restore.Started.Sub(began)
		added = append(added, call+told.Sub(restore.Started.Add(takes)))
		own = append(own, call+told.Sub(looked))
		active, standby = standby, active
	}
	worst := slices.Max(added).Seconds()
	return []row{
		atMost("recovery time added, of a poll interval and a second", worst/(pollEvery+time.Second).Seconds(), 1, "%.2f s at worst, of %d, beside the %.1f to %.1f s of ARM, which asks to be polled every %.0f s",
			worst, len(added), slices.Min(restores).Seconds(), slices.Max(restores).Seconds(), pollEvery.Seconds()),
		atMost("recovery time added beside the polls, of a second", median(own).Seconds(), 1, "%.3f s", median(own).Seconds()),
	}, nil
}

// lastPoll is when Resource Manager was asked and told the end.
func lastPoll(requests []arm.Request, op arm.Operation) (at time.Time) {
	for _, q := range requests {
		if strings.Contains(q.Path, op.ID) {
			at = q.At
		}
	}
	return at
}
