package e2e

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"

	"apim-dr/internal/standin/arm"
	"apim-dr/internal/standin/devstack"
	"apim-dr/internal/usage"
)

// exported is the event of an export.
type exported struct {
	Type, Subject string
	Data          usage.Result
}

// Three missed days are caught up, a day that is exported again is replaced as a whole, a killed export leaves nothing half, and what the tier lacks is
// noted.
func TestUsage(t *testing.T) {
	newest := usage.DayOf(time.Now().Add(-usage.Grace - 24*time.Hour))
	day := func(before int) usage.Day { return usage.DayOf(newest.Start().AddDate(0, 0, -before)) }
	stack.ARM.Change(func(c *arm.Config) { c.ReportPage, c.ReportLinks = 2, true })
	for _, name := range []string{"used", "used-killed"} {
		exportedThrough(t, name, day(3))
		for n, at := range []time.Time{day(3).Start(), day(2).Start().Add(-time.Second), // not these
			day(2).Start(), day(2).Start().Add(time.Hour), day(2).Start().Add(2 * time.Hour),
			day(1).Start().Add(-100 * time.Nanosecond), day(1).Start(), day(0).Start().Add(time.Hour), day(-1).Start()} {
			for _, report := range []string{"byApi", "byTime"} {
				shown(name, report, at, n)
			}
		}
	}
	exportedThrough(t, "used-v2", day(2))

	// The second page of a day is not answered when the handler is killed, nor is the next process until that was looked at.
	killed := make(chan struct{})
	stack.ARM.Inject(arm.Fault{Verb: arm.Reports, Service: "used-killed"})
	stack.ARM.Inject(arm.Fault{Verb: arm.Reports, Service: "used-killed", Hold: killed, Drop: arm.DropBefore})
	stack.ARM.Inject(arm.Fault{Verb: arm.Reports, Service: "used-killed", Hold: killed})
	if err := stack.Host.Invoke(t.Context(), "UsageExport"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "a page was answered", func() bool {
		return slices.ContainsFunc(stack.ARM.Requests(), func(r arm.Request) bool {
			return r.Service == "used-killed" && r.Verb == arm.Reports && r.Status == http.StatusOK
		})
	})
	if err := stack.Host.Kill(); err != nil {
		t.Fatal(err)
	}
	if blobExists(t, stack.State, devstack.UsageContainer, dayFile("used-killed", "byApi", day(2))+".ndjson.gz") {
		t.Error("a file of a killed export is there")
	}
	close(killed)

	for _, name := range []string{"used", "used-killed"} {
		e := exportOf(t, name, 1)
		if d := e.Data; fmt.Sprint(d.Days) != fmt.Sprint([]usage.Day{day(2), day(1), day(0)}) || d.Rows != 12 || len(d.Reports) != 7 || len(d.Missing)+len(d.Failed) != 0 || e.Subject != devstack.ResourceID(name) {
			t.Errorf("%+v", e)
		}
		for before, want := range map[int]string{2: "2 3 4 5", 1: "6", 0: "7"} {
			for _, report := range []string{"byApi", "byTime"} {
				if got := callCounts(t, name, report, day(before)); got != want {
					t.Errorf("%s of %s, %s: %q, want %q", report, name, day(before), got, want)
				}
			}
			if got := callCounts(t, name, "byGeo", day(before)); got != "" {
				t.Errorf("byGeo of %s: %q", name, got)
			}
		}
	}
	if d := exportOf(t, "used-v2", 1).Data; len(d.Days) != 0 || len(d.Missing) != 7 || d.Missing[0].Why.Code != "MethodNotAllowedInPricingTier" {
		t.Errorf("%+v", d)
	}

	// Once more, since ARM shows something else now; this time it is paged by $skip, and throttles.
	stack.ARM.Change(func(c *arm.Config) {
		c.ReportLinks = false
		c.Records = slices.DeleteFunc(c.Records, func(r arm.ReportRecord) bool { return r.Service == "used" && r.Fields["callCountTotal"] == 7 })
	})
	for n := range 3 {
		shown("used", "byApi", day(0).Start().Add(2*time.Hour), 20+n)
	}
	exportedThrough(t, "used", day(1))
	stack.ARM.Inject(arm.Fault{Verb: arm.Reports, Service: "used", Status: http.StatusTooManyRequests, RetryAfter: time.Second})
	time.Sleep(1100 * time.Millisecond) // runs are told apart by the second
	if err := stack.Host.Invoke(t.Context(), "UsageExport"); err != nil {
		t.Fatal(err)
	}
	if d := exportOf(t, "used", 2).Data; fmt.Sprint(d.Days) != fmt.Sprint([]usage.Day{day(0)}) || d.Rows != 3 {
		t.Errorf("%+v", d)
	}
	if got := callCounts(t, "used", "byApi", day(0)); got != "20 21 22" {
		t.Errorf("%q", got)
	}
	if got := callCounts(t, "used", "byTime", day(0)); got != "" {
		t.Errorf("%q", got)
	}
	if d := exportOf(t, "used-v2", 2).Data; len(d.Missing) != 7 || d.Missing[0].Since.Equal(d.Run) {
		t.Errorf("%+v", d)
	}
}

func shown(service, report string, at time.Time, n int) {
	stack.ARM.Change(func(c *arm.Config) {
		c.Records = append(c.Records, arm.ReportRecord{Service: service, Report: report, At: at, Fields: map[string]any{"apiId": "/apis/echo", "callCountTotal": n}})
	})
}

// exportedThrough lets the app remember that all reports of an instance are exported up to a day.
func exportedThrough(t *testing.T, service string, through usage.Day) {
	t.Helper()
	state := usage.State{V: 1, Service: service, Reports: map[usage.Report]usage.Mark{}}
	for _, r := range usage.Usual {
		state.Reports[r] = usage.Mark{Through: through}
	}
	if got, err := stack.State.DownloadStream(t.Context(), devstack.StateContainer, "usage/"+service, nil); err == nil { // the run stays
		var old usage.State
		if err := json.NewDecoder(got.Body).Decode(&old); err != nil {
			t.Fatal(err)
		}
		_ = got.Body.Close()
		state.Run = old.Run
	}
	body, err := json.Marshal(state)
	if err == nil {
		_, err = stack.State.UploadBuffer(t.Context(), devstack.StateContainer, "usage/"+service, body, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// exportOf waits for the n-th event about the use of an instance.
func exportOf(t *testing.T, service string, n int) (e exported) {
	t.Helper()
	waitFor(t, fmt.Sprintf("event %d about the use of %s", n, service), func() bool {
		seen := 0
		for _, s := range stack.Bus.Sent("results") {
			if strings.HasPrefix(s.MessageID, "usage:"+service+":") && !s.Duplicate {
				if seen++; seen == n {
					e = exported{}
					if err := json.Unmarshal(s.Body, &e); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		return seen >= n
	})
	if e.Type != "apimdr.usage.exported" || e.Data.Service != service {
		t.Errorf("%+v", e)
	}
	return e
}

func dayFile(service, report string, d usage.Day) string {
	return service + "/" + report + "/" + strings.ReplaceAll(string(d), "-", "/")
}

// callCounts are those of a file's records. Its manifest must be of it.
func callCounts(t *testing.T, service, report string, d usage.Day) string {
	t.Helper()
	name := dayFile(service, report, d)
	data := download(t, stack.State, devstack.UsageContainer, name+".ndjson.gz")
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	var counts []string
	for line := range bytes.Lines(text) {
		var r struct{ CallCountTotal int }
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		counts = append(counts, fmt.Sprint(r.CallCountTotal))
	}
	var m usage.Manifest
	if err := json.Unmarshal(download(t, stack.State, devstack.UsageContainer, name+".manifest.json"), &m); err != nil {
		t.Fatal(err)
	}
	from, to := d.Window()
	if m.Rows != int64(len(counts)) || m.SHA256 != fmt.Sprintf("%x", sha256.Sum256(data)) || m.File != name+".ndjson.gz" || !m.From.Equal(from) || !m.To.Equal(to) {
		t.Errorf("%s: the manifest is not of the file: %+v", name, m)
	}
	return strings.Join(counts, " ")
}

func download(t *testing.T, client *azblob.Client, container, name string) []byte {
	t.Helper()
	got, err := client.DownloadStream(t.Context(), container, name, nil)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	defer got.Body.Close()
	b, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
