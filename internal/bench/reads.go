package main

import (
	"context"
	"slices"
	"time"

	"apim-dr/internal/bench/yardstick"
	"apim-dr/internal/dr"
)

// recorded are, in seconds, the backups whose duration is known but for the longest: the times of the last 202 in recordings of the SDKs' tests, and what
// users measured (internal/apim/testdata/recordings). The true end lies in the interval before.
var recorded = []time.Duration{307, 543, 513, 663, 541, 663, 91, 310, 301, 544, 663, 969, 483, 855, 549, 548}

const (
	longest    = 17824 // seconds
	retryAfter = time.Minute
	samples    = 60 // ends that are tried in the interval before a recorded one
)

// reads counts what Resource Manager is asked for a backup: simulated with the product's own rule, beside the SDK's poller.
func reads(context.Context, rig) ([]row, error) {
	compare := func(name string, goal float64, durations []time.Duration) row {
		var ours, theirs float64
		for _, seconds := range durations {
			for i := range samples {
				end := seconds*time.Second - retryAfter*time.Duration(i)/samples
				ours += float64(productReads(end))
				theirs += float64(yardstick.Reads(end, retryAfter))
			}
		}
		each := float64(samples * len(durations))
		return atMost(name, ours/theirs, goal, "%.1f beside %.1f of the SDK's poller", ours/each, theirs/each)
	}
	return []row{
		compare("ARM reads a backup, usual durations", 1, recorded),
		compare("ARM reads a backup, with the one of five hours", 0.6, append(slices.Clone(recorded), longest)),
	}, nil
}

// productReads is how often the product asks for a backup that ends after so long: Step itself decides when.
func productReads(takes time.Duration) int {
	posted := time.Date(2026, 1, 1, 3, 0, 0, 0, time.UTC)
	op := dr.Operation{
		V: dr.Version, ID: dr.NewID(dr.KindBackup, posted, "bench"), Kind: dr.KindBackup, Service: "contoso-eu", Phase: dr.Running, CreatedAt: posted,
		Legs: []dr.Leg{{Verb: dr.VerbBackup, Service: "contoso-eu", Attempt: 1, PostedAt: posted, Deadline: posted.Add(12 * time.Hour), Location: "https://management.azure.com/x"}},
	}
	for at, n := posted.Add(retryAfter), 1; ; n++ {
		if !at.Before(posted.Add(takes)) {
			return n
		}
		var next dr.Action
		op, next = dr.Step(dr.DefaultTiming(), op, dr.Input{To: dr.Check, Answer: dr.Answer{Verdict: dr.Still, Retry: retryAfter, Location: op.Legs[0].Location}}, at)
		at = next.At
	}
}
