package main

import (
	"context"
	"time"

	"apim-dr/internal/bench/yardstick"
	"apim-dr/internal/dr"
)

// recorded are the backups whose duration is known: the times of the last 202 in recordings of the SDKs' tests, and what users measured (docs/performance.md
// has the sources). The true end lies in the interval before.
var recorded = []time.Duration{307, 543, 513, 663, 541, 663, 91, 310, 301, 544, 663, 969, 483, 855, 549, 548}

// heavy is the longest backup on record.
const heavy = 17824 * time.Second

// samples is how many ends are tried in the interval before a recorded one, in which the true end lies anywhere.
const samples = 60

const retryAfter = time.Minute

// reads counts what Resource Manager is asked for a backup: simulated with the product's own rule, beside the SDK's poller.
func reads(context.Context, rig) ([]row, error) {
	ours, theirs := 0, 0
	usual := func(seconds time.Duration) {
		for i := range samples {
			end := seconds*time.Second - retryAfter*time.Duration(i)/samples
			ours += productReads(end)
			theirs += yardstick.Reads(end, retryAfter)
		}
	}
	for _, seconds := range recorded {
		usual(seconds)
	}
	rows := []row{atMost("ARM reads a backup, usual durations", ratio(ours, theirs), 1, "%.1f beside %.1f of the SDK's poller", each(ours), each(theirs))}
	usual(heavy / time.Second)
	return append(rows, atMost("ARM reads a backup, with the one of five hours", ratio(ours, theirs), 0.6, "%.1f beside %.1f", each(ours), each(theirs))), nil
}

func each(n int) float64             { return float64(n) / samples / float64(len(recorded)) }
func ratio(ours, theirs int) float64 { return float64(ours) / float64(theirs) }

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
