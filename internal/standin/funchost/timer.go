package funchost

import (
	"context"
	"time"
)

// lateness says whether a timer's run makes up for a missed one.
type lateness bool

const (
	onTime  lateness = false
	pastDue lateness = true
)

// timerStatus is what the monitor tells about a timer.
type timerStatus struct{ last, next, updated time.Time }

// fireTimer runs a timer function once; status is nil when nothing monitors it. The error is logged and observed already.
func (h *Host) fireTimer(ctx context.Context, f *function, late lateness, status *timerStatus) error {
	data := map[string]any{"Schedule": map[string]any{"AdjustForDST": true}, "ScheduleStatus": nil, "IsPastDue": late}
	if status != nil {
		data["ScheduleStatus"] = map[string]string{
			"Last": status.last.UTC().Format(zoned), "Next": status.next.UTC().Format(zoned), "LastUpdated": status.updated.UTC().Format(zoned),
		}
	}
	return h.invoke(ctx, f, "", envelope{Data: map[string]any{f.trigger.Name: data}, Metadata: sys(f, h.opts.Now())}).err
}

// runTimer fires a timer by its schedule. Runs never overlap; occurrences that pass during a run are skipped; a failed run is not
// retried. What an earlier host missed is made up once at the start, as past due.
func (h *Host) runTimer(ctx context.Context, f *function, fire func(context.Context, *function, lateness, *timerStatus) error) {
	now := h.opts.Now()
	next := f.schedule.Next(now)
	var status *timerStatus // kept by default, but not for schedules shorter than a minute
	if m := f.trigger.UseMonitor; (m == nil || *m) && f.schedule.Next(next).Sub(next) >= time.Minute {
		status = &timerStatus{last: h.opts.LastRuns[f.name], next: next, updated: now}
	}
	if status != nil && !status.last.IsZero() && f.schedule.Next(status.last).Before(now) {
		status.next = f.schedule.Next(status.last)
		_ = fire(ctx, f, pastDue, status)
		status.last = now
	} else if f.trigger.RunOnStartup {
		_ = fire(ctx, f, onTime, status)
	}
	for due := now; ctx.Err() == nil; {
		if now := h.opts.Now(); now.After(due) { // otherwise the timer woke a little before the second it was set for
			due = now
		}
		if due = f.schedule.Next(due); due.IsZero() || !pause(ctx, due.Sub(h.opts.Now())) {
			return
		}
		if status != nil {
			status.next = due
		}
		_ = fire(ctx, f, onTime, status)
		if status != nil {
			status.last, status.updated = due, h.opts.Now()
		}
	}
}
