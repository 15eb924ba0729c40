package dr

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Schedule is a parsed NCRONTAB expression, the notation of the Functions host's timers: `{second} {minute} {hour} {day} {month}
// {day of week}`, or five fields without the seconds. All fields must match (cron elsewhere treats day and day of week as
// alternatives). Times are UTC.
type Schedule struct {
	text   string
	fields [6]uint64 // one bit for each accepted value
}

// String returns the expression as it was given.
func (s Schedule) String() string { return s.text }

type fieldRange struct {
	name     string
	min, max int
	words    []string // words[i] stands for min+i
}

var fieldRanges = [6]fieldRange{
	{name: "second", max: 59},
	{name: "minute", max: 59},
	{name: "hour", max: 23},
	{name: "day", min: 1, max: 31},
	{name: "month", min: 1, max: 12, words: strings.Fields("jan feb mar apr may jun jul aug sep oct nov dec")},
	{name: "day of week", max: 6, words: strings.Fields("sun mon tue wed thu fri sat")},
}

// ParseSchedule reads an NCRONTAB expression. It refuses one that never occurs (30 February).
func ParseSchedule(text string) (Schedule, error) {
	s := Schedule{text: text}
	parts := strings.Fields(text)
	if len(parts) == 5 {
		parts = append([]string{"0"}, parts...)
	}
	if len(parts) != 6 {
		return Schedule{}, fmt.Errorf("schedule %q has %d fields; accepted: {second} {minute} {hour} {day} {month} {day of week}, or five without the second", text, len(parts))
	}
	for i, part := range parts {
		set, err := fieldRanges[i].parse(part)
		if err != nil {
			return Schedule{}, fmt.Errorf("schedule %q: %w", text, err)
		}
		s.fields[i] = set
	}
	if s.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return Schedule{}, fmt.Errorf("schedule %q never occurs", text)
	}
	return s, nil
}

func (f fieldRange) parse(text string) (uint64, error) {
	var set uint64
	for _, item := range strings.Split(text, ",") {
		body, stepText, stepped := strings.Cut(item, "/")
		step := 1
		if stepped {
			n, err := strconv.Atoi(stepText)
			if err != nil || n < 1 {
				return 0, f.refuse(item, errors.New("the step must be a number from 1"))
			}
			step = n
		}
		first, last := f.min, f.max
		if body != "*" {
			from, to, ranged := strings.Cut(body, "-")
			var err error
			if first, err = f.value(from); err != nil {
				return 0, f.refuse(item, err)
			}
			switch {
			case ranged:
				if last, err = f.value(to); err != nil {
					return 0, f.refuse(item, err)
				}
				if last < first {
					return 0, f.refuse(item, errors.New("the range runs backwards"))
				}
			case !stepped:
				last = first
			}
		}
		for v := first; v <= last; v += step {
			set |= 1 << v
		}
	}
	return set, nil
}

func (f fieldRange) refuse(item string, err error) error {
	return fmt.Errorf("%s %q: %w", f.name, item, err)
}

func (f fieldRange) value(text string) (int, error) {
	for i, word := range f.words {
		if strings.EqualFold(word, text) {
			return f.min + i, nil
		}
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < f.min || n > f.max {
		return 0, fmt.Errorf("accepted are %d to %d", f.min, f.max)
	}
	return n, nil
}

// longestGap bounds the search: 29 February on a given day of the week comes back after at most 40 years (around a year like 2100).
const longestGap = 41 * 366

// Next is the first occurrence after the given time, in UTC; zero when there is none.
func (s Schedule) Next(after time.Time) time.Time {
	return s.search(after.UTC().Truncate(time.Second).Add(time.Second), 1)
}

// Last is the newest occurrence at or before the given time, in UTC; zero when there is none.
func (s Schedule) Last(at time.Time) time.Time {
	return s.search(at.UTC().Truncate(time.Second), -1)
}

// search walks from a second, days first, in direction dir (1 or -1).
func (s Schedule) search(from time.Time, dir int) time.Time {
	y, m, d := from.Date()
	bound := from.Hour()*3600 + from.Minute()*60 + from.Second()
	for i := range longestGap {
		day := time.Date(y, m, d+i*dir, 0, 0, 0, 0, time.UTC)
		if s.onDay(day) {
			if sec := s.inDay(bound, dir); sec >= 0 {
				return day.Add(time.Duration(sec) * time.Second)
			}
		}
		if bound = 0; dir < 0 {
			bound = 24*3600 - 1
		}
	}
	return time.Time{}
}

func (s Schedule) has(field, v int) bool { return s.fields[field]&(1<<v) != 0 }

func (s Schedule) onDay(day time.Time) bool {
	return s.has(3, day.Day()) && s.has(4, int(day.Month())) && s.has(5, int(day.Weekday()))
}

// inDay finds the matching second of a day nearest to bound in direction dir, bound included; -1 when there is none.
func (s Schedule) inDay(bound, dir int) int {
	for sec := bound; sec >= 0 && sec < 24*3600; {
		h, m := sec/3600, sec/60%60
		switch {
		case !s.has(2, h):
			sec = edge(sec, 3600, dir)
		case !s.has(1, m):
			sec = edge(sec, 60, dir)
		case !s.has(0, sec%60):
			sec += dir
		default:
			return sec
		}
	}
	return -1
}

// edge leaves the hour or minute (size in seconds) that sec lies in, in direction dir.
func edge(sec, size, dir int) int {
	if dir > 0 {
		return (sec/size + 1) * size
	}
	return sec/size*size - 1
}

// TickLead is how much before its time a tick counts as come: timers fire a little early.
const TickLead = 30 * time.Second

// DueTick is the newest time of a schedule that has come; zero when there was none.
func DueTick(s Schedule, now time.Time) time.Time { return s.Last(now.Add(TickLead)) }
