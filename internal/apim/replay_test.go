package apim

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"apim-dr/internal/dr"
)

// exchange is one request and its answer as recorded.
type exchange struct {
	Method          string            `json:"method"`
	URL             string            `json:"url"`
	RequestBody     map[string]any    `json:"requestBody"`
	Status          int               `json:"status"`
	ResponseHeaders map[string]string `json:"responseHeaders"`
	ResponseBody    json.RawMessage   `json:"responseBody"`
}

// recorded are the verdicts of the files that come with the package. The numbers of 202 polls are those of the recordings' README.
var recorded = map[string]string{
	"azps_2015-10-31_api2014-02-14.json":                              "POST still, 4 still, ok, POST still, 10 still, ok",
	"net_sdk_2016-11_api2016-10-10.json":                              "POST still, 9 still, ok, POST still, 15 still, ok",
	"net_sdk_2017-08_api2017-03-01.json":                              "POST still, 16 still, ok, POST still, 20 still, ok",
	"net_sdk_2019-04-11_api2019-01-01.json":                           "POST still, 10 still, ok, POST still, 14 still, ok",
	"net_sdk_2021-05-02_api2020-12-01.json":                           "POST still, 8 still, ok, POST still, 29 still, ok",
	"net_sdk_2023-07-20_api2022-08-01_accesskey.json":                 "POST still, 10 still, ok, POST still, 18 still, ok",
	"errors_async_activation_failed_azcli_2020-09_api2019-12-01.json": "PUT still, no, PUT still, no, PUT still, no",
	"errors_sync_backup_restore_and_locked.json":                      "POST no, POST no, POST no, POST no, POST no, POST no, POST no, PUT later, PATCH later, DELETE later",
	"errors_related_misc.json":                                        "POST no, POST no, GET no, GET no, GET no",
}

func TestEveryRecordedExchangeGetsItsVerdict(t *testing.T) {
	folders := []string{filepath.Join("testdata", "recordings")}
	if more := os.Getenv("RECORDINGS_DIR"); more != "" {
		folders = append(folders, more)
	}
	for i, folder := range folders {
		files, err := filepath.Glob(filepath.Join(folder, "*.json"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no recordings in %s (%v)", folder, err)
		}
		if i == 0 && len(files) != len(recorded) {
			t.Errorf("%d files, %d expectations", len(files), len(recorded))
		}
		for _, file := range files {
			t.Run(filepath.Base(file), func(t *testing.T) {
				got := replay(t, file)
				if want, known := recorded[filepath.Base(file)]; known && got != want {
					t.Errorf("verdicts %s\nwant     %s", got, want)
				}
			})
		}
	}
}

func replay(t *testing.T, file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var exchanges []exchange
	if err := json.Unmarshal(text, &exchanges); err != nil {
		t.Fatal(err)
	}
	var verdicts []string
	locations := map[string]bool{} // all that the answers so far named
	for i, e := range exchanges {
		t.Run(fmt.Sprintf("%d_%s_%d", i, e.Method, e.Status), func(t *testing.T) {
			if e.around(t) {
				return
			}
			verb, resourceID, version := e.parts(t)
			polled := e.Method == http.MethodGet && strings.Contains(strings.ToLower(e.URL), "/operation")
			ours := e.Method == http.MethodPost && (verb == "backup" || verb == "restore")
			sent := 0
			o := options(transport(func(r *http.Request) (*http.Response, error) {
				if sent++; polled || ours || e.Method == http.MethodGet {
					e.sameRequest(t, r, version)
				}
				return e.answer(), nil
			}))
			o.APIVersion, o.Access = version, func(string) (Access, error) {
				access := Access{Mode: AccessKey, ClientID: fmt.Sprint(e.RequestBody["clientId"]), Key: func() string { return fmt.Sprint(e.RequestBody["accessKey"]) }}
				if mode, ok := e.RequestBody["accessType"].(string); ok {
					access.Mode = Mode(mode)
				}
				return access, nil
			}
			c := newClient(t, o)
			var a dr.Answer
			switch {
			case polled:
				if !locations[e.URL] {
					t.Error("polls a Location that no answer named")
				}
				a = c.Check(t.Context(), e.URL)
				verdicts = append(verdicts, string(a.Verdict))
			case e.Method == http.MethodGet:
				a = c.Service(t.Context(), resourceID)
				verdicts = append(verdicts, "GET "+string(a.Verdict))
				if e.Status == http.StatusOK { // none of the package's own
					if a.Verdict != dr.OK || a.Service.State == "" || a.Service.SKU == "" {
						t.Errorf("%+v", a)
					}
					return
				}
			default: // ours, or one that we never make: then its answer is given to our POST, and to a poll as well
				l := leg(verb)
				if l.ResourceID = resourceID; !ours {
					l.Verb = "backup"
				}
				l.Storage = dr.Storage{Account: fmt.Sprint(e.RequestBody["storageAccount"]), Container: fmt.Sprint(e.RequestBody["containerName"])}
				a = c.Start(t.Context(), l, fmt.Sprint(e.RequestBody["backupName"]))
				verdicts = append(verdicts, e.Method+" "+string(a.Verdict))
				if !ours && e.Status >= 400 {
					e.expect(t, c.Check(t.Context(), location))
				}
			}
			e.expect(t, a)
			if sent == 0 {
				t.Error("no request was made")
			}
			if at := e.ResponseHeaders["location"]; at != "" {
				locations[at] = true
			}
		})
	}
	return runs(verdicts)
}

// around replays what apim-dr verify has recorded beside backups and restores; false: it is none of that.
func (e exchange) around(t *testing.T) bool {
	path, query, _ := strings.Cut(strings.TrimPrefix(e.URL, azure), "?")
	o := options(transport(func(r *http.Request) (*http.Response, error) {
		e.sameRequest(t, r, "")
		return e.answer(), nil
	}))
	_, o.APIVersion, _ = strings.Cut(query, "=")
	c, read := newClient(t, o), false
	scope, permissions := strings.CutSuffix(path, "/providers/Microsoft.Authorization/permissions")
	instance, workspaces := strings.CutSuffix(path, "/workspaces")
	switch {
	case permissions:
		_, failure := c.Lacks(t.Context(), scope)
		read = failure == nil
	case workspaces:
		read = c.Workspaces(t.Context(), instance) >= 0
	case strings.Count(path, "/") == 4:
		read = c.Group(t.Context(), path+"/providers/Microsoft.ApiManagement/service/x").Verdict == dr.OK
	default:
		return false
	}
	if read != (e.Status == http.StatusOK) {
		t.Errorf("read %v of a %d", read, e.Status)
	}
	return true
}

// parts takes the URL apart: the action if it is a POST's, the instance, the api-version.
func (e exchange) parts(t *testing.T) (verb dr.Verb, resourceID, version string) {
	path, version, _ := strings.Cut(strings.TrimPrefix(e.URL, azure), "?api-version=")
	segments := strings.Split(path, "/")
	if len(segments) < 9 {
		t.Fatalf("URL %s", e.URL)
	}
	if version, _, _ = strings.Cut(version, "&"); version == "" {
		version = DefaultAPIVersion
	}
	return dr.Verb(segments[len(segments)-1]), strings.Join(segments[:9], "/"), version
}

// sameRequest: method and URL byte for byte, and the fields of the body. From 2021-08-01 on we name the access where it is a key; the
// recorded client left it out.
func (e exchange) sameRequest(t *testing.T, r *http.Request, version string) {
	if url := "https://" + r.URL.Host + r.URL.RequestURI(); r.Method != e.Method || url != e.URL {
		t.Errorf("sent %s %s\nwant %s %s", r.Method, url, e.Method, e.URL)
	}
	if r.Body == nil {
		return
	}
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	var body map[string]any
	if err := json.Unmarshal(text, &body); err != nil {
		t.Error(err)
	}
	if _, named := e.RequestBody["accessType"]; !named && body["accessType"] == string(AccessKey) && version >= oldestWithAccess {
		delete(body, "accessType")
	}
	if !reflect.DeepEqual(body, e.RequestBody) {
		t.Errorf("sent %v\nwant %v", body, e.RequestBody)
	}
}

func (e exchange) answer() *http.Response {
	body := string(e.ResponseBody)
	if body == "null" {
		body = ""
	}
	r := answer(e.Status, body)
	for name, value := range e.ResponseHeaders {
		r.Header.Set(name, value)
	}
	return r
}

// expect holds the rules that follow from the status alone.
func (e exchange) expect(t *testing.T, a dr.Answer) {
	t.Helper()
	seconds, _ := strconv.Atoi(e.ResponseHeaders["retry-after"]) // none: 0
	wantRetry := time.Duration(seconds) * time.Second
	if a.Retry != wantRetry {
		t.Errorf("retry %s, want %s", a.Retry, wantRetry)
	}
	var body struct {
		Code, Message string
		Error         *struct{ Code, Message string }
		ETag          string
		Properties    struct{ ProvisioningState string }
	}
	if len(e.ResponseBody) > 0 {
		if err := json.Unmarshal(e.ResponseBody, &body); err != nil {
			t.Fatal(err)
		}
	}
	if body.Error != nil {
		body.Code, body.Message = body.Error.Code, body.Error.Message
	}
	switch {
	case e.Status >= 400:
		if a.Error == nil || a.Error.Code != body.Code || !strings.HasPrefix(a.Error.Message, body.Message) || a.Error.Status != e.Status || body.Message == "" {
			t.Errorf("error %+v, want %s: %s", a.Error, body.Code, body.Message)
		}
	case e.Status == 200:
		if a.Verdict != dr.OK || a.Reason != "200 Succeeded" || a.Service.ETag != body.ETag || body.ETag == "" || a.Service.State != "Succeeded" ||
			a.Service.SKU != "Developer" || a.Service.Capacity != 1 || a.Service.Region == "" {
			t.Errorf("%+v", a)
		}
	default: // 202, and the 201 of a PUT
		if a.Verdict != dr.Still || a.Location != e.ResponseHeaders["location"] {
			t.Errorf("%s at %s, want %s", a.Verdict, a.Location, e.ResponseHeaders["location"])
		}
	}
}

// runs writes equal polls in a row as a number and the verdict: "POST still, 4 still, ok".
func runs(verdicts []string) string {
	var out []string
	for len(verdicts) > 0 {
		n := 1
		for n < len(verdicts) && verdicts[n] == verdicts[0] {
			n++
		}
		switch {
		case verdicts[0] == string(dr.Still):
			out = append(out, fmt.Sprintf("%d still", n))
		default:
			out = append(out, slices.Repeat(verdicts[:1], n)...)
		}
		verdicts = verdicts[n:]
	}
	return strings.Join(out, ", ")
}
