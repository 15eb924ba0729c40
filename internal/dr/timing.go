package dr

import "time"

// Timing holds every waiting time of the protocol. Production sets it from the TIMING_* variables; tests scale it down.
type Timing struct {
	// Invocation is how long one invocation may work. It must stay below the Service Bus lock (5 min), or a second
	// invocation would start beside the first.
	Invocation time.Duration
	// PostWindow ends the right to POST: no POST starts or continues later than this after the intent was saved.
	PostWindow time.Duration
	// Settle is how long ARM may take, after a POST window closed, to show what it accepted.
	Settle time.Duration
	// Look is the least time between two looks at a service whose operation ARM cannot tell us about.
	Look time.Duration
	// Busy is the wait before a busy service or a taken lock is tried again.
	Busy time.Duration
	// Lease is how long past its next due time an operation may stay silent before the watchdog wakes it.
	Lease time.Duration
	// StartWithin ends the wait of a queued backup: later than this after its creation it is rejected.
	StartWithin time.Duration
	// RestoreWithin is the same for what restores: a confirmed restore never starts hours later.
	RestoreWithin time.Duration
	// MaxWait bounds the safety backup and the final backup that go before a restore.
	MaxWait time.Duration
	// Probe bounds each look that a plan takes, and the question to each gateway; Survey bounds all looks of a plan together.
	Probe, Survey time.Duration
	// BlobMissing is how long a backup that ARM called finished may lack its blob before it counts as failed.
	BlobMissing time.Duration
	// VerifyAgain is the wait between two looks for the result of a finished operation.
	VerifyAgain time.Duration
	// Verify ends the attempts to look at the result: then the outcome is unknown.
	Verify time.Duration
	// Blind is how long polls may be refused (403, 404) before the service itself is observed instead.
	Blind time.Duration
	// OutageFirst and OutageMost are the first and the longest wait while something that we need cannot be reached.
	OutageFirst, OutageMost time.Duration
	// WatchdogGrace is added to a lease before the watchdog acts, so that it never races a message that is just being handled.
	WatchdogGrace time.Duration
	// ChangeQuiet is how long nothing more may change before a backup is taken after changes; ChangeLongest how long after the first it is taken anyway.
	ChangeQuiet, ChangeLongest time.Duration
	// Orphan is the age at which a marker without a record counts as left over.
	Orphan time.Duration
}

// DefaultTiming returns the usual waiting times. The defaults of the TIMING_* variables (package config), which production takes, are
// written out there; a test in that package holds the two equal.
func DefaultTiming() Timing {
	return Timing{
		Invocation: 100 * time.Second, PostWindow: time.Minute, Settle: 5 * time.Minute, Look: time.Minute, Busy: time.Minute,
		Lease: 10 * time.Minute, StartWithin: 12 * time.Hour,
		RestoreWithin: 30 * time.Minute, MaxWait: 10 * time.Minute, Probe: 10 * time.Second, Survey: 30 * time.Second, BlobMissing: 5 * time.Minute, VerifyAgain: 15 * time.Second,
		Verify: 30 * time.Minute, Blind: 10 * time.Minute, OutageFirst: 30 * time.Second, OutageMost: 5 * time.Minute,
		WatchdogGrace: 2 * time.Minute, Orphan: time.Hour, ChangeQuiet: 10 * time.Minute, ChangeLongest: time.Hour,
	}
}

// Outage is the wait before attempt try (from 0) after something that we need could not be reached.
func (t Timing) Outage(try int) time.Duration {
	wait := t.OutageFirst << min(max(try, 0), 20)
	if wait <= 0 || wait > t.OutageMost {
		return t.OutageMost
	}
	return wait
}

// assumedRetryAfter stands in where ARM names none; it is what ARM has always been recorded to ask for.
const assumedRetryAfter = time.Minute

// NextPoll is when a running leg is looked at again. retryAfter (0: ARM named none) is the floor. stretch lets the pause grow with the
// operation's age: 0.05 polls a five-hour backup tens of times where Retry-After alone would make it three hundred, and finds
// its end at most 5 % later.
func NextPoll(now, startedAt time.Time, retryAfter time.Duration, stretch float64) time.Time {
	if retryAfter <= 0 {
		retryAfter = assumedRetryAfter
	}
	return now.Add(max(retryAfter, time.Duration(float64(now.Sub(startedAt))*stretch)))
}
