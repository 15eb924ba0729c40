package apim

import (
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"apim-dr/internal/dr"
)

const (
	later    = azure + instance + "/operationresults/Y29udG9zbw==?api-version=2024-05-01"
	resource = `{"id":"x","name":"contoso-eu","type":"Microsoft.ApiManagement/service","location":"West Europe","etag":"AAAAAAAwYss=","properties":{"provisioningState":"Succeeded",` +
		`"apiVersionConstraint":{"minApiVersion":"2019-01-01"}},"sku":{"name":"Developer","capacity":1}}`
)

var shown = dr.ServiceView{ETag: "AAAAAAAwYss=", State: "Succeeded", SKU: "Developer", Capacity: 1, Region: "West Europe", MinVersion: "2019-01-01", Settings: &dr.Settings{}}

func TestCheckVerdicts(t *testing.T) {
	for _, tt := range []struct {
		name     string
		answer   transport
		want     dr.Verdict
		location string
		retry    time.Duration
		reason   string
		err      string // code: message
		view     dr.ServiceView
	}{
		{"202 with a newer Location", always(202, "", "Location", later, "Retry-After", "60"), dr.Still, later, time.Minute, "", "", dr.ServiceView{}},
		{"202 without one", always(202, ""), dr.Still, location, 0, "", "", dr.ServiceView{}},
		{"202 with one elsewhere", always(202, "", "Location", "https://contoso.example/1", "Retry-After", "x"), dr.Still, location, 0, "", "", dr.ServiceView{}},
		{"202 whatever the body says", always(202, `{"status":"Succeeded"}`), dr.Still, location, 0, "", "", dr.ServiceView{}},
		{"200 with the service", always(200, resource), dr.OK, "", 0, "200 Succeeded", "", shown},
		{"200 with a BOM", always(200, "\ufeff"+resource), dr.OK, "", 0, "200 Succeeded", "", shown},
		{"200 empty", always(200, ""), dr.OK, "", 0, "200", "", dr.ServiceView{}},
		{"200 null", always(200, "null"), dr.OK, "", 0, "200", "", dr.ServiceView{}},
		{"204", always(204, ""), dr.OK, "", 0, "204", "", dr.ServiceView{}},
		{"200 Succeeded", always(200, `{"status":"Succeeded"}`), dr.OK, "", 0, "200 Succeeded", "", dr.ServiceView{}},
		{"200 with a status of the wrong type", always(200, `{"status":7,"properties":{"provisioningState":"Succeeded"}}`), dr.OK, "", 0, "200 Succeeded", "", dr.ServiceView{}},
		{"200 InProgress", always(200, `{"status":"InProgress"}`, "Retry-After", "20"), dr.Still, location, 20 * time.Second, "InProgress", "", dr.ServiceView{}},
		{"200 Running", always(200, `{"status":"Running"}`, "Location", later), dr.Still, later, 0, "Running", "", dr.ServiceView{}},
		{"200 Accepted", always(200, `{"status":"Accepted"}`), dr.Still, location, 0, "Accepted", "", dr.ServiceView{}},
		{"200 Updating", always(200, strings.Replace(resource, "Succeeded", "Updating", 1)), dr.Still, location, 0, "Updating", "",
			dr.ServiceView{ETag: "AAAAAAAwYss=", State: "Updating", SKU: "Developer", Capacity: 1, Region: "West Europe", MinVersion: "2019-01-01", Settings: &dr.Settings{}}},
		{"200 Failed", always(200, `{"status":"Failed","error":{"code":"RestoreFailed","message":"Cannot restore: backup expired"}}`), dr.No, "", 0, "", "RestoreFailed: Cannot restore: backup expired", dr.ServiceView{}},
		{"200 failed without a reason", always(200, `{"properties":{"provisioningState":"failed"}}`), dr.No, "", 0, "", "failed: ARM gave no reason", dr.ServiceView{}},
		{"200 Cancelled", always(200, `{"status":"Cancelled"}`), dr.No, "", 0, "", "Cancelled: ARM gave no reason", dr.ServiceView{}},
		{"200 Canceled", always(200, `{"status":"Canceled","error":null}`), dr.No, "", 0, "", "Canceled: ARM gave no reason", dr.ServiceView{}},
		{"200 from a proxy", always(200, "<html>sign in</html>", "Content-Type", "text/html"), dr.Later, "", 0, "not an answer of ARM", "", dr.ServiceView{}},
		{"200 cut off", always(200, resource[:40]), dr.Later, "", 0, "not an answer of ARM", "", dr.ServiceView{}},
		{"200 a list", always(200, "[]"), dr.Later, "", 0, "not an answer of ARM", "", dr.ServiceView{}},
		{"200 without end", always(200, `{"x":"`+strings.Repeat("y", maxBody)+`"}`), dr.Later, "", 0, "longer than", "", dr.ServiceView{}},
		{"201", always(201, resource), dr.Later, "", 0, "201", "Http201: Created, without an error text", dr.ServiceView{}},
		{"302", always(302, "", "Location", later), dr.Refused, "", 0, "", "Http302: Found, without an error text", dr.ServiceView{}},
		{"400 RestoreFailed", always(400, armBody("RestoreFailed", "Cannot restore: current SKU is 'StandardV2', backup SKU is 'Standard'")), dr.No, "", 0, "400 RestoreFailed",
			"RestoreFailed: Cannot restore: current SKU is 'StandardV2', backup SKU is 'Standard'", dr.ServiceView{}},
		{"400 in the old shape", always(400, `{"code":"ActivationFailed","message":"a\r\nb","details":null,"innerError":null}`), dr.No, "", 0, "", "ActivationFailed: a\r\nb", dr.ServiceView{}},
		{"400 with details", always(400, `{"error":{"code":"InvalidParameters","message":"several","details":[{"code":"A","message":"one"},{"code":"InvalidParameters","message":"two","target":"x"},{"message":"three","details":[{"code":"B","message":"four"}]}]}}`),
			dr.No, "", 0, "", "InvalidParameters: several\nA: one\ntwo\nthree\nB: four", dr.ServiceView{}},
		{"422", always(422, armBody("ManagementApiRequestFailed", "x")), dr.No, "", 0, "", "ManagementApiRequestFailed: x", dr.ServiceView{}},
		{"400 about the api-version", always(400, armBody("InvalidApiVersionParameter", "x")), dr.Refused, "", 0, "", "InvalidApiVersionParameter: x", dr.ServiceView{}},
		{"400 no api-version", always(400, armBody("MissingApiVersionParameter", "x")), dr.Refused, "", 0, "", "MissingApiVersionParameter: x", dr.ServiceView{}},
		{"400 about the type", always(400, armBody("InvalidResourceType", "x")), dr.Refused, "", 0, "", "InvalidResourceType: x", dr.ServiceView{}},
		{"400 of the front door", always(400, armBody("BadRequest", "x"), "x-ms-failure-cause", "gateway"), dr.Refused, "", 0, "", "BadRequest: x", dr.ServiceView{}},
		{"400 of the service", always(400, armBody("BadRequest", "x"), "x-ms-failure-cause", "service"), dr.No, "", 0, "", "BadRequest: x", dr.ServiceView{}},
		{"400 empty", always(400, ""), dr.Refused, "", 0, "", "Http400: Bad Request, without an error text", dr.ServiceView{}},
		{"400 without a code", always(400, `{"Message":"no action was found"}`), dr.Refused, "", 0, "", "Http400: no action was found", dr.ServiceView{}},
		{"400 with an error of another shape", always(400, `{"error":"invalid_request","error_description":"x"}`), dr.Refused, "", 0, "", "Http400: Bad Request, without an error text", dr.ServiceView{}},
		{"400 from a proxy", always(400, "<html>\n bad</html>", "Content-Type", "text/html"), dr.Refused, "", 0, "", "Http400: Bad Request, not an answer of ARM: <html> bad</html>", dr.ServiceView{}},
		{"403", always(403, armBody("AuthorizationFailed", "x")), dr.Refused, "", 0, "", "AuthorizationFailed: x", dr.ServiceView{}},
		{"404", always(404, `{"code":"ServiceNotFound","message":"x"}`), dr.Refused, "", 0, "", "ServiceNotFound: x", dr.ServiceView{}},
		{"410", always(410, ""), dr.Refused, "", 0, "", "Http410: Gone, without an error text", dr.ServiceView{}},
		{"401", always(401, armBody("ExpiredAuthenticationToken", "x")), dr.Later, "", 0, "401 Expired", "ExpiredAuthenticationToken: x", dr.ServiceView{}},
		{"408", always(408, ""), dr.Later, "", 0, "408", "Http408: Request Timeout, without an error text", dr.ServiceView{}},
		{"409", always(409, armBody("ServiceLocked", "x")), dr.Later, "", 0, "409 ServiceLocked", "ServiceLocked: x", dr.ServiceView{}},
		{"429", always(429, armBody("TooManyRequests", "x"), "Retry-After", "23"), dr.Later, "", 23 * time.Second, "429", "TooManyRequests: x", dr.ServiceView{}},
		{"500", always(500, armBody("InternalServerError", "x")), dr.Later, "", 0, "500", "InternalServerError: x", dr.ServiceView{}},
		{"503", always(503, "<html>", "Retry-After", start.Add(time.Minute).Format(http.TimeFormat)), dr.Later, "", time.Minute, "503", "Http503: Service Unavailable, not an answer of ARM: <html>", dr.ServiceView{}},
		{"out of reach", func(*http.Request) (*http.Response, error) { return nil, io.EOF }, dr.Later, "", 0, "EOF", "", dr.ServiceView{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := with(t, tt.answer).Check(t.Context(), location)
			if a.Verdict != tt.want || a.Location != tt.location || a.Retry != tt.retry || !reflect.DeepEqual(a.Service, tt.view) || !strings.Contains(a.Reason, tt.reason) || a.Verdict == dr.OK && a.Reason != tt.reason {
				t.Errorf("%+v", a)
			}
			got := ""
			if a.Error != nil {
				got = a.Error.String()
			}
			if got != tt.err {
				t.Errorf("error %q, want %q", got, tt.err)
			}
		})
	}
}

func TestALongErrorOfARMComesOutWhole(t *testing.T) {
	long := strings.Repeat("Cannot restore. ", 4000) // 64,000 bytes
	if a := with(t, always(400, armBody("RestoreFailed", long))).Check(t.Context(), location); a.Verdict != dr.No || a.Error.Message != long || len(a.Reason) > 1100 {
		t.Errorf("%s, %d bytes, reason %d bytes", a.Verdict, len(a.Error.Message), len(a.Reason))
	}
	if a := with(t, always(400, armBody("RestoreFailed", long+long))).Check(t.Context(), location); a.Verdict != dr.Refused || len(a.Error.Message) > 1100 {
		t.Errorf("beyond 64 KiB: %s, %d bytes", a.Verdict, len(a.Error.Message))
	}
}

func TestNoMoreOfABodyIsReadThanItsBound(t *testing.T) {
	for status, bound := range map[int]int64{200: maxBody, 202: maxBody, 400: maxErrorBody, 503: maxErrorBody} {
		body := strings.NewReader(strings.Repeat(" ", 4*maxBody))
		with(t, func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Body: io.NopCloser(body)}, nil
		}).Check(t.Context(), location)
		if read := body.Size() - int64(body.Len()); read != bound+1 {
			t.Errorf("%d: %d bytes read, want %d", status, read, bound+1)
		}
	}
}

func TestCheckGivesUpOnASilentRegion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		a := with(t, func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }).Check(t.Context(), location)
		if took := time.Since(began); a.Verdict != dr.Later || took != getWithin {
			t.Errorf("%+v after %s", a, took)
		}
	})
}

func TestRetryAfterForms(t *testing.T) {
	c := with(t, always(200, ""))
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "60": time.Minute, "3600": time.Hour, "86400": maxRetry, "99999999999999999999999": maxRetry, "-5": 0, "1.5": 0, "soon": 0,
		"Fri, 02 Jan 2026 03:01:30 GMT":     90 * time.Second,
		"Friday, 02-Jan-26 03:00:30 GMT":    30 * time.Second,
		"Fri Jan  2 03:00:10 2026":          10 * time.Second,
		"Fri, 02 Jan 2026 02:00:00 GMT":     0,
		"Sat, 03 Jan 2026 03:00:00 GMT":     maxRetry,
		"Fri, 32 Jan 2026 03:00:00 GMT":     0,
		"2026-01-02T03:00:10Z":              0,
		" 60":                               0, // net/http trims the header
		"60, 120":                           0,
		"Fri, 02 Jan 2026 03:01:30 GMT+1:0": 0,
	} {
		if got := c.retryAfter(http.Header{"Retry-After": {text}}); got != want {
			t.Errorf("Retry-After %q: %s, want %s", text, got, want)
		}
	}
}

func TestServiceVerdicts(t *testing.T) {
	old := `{"type":"Microsoft.ApiManagement/service","location":"Central US","properties":{"sku":{"name":"Developer","capacity":2},"provisioningState":"Updating"}}`
	for _, tt := range []struct {
		name   string
		answer transport
		want   dr.Verdict
		retry  time.Duration
		view   dr.ServiceView
		text   string // part of reason or error
	}{
		{"200", always(200, resource), dr.OK, 0, shown, ""},
		{"200 as in 2014, etag in the header", always(200, old, "ETag", `"AAE="`), dr.OK, 0, dr.ServiceView{ETag: "AAE=", State: "Updating", SKU: "Developer", Capacity: 2, Region: "Central US", Settings: &dr.Settings{}}, ""},
		{"200 of something else", always(200, `{"type":"Microsoft.Storage/storageAccounts","properties":{"provisioningState":"Succeeded"}}`), dr.Later, 0, dr.ServiceView{}, "no API Management instance"},
		{"200 from a proxy", always(200, "<html>"), dr.Later, 0, dr.ServiceView{}, "no API Management instance"},
		{"202", always(202, resource), dr.Later, 0, dr.ServiceView{}, "202"},
		{"302", always(302, "", "Location", azure), dr.Later, 0, dr.ServiceView{}, "302"},
		{"400", always(400, armBody("InvalidApiVersionParameter", "raise it")), dr.No, 0, dr.ServiceView{}, "raise it"},
		{"401", always(401, armBody("InvalidAuthenticationToken", "wrong audience")), dr.No, 0, dr.ServiceView{}, "wrong audience (Check the identity"},
		{"403", always(403, armBody("AuthorizationFailed", "no read")), dr.No, 0, dr.ServiceView{}, "no read (Give the identity"},
		{"404 of the front door", always(404, armBody("ResourceNotFound", "was not found.")), dr.No, 0, dr.ServiceView{}, "was not found. (Check the instance's id"},
		{"404 in the old shape", always(404, `{"code":"ServiceNotFound","message":"Api service does not exist: contoso-eu"}`), dr.No, 0, dr.ServiceView{}, "does not exist: contoso-eu (Check"},
		{"404 from a proxy", always(404, "<html>lost"), dr.No, 0, dr.ServiceView{}, "<html>lost (Check"},
		{"408", always(408, ""), dr.Later, 0, dr.ServiceView{}, "408"},
		{"429", always(429, "", "Retry-After", "9"), dr.Later, 9 * time.Second, dr.ServiceView{}, "429"},
		{"500", always(500, ""), dr.Later, 0, dr.ServiceView{}, "500"},
		{"503", always(503, armBody("ServerTimeout", "region is away")), dr.Later, 0, dr.ServiceView{}, "503 ServerTimeout: region is away"},
		{"out of reach", func(*http.Request) (*http.Response, error) { return nil, io.EOF }, dr.Later, 0, dr.ServiceView{}, "EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var url string
			a := with(t, func(r *http.Request) (*http.Response, error) { url = r.URL.String(); return tt.answer(r) }).Service(t.Context(), instance)
			if a.Service.Settings != nil {
				a.Service.Settings.Resource = nil // see TestTheResourceIsKeptWithoutSecrets
			}
			text := a.Reason
			if a.Error != nil {
				text += a.Error.Message
			}
			if a.Verdict != tt.want || a.Retry != tt.retry || !reflect.DeepEqual(a.Service, tt.view) || !strings.Contains(text, tt.text) {
				t.Errorf("%+v (%s)", a, text)
			}
			if url != azure+instance+"?api-version=2024-05-01" {
				t.Errorf("asked %s", url)
			}
			if strings.HasPrefix(tt.name, "404") && a.Error.Status != 404 { // a plan tells a missing instance from others by it
				t.Errorf("status %d", a.Error.Status)
			}
		})
	}
}

// A record holds the error twice and must stay readable.
func TestAnErrorOfAnySizeStaysStorable(t *testing.T) {
	big := strings.Repeat("x", 400_000)
	c := newClient(t, options(always(200, `{"status":"Failed","error":{"code":"`+big+`","message":"`+big+`"}}`)))
	a := c.Check(t.Context(), location)
	if a.Verdict != dr.No || len(a.Error.Code) > 2000 || len(a.Error.Message) > 70_000 {
		t.Errorf("%s, code of %d bytes, message of %d", a.Verdict, len(a.Error.Code), len(a.Error.Message))
	}
}
