package usage

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"apim-dr/internal/dr"
)

// night is when the timer fires.
var night = time.Date(2026, 11, 27, 3, 30, 0, 0, time.UTC)

const yesterday Day = "2026-11-26"

var errKilled = errors.New("killed")

// world is ARM, storage and bus in memory. Each call that writes counts; the one with number dies is the last one of this process.
type world struct {
	t       *testing.T
	now     time.Time
	records map[Report][]record
	page    int  // records a page
	links   bool // pages have a nextLink; otherwise it is ""
	answers map[Report]dr.Answer
	asked   []Query

	calls, dies int
	late        bool // the call with number dies is carried out, but nobody hears of it
	files       map[string]file
	states      map[string][]byte
	sent        []sending
	events      []Event
	versions    int
}

type record struct {
	At   time.Time `json:"at"`
	Name string    `json:"name"`
}

type file struct {
	body    []byte
	facts   map[string]string
	version string
}

type sending struct {
	Message
	due time.Time
}

func newWorld(t *testing.T) *world {
	return &world{t: t, now: night, records: map[Report][]record{}, page: 2, answers: map[Report]dr.Answer{}, files: map[string]file{}, states: map[string][]byte{}}
}

func (w *world) exporter(reports ...Report) *Exporter {
	return &Exporter{
		Reports: w, Files: w, States: w, Bus: w, Instances: []Instance{{Name: "Contoso-EU", ResourceID: "/subscriptions/0/contoso-eu", Reports: reports}},
		Outage: func(int) time.Duration { return time.Minute }, Illegible: func(err error) bool { return errors.Is(err, errIllegible) },
		Turn: time.Second, Now: func() time.Time { return w.now }, Log: slog.New(slog.DiscardHandler),
	}
}

// happens carries out a call that writes, unless the process dies before it.
func (w *world) happens(do func()) error {
	if w.calls++; w.dies > 0 && w.calls >= w.dies {
		if w.late && w.calls == w.dies {
			do()
		}
		return errKilled
	}
	do()
	return nil
}

// Page shows the records whose time is in the window, as the filter has it: read by what it says, not by the day it was made from.
func (w *world) Page(_ context.Context, q Query) (io.ReadCloser, dr.Answer) {
	w.asked = append(w.asked, q)
	if a, ok := w.answers[q.Report]; ok {
		return nil, a
	}
	var from, to string
	if _, err := fmt.Sscanf(strings.ReplaceAll(q.Filter, "'", " "), "timestamp ge datetime %s  and timestamp le datetime %s", &from, &to); err != nil {
		w.t.Errorf("%q: %v", q.Filter, err)
	}
	begin, err1 := time.Parse("2006-01-02T15:04:05", from)
	end, err2 := time.Parse("2006-01-02T15:04:05", to)
	if err := errors.Join(err1, err2); err != nil {
		w.t.Error(err)
	}
	if (q.Interval != "") != (q.Report == "byTime") {
		w.t.Errorf("%s with interval %q", q.Report, q.Interval)
	}
	var list []record
	for _, r := range w.records[q.Report] {
		if !r.At.Before(begin) && !r.At.After(end) {
			list = append(list, r)
		}
	}
	skip := int(q.Skip)
	if q.Link != "" {
		if _, err := fmt.Sscanf(q.Link, "skip=%d", &skip); err != nil {
			w.t.Error(err)
		}
	}
	until := min(skip+w.page, len(list))
	body := map[string]any{"count": len(list), "value": append([]record{}, list[min(skip, until):until]...), "nextLink": ""}
	if w.links && until < len(list) {
		body["nextLink"] = fmt.Sprintf("skip=%d", until)
	}
	text, _ := json.MarshalIndent(body, "", "  ")
	return io.NopCloser(bytes.NewReader(text)), dr.Answer{Verdict: dr.OK}
}

type draft struct {
	w    *world
	name string
	body []byte
}

func (w *world) Begin(_ context.Context, name string) Draft { return &draft{w: w, name: name} }

func (d *draft) Write(p []byte) (int, error) {
	d.body = append(d.body, p...)
	return len(p), nil
}

func (d *draft) Commit(facts map[string]string) (version string, err error) {
	err = d.w.happens(func() {
		d.w.versions++
		version = fmt.Sprint(d.w.versions)
		d.w.files[d.name] = file{d.body, maps.Clone(facts), version}
	})
	return version, err
}

func (w *world) Look(_ context.Context, name string) (map[string]string, string, error) {
	f := w.files[name]
	return f.facts, f.version, nil
}

func (w *world) Put(_ context.Context, name string, body []byte) error {
	return w.happens(func() { w.files[name] = file{body: bytes.Clone(body)} })
}

func (w *world) Remove(_ context.Context, name string) error {
	return w.happens(func() { delete(w.files, name) })
}

var errIllegible = errors.New("not to be read")

func (w *world) Usage(_ context.Context, service string) (s State, err error) {
	if body, ok := w.states[service]; ok && json.Unmarshal(body, &s) != nil {
		return s, errIllegible
	}
	return s, nil
}

func (w *world) MergeUsage(ctx context.Context, service string, merge func(State) (State, bool)) (State, error) {
	s, err := w.Usage(ctx, service)
	if err != nil {
		return s, err
	}
	next, changed := merge(s)
	if !changed {
		return s, nil
	}
	body, err := json.Marshal(next)
	if err == nil {
		err = w.happens(func() { w.states[service] = body })
	}
	if err != nil {
		return s, err
	}
	return w.Usage(ctx, service)
}

func (w *world) Export(_ context.Context, m Message, at time.Time) error {
	return w.happens(func() { w.sent = append(w.sent, sending{m, at}) })
}

func (w *world) Exported(_ context.Context, e Event) error {
	return w.happens(func() { w.events = append(w.events, e) })
}

// night runs the timer and delivers what is sent until nothing is. A message whose handling fails is delivered again.
func (w *world) runs(x *Exporter) {
	w.t.Helper()
	if err := x.Start(w.t.Context()); err != nil && !errors.Is(err, errKilled) {
		w.t.Fatal(err)
	}
	w.deliver(x)
}

func (w *world) deliver(x *Exporter) {
	w.t.Helper()
	for n := 0; len(w.sent) > 0; n++ {
		if n > 2000 {
			w.t.Fatal("it never ends")
		}
		m := w.sent[0]
		if m.due.After(w.now) {
			w.now = m.due
		}
		if err := x.Run(w.t.Context(), m.Message); err != nil {
			if w.dies == 0 {
				w.t.Fatal(err)
			}
			w.dies = 0 // the next process lives
			continue
		}
		if w.dies > 0 && w.calls >= w.dies { // killed, and the message is not completed
			w.dies = 0
			continue
		}
		w.sent = w.sent[1:]
	}
}

// has lets ARM show records at those times.
func (w *world) has(r Report, times ...time.Time) {
	for _, at := range times {
		w.records[r] = append(w.records[r], record{at, fmt.Sprint(len(w.records[r]))})
	}
}

// lines are those of a day, and its manifest, which must be of it.
func (w *world) lines(r Report, d Day) []string {
	w.t.Helper()
	path := name("contoso-eu", r, d)
	data, there := w.files[path+dataSuffix]
	if !there {
		w.t.Fatalf("no file for %s of %s: %v", r, d, slices.Sorted(maps.Keys(w.files)))
	}
	text := w.gunzip(data.body)
	var m Manifest
	if err := json.Unmarshal(w.files[path+manifestSuffix].body, &m); err != nil {
		w.t.Fatalf("manifest of %s %s: %v", r, d, err)
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if text == "" {
		lines = nil
	}
	if m.Rows != int64(len(lines)) || m.SHA256 != sum(data.body) || m.Bytes != int64(len(data.body)) || m.ContentBytes != int64(len(text)) || m.Day != d || m.Report != r || m.File != path+dataSuffix {
		w.t.Errorf("the manifest is not of the file: %+v", m)
	}
	return lines
}

func (w *world) gunzip(body []byte) string {
	w.t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}
