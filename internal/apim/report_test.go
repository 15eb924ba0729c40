package apim

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/usage"
)

func byTime() usage.Query {
	return usage.Query{ResourceID: instance, Report: "byTime", Filter: usage.Day("2026-01-01").Filter(), Interval: "PT15M", Skip: 20}
}

func TestAReportIsAskedForAsTheSwaggerHasIt(t *testing.T) {
	var asked []string
	c := with(t, func(r *http.Request) (*http.Response, error) {
		asked = append(asked, r.Method+" "+r.URL.String())
		return answer(200, `{"value":[]}`), nil
	})
	q, link := byTime(), byTime()
	link.Link = azure + instance + "/reports/byTime?api-version=2024-05-01&$filter=timestamp ge datetime'2026-01-01T00:00:00'&$skip=40"
	for _, one := range []usage.Query{q, link} {
		body, a := c.Page(t.Context(), one)
		if a.Verdict != dr.OK {
			t.Fatalf("%+v", a)
		}
		if text, err := io.ReadAll(body); err != nil || string(text) != `{"value":[]}` || body.Close() != nil {
			t.Errorf("%q, %v", text, err)
		}
	}
	filter := "%24filter=timestamp%20ge%20datetime%272026-01-01T00%3A00%3A00%27%20and%20timestamp%20le%20datetime%272026-01-01T23%3A59%3A59.9999999%27"
	want := []string{
		"GET " + azure + instance + "/reports/byTime?api-version=2024-05-01&" + filter + "&%24skip=20&interval=PT15M",
		"GET " + azure + instance + "/reports/byTime?%24filter=timestamp+ge+datetime%272026-01-01T00%3A00%3A00%27&%24skip=40&api-version=2024-05-01",
	}
	if strings.Join(asked, "\n") != strings.Join(want, "\n") {
		t.Errorf("asked\n%s\nwant\n%s", strings.Join(asked, "\n"), strings.Join(want, "\n"))
	}
}

func TestTheNextPageOfAReportIsAskedForAtTheEndpointAlone(t *testing.T) {
	c := with(t, func(r *http.Request) (*http.Response, error) {
		t.Errorf("sent to %s", r.URL.Host)
		return nil, io.EOF
	})
	for _, link := range []string{"https://contoso.example" + instance + "/reports/byTime", azure + ".contoso.example/x", "http://management.azure.com/x", "https://user@management.azure.com/x", "/x", "https://management.azure.com:444/x", "%"} {
		q := byTime()
		q.Link = link
		if body, a := c.Page(t.Context(), q); body != nil || a.Verdict != dr.No || a.Error.Code != "UntrustedLocation" {
			t.Errorf("%s: %+v", link, a)
		}
	}
	q := byTime()
	q.ResourceID = "/subscriptions/../x"
	if _, a := c.Page(t.Context(), q); a.Verdict != dr.No || a.Error.Code != "InvalidResourceId" {
		t.Errorf("%+v", a)
	}
}

func TestReportVerdicts(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer transport
		want   dr.Verdict
		text   string // in reason or error
	}{
		{"a tier without", always(400, armBody("MethodNotAllowedInPricingTier", "Method not allowed in StandardV2 pricing tier")), dr.Refused, "pricing tier"},
		{"no such report", always(404, armBody("InvalidResourceType", "The resource type could not be found")), dr.Refused, "resource type"},
		{"retired", always(410, armBody("Gone", "Built-in analytics are retired")), dr.Refused, "retired"},
		{"no such instance", always(404, armBody("ResourceNotFound", "was not found")), dr.No, "Check the instance's id"},
		{"a proxy's 404", always(404, "<html>"), dr.Later, "404"},
		{"a bare 400", always(400, ""), dr.Later, "400"},
		{"403", always(403, armBody("AuthorizationFailed", "no")), dr.No, "Microsoft.ApiManagement/service/reports/read"},
		{"401", always(401, armBody("InvalidAuthenticationToken", "x")), dr.No, "audience"},
		{"429", always(429, "", "Retry-After", "9"), dr.Later, "429"},
		{"500", always(500, ""), dr.Later, "500"},
		{"204", always(204, ""), dr.Later, "no report"},
		{"302", always(302, "", "Location", "https://contoso.example"), dr.Later, "302"},
		{"out of reach", func(*http.Request) (*http.Response, error) { return nil, io.EOF }, dr.Later, "EOF"},
	} {
		body, a := with(t, tt.answer).Page(t.Context(), byTime())
		text := a.Reason
		if a.Error != nil {
			text += a.Error.Message
		}
		if body != nil || a.Verdict != tt.want || !strings.Contains(text, tt.text) || (tt.name == "429") != (a.Retry == 9*time.Second) {
			t.Errorf("%s: %+v (%s)", tt.name, a, text)
		}
	}
}

// parts is a body of which a part comes after each wait; the last one never does.
type parts struct {
	waits []time.Duration
	done  <-chan struct{}
}

func (p *parts) Read(b []byte) (int, error) {
	if len(p.waits) == 0 {
		return 0, io.EOF
	}
	select {
	case <-time.After(p.waits[0]):
	case <-p.done:
		return 0, fmt.Errorf("the context has ended")
	}
	p.waits = p.waits[1:]
	return copy(b, "part"), nil
}
func (p *parts) Close() error { return nil }

func TestAReportMayTakeItsTimeButNotStandStill(t *testing.T) {
	get := func(waits ...time.Duration) (text string, took time.Duration, err error) {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			c := with(t, func(r *http.Request) (*http.Response, error) {
				resp := answer(200, "")
				resp.Body = &parts{waits, r.Context().Done()}
				return resp, nil
			})
			body, a := c.Page(t.Context(), byTime())
			if a.Verdict != dr.OK {
				t.Fatalf("%+v", a)
			}
			part, rest := make([]byte, 4), []byte(nil)
			if _, err = io.ReadFull(body, part); err == nil {
				time.Sleep(time.Hour) // its reader is busy
				rest, err = io.ReadAll(body)
			}
			_ = body.Close()
			text, took = string(part)+string(rest), time.Since(began)-time.Hour
		})
		return text, took, err
	}
	if text, took, err := get(29*time.Second, 29*time.Second, 29*time.Second); text != "partpartpart" || took != 87*time.Second || err != nil {
		t.Errorf("%q after %s, %v", text, took, err)
	}
	if text, took, err := get(time.Second, time.Hour); text != "part" || took != 31*time.Second || err == nil || !strings.Contains(err.Error(), errStalled.Error()) {
		t.Errorf("%q after %s, %v", text, took, err)
	}
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		c := with(t, func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		if _, a := c.Page(t.Context(), byTime()); a.Verdict != dr.Later || a.Reason != errStalled.Error() || time.Since(began) != time.Minute {
			t.Errorf("%+v after %s", a, time.Since(began))
		}
	})
}
