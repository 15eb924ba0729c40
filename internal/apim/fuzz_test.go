package apim

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"apim-dr/internal/dr"
)

// FuzzCheckAnswer: no answer panics, makes an error status a success, leads a token away, or shows the token.
func FuzzCheckAnswer(f *testing.F) {
	f.Add(202, location, "60", "", "")
	f.Add(200, "", "", "", resource)
	f.Add(200, "https://contoso.example/x", "Fri, 02 Jan 2026 03:01:30 GMT", "", `{"status":"InProgress"}`)
	f.Add(400, "", "", "gateway", `{"error":{"code":"RestoreFailed","message":"m","details":[{"code":"c","message":"d","details":[]}]}}`)
	f.Add(400, "", "-1", "service", `{"code":"InvalidParameters","message":"Parameter name: x"}`)
	f.Add(503, "", "99999999999999999999", "", "<html>"+storageKey)
	f.Add(200, "", "", "", `{"status":"Failed","error":"x","properties":[]}`)
	f.Add(200, "", "", "", documented)
	f.Add(200, "", "", "", deletedPage("https://contoso.example/x", instance+"2"))
	f.Fuzz(func(t *testing.T, status int, next, retry, cause, body string) {
		if status < 100 || status > 999 {
			return
		}
		var hosts []string
		c := with(t, func(r *http.Request) (*http.Response, error) {
			hosts = append(hosts, r.URL.Host)
			return answer(status, body, "Location", next, "Retry-After", retry, "x-ms-failure-cause", cause), nil
		})
		for name, a := range map[string]dr.Answer{
			"Check": c.Check(t.Context(), location), "Start": c.Start(t.Context(), leg("restore"), point), "Service": c.Service(t.Context(), instance),
			"Group": c.Group(t.Context(), instance),
		} {
			if a.Verdict == "" || a.Verdict == dr.OK && status != 200 && status != 204 {
				t.Errorf("%s: verdict %q for %d", name, a.Verdict, status)
			}
			if a.Verdict == dr.Still && (status < 200 || status > 299 || !c.Trusts(a.Location)) {
				t.Errorf("%s: %d goes on at %q", name, status, a.Location)
			}
			if (a.Verdict == dr.No || a.Verdict == dr.Refused) && (a.Error == nil || a.Error.Code == "" || a.Error.Message == "") {
				t.Errorf("%s: %s without words: %+v", name, a.Verdict, a.Error)
			}
			if a.Retry < 0 || a.Retry > maxRetry || len(a.Reason) > maxReason+len("nothing was sent: …") {
				t.Errorf("%s: retry %s, reason of %d bytes", name, a.Retry, len(a.Reason))
			}
			if a.Error != nil && strings.Contains(a.Error.String(), storageKey) {
				t.Errorf("%s: a key in %s", name, a.Error)
			}
		}
		if n := c.Workspaces(t.Context(), instance); n > 0 && status != 200 {
			t.Errorf("%d workspaces in a %d", n, status)
		}
		if got := c.Deleted(t.Context(), instance); got != dr.NotKnown && status != 200 {
			t.Errorf("deleted: %s in a %d", got, status)
		}
		for _, host := range hosts {
			if host != "management.azure.com" {
				t.Errorf("sent to %s", host)
			}
		}
	})
}

// FuzzLocation: what is trusted reaches the endpoint as it is; what is not is never sent.
func FuzzLocation(f *testing.F) {
	for _, l := range append(append([]string{}, untrusted...), trusted...) {
		if len(l) < 1000 {
			f.Add(l)
		}
	}
	f.Fuzz(func(t *testing.T, l string) {
		var sent *http.Request
		c := with(t, func(r *http.Request) (*http.Response, error) { sent = r; return answer(202, ""), nil })
		a := c.Check(t.Context(), l)
		if !c.Trusts(l) {
			if sent != nil || a.Verdict != dr.Refused {
				t.Errorf("%q was sent: %+v", l, a)
			}
			return
		}
		if sent == nil || a.Verdict != dr.Still || a.Location != l {
			t.Fatalf("%q: %+v", l, a)
		}
		u := sent.URL
		if u.Scheme != "https" || !strings.EqualFold(u.Hostname(), "management.azure.com") || u.Port() != "" && u.Port() != "443" || u.User != nil || sent.Host != u.Host {
			t.Errorf("%q leads to %s", l, u)
		}
		if !strings.HasSuffix(l, u.Host+u.RequestURI()) {
			t.Errorf("%q goes out as %s", l, u.RequestURI())
		}
		if again, err := url.Parse(l); err != nil || again.Host != u.Host {
			t.Errorf("%q: host %s", l, u.Host)
		}
	})
}
