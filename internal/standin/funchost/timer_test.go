package funchost

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"apim-dr/internal/dr"
)

// timerRig drives one timer in a synctest bubble, without a process.
func timerRig(t *testing.T, schedule string, o Options, takes time.Duration, binding binding) (fired func() []string, stop context.CancelFunc) {
	t.Helper()
	s, err := dr.ParseSchedule(schedule)
	if err != nil {
		t.Fatal(err)
	}
	o.Now = time.Now
	h := &Host{opts: o}
	f := &function{name: "Nightly", trigger: binding, schedule: s}
	ctx, cancel := context.WithCancel(t.Context())
	var list []string
	start := time.Now()
	running := 0
	go h.runTimer(ctx, f, func(ctx context.Context, _ *function, late lateness, status *timerStatus) error {
		if running++; running > 1 {
			t.Error("two runs at once")
		}
		line := time.Since(start).String()
		if late {
			line += " late"
		}
		if status != nil {
			line += fmt.Sprintf(" last %s next %s updated %s", since(start, status.last), since(start, status.next), since(start, status.updated))
		}
		list = append(list, line)
		pause(ctx, takes)
		running--
		return nil
	})
	return func() []string { synctest.Wait(); return list }, cancel
}

func since(start, at time.Time) string {
	if at.IsZero() {
		return "never"
	}
	return at.Sub(start).String()
}

// A synctest bubble begins at 2000-01-01 00:00:00 UTC.
func TestTimersFireByTheirSchedule(t *testing.T) {
	off := false
	tests := []struct {
		name, schedule string
		options        Options
		takes, wait    time.Duration
		binding        binding
		want           string
	}{
		{"six fields", "*/20 * * * * *", Options{}, 0, time.Minute, binding{}, "20s, 40s, 1m0s"},
		{"five fields", "30 1 * * *", Options{}, 0, 49 * time.Hour, binding{UseMonitor: &off}, "1h30m0s, 25h30m0s"},
		{"no overlap: what passes during a run is skipped", "*/20 * * * * *", Options{}, 45 * time.Second, 2*time.Minute + 30*time.Second, binding{}, "20s, 1m20s, 2m20s"},
		{"with status", "0 0 * * * *", Options{}, 0, 2 * time.Hour, binding{}, "1h0m0s last never next 1h0m0s updated 0s, 2h0m0s last 1h0m0s next 2h0m0s updated 1h0m0s"},
		{"on startup", "0 0 * * * *", Options{}, 0, time.Hour, binding{RunOnStartup: true, UseMonitor: &off}, "0s, 1h0m0s"},
		{
			"a run missed before the start", "0 0 3 * * *", Options{LastRuns: map[string]time.Time{"Nightly": time.Date(1999, 12, 30, 3, 0, 0, 0, time.UTC)}},
			0, 4 * time.Hour, binding{}, "0s late last -45h0m0s next -21h0m0s updated 0s, 3h0m0s last 0s next 3h0m0s updated 0s",
		},
		{
			"no run missed", "0 0 3 * * *", Options{LastRuns: map[string]time.Time{"Nightly": time.Date(1999, 12, 31, 3, 0, 0, 0, time.UTC)}},
			0, 4 * time.Hour, binding{}, "3h0m0s last -21h0m0s next 3h0m0s updated 0s",
		},
		{
			"a missed run without a monitor", "0 0 3 * * *", Options{LastRuns: map[string]time.Time{"Nightly": time.Date(1999, 12, 30, 3, 0, 0, 0, time.UTC)}},
			0, 4 * time.Hour, binding{UseMonitor: &off}, "3h0m0s",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fired, stop := timerRig(t, test.schedule, test.options, test.takes, test.binding)
				time.Sleep(test.wait)
				if got := strings.Join(fired(), ", "); got != test.want {
					t.Errorf("fired at %s; want %s", got, test.want)
				}
				stop()
			})
		})
	}
}

func TestAScheduledTimerReachesTheHandlerBySettings(t *testing.T) {
	t.Parallel()
	function := `{"bindings":[{"type":"timerTrigger","direction":"in","name":"tick","schedule":"%WHEN%","runOnStartup":true}]}`
	var rec recorder
	r := runReady(t, Options{Root: stage(t, plainHost, map[string]string{"Tick": function}), Settings: map[string]string{"WHEN": "* * * * * *"}}, rec.ServeHTTP)
	r.awaitCount(InvocationEnded, 3)
	if ends := r.endsOf("Tick"); ends[2].At.Sub(ends[1].At) < 500*time.Millisecond {
		t.Errorf("the runs come at %s and %s", ends[1].At, ends[2].At)
	}
	if got := rec.last(t); !strings.Contains(got.body, `"tick":{"IsPastDue":false`) {
		t.Error(got.body)
	}
}

func TestAMonitoredTimerTellsItsStatusAndLateness(t *testing.T) {
	var rec recorder
	last := time.Date(2026, 3, 1, 3, 0, 0, 5, time.UTC)
	now := last.Add(30 * time.Hour)
	r := runReady(t, Options{
		Root: stage(t, plainHost, map[string]string{"Nightly": minuteTimer}), LastRuns: map[string]time.Time{"Nightly": last},
		Now: func() time.Time { return now },
	}, rec.ServeHTTP)
	r.awaitCount(InvocationEnded, 1)
	sameJSON(t, rec.last(t).body, `{"Data":{"timer":{"Schedule":{"AdjustForDST":true},"IsPastDue":true,
	  "ScheduleStatus":{"Last":"2026-03-01T03:00:00+00:00","Next":"2026-03-02T03:00:00+00:00","LastUpdated":"2026-03-02T09:00:00+00:00"}}},
	  "Metadata":{"sys":{"MethodName":"Nightly","UtcNow":"now","RandGuid":"guid"}}}`)
}
