package usage

import (
	"fmt"
	"time"
)

const (
	// Grace is how long a day is over before it is exported: data come minutes late (Azure docs, "Observability in Azure API Management").
	Grace = 3 * time.Hour
	// CatchUp is how many days are caught up at most. The platform itself keeps the data as long as the instance lives (same page), until it retires them.
	CatchUp = 30
)

// Day is a day in UTC, yyyy-mm-dd; empty: none. Days compare as texts.
type Day string

const dayShape = time.DateOnly

// DayOf is the day of a time.
func DayOf(t time.Time) Day { return Day(t.UTC().Format(dayShape)) }

// valid tells whether it is a day, or none.
func (d Day) valid() bool {
	t, err := time.Parse(dayShape, string(d))
	return d == "" || err == nil && DayOf(t) == d
}

// Start is the beginning of the day.
func (d Day) Start() time.Time {
	t, _ := time.Parse(dayShape, string(d))
	return t
}

// plus is the day so many days later.
func (d Day) plus(days int) Day { return DayOf(d.Start().AddDate(0, 0, days)) }

// last is the newest day that can be exported at a time.
func last(now time.Time) Day { return DayOf(now.Add(-Grace)).plus(-1) }

// first is the oldest day that is due when all up to through are exported; none when nothing is.
func first(through Day, now time.Time) Day {
	newest := last(now)
	oldest := newest.plus(1 - CatchUp)
	if through != "" {
		oldest = max(oldest, through.plus(1))
	}
	if oldest > newest {
		return ""
	}
	return oldest
}

// tick is the smallest step of a time in a filter, as in the platform's own DateTime. Both ends of a filter belong to the window (2024-05-01 swagger,
// "le"), so that a day which ended with the next one's beginning would share that instant with it.
const tick = 100 * time.Nanosecond

// Window is the first and the last instant of the day.
func (d Day) Window() (from, to time.Time) {
	from = d.Start()
	return from, from.AddDate(0, 0, 1).Add(-tick)
}

// Filter is the window as a report takes it.
func (d Day) Filter() string {
	from, to := d.Window()
	return fmt.Sprintf("timestamp ge datetime'%s' and timestamp le datetime'%s'", from.Format("2006-01-02T15:04:05"), to.Format("2006-01-02T15:04:05.0000000"))
}
