package arm_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"apim-dr/internal/standin/arm"
	"apim-dr/internal/standin/azurite"
)

// exchange is one recorded request with its answer.
type exchange struct {
	Method          string
	URL             string
	RequestBody     map[string]any
	Status          int
	ResponseHeaders map[string]string
	ResponseBody    map[string]any
	Date            string
}

func recorded(t *testing.T, file string) []exchange {
	t.Helper()
	raw, err := os.ReadFile("../../apim/testdata/recordings/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var list []exchange
	if err := json.Unmarshal(raw, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

func (x exchange) at(t *testing.T) time.Time {
	t.Helper()
	at, err := http.ParseTime(x.Date)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// path is the URL without its host, and body the request with a key that opens the local account.
func (x exchange) path() string { return strings.TrimPrefix(x.URL, audience) }

func (x exchange) body() string {
	if x.RequestBody == nil {
		return ""
	}
	if _, ok := x.RequestBody["accessKey"]; ok {
		x.RequestBody["accessKey"] = azurite.Key
	}
	raw, _ := json.Marshal(x.RequestBody)
	return string(raw)
}

var operationID = regexp.MustCompile(`(operationresults|operations)/([^?]+)`)

func idOf(location string) string {
	if m := operationID.FindStringSubmatch(location); m != nil {
		id, _ := url.PathUnescape(m[2])
		return id
	}
	return ""
}

// withID puts our operation's id where a recorded one stands, escaped or not as that was.
func withID(location, id string) string {
	return operationID.ReplaceAllStringFunc(location, func(m string) string {
		kind, old, _ := strings.Cut(m, "/")
		if strings.Contains(old, "%3D") {
			return kind + "/" + strings.ReplaceAll(id, "=", "%3D")
		}
		return kind + "/" + id
	})
}

// keys is the shape of a JSON value: the names in it, at every depth, without what users name.
func keys(v any, path string) []string {
	var list []string
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			list = append(list, path+k)
			if k != "tags" {
				list = append(list, keys(x, path+k+".")...)
			}
		}
	case []any:
		for _, x := range v {
			list = append(list, keys(x, path+"[].")...)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func TestRecordedBackupsAndRestoresReplay(t *testing.T) {
	for _, file := range []string{"azps_2015-10-31_api2014-02-14", "net_sdk_2016-11_api2016-10-10", "net_sdk_2017-08_api2017-03-01", "net_sdk_2019-04-11_api2019-01-01",
		"net_sdk_2021-05-02_api2020-12-01", "net_sdk_2023-07-20_api2022-08-01_accesskey"} {
		t.Run(file, func(t *testing.T) { replay(t, recorded(t, file+".json")) })
	}
}

func replay(t *testing.T, list []exchange) {
	var posts []int
	for i, x := range list {
		if x.Method == "POST" {
			posts = append(posts, i)
		}
	}
	end := list[posts[1]-1].ResponseBody
	length := func(from, to int) time.Duration { return list[to].at(t).Sub(list[from].at(t)) - time.Second }
	b := newBench(t, func(c *arm.Config) {
		c.BaseURL = audience
		c.BackupDuration, c.RestoreDuration = length(posts[0], posts[1]-1), length(posts[1], len(list)-1)
		c.Services = []arm.Service{{ID: end["id"].(string), Location: end["location"].(string), SKU: "Developer", Capacity: 1, SystemIdentity: end["identity"] != nil}}
		c.Accounts[list[0].RequestBody["storageAccount"].(string)] = c.Accounts["contosobackups"]
	})
	b.makeContainer(list[0].RequestBody["containerName"].(string))
	id, etags := "", []any{}
	for i, x := range list {
		b.clock.set(x.at(t))
		got := b.do(x.Method, withID(x.path(), id), x.body())
		if x.Method == "POST" {
			id = idOf(got.header.Get("Location"))
			checkID(t, id, idOf(x.ResponseHeaders["location"]))
		}
		if got.status != x.Status {
			t.Fatalf("%d: status %d (%s), recorded %d", i, got.status, got.raw, x.Status)
		}
		for _, name := range []string{"location", "azure-asyncoperation", "retry-after", "content-type", "date"} {
			if want := withID(x.ResponseHeaders[name], id); got.header.Get(name) != want {
				t.Errorf("%d: %s is %q, recorded %q", i, name, got.header.Get(name), want)
			}
		}
		sameHeaders(t, i, got, x)
		if x.Status == 202 && got.raw != "" {
			t.Errorf("%d: the 202 has a body: %s", i, got.raw)
		}
		if x.Status == 200 {
			etags = append(etags, got.body["etag"])
			if have, want := keys(got.body, ""), keys(x.ResponseBody, ""); !reflect.DeepEqual(have, want) {
				t.Errorf("%d: the service has the fields\n%v, recorded\n%v", i, have, want)
			}
			if got.prop("provisioningState") != "Succeeded" || got.body["id"] != x.ResponseBody["id"] {
				t.Errorf("%d: got %s", i, got.raw)
			}
		}
	}
	if len(etags) != 2 || etags[0] == etags[1] {
		t.Errorf("etags %v, want two that differ", etags)
	}
}

// checkID compares ids, base64 of [region:]service_Word_8 hexadecimal digits, but for the digits.
func checkID(t *testing.T, got, want string) {
	t.Helper()
	digits := regexp.MustCompile(`_[0-9a-f]{8}$`)
	g, err := base64.StdEncoding.DecodeString(got)
	w, err2 := base64.StdEncoding.DecodeString(want)
	if err != nil || err2 != nil || !digits.Match(g) || string(digits.ReplaceAll(g, nil)) != string(digits.ReplaceAll(w, nil)) {
		t.Errorf("operation id %q, recorded %q", g, w)
	}
}

// name is the service in a recorded URL.
func (x exchange) name() string {
	name, _, _ := strings.Cut(x.URL[strings.Index(x.URL, "/service/")+len("/service/"):], "?")
	name, _, _ = strings.Cut(name, "/")
	return name
}

func (x exchange) id() string {
	return strings.TrimPrefix(x.URL[:strings.Index(x.URL, x.name())+len(x.name())], audience)
}

func sameBody(t *testing.T, i int, got answer, x exchange) {
	t.Helper()
	if got.status != x.Status || !reflect.DeepEqual(got.body, x.ResponseBody) {
		t.Errorf("%d: got %d %s, recorded %d %v", i, got.status, got.raw, x.Status, x.ResponseBody)
	}
	for _, name := range []string{"retry-after", "content-type", "x-ms-failure-cause"} {
		if got.header.Get(name) != x.ResponseHeaders[name] {
			t.Errorf("%d: %s %q, recorded %q", i, name, got.header.Get(name), x.ResponseHeaders[name])
		}
	}
}

// sameHeaders: what is recorded is there. What more is there may be what the recorder left out.
func sameHeaders(t *testing.T, i int, got answer, x exchange) {
	t.Helper()
	for name := range x.ResponseHeaders {
		if name != "content-length" && got.header.Get(name) == "" {
			t.Errorf("%d: no header %s", i, name)
		}
	}
}

func TestRecordedRefusalsReplay(t *testing.T) {
	for i, x := range recorded(t, "errors_sync_backup_restore_and_locked.json") {
		b := newBench(t, func(c *arm.Config) {
			c.Services = []arm.Service{{ID: x.id(), Location: "West US", SKU: "Developer"}}
			if i < 5 { // the account resolves but does not let the service in
				c.Accounts["apiteststorageaccount"] = arm.Account{Endpoint: store.BlobEndpoint(azurite.Account), Key: azurite.Key}
			}
		})
		if _, ok := x.RequestBody["storageAccount"]; ok {
			x.RequestBody["storageAccount"] = "apiteststorageaccount" // one recorder hid the name that its answer shows
		}
		if x.Status == 409 || i == 0 { // recorded: storage is checked before the lock
			b.want(b.do("POST", x.id()+"/backup"+current, b.body()), 202, "")
		}
		got := b.do(x.Method, x.path(), x.body())
		sameBody(t, i, got, x)
		sameHeaders(t, i, got, x)
	}
}

func TestRecordedFailedCreateReplays(t *testing.T) {
	list := recorded(t, "errors_async_activation_failed_azcli_2020-09_api2019-12-01.json")
	b := newBench(t, func(c *arm.Config) { c.BaseURL = audience })
	stamp := regexp.MustCompile(`correlationId (\S+) and TimeStamp (.+)\.$`)
	for i := 0; i < len(list); i += 2 {
		put, poll := list[i], list[i+1]
		m := stamp.FindStringSubmatch(poll.ResponseBody["error"].(map[string]any)["message"].(string))
		at, err := time.Parse("1/2/2006 3:04:05 PM", m[2])
		if err != nil {
			t.Fatal(err)
		}
		path := strings.ReplaceAll(put.path(), put.name(), put.name()+string(rune('a'+i)))
		b.srv.FailNext(put.name()+string(rune('a'+i)), arm.Write, arm.ActivationFailed(m[1], at))
		b.clock.set(put.at(t))
		got := b.do("PUT", path, put.body())
		if got.status != put.Status || got.prop("provisioningState") != "Created" || got.prop("targetProvisioningState") != "Activating" || got.header.Get("ETag") == "" {
			t.Errorf("%d: got %d %s", i, got.status, got.raw)
		}
		if have, want := keys(got.body, ""), keys(put.ResponseBody, ""); !slices.Equal(withoutOptional(have), withoutOptional(want)) {
			t.Errorf("%d: the service has the fields\n%v, recorded\n%v", i, have, want)
		}
		location := got.header.Get("Location")
		if want := strings.ReplaceAll(withID(put.ResponseHeaders["location"], idOf(location)), put.name(), put.name()+string(rune('a'+i))); location != want {
			t.Errorf("%d: Location %q, recorded %q", i, location, want)
		}
		b.clock.set(poll.at(t))
		sameBody(t, i+1, b.do("GET", strings.TrimPrefix(location, audience), ""), poll)
	}
}

// withoutOptional leaves out what is null in one service and an object in another.
func withoutOptional(list []string) []string {
	return slices.DeleteFunc(list, func(k string) bool {
		return strings.HasPrefix(k, "identity.") || strings.HasPrefix(k, "properties.customProperties.")
	})
}

func TestRecordedNotFoundReplays(t *testing.T) {
	for i, x := range recorded(t, "errors_related_misc.json") {
		if x.Status != 404 {
			continue // managevpn is not served; its errors are, see TestEachRecordedErrorCanBeArranged
		}
		b := newBench(t, func(c *arm.Config) {
			if i != 3 { // i 3: one that Resource Manager never knew
				c.Services = []arm.Service{{ID: x.id(), Location: "West US", SKU: "Developer"}}
			}
		})
		if i != 3 {
			b.want(b.do("DELETE", x.id()+current, ""), 202, "")
			b.clock.pass(time.Hour)
		}
		got := b.do(x.Method, x.path(), "")
		sameBody(t, i, got, x)
		sameHeaders(t, i, got, x)
	}
}

// Each recorded error, whatever it was an answer to, at once and as the end of a backup and of a restore.
func TestEachRecordedErrorCanBeArranged(t *testing.T) {
	n := 0
	files, err := os.ReadDir("../../apim/testdata/recordings")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".json") {
			continue
		}
		for i, x := range recorded(t, f.Name()) {
			if x.Status >= 400 {
				n++
				t.Run(f.Name()+" "+x.Method, func(t *testing.T) { arrange(t, i, x) })
			}
		}
	}
	if n != 18 {
		t.Errorf("%d recorded errors, want 18", n)
	}
}

func arrange(t *testing.T, i int, x exchange) {
	b := newBench(t, func(c *arm.Config) { c.Services = []arm.Service{{ID: x.id(), Location: "West US", SKU: "Developer"}} })
	told, ok := x.ResponseBody["error"].(map[string]any)
	if !ok {
		told = x.ResponseBody
	}
	e := &arm.Error{Status: x.Status, Code: told["code"].(string), Message: told["message"].(string)}
	fault := arm.Fault{Answer: e}
	if _, own := told["details"]; !own { // Resource Manager's
		fault = arm.Fault{Status: e.Status, Code: e.Code, Message: e.Message}
	}
	b.srv.Inject(fault)
	sameBody(t, i, b.do(x.Method, x.path(), x.body()), x)
	for _, verb := range []arm.Verb{arm.Backup, arm.Restore} {
		if fault.Answer != nil {
			b.srv.FailNext(x.name(), verb, e)
		}
		_, version, _ := strings.Cut(x.URL, "?")
		location := b.want(b.do("POST", x.id()+"/"+string(verb)+"?"+version, b.body()), 202, "").header.Get("Location")
		b.clock.pass(time.Hour)
		if fault.Answer == nil { // Resource Manager's come in place of the result
			b.srv.Inject(fault)
		}
		sameBody(t, i, b.do("GET", location, ""), x)
	}
}
