package dr

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestSchedule(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse("2006-01-02 15:04:05", s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, tc := range []struct{ expr, from, next, last string }{
		{"0 0 3 * * *", "2026-01-05 02:59:59", "2026-01-05 03:00:00", "2026-01-04 03:00:00"},
		{"0 0 3 * * *", "2026-01-05 03:00:00", "2026-01-06 03:00:00", "2026-01-05 03:00:00"},
		{"0 3 * * *", "2026-01-05 03:00:01", "2026-01-06 03:00:00", "2026-01-05 03:00:00"},
		{"*/15 * * * * *", "2026-01-05 03:00:46", "2026-01-05 03:01:00", "2026-01-05 03:00:45"},
		{"0 */5 9-17 * * mon-fri", "2026-01-03 10:00:00", "2026-01-05 09:00:00", "2026-01-02 17:55:00"},
		{"0 0 0 13 * Fri", "2026-01-01 00:00:00", "2026-02-13 00:00:00", "2025-06-13 00:00:00"},
		{"0 0 0 29 feb *", "2026-01-01 00:00:00", "2028-02-29 00:00:00", "2024-02-29 00:00:00"},
		{"0 10,20/20 * * * *", "2026-01-01 00:00:00", "2026-01-01 00:10:00", "2025-12-31 23:40:00"},
		{"30 59 23 31 12 *", "2026-12-31 23:59:30", "2027-12-31 23:59:30", "2026-12-31 23:59:30"},
	} {
		s, err := ParseSchedule(tc.expr)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Next(at(tc.from)); got != at(tc.next) {
			t.Errorf("%s after %s: next %s, want %s", tc.expr, tc.from, got, tc.next)
		}
		if got := s.Last(at(tc.from)); got != at(tc.last) {
			t.Errorf("%s at %s: last %s, want %s", tc.expr, tc.from, got, tc.last)
		}
	}
	for expr, want := range map[string]string{
		"":                 "has 0 fields",
		"0 0 3 * *  * *":   "has 7 fields",
		"0 60 * * * *":     `minute "60": accepted are 0 to 59`,
		"0 0 3 * * 7":      "day of week",
		"0 0 5-3 * * *":    "runs backwards",
		"0 */0 * * * *":    "step must be",
		"0 0 3 30 feb *":   "never occurs",
		"0 0 3 * januar *": "accepted are 1 to 12",
		"0 0 3 , * *":      "accepted are 1 to 31",
	} {
		if _, err := ParseSchedule(expr); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", expr, err, want)
		}
	}
}

func TestATickMayComeALittleEarly(t *testing.T) {
	s, err := ParseSchedule("0 0 3 * * *")
	if err != nil {
		t.Fatal(err)
	}
	if got := DueTick(s, t0.Add(-30*time.Second)); got != t0 {
		t.Errorf("30 s early: %s", got)
	}
	if got := DueTick(s, t0.Add(-31*time.Second)); got != t0.AddDate(0, 0, -1) {
		t.Errorf("31 s early: %s", got)
	}
}

func FuzzSchedule(f *testing.F) {
	f.Add("0 */5 9-17 * jan-mar mon", int64(1767582000))
	f.Add("* * * * * *", int64(0))
	f.Fuzz(func(t *testing.T, expr string, unix int64) {
		s, err := ParseSchedule(expr)
		if err != nil {
			return
		}
		at := time.Unix(unix%4e9, 0).UTC()
		next := s.Next(at)
		if !next.After(at) || !s.Last(next).Equal(next) || s.Last(next.Add(-time.Second)).After(at) {
			t.Errorf("%q at %s: next %s, last before it %s", expr, at, next, s.Last(next.Add(-time.Second)))
		}
	})
}

func TestIDsAreDerivedFromTheirKey(t *testing.T) {
	a := TickID(KindBackup, "nightly", "Contoso-EU", t0)
	if a != TickID(KindBackup, "nightly", "contoso-eu", t0) || !strings.HasPrefix(a, "20260105-backup-") || !ValidID(a) || Day(a) != "20260105" {
		t.Errorf("id %s", a)
	}
	for _, other := range []string{TickID(KindBackup, "weekly", "contoso-eu", t0), TickID(KindBackup, "nightly", "contoso-us", t0), TickID(KindBackup, "nightly", "contoso-eu", t0.Add(time.Hour))} {
		if other == a {
			t.Error("two keys, one id")
		}
	}
	for _, bad := range []string{"", "20260105-backup-../../x", "20260105-backup-0123456789abcdef012", a + "/x", strings.ToUpper(a)} {
		if ValidID(bad) {
			t.Errorf("%q is taken for an id", bad)
		}
	}
}

func TestMessageIDs(t *testing.T) {
	op, _, _ := play(newOp(), knocks(0), locks, ready, accepted)
	w := Wake{V: Version, ID: op.ID, N: 4, Attempt: 1, Location: "https://arm/7"}
	next := w.Next(op, Action{Do: Sleep})
	if next.N != 5 || next.Location != "https://arm/7" || next.MessageID() != w.Next(op, Action{Do: Sleep}).MessageID() {
		t.Errorf("a retry of the same send: %+v", next)
	}
	if tried := w.Next(op, Action{Do: Sleep, Try: 1}); tried.MessageID() == next.MessageID() {
		t.Error("another try has the same MessageID")
	}
	healed := Heal(op)
	if h := w.Next(healed, Action{Do: Sleep}); h.N != 0 || h.Location != "" || h.MessageID() == (Wake{ID: op.ID}).MessageID() {
		t.Errorf("a heal: %+v", h)
	}
	if id := next.MessageID(); len(id) > 128 {
		t.Errorf("%d characters", len(id))
	}
}

func TestNextPoll(t *testing.T) {
	for _, tc := range []struct {
		age, retry time.Duration
		stretch    float64
		want       time.Duration
	}{
		{0, time.Minute, 0.05, time.Minute},
		{0, 0, 0.05, time.Minute},
		{time.Hour, time.Minute, 0.05, 3 * time.Minute},
		{time.Hour, time.Minute, 0, time.Minute},
		{time.Hour, 10 * time.Minute, 0.05, 10 * time.Minute},
	} {
		if got := NextPoll(t0.Add(tc.age), t0, tc.retry, tc.stretch).Sub(t0.Add(tc.age)); got != tc.want {
			t.Errorf("%+v: %s", tc, got)
		}
	}
	polls, at := 0, t0
	for at.Sub(t0) < 17824*time.Second { // the longest backup on record
		at = NextPoll(at, t0, time.Minute, verbs[VerbBackup].stretch)
		polls++
	}
	if polls > 80 { // Retry-After alone would make it 298
		t.Errorf("a five-hour backup takes %d polls", polls)
	}
}

func TestOutageDoublesUpToItsMost(t *testing.T) {
	tm := DefaultTiming()
	for try, want := range map[int]time.Duration{-1: 30 * time.Second, 0: 30 * time.Second, 1: time.Minute, 3: 4 * time.Minute, 4: 5 * time.Minute, 99: 5 * time.Minute} {
		if got := tm.Outage(try); got != want {
			t.Errorf("try %d: %s", try, got)
		}
	}
}

func TestARecordStaysBounded(t *testing.T) {
	op := newOp()
	for i := range 500 {
		op.note(t0.Add(time.Duration(i)*time.Second), strings.Repeat("é", 5000)+strings.Repeat("x", i))
		op.note(t0, strings.Repeat("y", i))
	}
	if len(op.Evidence) != maxEvidence || !op.Evidence[0].At.Equal(t0) {
		t.Errorf("%d notes, the first at %s", len(op.Evidence), op.Evidence[0].At)
	}
	op.Outcome = Unknown
	if b, err := json.Marshal(ResultEvent(op)); err != nil || len(b) > 200_000 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

func TestTheNewestGoodPointWins(t *testing.T) {
	done := func(posted time.Time, outcome Outcome) Operation {
		op, _, _ := play(newOp(), knocks(0), locks, ready, accepted, knocks(time.Minute), finished, found)
		op.Legs[0].PostedAt, op.Legs[0].Outcome, op.Outcome, op.EndedAt = posted, outcome, outcome, posted.Add(time.Hour)
		return op
	}
	var s ServiceState
	s, changed := s.After(done(t0, Succeeded), "contoso-eu")
	if !changed || s.NewestGood.CreatedAt != t0 {
		t.Fatalf("first: %+v", s)
	}
	if again, changed := s.After(done(t0, Succeeded), "contoso-eu"); changed {
		t.Errorf("a repetition changes %+v", again)
	}
	if older, changed := s.After(done(t0.Add(-time.Hour), Succeeded), "contoso-eu"); changed {
		t.Errorf("an older one wins: %+v", older)
	}
	s, _ = s.After(done(t0.Add(time.Hour), Unknown), "contoso-eu")
	if s.NewestGood.CreatedAt != t0 || s.LastOutcome.Outcome != Unknown {
		t.Errorf("an unverified one counts as good: %+v", s)
	}
}

func TestNothingAutomaticTakesASafetyBackup(t *testing.T) {
	good, safety, bad := point, point, point
	safety.Safety, safety.CreatedAt = true, point.CreatedAt.Add(time.Hour)
	bad.State, bad.CreatedAt = Unverified, point.CreatedAt.Add(2*time.Hour)
	points := []RecoveryPoint{good, safety, bad}
	if got := Newest(points, t0, true); got == nil || !got.CreatedAt.Equal(good.CreatedAt) {
		t.Errorf("automatic: %+v", got)
	}
	if got := Newest(points, t0, false); got == nil || !got.Safety {
		t.Errorf("by time: %+v", got)
	}
	if got := Newest(points, good.CreatedAt.Add(-time.Second), false); got != nil {
		t.Errorf("before all: %+v", got)
	}
}
