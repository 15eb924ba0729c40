package yardstick

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// arm answers 202 until an operation is over, in the time of the test.
type arm struct {
	ends  time.Time
	reads int
}

func (a *arm) RoundTrip(r *http.Request) (*http.Response, error) {
	a.reads++
	status, body := http.StatusAccepted, ""
	if !time.Now().Before(a.ends) {
		status, body = http.StatusOK, "{}"
	}
	return answer(r, status, body), nil
}

func answer(r *http.Request, status int, body string) *http.Response {
	h := http.Header{"Location": {"https://management.azure.com/x/operationresults/1"}, "Retry-After": {"60"}}
	return &http.Response{StatusCode: status, Header: h, Request: r, Body: http.NoBody, ContentLength: int64(len(body))}
}

// The figures of Reads are what the SDK's poller does.
func TestTheSDKReadsAtEachRetryAfter(t *testing.T) {
	for _, takes := range []time.Duration{30 * time.Second, time.Minute, 90 * time.Second, 25 * time.Minute, 5 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			a := &arm{ends: time.Now().Add(takes)}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://management.azure.com/x/backup", strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			if err := Wait(t.Context(), &http.Client{Transport: a}, answer(req, http.StatusAccepted, "")); err != nil {
				t.Fatal(err)
			}
			if want := Reads(takes, time.Minute); a.reads != want {
				t.Errorf("%s: %d reads, want %d", takes, a.reads, want)
			}
		})
	}
}
