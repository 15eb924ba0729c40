package usage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"apim-dr/internal/dr"
)

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func at(d Day, after time.Duration) time.Time { return d.Start().Add(after) }

func TestADayIsDueWhenItIsOverAndLateDataHaveHadTheirTime(t *testing.T) {
	for _, tc := range []struct {
		through Day
		now     time.Time
		want    Day
	}{
		{"2026-11-25", at("2026-11-27", 3*time.Hour-1), ""},
		{"2026-11-25", at("2026-11-27", 3*time.Hour), "2026-11-26"},
		{"2026-11-26", at("2026-11-27", 23*time.Hour), ""},
		{"2026-11-30", at("2026-11-27", 4*time.Hour), ""},
		{"2026-11-20", at("2026-11-27", 4*time.Hour), "2026-11-21"},
		{"2026-02-27", at("2026-03-02", 4*time.Hour), "2026-02-28"},
		{"2025-01-01", at("2026-11-27", 4*time.Hour), "2026-10-28"},
		{"", at("2026-11-27", 4*time.Hour), "2026-10-28"},
	} {
		if got := first(tc.through, tc.now); got != tc.want {
			t.Errorf("through %q at %s: %q, want %q", tc.through, tc.now, got, tc.want)
		}
	}
}

func TestARecordAtMidnightIsInExactlyOneDay(t *testing.T) {
	for _, links := range []bool{false, true} {
		w := newWorld(t)
		w.links = links
		w.has("byRequest", at("2026-11-25", -tick), at("2026-11-25", 0), at("2026-11-25", 12*time.Hour), at("2026-11-26", -tick), at("2026-11-26", 0), at("2026-11-26", tick), at("2026-11-27", 0))
		w.runs(w.exporter("byRequest"))
		for day, want := range map[Day]string{"2026-11-24": "0", "2026-11-25": "1 2 3", "2026-11-26": "4 5"} {
			var got []string
			for _, line := range w.lines("byRequest", day) {
				var r record
				if err := json.Unmarshal([]byte(line), &r); err != nil {
					t.Fatal(err)
				}
				got = append(got, r.Name)
			}
			if strings.Join(got, " ") != want {
				t.Errorf("links %v, %s: %v, want %s", links, day, got, want)
			}
		}
	}
}

func TestMissedDaysAreCaughtUpAndEachIsToldOnce(t *testing.T) {
	w := newWorld(t)
	x := w.exporter("byApi", "byTime")
	for d := Day("2026-11-01"); d < "2026-12-05"; d = d.plus(1) {
		w.has("byApi", at(d, time.Hour), at(d, 2*time.Hour), at(d, 3*time.Hour))
	}
	w.runs(x)
	if len(w.files) != 2*CatchUp*2 || len(w.events) != 1 {
		t.Fatalf("%d files, %d events", len(w.files), len(w.events))
	}
	if e := w.events[0].Data; len(e.Days) != CatchUp || e.Days[0] != "2026-10-28" || e.Days[CatchUp-1] != yesterday || e.Rows != 26*3 || e.Reports[0].Days != CatchUp || e.Reports[0].Rows != e.Rows || e.Bytes == 0 {
		t.Errorf("%+v", e)
	}
	if len(w.lines("byApi", yesterday)) != 3 || len(w.lines("byTime", yesterday)) != 0 {
		t.Error("not the lines of the day")
	}
	w.asked = nil
	w.now = night.Add(time.Hour)
	w.runs(x) // nothing is due
	if len(w.asked) != 0 || len(w.events) != 1 {
		t.Errorf("%d questions, %d events", len(w.asked), len(w.events))
	}
	w.now = night.AddDate(0, 0, 4) // three nights were missed
	w.runs(x)
	if len(w.files) != 2*(CatchUp+4)*2 || len(w.events) != 2 {
		t.Errorf("%d files, %d events", len(w.files), len(w.events))
	}
	if e := w.events[1].Data; fmt.Sprint(e.Days) != "[2026-11-27 2026-11-28 2026-11-29 2026-11-30]" || e.Rows != 12 {
		t.Errorf("%+v", e)
	}
}

// dead runs a night in which the process dies at each call that writes, before and after it, and tells what is there at the moment of death.
func TestWhereverItIsKilledADayIsWholeAndTheNextProcessEndsTheSame(t *testing.T) {
	prepare := func() (*world, *Exporter) {
		w := newWorld(t)
		x := w.exporter("byApi", "byGeo")
		w.states["Contoso-EU"] = []byte(`{"v":1,"service":"Contoso-EU","reports":{"byApi":{"through":"2026-11-24"},"byGeo":{"through":"2026-11-24"}},"run":{"at":"2026-11-25T03:30:00Z"}}`)
		w.has("byApi", at("2026-11-25", 1), at("2026-11-25", 2), at(yesterday, 3), at(yesterday, 4), at(yesterday, 5))
		w.has("byGeo", at(yesterday, 6))
		// An earlier export of the same days, of which the record was lost.
		for _, d := range []Day{"2026-11-25", yesterday} {
			if e := x.export(t.Context(), x.Instances[0], "byApi", d); e.Verdict != dr.OK {
				t.Fatal(e)
			}
			w.has("byApi", at(d, time.Hour)) // late data
		}
		w.calls = 0
		return w, x
	}
	w, x := prepare()
	w.runs(x)
	want, all := w.files, w.calls
	if all < 15 || len(w.events) != 1 {
		t.Fatalf("%d calls, %d events", all, len(w.events))
	}
	event, _ := json.Marshal(w.events[0])
	for n := 2; n <= all; n++ { // without the timer's own send there is no night
		for _, late := range []bool{false, true} {
			w, x := prepare()
			old := maps.Clone(w.files)
			w.dies, w.late = n, late
			if err := x.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			first := w.sent
			for len(w.sent) > 0 && w.calls < w.dies {
				m := w.sent[0]
				w.now = max2(w.now, m.due)
				_ = x.Run(t.Context(), m.Message)
				if first = w.sent; w.calls < w.dies {
					w.sent = w.sent[1:]
				}
			}
			for path, f := range w.files { // at the moment of death
				if strings.HasSuffix(path, dataSuffix) && !bytes.Equal(f.body, old[path].body) && !bytes.Equal(f.body, want[path].body) {
					t.Errorf("killed at %d (%v): %s is neither the old day nor the new one", n, late, path)
				}
				if beside, ok := strings.CutSuffix(path, manifestSuffix); ok {
					var m Manifest
					if err := json.Unmarshal(f.body, &m); err != nil || m.SHA256 != sum(w.files[beside+dataSuffix].body) {
						t.Errorf("killed at %d (%v): %s is not of the file beside it", n, late, path)
					}
				}
			}
			w.dies, w.sent = 0, first
			w.deliver(x)
			for path, f := range want {
				if !bytes.Equal(f.body, w.files[path].body) {
					t.Errorf("killed at %d (%v): %s differs in the end", n, late, path)
				}
			}
			for _, e := range w.events {
				if got, _ := json.Marshal(e); !bytes.Equal(got, event) {
					t.Errorf("killed at %d (%v): another event\n%s\n%s", n, late, got, event)
				}
			}
			if len(w.events) == 0 || len(w.events) > 2 || len(w.files) != len(want) {
				t.Errorf("killed at %d (%v): %d events, %d files", n, late, len(w.events), len(w.files))
			}
		}
	}
}

func max2(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func TestAReRunReplacesADayAsAWhole(t *testing.T) {
	w := newWorld(t)
	x := w.exporter("byApi")
	w.has("byApi", at(yesterday, 1), at(yesterday, 2), at(yesterday, 3))
	w.runs(x)
	before := w.files[name("contoso-eu", "byApi", yesterday)+dataSuffix].body
	delete(w.states, "Contoso-EU") // what a person does to export anew
	w.runs(x)
	if !bytes.Equal(before, w.files[name("contoso-eu", "byApi", yesterday)+dataSuffix].body) {
		t.Error("the same records gave other bytes")
	}
	w.records["byApi"] = w.records["byApi"][2:]
	delete(w.states, "Contoso-EU")
	w.runs(x)
	if got := w.lines("byApi", yesterday); len(got) != 1 || !strings.Contains(got[0], `"name":"2"`) {
		t.Errorf("%q", got)
	}
}

func TestAReportThatTheTierLacksIsNotedAndAskedForOnceARun(t *testing.T) {
	w := newWorld(t)
	x := w.exporter("byApi", "byUser")
	w.answers["byUser"] = dr.Answer{Verdict: dr.Refused, Error: &dr.Error{Source: "arm", Status: 400, Code: "MethodNotAllowedInPricingTier", Message: "Method not allowed in StandardV2 pricing tier"}}
	asked := func() (n int) {
		for _, q := range w.asked {
			if q.Report == "byUser" {
				n++
			}
		}
		return n
	}
	w.runs(x)
	if e := w.events[0].Data; asked() != 1 || len(e.Missing) != 1 || e.Missing[0].Report != "byUser" || e.Missing[0].Why.Code != "MethodNotAllowedInPricingTier" || !e.Missing[0].Since.Equal(night) || len(e.Days) != CatchUp {
		t.Errorf("asked %d times, %+v", asked(), e)
	}
	w.now = night.AddDate(0, 0, 1)
	w.runs(x)
	if e := w.events[1].Data; asked() != 2 || !e.Missing[0].Since.Equal(night) {
		t.Errorf("asked %d times, %+v", asked(), e)
	}
	delete(w.answers, "byUser") // the instance was scaled to another tier
	w.now = night.AddDate(0, 0, 2)
	w.runs(x)
	if e := w.events[2].Data; len(e.Missing) != 0 || len(e.Days) != CatchUp || len(w.lines("byUser", yesterday)) != 0 {
		t.Errorf("%+v", e)
	}
}

func TestWhatIsNotAllowedIsToldAndTriedByTheNextRunAlone(t *testing.T) {
	w := newWorld(t)
	x := w.exporter("byApi", "byGeo")
	w.answers["byApi"] = dr.Answer{Verdict: dr.No, Error: &dr.Error{Source: "arm", Status: 403, Code: "AuthorizationFailed", Message: strings.Repeat("no ", 1000)}}
	w.runs(x)
	e := w.events[0].Data
	if len(e.Failed) != 1 || e.Failed[0].Report != "byApi" || e.Failed[0].Why.Status != 403 || len(e.Failed[0].Why.Message) > maxWords+3 || len(e.Reports) != 1 || e.Reports[0].Days != CatchUp {
		t.Errorf("%+v", e)
	}
	delete(w.answers, "byApi")
	w.now = night.AddDate(0, 0, 1)
	w.runs(x)
	if e := w.events[1].Data; len(e.Failed) != 0 || e.Reports[0].Days+e.Reports[1].Days != CatchUp+1 {
		t.Errorf("%+v", e)
	}
}

// ARM's patience is asked for by a message for later, and nothing more is asked meanwhile.
func TestThrottledItGoesOnWhenARMSaysAndNotBefore(t *testing.T) {
	w := newWorld(t)
	x := w.exporter("byApi", "byGeo")
	w.answers["byApi"] = dr.Answer{Verdict: dr.Later, Retry: 7 * time.Minute, Reason: "429"}
	if err := x.Run(t.Context(), Message{Service: "contoso-eu", At: night}); err != nil {
		t.Fatal(err)
	}
	if len(w.asked) != 1 || len(w.sent) != 1 || w.sent[0].due.Sub(w.now) != 7*time.Minute || w.sent[0].Try != 1 || w.sent[0].N != 1 {
		t.Errorf("%d questions, %+v", len(w.asked), w.sent)
	}
	delete(w.answers, "byApi")
	w.deliver(x)
	if len(w.events) != 1 || len(w.events[0].Data.Failed) != 0 || len(w.files) != 2*2*CatchUp {
		t.Errorf("%d files, %+v", len(w.files), w.events)
	}
}

func TestWhatNeverWorksIsGivenUpAndHoldsNothingUp(t *testing.T) {
	w := newWorld(t)
	x := w.exporter("byApi", "byGeo")
	w.answers["byApi"] = dr.Answer{Verdict: dr.Later, Reason: "503"}
	w.runs(x)
	e := w.events[0].Data
	if len(w.events) != 1 || len(e.Failed) != 1 || e.Failed[0].Why.Message != "503" || len(e.Reports) != 1 || e.Reports[0].Report != "byGeo" || e.Reports[0].Days != CatchUp {
		t.Errorf("%d events, %+v", len(w.events), e)
	}
	if took := w.now.Sub(night); took < (tries-1)*time.Minute || took > time.Hour {
		t.Errorf("given up after %s", took)
	}
}

// slow is ARM that takes all the time there is for one report.
type slow struct {
	*world
	report Report
	takes  time.Duration
	end    context.CancelFunc
}

func (s *slow) Page(ctx context.Context, q Query) (io.ReadCloser, dr.Answer) {
	s.now = s.now.Add(s.takes)
	if deadline, _ := ctx.Deadline(); q.Report == s.report || s.now.After(deadline) {
		s.now = deadline
		s.end()
		return nil, dr.Answer{Verdict: dr.Later, Reason: "context deadline exceeded"}
	}
	return s.world.Page(ctx, q)
}

func TestWhatTakesTooLongLeavesTheOthersTheirTime(t *testing.T) {
	w := newWorld(t)
	x := w.exporter("byApi", "byGeo", "byUser")
	w.states["Contoso-EU"] = []byte(`{"v":1,"service":"Contoso-EU","reports":{"byApi":{"through":"2026-11-25"},"byGeo":{"through":"2026-11-25"},"byUser":{"through":"2026-11-25"}},"run":{"at":"2026-11-26T03:30:00Z"}}`)
	s := &slow{world: w, report: "byApi", takes: 20 * time.Second}
	x.Reports = s
	w.sent = []sending{{Message{Service: "contoso-eu", At: night}, night}}
	for n := 0; len(w.sent) > 0; n++ {
		if n > 2*tries {
			t.Fatal("it never ends")
		}
		m := w.sent[0]
		w.sent, w.now = w.sent[1:], max2(w.now, m.due)
		ctx, cancel := context.WithDeadline(t.Context(), w.now.Add(100*time.Second))
		ctx = still{ctx, &w.now}
		s.end = cancel
		if err := x.Run(ctx, m.Message); err != nil {
			t.Fatal(err)
		}
		cancel()
		if n == 2 && len(w.files) != 4 {
			t.Errorf("after three turns the others have %d files", len(w.files))
		}
	}
	if len(w.events) != 1 {
		t.Fatalf("%d events", len(w.events))
	}
	if e := w.events[0].Data; len(e.Reports) != 2 || len(e.Failed) != 1 || e.Failed[0].Report != "byApi" {
		t.Errorf("%+v", e)
	}
}

// What has no time left is left to the successor, and not tried in vain.
func TestAnExportBeginsWhileHalfTheTimeIsLeft(t *testing.T) {
	w := newWorld(t)
	x := w.exporter("byApi", "byGeo", "byUser")
	s := &slow{world: w, takes: 20 * time.Second} // of two pages each
	x.Reports = s
	ctx, cancel := context.WithDeadline(t.Context(), w.now.Add(100*time.Second))
	defer cancel()
	s.end = cancel
	w.has("byApi", at("2026-10-28", 1))
	w.has("byGeo", at("2026-10-28", 1))
	w.has("byUser", at("2026-10-28", 1))
	if err := x.Run(still{ctx, &w.now}, Message{Service: "contoso-eu", At: night}); err != nil {
		t.Fatal(err)
	}
	if len(w.files) != 4 || len(w.sent) != 1 || w.sent[0].Try != 0 || w.sent[0].N != 1 || w.now.Sub(night) != 80*time.Second {
		t.Errorf("%d files after %s, %+v", len(w.files), w.now.Sub(night), w.sent)
	}
}

// still is a context in the world's time.
type still struct {
	context.Context
	now *time.Time
}

func (s still) Err() error {
	if deadline, _ := s.Deadline(); !s.now.Before(deadline) {
		return context.DeadlineExceeded
	}
	return nil
}

func TestALaterRunTakesOverAndTellsOfTheEarlier(t *testing.T) {
	w := newWorld(t)
	x := w.exporter("byApi")
	if err := x.Run(t.Context(), Message{Service: "contoso-eu", At: night}); err != nil { // one day of thirty
		t.Fatal(err)
	}
	left := w.sent[0].Message
	w.sent, w.now = nil, night.AddDate(0, 0, 1)
	if err := x.Run(t.Context(), Message{Service: "contoso-eu", At: w.now}); err != nil {
		t.Fatal(err)
	}
	asked := len(w.asked)
	if err := x.Run(t.Context(), left); err != nil || len(w.asked) != asked || len(w.sent) != 1 {
		t.Errorf("both runs go on: %v, %+v", err, w.sent)
	}
	w.deliver(x)
	if len(w.events) != 2 || len(w.events[0].Data.Days) != 1 || !w.events[0].Data.Run.Equal(night) || len(w.events[1].Data.Days) != CatchUp || w.events[0].ID == w.events[1].ID {
		t.Errorf("%+v", w.events)
	}
}

func TestForeignMessagesAndIllegibleRecordsEndThere(t *testing.T) {
	w := newWorld(t)
	x := w.exporter("byApi")
	w.states["Contoso-EU"] = []byte(`[]`)
	for _, m := range []Message{{Service: "fabrikam", At: night}, {Service: "contoso-eu", At: night.Add(time.Hour)}, {Service: "contoso-eu", At: night}} {
		if err := x.Run(t.Context(), m); err != nil || w.calls != 0 {
			t.Errorf("%+v: %v, %d writes", m, err, w.calls)
		}
	}
}

// The wakes of failovers come through the same queue.
func TestExportsLeaveTheQueueToOthers(t *testing.T) {
	w := newWorld(t)
	x := w.exporter("byApi")
	x.working.Store(together)
	if err := x.Run(t.Context(), Message{Service: "contoso-eu", At: night, N: 3, Try: 2}); err != nil || len(w.asked) != 0 {
		t.Errorf("%d questions, %v", len(w.asked), err)
	}
	if len(w.sent) != 1 || w.sent[0].N != 4 || w.sent[0].Try != 2 || w.sent[0].due.Sub(w.now) != crowded {
		t.Errorf("%+v", w.sent)
	}
	x.working.Store(together - 1)
	w.deliver(x)
	if len(w.events) != 1 || x.working.Load() != together-1 {
		t.Errorf("%d events, %d at work", len(w.events), x.working.Load())
	}
}

func TestOneInstanceAfterTheOther(t *testing.T) {
	w := newWorld(t)
	x := w.exporter("byApi")
	x.Instances = nil
	for i := range 20 {
		x.Instances = append(x.Instances, Instance{Name: fmt.Sprintf("contoso-%02d", i)})
	}
	x.Bus = &serial{Bus: w, free: make(chan struct{}, 1)}
	if err := x.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(w.sent, func(a, b sending) int { return a.due.Compare(b.due) })
	for i, s := range w.sent {
		if s.Service != x.Instances[i].Name || s.due.Sub(night) != time.Duration(i)*x.Turn || s.MessageID() != fmt.Sprintf("usage:contoso-%02d:20261127T033000Z:0:0", i) {
			t.Errorf("%d: %+v", i, s)
		}
	}
	w.dies, w.calls = 1, 0
	if err := x.Start(t.Context()); !errors.Is(err, errKilled) {
		t.Errorf("nothing was sent, and nobody hears of it: %v", err)
	}
}

type serial struct {
	Bus
	free chan struct{}
}

func (s *serial) Export(ctx context.Context, m Message, at time.Time) error {
	s.free <- struct{}{}
	defer func() { <-s.free }()
	return s.Bus.Export(ctx, m, at)
}

func TestAPageIsReadWholeOrNotAtAll(t *testing.T) {
	const good = `{"count": 3, "value": [{"a": 1}, {"b":
		"x y"}, 7], "other": {"deep": [1, {"x": 2}]}, "nextLink": "https://x"}`
	read := func(text string) (lines []string, link string, err error) {
		link, err = page(iotest.OneByteReader(strings.NewReader(text)), func(line []byte) error {
			lines = append(lines, string(line))
			return nil
		})
		return lines, link, err
	}
	if lines, link, err := read(good); err != nil || link != "https://x" || fmt.Sprintf("%q", lines) != `["{\"a\":1}" "{\"b\":\"x y\"}" "7"]` {
		t.Errorf("%q, %q, %v", lines, link, err)
	}
	for n := range len(good) - 1 {
		if _, _, err := read(good[:n+1]); n+1 < len(good) && !errors.Is(err, errPage) {
			t.Fatalf("%q: %v", good[:n+1], err)
		}
	}
	for _, text := range []string{"", "[]", "7", "null", "<html>", `{}`, `{"value":null}`, `{"value":{}}`, `{"value":[1,]}`, `{"value":[],"nextLink":7}`, `{"value":[] "x":1}`} {
		if _, _, err := read(text); !errors.Is(err, errPage) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, link, err := read(`{"value":[],"nextLink":null}`); link != "" || err != nil {
		t.Errorf("%q, %v", link, err)
	}
	for _, size := range []int{maxRecord, 5 * maxRecord} {
		huge := `{"value":[{"x":"` + strings.Repeat("x", size) + `"}]}`
		from := strings.NewReader(huge)
		if _, err := page(from, func([]byte) error { return nil }); !errors.Is(err, errRecord) || size-from.Len() > 3*maxRecord {
			t.Errorf("%d bytes, %d left: %v", size, from.Len(), err)
		}
	}
	full := errors.New("the disk is full")
	if _, err := page(strings.NewReader(good), func([]byte) error { return full }); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
}

func TestAReportThatDoesNotGoOnIsNoDay(t *testing.T) {
	for _, again := range []string{`{"value":[{"a":1}],"nextLink":""}`, `{"value":[{"a":1}],"nextLink":"same"}`} {
		w := newWorld(t)
		x := w.exporter("byApi")
		x.Reports = repeated(again)
		if e := x.export(t.Context(), x.Instances[0], "byApi", yesterday); e.Verdict != dr.Later || len(w.files) != 0 {
			t.Errorf("%+v, %v", e, w.files)
		}
	}
}

type repeated string

func (r repeated) Page(context.Context, Query) (io.ReadCloser, dr.Answer) {
	return io.NopCloser(strings.NewReader(string(r))), dr.Answer{Verdict: dr.OK}
}

// Two exports of a day at once: the manifest is of the file that is there in the end.
func TestExportsThatCrossEndWithOneManifest(t *testing.T) {
	w := newWorld(t)
	x := w.exporter("byApi")
	w.has("byApi", at(yesterday, 1))
	crossed := false
	x.Files = &crossing{Files: w, before: func() {
		if !crossed {
			crossed = true
			w.has("byApi", at(yesterday, 2))
			y := w.exporter("byApi")
			if e := y.export(t.Context(), x.Instances[0], "byApi", yesterday); e.Verdict != dr.OK {
				t.Error(e)
			}
		}
	}}
	if e := x.export(t.Context(), x.Instances[0], "byApi", yesterday); e.Verdict != dr.OK || !crossed {
		t.Fatal(e, crossed)
	}
	if got := w.lines("byApi", yesterday); len(got) != 2 {
		t.Errorf("%q", got)
	}
}

// crossing lets something happen between the commit of a file and its manifest.
type crossing struct {
	Files
	before func()
}

func (c *crossing) Put(ctx context.Context, name string, body []byte) error {
	c.before()
	return c.Files.Put(ctx, name, body)
}

// endless is a report of many records, made as they are read.
type endless struct {
	left, page int
	most       uint64 // bytes of heap in use, as far as it was looked
	tail       []byte
	text       bytes.Buffer
	n          int
}

func (e *endless) Page(_ context.Context, q Query) (io.ReadCloser, dr.Answer) {
	n := min(e.page, e.left)
	e.left -= n
	e.text.Reset()
	e.text.WriteString(`{"value":[`)
	e.page, e.n = n, 0
	e.tail = []byte(`],"count":1,"nextLink":""}`)
	return io.NopCloser(e), dr.Answer{Verdict: dr.OK}
}

func (e *endless) Read(p []byte) (int, error) {
	for e.text.Len() < len(p) && e.n < e.page {
		if e.n++; e.n > 1 {
			e.text.WriteByte(',')
		}
		fmt.Fprintf(&e.text, `{"name":"API %d of contoso","apiId":"/apis/%x","callCountSuccess":%d,"callCountBlocked":0,"callCountTotal":%d,"bandwidth":%d,"apiTimeAvg":%d.5,"serviceTimeAvg":1.25}`,
			e.n, uint64(e.n)*0x9e3779b97f4a7c15, e.n%97, e.n%101, e.n*811, e.n%5000)
		if e.n%5_000 == 0 {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			e.most = max(e.most, m.HeapInuse)
		}
	}
	if e.text.Len() > 0 {
		return e.text.Read(p)
	}
	if len(e.tail) > 0 {
		n := copy(p, e.tail)
		e.tail = e.tail[n:]
		return n, nil
	}
	return 0, io.EOF
}

// sink is storage that keeps nothing but the number of bytes.
type sink struct {
	*world
	bytes int64
}

func (s *sink) Begin(context.Context, string) Draft { return s }
func (s *sink) Write(p []byte) (int, error) {
	s.bytes += int64(len(p))
	return len(p), nil
}
func (s *sink) Commit(map[string]string) (string, error) { return "", nil }

func TestTheMemoryDoesNotGrowWithTheReport(t *testing.T) {
	w := newWorld(t)
	x := w.exporter("byApi")
	report, files := &endless{left: many, page: many}, &sink{world: w}
	x.Reports, x.Files = report, files
	debug.FreeOSMemory() // of the tests before
	began := time.Now()
	e := x.export(t.Context(), x.Instances[0], "byApi", yesterday)
	if e.Verdict != dr.OK || e.rows != many || e.bytes != files.bytes {
		t.Fatalf("%+v, %d bytes", e, files.bytes)
	}
	t.Logf("%d records, %d bytes in the file, %.1f s, heap in use at most %.1f MiB", many, e.bytes, time.Since(began).Seconds(), float64(report.most)/(1<<20))
	if report.most == 0 || report.most > 64<<20 {
		t.Errorf("%d bytes of heap in use", report.most)
	}
}

// The manifest in the document is one that the code writes.
func TestTheManifestOfTheDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/usage.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(text), "```json\n")
	example, _, _ = strings.Cut(example, "```")
	w := newWorld(t)
	x := w.exporter("byApi")
	x.Instances[0] = Instance{Name: "contoso-eu", ResourceID: "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/contoso/providers/Microsoft.ApiManagement/service/contoso-eu"}
	w.has("byApi", at("2026-11-25", time.Hour), at("2026-11-25", 2*time.Hour))
	if e := x.export(t.Context(), x.Instances[0], "byApi", "2026-11-25"); e.Verdict != dr.OK {
		t.Fatal(e)
	}
	ofGo := regexp.MustCompile(`"(bytes|sha256)": [^,\n]+`) // another version of Go may compress in another way
	if got := string(w.files["contoso-eu/byApi/2026/11/25.manifest.json"].body); ofGo.ReplaceAllString(got, "$1") != ofGo.ReplaceAllString(example, "$1") {
		t.Errorf("the code writes\n%s", got)
	}
}
