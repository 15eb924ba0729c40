package dr

import (
	"fmt"
	"slices"
	"time"
)

// Window is a time of day, UTC, in which nothing is to begin by itself. From and To count from midnight; To before From ends on the next day. Days are
// those on which it begins; none given means all.
type Window struct {
	From, To time.Duration
	Days     []time.Weekday
}

// end is when the window that holds t ends; false: t is in none.
func (w Window) end(t time.Time) (time.Time, bool) {
	const day = 24 * time.Hour
	for _, midnight := range []time.Time{t.UTC().Truncate(day), t.UTC().Truncate(day).Add(-day)} { // today's, and yesterday's that may still last
		from, to := midnight.Add(w.From), midnight.Add(w.To)
		if w.To < w.From {
			to = to.Add(day)
		}
		if !t.Before(from) && t.Before(to) && (len(w.Days) == 0 || slices.Contains(w.Days, midnight.Weekday())) {
			return to, true
		}
	}
	return time.Time{}, false
}

// week is after how long the windows are the same again.
const week = 7 * 24 * time.Hour

// Outside is the first time from t on that is in none of the windows; zero when there is none.
func Outside(windows []Window, t time.Time) time.Time {
	for at := t; at.Sub(t) <= week; {
		i := slices.IndexFunc(windows, func(w Window) bool { _, in := w.end(at); return in })
		if i < 0 {
			return at
		}
		at, _ = windows[i].end(at)
	}
	return time.Time{}
}

// Hold keeps all that begins by itself away from an instance until a time: scheduled backups and drills, and warm syncs. What a person asks for is not kept
// away.
type Hold struct {
	Until  time.Time `json:"until"`
	Reason string    `json:"reason"`
	By     string    `json:"by"`
	At     time.Time `json:"at"` // when it was asked for
}

// LongestHold is how long a hold may last: after that none of the instance's backups could be restored any more.
const LongestHold = BackupLife

// Keeps tells whether the hold is in force at a time.
func (h Hold) Keeps(t time.Time) bool { return t.Before(h.Until) }

// Held is a hold with the instance that it is for.
type Held struct {
	Service string `json:"service"`
	Hold
}

// String says why something waits.
func (h Held) String() string {
	return fmt.Sprintf("%s is held until %s by %s: %s", h.Service, h.Until.UTC().Format(time.RFC3339), h.By, h.Reason)
}

// Begin is when that begins which a tick makes due: offset after it or, where windows are in the way, offset after their end, so that what has
// waited for the same end does not begin all at once; a part of offset, where the whole would lead into a window or past the next tick (zero: there is none).
// False: windows leave no time before that.
func Begin(due time.Time, offset time.Duration, windows []Window, next time.Time) (time.Time, bool) {
	outside := func(at time.Time) bool { return Outside(windows, at).Equal(at) }
	if at := due.Add(offset); outside(at) {
		return at, true
	}
	free := Outside(windows, due)
	if free.IsZero() || !next.IsZero() && !free.Before(next) {
		return time.Time{}, false
	}
	for part := offset; part >= time.Second; part /= 2 {
		if at := free.Add(part); outside(at) && (next.IsZero() || at.Before(next)) {
			return at, true
		}
	}
	return free, true
}

// Automatic tells whether nobody in particular asked for the operation: a schedule did, a change, or a backup that goes into a warm standby.
func (op Operation) Automatic() bool {
	return op.Trigger == TriggerTimer || op.Trigger == TriggerChange || op.Trigger == TriggerBackup
}
