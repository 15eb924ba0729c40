package cli

import (
	"testing"
	"time"
)

func TestDurationsAreToldInTwoUnits(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": -time.Hour, "59s": 59*time.Second + 900*time.Millisecond, "3m": 3 * time.Minute, "3m4s": 184 * time.Second, "26h": 26 * time.Hour, "8h3m": 8*time.Hour + 3*time.Minute + 12*time.Second,
		"71h59m": 72*time.Hour - time.Minute, "3d": 72 * time.Hour, "29d15h": (29*24+15)*time.Hour + 59*time.Minute,
	} {
		if got := lasting(d); got != want {
			t.Errorf("%v is told as %s, want %s", d, got, want)
		}
	}
}

func TestWhatIsAtWorkIsHeldAgainstWhatIsUsual(t *testing.T) {
	for want, tc := range map[string]struct {
		started time.Time
		usual   time.Duration
	}{
		"30m": {usual: 10 * time.Minute}, "20m": {started: t0.Add(10 * time.Minute)}, "20m of about 25m": {t0.Add(10 * time.Minute), 25 * time.Minute}, "20m, usually 15m": {t0.Add(10 * time.Minute), 15 * time.Minute},
	} {
		if got := atWork(t0, tc.started, tc.usual, t0.Add(30*time.Minute)); got != want {
			t.Errorf("%+v: %s, want %s", tc, got, want)
		}
	}
}
