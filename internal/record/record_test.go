package record

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"apim-dr/internal/mask"
)

const azure = "https://management.azure.com"

// What must not be told: names, which the recorder learns or is told, and what opens something.
const (
	subscription = "5f3a7c1e-9b2d-4e6f-8a1b-2c3d4e5f6a7b"
	tenant       = "c0ffee00-1234-4abc-9def-0123456789ab"
	group        = "rg-fabrikam-prod"
	service      = "fabrikam-apim-weu"
	account      = "fabrikambackups"
	container    = "nightly-of-fabrikam"
	backup       = "20260131-backup-3e23e8160039594a3389-s0-a1"
	operationID  = "d2VzdGV1cm9wZTpmYWJyaWthbS1hcGltLXdldV9CYWNrdXBfNmVjZDdkN2Y="
	storageKey   = "Y29udG9zby1rZXktY2FuYXJ5LWNvbnRvc28ta2V5LWNhbmFyeQ=="
	bearer       = "eyJhbGciOiJub25lIn0.eyJvaWQiOiJhbm4ifQ.c2lnbmF0dXJl"
	signature    = "bWFkZSBmb3IgdGhlIHRlc3Q%3D"
	mail         = "ann.miller@fabrikam.example"
	gateway      = "fabrikam-apim-weu.azure-api.net"
	custom       = "api.fabrikam.example"
	tag          = "costcenter4711"
	identity     = "id-fabrikam-apim"
	address      = "20.103.77.41"
	instance     = "/subscriptions/" + subscription + "/resourceGroups/" + group + "/providers/Microsoft.ApiManagement/service/" + service
)

var all = []string{subscription, tenant, group, service, account, container, backup, operationID, storageKey, bearer, signature, mail, gateway, custom, tag, identity, address,
	"ann.miller", strings.TrimRight(operationID, "="), operationID[:20], storageKey[:20], "c2lnbmF0dXJl", "bWFkZSBmb3Ig"}

// forms are the ways in which a text can stand in another one.
func forms(text string) []string {
	escaped, _ := json.Marshal(text)
	list := []string{text, strings.ToUpper(text), url.QueryEscape(text), url.PathEscape(text), html.EscapeString(text), string(escaped[1 : len(escaped)-1]),
		fmt.Sprintf("%x", text), base64.StdEncoding.EncodeToString([]byte(text)), base64.URLEncoding.EncodeToString([]byte(text))}
	for i := range min(3, len(text)-6) { // within other text in base64
		part := text[i:]
		part = part[:len(part)/3*3]
		if len(part) >= 6 {
			list = append(list, base64.StdEncoding.EncodeToString([]byte(part)))
		}
	}
	return list
}

func clean(t *testing.T, output string) {
	t.Helper()
	output = strings.ToLower(output)
	for _, secret := range append([]string{"fabrikam"}, all...) { // that word alone is none of the names
		for _, form := range forms(secret) {
			if at := strings.Index(output, strings.ToLower(form)); at >= 0 {
				t.Errorf("%q is told as %q: %s", secret, form, output[max(0, at-80):min(len(output), at+120)])
			}
		}
	}
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func reply(status int, body string, headers ...string) transport {
	return func(*http.Request) (*http.Response, error) {
		h := http.Header{}
		for i := 0; i < len(headers); i += 2 {
			h.Set(headers[i], headers[i+1])
		}
		return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}, nil
	}
}

var began = time.Date(2026, 1, 31, 11, 2, 0, 0, time.UTC)

func recorder() *Recorder {
	r := New(Options{Endpoint: azure, Mask: mask.New(storageKey, bearer).Text, Now: func() time.Time { return began }})
	r.KnowID(instance)
	r.Know(Account, account)
	r.Know(Container, container)
	return r
}

// pass sends a request through the recorder to an answer and returns what the caller got.
func (r *Recorder) pass(t *testing.T, method, address, body string, next transport) string {
	t.Helper()
	r.o.Next = next
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, address, content)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	resp, err := r.RoundTrip(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return string(text) + err.Error()
	}
	return string(text)
}

// disk is a file that may be full.
type disk struct {
	text []byte
	full bool
}

func (d *disk) WriteAt(p []byte, at int64) (int, error) {
	if d.full {
		p = p[:len(p)/2]
	}
	d.text = append(d.text[:min(int(at), len(d.text))], p...)
	if d.full {
		return len(p), errors.New("no space left")
	}
	return len(p), nil
}

func (r *Recorder) text(t *testing.T) string {
	t.Helper()
	var file disk
	r.WriteInto(&file)
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	return string(file.text)
}

func TestTheFileIsWholeAfterEachAnswer(t *testing.T) {
	r := recorder()
	file := &disk{}
	r.WriteInto(file)
	for i := range 9 {
		file.full = i == 3 || i == 4 || i == 8
		r.pass(t, "GET", azure+instance, "", reply(200, `{"properties":{"provisioningState":"Succeeded"}}`))
		var list []Exchange
		if err := json.Unmarshal(file.text, &list); !file.full && (err != nil || len(list) != i+1) {
			t.Errorf("after %d answers %d are there, %v: %s", i+1, len(list), err, file.text)
		}
	}
	if err := r.Flush(); err == nil {
		t.Error("a full disk is not told of")
	}
	file.full = false
	var list []Exchange
	if err := errors.Join(r.Flush(), r.Flush(), json.Unmarshal(file.text, &list)); err != nil || len(list) != 9 {
		t.Errorf("%d are there, %v: %s", len(list), err, file.text)
	}
}

func TestWhatTellsWhoseItIsStandsNowhere(t *testing.T) {
	r := recorder()
	base := azure + instance
	location := base + "//operationresults/" + operationID + "?api-version=2024-05-01"
	r.pass(t, "POST", base+"/backup?api-version=2024-05-01", `{"storageAccount":"`+account+`","containerName":"`+container+`","backupName":"`+backup+`","accessType":"AccessKey","accessKey":"`+storageKey+`","clientId":"`+tenant+`","`+tag+`":"`+mail+`"}`,
		reply(202, "", "Location", location, "Azure-AsyncOperation", "https://"+custom+"/"+tenant+"?sig="+signature, "Retry-After", "60", "Set-Cookie", bearer, "X-Ms-Request-Id", tenant, "WWW-Authenticate", bearer))
	r.pass(t, "GET", location, "", reply(202, "", "Location", azure+"/subscriptions/"+subscription+"/providers/Microsoft.ApiManagement/locations/westeurope/operationsStatuses/"+operationID+
		"?api-version=2024-05-01&t=639&c="+bearer+"&s="+signature+"&h="+tag+"&"+tag+"="+mail, "ETag", `"`+tag+`"`))
	// every text in every place that a body has
	for i, secret := range slices.Concat(all, forms(service), forms(storageKey), forms(account)) {
		quoted, _ := json.Marshal(secret)
		in := func(format string) string { return strings.ReplaceAll(format, "%", string(quoted)) }
		word, _ := json.Marshal("Group 'fabrikam' in [fabrikam]: the client '" + secret + "' over scope '" + instance + "' or \"" + secret + "\" [" + secret + "] (value: " + secret + ") user=" + secret + ", " + secret + ": " + base + "?sig=" + secret + ".")
		body := in(`{"id":%,"name":%,"type":%,"location":%,"etag":%,"status":%,"tags":{%:%,"fabrikam":"fabrikam"},%:%,"zones":[%],"identity":{"type":%,"principalId":%,"userAssignedIdentities":{%:{"clientId":%},"fabrikam":{"name":"fabrikam"}}},
			"sku":{"name":%,"capacity":1,%:%},"properties":{"provisioningState":%,"targetProvisioningState":%,"gatewayUrl":%,"publisherEmail":%,"publicIPAddresses":[%],"customProperties":{%:%,"fabrikam":["fabrikam"]},
			"hostnameConfigurations":[{"hostName":%}],"apiVersionConstraint":{"minApiVersion":%},"createdAtUtc":%,%:%},"value":[%,{"id":%,"name":%,"properties":{"serviceId":%,%:%},"actions":[%],"notActions":[%]}],"nextLink":%,
			"error":{"code":%,"message":`) + string(word) + in(`,"target":%,"details":[{"code":%,"message":%,"additionalInfo":[{"info":%}]}],"innerError":{%:%}}}`)
		if !json.Valid([]byte(body)) {
			t.Fatal(body)
		}
		if got := r.pass(t, "GET", base+"?api-version=2024-05-01", "", reply(200+i%2*200, body, "Content-Type", secret, "Retry-After", secret, "Content-Length", secret, "X-Ms-Failure-Cause", secret)); got != body {
			t.Fatalf("the caller got another body: %s", got)
		}
		r.pass(t, "GET", base+"/"+url.PathEscape(secret)+"?"+url.QueryEscape(secret)+"="+url.QueryEscape(secret), "", reply(502, "<html>"+secret, "Location", secret, "Azure-AsyncOperation", "http://"+secret+"/"+secret))
		r.pass(t, "GET", base, "", func(*http.Request) (*http.Response, error) { return nil, errors.New(secret) })
		r.pass(t, "POST", base+"/restore", secret, reply(200, secret))
		r.pass(t, "POST", base+"/restore", string(quoted), reply(200, string(quoted)))
	}
	output := r.text(t)
	clean(t, output)
	clean(t, strings.Join(r.Findings(), "\n"))
	var back []Exchange
	if err := json.Unmarshal([]byte(output), &back); err != nil || len(back) < 200 {
		t.Errorf("%d exchanges, %v", len(back), err)
	}
}

func TestWhatMattersStays(t *testing.T) {
	r := recorder()
	base := azure + instance
	first, later := base+"//operationresults/"+operationID[:59]+"%3D?api-version=2024-05-01", base+"/operationresults/"+operationID+"?api-version=2024-05-01"
	r.pass(t, "POST", base+"/backup?api-version=2024-05-01", `{"storageAccount":"`+account+`","containerName":"`+container+`","backupName":"`+backup+`","accessType":"AccessKey","accessKey":"`+storageKey+`"}`,
		reply(202, "", "Location", first, "Retry-After", "60", "Date", "Sat, 31 Jan 2026 11:02:07 GMT", "Content-Length", "0"))
	r.pass(t, "GET", first, "", reply(202, "", "Location", later, "Retry-After", "60"))
	r.pass(t, "GET", later, "", reply(200, `{"id":"`+instance+`","name":"`+service+`","type":"Microsoft.ApiManagement/service","etag":"AAAAAAA=","location":"West Europe","sku":{"name":"Developer","capacity":1},
		"properties":{"provisioningState":"Succeeded","gatewayUrl":"https://`+gateway+`"}}`, "ETag", `"AAAAAAA="`))
	r.pass(t, "GET", base+"?api-version=2024-05-01", "", reply(409, `{"error":{"code":"ServiceLocked","message":"The API Service `+service+` is transitioning at this time. Please try the request again later.","details":null}}`))
	r.pass(t, "GET", base+"?api-version=2024-05-01", "", reply(400, `{"error":{"code":"RestoreFailed","message":"Cannot restore: current SKU is 'StandardV2', backup SKU is 'Standard'\r\nParameter name: backupContainerName (value: [`+container+`])"}}`))
	const id = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/group-1/providers/Microsoft.ApiManagement/service/service-1"
	at := "Sat, 31 Jan 2026 11:02:00 GMT"
	want := `[
{"method":"POST","url":"` + azure + id + `/backup?api-version=2024-05-01","requestBody":{"accessKey":"REDACTED","accessType":"AccessKey","backupName":"backup-1","containerName":"container-1","storageAccount":"account-1"},"status":202,"responseHeaders":{"content-length":"0","date":"Sat, 31 Jan 2026 11:02:07 GMT","location":"` + azure + id + `//operationresults/operation-1%3D?api-version=2024-05-01","retry-after":"60"},"responseBody":null,"date":"Sat, 31 Jan 2026 11:02:07 GMT"},
{"method":"GET","url":"` + azure + id + `//operationresults/operation-1%3D?api-version=2024-05-01","requestBody":null,"status":202,"responseHeaders":{"location":"` + azure + id + `/operationresults/operation-1=?api-version=2024-05-01","retry-after":"60"},"responseBody":null,"date":"` + at + `"},
{"method":"GET","url":"` + azure + id + `/operationresults/operation-1=?api-version=2024-05-01","requestBody":null,"status":200,"responseHeaders":{"etag":"etag-1"},"responseBody":{"etag":"etag-1","id":"` + id + `","location":"West Europe","name":"service-1","properties":{"gatewayUrl":"REDACTED","provisioningState":"Succeeded"},"sku":{"capacity":1,"name":"Developer"},"type":"Microsoft.ApiManagement/service"},"date":"` + at + `"},
{"method":"GET","url":"` + azure + id + `?api-version=2024-05-01","requestBody":null,"status":409,"responseHeaders":{},"responseBody":{"error":{"code":"ServiceLocked","details":null,"message":"The API Service service-1 is transitioning at this time. Please try the request again later."}},"date":"` + at + `"},
{"method":"GET","url":"` + azure + id + `?api-version=2024-05-01","requestBody":null,"status":400,"responseHeaders":{},"responseBody":{"error":{"code":"RestoreFailed","message":"Cannot restore: current SKU is 'StandardV2', backup SKU is 'Standard'\r\nParameter name: backupContainerName (value: [container-1])"}},"date":"` + at + `"}
]
`
	if got := r.text(t); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	found := strings.Join(r.Findings(), "\n")
	for _, text := range []string{
		"backup: the POST got 202 with an empty body, Retry-After 60", "backup: its Location is of the form operationresults, double slash, without an Azure-AsyncOperation",
		"backup: 2 polls, 1 got 202, 1 got 200 (Retry-After 60)", "their Locations: operationresults, single slash; the operation's results could be read",
		"backup: the last answer was 200 with the instance, provisioningState Succeeded", "never showed Updating; it showed HTTP 409 (1), HTTP 400 (1)",
	} {
		if !strings.Contains(found, text) {
			t.Errorf("no %q in\n%s", text, found)
		}
	}
}

func TestDifferentNamesStayDifferentAndEqualOnesEqual(t *testing.T) {
	r := recorder()
	ask := func(path string) string {
		r.pass(t, "GET", azure+path, "", reply(200, ""))
		return r.all[len(r.all)-1].URL
	}
	one, other := ask(instance), ask(strings.Replace(instance, service, "fabrikam-apim-neu", 1))
	if one == other || ask(strings.ToUpper(instance)) == one || !strings.EqualFold(ask(strings.ToUpper(instance)), one) {
		t.Errorf("%s %s %s", one, other, ask(strings.ToUpper(instance)))
	}
	if a, b := ask(instance+"/operationresults/YQ=="), ask(instance+"/operationresults/Yg=="); a == b || !strings.HasSuffix(a, "==") {
		t.Errorf("%s %s", a, b)
	}
	if a, b := ask(instance+"?s=YQ"), ask(instance+"?s=Yg"); a == b || a != ask(instance+"?s=YQ") {
		t.Errorf("%s %s", a, b)
	}
	r.Know(Group, "service") // a name that is a word of ours
	if got := ask("/subscriptions/x/resourceGroups/service/providers/Microsoft.ApiManagement/service/service"); !strings.HasSuffix(got, "/resourceGroups/group-2/providers/Microsoft.ApiManagement/service/service-3") {
		t.Error(got)
	}
}

func TestAShortNameCountsOnlyWhereItStandsAlone(t *testing.T) {
	r := recorder()
	r.Know(Group, "dev")
	r.pass(t, "GET", azure+instance, "", reply(400, `{"sku":{"name":"Developer"},"error":{"code":"X","message":"The developer of dev, /subscriptions/x/resourceGroups/DEV."}}`))
	got := r.text(t)
	if !strings.Contains(got, `"Developer"`) || !strings.Contains(got, `The developer of group-2, /subscriptions/00000000-0000-0000-0000-000000000002/resourceGroups/group-2.`) {
		t.Error(got)
	}
}

// Recordings hold names already that are nobody's; here they are somebody's.
func TestTheRecordingsLoseTheirNamesAndKeepTheirForm(t *testing.T) {
	files, err := filepath.Glob("../apim/testdata/recordings/*.json")
	if err != nil || len(files) < 9 {
		t.Fatalf("%d recordings, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var list []struct {
			Method, URL     string
			RequestBody     json.RawMessage
			Status          int
			ResponseHeaders map[string]string
			ResponseBody    json.RawMessage
		}
		if err := json.Unmarshal(text, &list); err != nil {
			t.Fatal(err)
		}
		r := New(Options{Endpoint: azure, Mask: mask.New().Text, Now: time.Now})
		for _, x := range list { // names in bodies that no URL has said yet
			at, _, _ := strings.Cut(strings.TrimPrefix(x.URL, azure), "?")
			r.KnowID(at)
		}
		names := map[string]bool{}
		for _, x := range list {
			var headers []string
			for name, value := range x.ResponseHeaders {
				headers = append(headers, name, value)
			}
			null := func(b json.RawMessage) string { return strings.TrimPrefix(string(b), "null") }
			r.pass(t, x.Method, x.URL, null(x.RequestBody), reply(x.Status, null(x.ResponseBody), headers...))
			segments := strings.Split(x.URL, "/")
			names[segments[4+2]], names[strings.Split(segments[10], "?")[0]] = true, true
			var body map[string]any
			_ = json.Unmarshal(x.RequestBody, &body) // there may be none
			for _, key := range []string{"storageAccount", "containerName", "backupName"} {
				if name, ok := body[key].(string); ok {
					names[name] = true
				}
			}
		}
		got := r.text(t)
		for name := range names {
			if strings.Contains(got, name) && !slices.Contains([]string{Redacted, "REDACTED_STORAGE_ACCOUNT"}, name) {
				t.Errorf("%s: %s is told", filepath.Base(file), name)
			}
		}
		back := r.Exchanges()
		for i, x := range list {
			form := func(text string) string {
				return fmt.Sprint(strings.Count(text, "/"), strings.Contains(text, "//op"), strings.Contains(text, "%3D"))
			}
			if b := back[i]; b.Status != x.Status || form(b.URL) != form(x.URL) || b.ResponseHeaders["retry-after"] != x.ResponseHeaders["retry-after"] ||
				form(b.ResponseHeaders["location"]) != form(x.ResponseHeaders["location"]) || b.Date != x.ResponseHeaders["date"] {
				t.Errorf("%s %d: %+v", filepath.Base(file), i, b)
			}
			var was, is struct {
				Code, Message string
				Error         struct{ Code, Message string }
			}
			kept, _ := json.Marshal(back[i].ResponseBody)
			if json.Unmarshal(x.ResponseBody, &was) == nil && json.Unmarshal(kept, &is) == nil && (is.Code != was.Code || is.Error.Code != was.Error.Code || (is.Error.Message == "") != (was.Error.Message == "")) {
				t.Errorf("%s %d: %s", filepath.Base(file), i, kept)
			}
		}
	}
}

func TestLongAndBrokenAnswersAreBoundedAndReachTheCaller(t *testing.T) {
	r := recorder()
	long := strings.Repeat("x", maxBody+10)
	if got := r.pass(t, "GET", azure, "", reply(200, long)); got != long {
		t.Errorf("%d bytes of %d", len(got), len(long))
	}
	broken := func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: io.NopCloser(io.MultiReader(strings.NewReader(`{"a":`), again{err: io.ErrUnexpectedEOF}))}, nil
	}
	if got := r.pass(t, "GET", azure, "", broken); got != `{"a":unexpected EOF` {
		t.Error(got)
	}
	for i, want := range []string{"longer than", "not whole, 5 bytes"} {
		if got := fmt.Sprint(r.all[i].ResponseBody); !strings.Contains(got, want) {
			t.Error(got)
		}
	}
	for range maxExchanges {
		r.pass(t, "GET", azure, "", reply(200, ""))
	}
	if found := strings.Join(r.Findings(), "\n"); len(r.Exchanges()) != maxExchanges || !strings.Contains(found, "2 requests more") {
		t.Errorf("%d exchanges, %s", len(r.Exchanges()), found)
	}
}

// The 2024-05-01 swagger writes operationStatuses (OperationStatus_Get), a create was seen at operationsStatuses.
func TestBothSpellingsOfANewerPlaceArePolls(t *testing.T) {
	for _, word := range []string{"operationsStatuses", "operationStatuses"} {
		r := recorder()
		location := azure + "/subscriptions/" + subscription + "/providers/Microsoft.ApiManagement/locations/westeurope/" + word + "/" + operationID + "?api-version=2024-05-01"
		r.pass(t, "POST", azure+instance+"/backup?api-version=2024-05-01", "{}", reply(202, "", "Location", location))
		r.pass(t, "GET", location, "", reply(200, `{"status":"Succeeded"}`))
		found := strings.Join(r.Findings(), "\n")
		if !strings.Contains(found, "of the form "+word) || !strings.Contains(found, "1 polls") || !strings.Contains(r.Exchanges()[1].URL, "/locations/westeurope/"+word+"/operation-1") {
			t.Errorf("%s: %s\n%s", word, r.Exchanges()[1].URL, found)
		}
		clean(t, found)
	}
}

// The style of newer operations, and refusals: what a run in Azure may show.
func TestFindingsOfWhatNobodyHasSeenYet(t *testing.T) {
	r := recorder()
	location := azure + "/subscriptions/" + subscription + "/providers/Microsoft.ApiManagement/locations/westeurope/operationsStatuses/" + tenant + "?api-version=2024-05-01&t=1&c=2&s=" + signature + "&h=4"
	post := func(next transport) {
		r.pass(t, "POST", azure+instance+"/backup?api-version=2024-05-01", "{}", next)
	}
	post(reply(202, "{}", "Location", location, "Azure-AsyncOperation", location))
	r.pass(t, "GET", azure+instance+"?api-version=2024-05-01", "", reply(200, `{"properties":{"provisioningState":"Updating"}}`))
	r.pass(t, "GET", location, "", reply(200, `{"status":"InProgress"}`, "Retry-After", "20"))
	r.pass(t, "GET", location, "", reply(403, `{"error":{"code":"AuthorizationFailed","message":"no"}}`))
	r.pass(t, "GET", location, "", reply(200, `{"status":"Succeeded"}`))
	post(func(*http.Request) (*http.Response, error) { return nil, io.EOF })
	post(reply(202, "", "Location", "https://"+custom+instance+"/operationresults/"+operationID))
	found := strings.Join(r.Findings(), "\n")
	for _, text := range []string{
		"the POST got 202 with a body without a state, no Retry-After", "of the form operationsStatuses, single slash, signed, beside an Azure-AsyncOperation",
		"3 polls, 2 got 200, 1 got 403 (Retry-After 20; no Retry-After); 0s from the POST", "refused 1 times", "the last answer was 200 with a body that says status Succeeded",
		"the instance showed Updating (1)", "backup: the POST got no answer", "of the form operationresults, single slash, on another host", "no Location came with it", "it was not polled", "nobody looked at the instance meanwhile",
	} {
		if !strings.Contains(found, text) {
			t.Errorf("no %q in\n%s", text, found)
		}
	}
	clean(t, found)
}

// What nobody has named before is told apart from plain words by its place: in a resource's type, in typographic quotes, beside a quote that has no other.
func TestAMessageTellsNoNameThatOnlyItHas(t *testing.T) {
	for text, want := range map[string]string{
		"The Resource 'Microsoft.ApiManagement/service/tailspin' was not found.":                                                                       "The Resource 'REDACTED' was not found.",
		"No Microsoft.ApiManagement/service/tailspin/backup there":                                                                                     "No REDACTED there",
		"“Ann Tailspin Miller” and ‘Ann Tailspin Miller’ isn’t «Ann Tailspin Miller»":                                                                  `"REDACTED" and 'REDACTED' isn't "REDACTED"`,
		"said 'no and 'tailspin' or <tailspin> {tailspin} ('tailspin\n'Ann\nTailspin' [tailspin\ntailspin]":                                            "said 'REDACTED' or <REDACTED> {REDACTED} ('REDACTED\n'REDACTED\nREDACTED' [REDACTED\nREDACTED]",
		"to perform 'Microsoft.ApiManagement/service/backup/action' on Microsoft.ApiManagement/service and Microsoft.ApiManagement/service/workspaces": "to perform 'Microsoft.ApiManagement/service/backup/action' on Microsoft.ApiManagement/service and Microsoft.ApiManagement/service/workspaces",
	} {
		if got := recorder().names.message(text); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
		}
	}
}
