package dr

import (
	"testing"
	"time"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	v, err := time.Parse("Mon 2 15:04:05", text) // of January 2000: its 3rd is a Monday
	if err != nil {
		t.Fatal(err)
	}
	return v.AddDate(2000, 0, 0)
}

var (
	office  = Window{From: 7*time.Hour + 30*time.Minute, To: 19 * time.Hour, Days: []time.Weekday{time.Monday, time.Friday}}
	night   = Window{From: 22 * time.Hour, To: 2 * time.Hour}
	weekend = Window{From: 20 * time.Hour, To: 6 * time.Hour, Days: []time.Weekday{time.Sunday}}
)

func TestOutsideIsTheFirstTimeThatNoWindowHolds(t *testing.T) {
	for _, row := range []struct {
		name       string
		windows    []Window
		from, want string // empty: there is none
	}{
		{"no windows", nil, "Mon 3 12:00:00", "Mon 3 12:00:00"},
		{"before it begins", []Window{office}, "Mon 3 07:29:59", "Mon 3 07:29:59"},
		{"when it begins", []Window{office}, "Mon 3 07:30:00", "Mon 3 19:00:00"},
		{"the end is outside", []Window{office}, "Mon 3 19:00:00", "Mon 3 19:00:00"},
		{"on another day", []Window{office}, "Tue 4 12:00:00", "Tue 4 12:00:00"},
		{"before midnight", []Window{night}, "Mon 3 23:00:00", "Tue 4 02:00:00"},
		{"after midnight", []Window{night}, "Tue 4 01:59:59", "Tue 4 02:00:00"},
		{"the day is that of its begin", []Window{weekend}, "Mon 3 01:00:00", "Mon 3 06:00:00"},
		{"not that of its end", []Window{weekend}, "Sun 2 01:00:00", "Sun 2 01:00:00"},
		{"one after the other", []Window{night, {From: 2 * time.Hour, To: 3 * time.Hour}, {From: time.Hour, To: 150 * time.Minute}}, "Mon 3 23:00:00", "Tue 4 03:00:00"},
		{"always", []Window{{From: 0, To: 13 * time.Hour}, {From: 12 * time.Hour, To: time.Hour}}, "Mon 3 00:00:00", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := Outside(row.windows, at(t, row.from))
			if row.want == "" && !got.IsZero() || row.want != "" && !got.Equal(at(t, row.want)) {
				t.Errorf("from %s: %s, want %s", row.from, got.Format("Mon 2 15:04:05"), row.want)
			}
		})
	}
}

func TestWhatIsDueBeginsBehindWindows(t *testing.T) {
	early := Window{From: 2 * time.Hour, To: 4 * time.Hour}
	for _, row := range []struct {
		name     string
		offset   time.Duration
		windows  []Window
		lastTick bool
		want     string // empty: not before the next one
	}{
		{name: "nothing is in the way", want: "Mon 3 03:00:00"},
		{name: "its place in the spread", offset: 10 * time.Minute, want: "Mon 3 03:10:00"},
		{name: "a window", windows: []Window{early}, want: "Mon 3 04:00:00"},
		{name: "a window keeps the places apart", offset: 10 * time.Minute, windows: []Window{early}, want: "Mon 3 04:10:00"},
		{name: "the place lies behind the window", offset: 2 * time.Hour, windows: []Window{early}, want: "Mon 3 05:00:00"},
		{name: "the place leads into the next window", offset: 30 * time.Minute, windows: []Window{early, {From: 4*time.Hour + 15*time.Minute, To: 5 * time.Hour}}, want: "Mon 3 04:07:30"},
		{name: "the place leads from each window into the next", offset: 14 * time.Hour, windows: []Window{{From: 2 * time.Hour, To: 14 * time.Hour}, {From: 16 * time.Hour, To: 2 * time.Hour}}, lastTick: true, want: "Mon 3 15:45:00"},
		{name: "the place lies in a window that lasts past the next", offset: 8 * time.Hour, windows: []Window{{From: 10 * time.Hour, To: 150 * time.Minute}}, want: "Mon 3 07:00:00"},
		{name: "always a window", windows: []Window{{From: 0, To: 13 * time.Hour}, {From: 12 * time.Hour, To: time.Hour}}, lastTick: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			var next time.Time
			if !row.lastTick {
				next = at(t, "Tue 4 03:00:00")
			}
			got, ok := Begin(at(t, "Mon 3 03:00:00"), row.offset, row.windows, next)
			if ok != (row.want != "") || ok && !got.Equal(at(t, row.want)) {
				t.Errorf("%s %v, want %q", got.Format("Mon 2 15:04:05"), ok, row.want)
			}
		})
	}
}
