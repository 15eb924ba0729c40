package usage

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"apim-dr/internal/dr"
)

// pages answers with what is made of a question.
type pages func(n int, q Query) (string, dr.Answer)

type counting struct {
	pages
	n int
}

func (c *counting) Page(_ context.Context, q Query) (io.ReadCloser, dr.Answer) {
	if c.n++; c.n > 1000 {
		return nil, dr.Answer{Verdict: dr.No, Reason: "it never ends"}
	}
	body, a := c.pages(c.n, q)
	return io.NopCloser(strings.NewReader(body)), a
}

// Each reads from what Resource Manager lets an identity read, failovers included: a report that goes round must not read until its time is over.
func TestAReportThatGoesRoundIsNoDay(t *testing.T) {
	ok := dr.Answer{Verdict: dr.OK}
	for name, p := range map[string]pages{
		"two links in turn": func(n int, _ Query) (string, dr.Answer) {
			return fmt.Sprintf(`{"value":[{"a":%d}],"nextLink":"https://x/%d"}`, n, n%2), ok
		},
		"empty pages with links in turn": func(n int, _ Query) (string, dr.Answer) {
			return fmt.Sprintf(`{"value":[],"nextLink":"https://x/%d"}`, n%3), ok
		},
		"pages in turn, whatever is skipped": func(n int, _ Query) (string, dr.Answer) {
			return fmt.Sprintf(`{"value":[{"a":%d}],"nextLink":""}`, n%3), ok
		},
	} {
		w := newWorld(t)
		x := w.exporter("byApi")
		c := &counting{pages: p}
		x.Reports = c
		if e := x.export(t.Context(), x.Instances[0], "byApi", yesterday); e.Verdict != dr.Later || len(w.files) != 0 || c.n > 10 {
			t.Errorf("%s: %+v after %d pages", name, e, c.n)
		}
	}
}

// A report of which a page was read is one that the instance has.
func TestAReportThatIsRefusedInItsMiddleIsNotMissing(t *testing.T) {
	w := newWorld(t)
	x := w.exporter("byApi")
	x.Reports = &counting{pages: func(n int, q Query) (string, dr.Answer) {
		if q.Skip > 0 {
			return "", dr.Answer{Verdict: dr.Refused, Error: &dr.Error{Source: "arm", Status: 400, Code: "InvalidSkip", Message: "$skip is too large"}}
		}
		return `{"value":[{"a":1}],"nextLink":""}`, dr.Answer{Verdict: dr.OK}
	}}
	w.runs(x)
	if e := w.events[0]; len(e.Data.Missing) != 0 || len(e.Data.Failed) != 1 || e.Data.Failed[0].Why.Code != "InvalidSkip" || e.Properties()["outcome"] != "failed" || len(w.files) != 0 {
		t.Errorf("%+v", e)
	}
}

// A clock that was ahead once must not end the exports for so long without a word.
func TestARunOfATimeToComeEndsNoOther(t *testing.T) {
	w := newWorld(t)
	x := w.exporter("byApi")
	w.has("byApi", at(yesterday, time.Hour), at("2026-11-27", time.Hour))
	w.now = night.AddDate(1, 0, 0)
	w.runs(x)
	w.now = night.AddDate(0, 0, 1)
	w.runs(x)
	for _, d := range []Day{yesterday, "2026-11-27"} {
		if _, there := w.files[name("contoso-eu", "byApi", d)+dataSuffix]; !there {
			t.Errorf("%s is not exported", d)
		}
	}
}
