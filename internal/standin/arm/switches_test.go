package arm_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"apim-dr/internal/standin/arm"
	"apim-dr/internal/standin/identity"
)

const (
	west  = group + "contoso-west"
	north = group + "contoso-north"
)

func TestARequestWithoutAGoodTokenIsChallenged(t *testing.T) {
	b := newBench(t, nil)
	wrong, _ := b.tokens.Issue("https://storage.azure.com", appID)
	forged, _ := identity.New([]byte("another key"), b.clock.now).Issue(audience, appID)
	old, _ := b.tokens.IssueFor(audience, appID, -time.Second)
	for header, code := range map[string]string{
		"": "AuthenticationFailed", "Basic abc": "AuthenticationFailed", "Bearer " + forged: "InvalidAuthenticationToken",
		"Bearer " + old: "ExpiredAuthenticationToken", "Bearer " + wrong: "InvalidAuthenticationTokenAudience",
	} {
		for _, x := range [][2]string{{"GET", west}, {"POST", west + "/backup"}, {"GET", west + "/operationresults/x"}} {
			a := b.want(b.do(x[0], x[1]+current, "", "Authorization", header), 401, code)
			if h := a.header.Get("WWW-Authenticate"); !strings.HasPrefix(h, "Bearer authorization_uri=") {
				t.Errorf("WWW-Authenticate is %q", h)
			}
		}
	}
	if n := len(b.srv.Operations()); n != 0 {
		t.Errorf("%d operations were accepted", n)
	}
}

func TestOnlyGrantedActionsAreAllowed(t *testing.T) {
	b := newBench(t, func(c *arm.Config) {
		c.Grants = []arm.Grant{{Scope: strings.ToUpper(subscription), Actions: []string{"Microsoft.ApiManagement/service/read", "microsoft.apimanagement/service/BACKUP/action"}}}
	})
	location := b.backup("contoso-west")
	b.want(b.do("GET", west+current, ""), 200, "")
	for method, path := range map[string]string{"GET": location, "POST": west + "/restore" + current, "DELETE": west + current, "PATCH": west + current} {
		a := b.want(b.do(method, path, b.body()), 403, "AuthorizationFailed")
		if !strings.Contains(a.message(), identity.ObjectID(appID)) || !strings.Contains(a.message(), west) {
			t.Errorf("the message names neither caller nor scope: %s", a.message())
		}
	}
	b.srv.Change(func(c *arm.Config) {
		c.Grants = append(c.Grants, arm.Grant{Scope: west[:len(west)-1], Actions: []string{"*"}}, arm.Grant{Scope: west + "/x", Actions: []string{"*"}})
	})
	b.want(b.do("GET", location, ""), 403, "AuthorizationFailed") // of others
	b.srv.Change(func(c *arm.Config) {
		c.Grants = append(c.Grants, arm.Grant{Scope: west, Actions: []string{"Microsoft.ApiManagement/service/operationresults/*"}})
	})
	b.want(b.do("GET", location, ""), 202, "")
}

func TestAnOccupiedServiceIsBusyUntilItIsFree(t *testing.T) {
	b := newBench(t, nil)
	free := b.srv.Occupy("CONTOSO-west")
	during := b.do("GET", west+current, "")
	if during.prop("provisioningState") != "Updating" {
		t.Errorf("%s", during.raw)
	}
	b.want(b.do("POST", west+"/backup"+current, b.body()), 409, "ServiceLocked")
	free()
	if a := b.do("GET", west+current, ""); a.prop("provisioningState") != "Succeeded" || a.body["etag"] == during.body["etag"] {
		t.Errorf("%s", a.raw)
	}
	b.want(b.do("POST", west+"/backup"+current, b.body()), 202, "")
	if n := len(b.srv.Operations()); n != 1 {
		t.Errorf("%d operations", n)
	}
}

func TestTheServiceShowsUpdatingWhileAnOperationRuns(t *testing.T) {
	b := newBench(t, func(c *arm.Config) { c.VisibleAfter = time.Minute })
	before := b.do("GET", west+current, "")
	if etag, _ := before.body["etag"].(string); before.header.Get("ETag") != `"`+etag+`"` {
		t.Errorf("ETag %s of %s", before.header.Get("ETag"), before.raw)
	}
	location := b.backup("contoso-west")
	same := b.do("GET", west+current, "")
	if same.prop("provisioningState") != "Succeeded" || same.body["etag"] != before.body["etag"] {
		t.Errorf("the backup is visible before its time: %s", same.raw)
	}
	b.clock.pass(time.Minute)
	during := b.do("GET", west+current, "")
	if during.prop("provisioningState") != "Updating" || during.prop("targetProvisioningState") != "Updating" || during.body["etag"] == before.body["etag"] {
		t.Errorf("during the backup: %s", during.raw)
	}
	b.clock.pass(4*time.Minute - time.Second)
	b.want(b.do("GET", location, ""), 202, "")
	b.clock.pass(time.Second)
	after := b.want(b.do("GET", location, ""), 200, "")
	if after.prop("provisioningState") != "Succeeded" || after.body["etag"] == during.body["etag"] {
		t.Errorf("after the backup: %s", after.raw)
	}
	op := b.srv.Operations()[0]
	if op.Error != nil || op.Ended.Sub(op.Started) != 5*time.Minute || op.Service != "contoso-west" || op.Verb != arm.Backup || op.BackupName != "nightly" {
		t.Errorf("operation %+v", op)
	}
}

func TestABusyServiceIsLockedUnlessOverlapIsAccepted(t *testing.T) {
	b := newBench(t, nil)
	b.backup("contoso-west")
	for _, verb := range []string{"/backup", "/restore"} {
		a := b.want(b.do("POST", west+verb+current, b.body()), 409, "ServiceLocked")
		if a.header.Get("Retry-After") != "" {
			t.Error("the 409 has a Retry-After")
		}
	}
	b.want(b.do("POST", north+"/backup"+current, b.body("backupName", "another")), 202, "")
	b.srv.Change(func(c *arm.Config) { c.Overlap = true })
	b.want(b.do("POST", west+"/backup"+current, b.body("backupName", "second")), 202, "")
	b.clock.pass(5 * time.Minute)
	b.want(b.do("GET", west+current, ""), 200, "")
	for _, name := range []string{"nightly", "another", "second"} {
		if _, err := b.blob(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOfManyAtOnceOneBackupIsAccepted(t *testing.T) {
	b := newBench(t, nil)
	var wg sync.WaitGroup
	status := make(chan int, 8)
	for range cap(status) {
		wg.Go(func() {
			a, err := b.try("POST", west+"/backup"+current, b.body())
			if err != nil {
				t.Error(err)
			}
			status <- a.status
		})
	}
	wg.Wait()
	close(status)
	count := map[int]int{}
	for n := range status {
		count[n]++
	}
	if count[202] != 1 || count[409] != 7 {
		t.Errorf("answers %v, want one 202 and seven 409", count)
	}
}

func TestFaultsAnswerInPlaceOfTheWork(t *testing.T) {
	b := newBench(t, nil)
	b.srv.Inject(arm.Fault{Verb: arm.Backup, Times: 2, Status: 429, RetryAfter: 17 * time.Second})
	b.srv.Inject(arm.Fault{Service: "contoso-north", Status: 503, Code: "ServerTimeout", Message: "Try 100% later."})
	for range 2 {
		a := b.want(b.do("POST", west+"/backup"+current, b.body()), 429, "TooManyRequests")
		if a.header.Get("Retry-After") != "17" {
			t.Errorf("Retry-After %q, want 17", a.header.Get("Retry-After"))
		}
	}
	if n := len(b.srv.Operations()); n != 0 {
		t.Errorf("%d operations were accepted", n)
	}
	location := b.backup("contoso-west")
	a := b.want(b.do("GET", north+current, ""), 503, "ServerTimeout")
	if a.message() != "Try 100% later." || a.header.Get("Retry-After") != "" {
		t.Errorf("got %q, Retry-After %q", a.message(), a.header.Get("Retry-After"))
	}
	b.want(b.do("GET", north+current, ""), 200, "")
	b.srv.Inject(arm.Fault{Verb: arm.Poll, Times: arm.Always, Status: 403})
	b.clock.pass(time.Hour)
	for range 3 { // reported: polls refused while the backup itself succeeds
		b.want(b.do("GET", location, ""), 403, "Forbidden")
	}
	b.want(b.do("GET", west+current, ""), 200, "")
	if _, err := b.blob("nightly"); err != nil {
		t.Error(err)
	}
	b.srv.ClearFaults()
	b.want(b.do("GET", location, ""), 200, "")
}

func TestAResetDoesNothingAndALostAnswerHidesWhatWasDone(t *testing.T) {
	b := newBench(t, nil)
	b.srv.Inject(arm.Fault{Verb: arm.Backup, Drop: arm.DropBefore})
	if a, err := b.try("POST", west+"/backup"+current, b.body()); err == nil {
		t.Errorf("the reset was answered with %d", a.status)
	}
	if a, err := b.try("POST", west+"/backup"+current, strings.Repeat(" ", 1<<20)+b.body()); err == nil {
		t.Errorf("a body of more than 1 MiB was answered with %d", a.status)
	}
	if n := len(b.srv.Operations()); n != 0 {
		t.Errorf("%d operations after the reset, want none", n)
	}
	b.srv.Inject(arm.Fault{Verb: arm.Backup, Drop: arm.DropAfter})
	if a, err := b.try("POST", west+"/backup"+current, b.body()); err == nil {
		t.Errorf("the lost answer came: %d", a.status)
	}
	if n := len(b.srv.Operations()); n != 1 {
		t.Errorf("%d operations after the lost answer, want one", n)
	}
	b.want(b.do("POST", west+"/backup"+current, b.body()), 409, "ServiceLocked")
	var status []int
	for _, r := range b.srv.Requests() {
		status = append(status, r.Status)
	}
	if !slices.Equal(status, []int{0, 0, 0, 409}) {
		t.Errorf("logged %v, want [0 0 0 409]", status)
	}
}

func TestADelayedAnswerComesLate(t *testing.T) {
	b := newBench(t, nil)
	const delay = 50 * time.Millisecond
	b.srv.Inject(arm.Fault{Verb: arm.Read, Delay: delay})
	start := time.Now()
	b.want(b.do("GET", west+current, ""), 200, "")
	if took := time.Since(start); took < delay {
		t.Errorf("took %v, want at least %v", took, delay)
	}
}

func TestAnArrangedFailureIsToldByThePollAndWritesNoBlob(t *testing.T) {
	b := newBench(t, nil)
	b.srv.FailNext("contoso-WEST", arm.Backup, &arm.Error{Status: 400, Code: "BackupFailed", Message: "Contoso says no"})
	location := b.backup("contoso-west")
	b.want(b.do("GET", location, ""), 202, "")
	b.clock.pass(5 * time.Minute)
	b.want(b.do("GET", location, ""), 400, "BackupFailed")
	legacy := b.do("GET", strings.Replace(location, "2024-05-01", "2019-01-01", 1), "")
	if legacy.status != 400 || legacy.body["code"] != "BackupFailed" {
		t.Errorf("in the legacy api-version: %d %s", legacy.status, legacy.raw)
	}
	if _, err := b.blob("nightly"); err == nil {
		t.Error("the failed backup wrote a blob")
	}
	if e := b.srv.Operations()[0].Error; e == nil || e.Code != "BackupFailed" {
		t.Errorf("the operation's error is %v", e)
	}
	b.srv.FailNext("contoso-west", arm.Backup, arm.BackupExpired())
	b.srv.ClearFaults()
	second := b.backup("contoso-west")
	b.clock.pass(5 * time.Minute)
	b.want(b.do("GET", second, ""), 200, "")
}

func TestOperationResultsAreForgottenAfterTheirLife(t *testing.T) {
	b := newBench(t, func(c *arm.Config) { c.ResultsLive = time.Hour })
	location := b.backup("contoso-west")
	b.clock.pass(5*time.Minute + time.Hour - time.Second)
	b.want(b.do("GET", location, ""), 200, "")
	b.want(b.do("GET", strings.Replace(location, "contoso-west", "contoso-north", 1), ""), 404, "OperationNotFound") // not of that service
	b.clock.pass(time.Second)
	b.want(b.do("GET", location, ""), 404, "OperationNotFound")
}

func TestApiVersionsAreChecked(t *testing.T) {
	b := newBench(t, func(c *arm.Config) { c.Services[0].MinAPIVersion = "2021-08-01" })
	b.want(b.do("GET", west, ""), 400, "MissingApiVersionParameter")
	b.want(b.do("GET", west+"?api-version=latest", ""), 400, "InvalidApiVersionParameter")
	b.want(b.do("GET", west+"?api-version=2020-12-01", ""), 400, "InvalidApiVersionParameter")
	a := b.want(b.do("GET", west+"?api-version=2021-08-01", ""), 200, "")
	if c, _ := a.prop("apiVersionConstraint").(map[string]any); c["minApiVersion"] != "2021-08-01" {
		t.Errorf("the service shows %v", c)
	}
	b.want(b.do("GET", west+"?api-version=2024-06-01-preview", ""), 200, "")
	b.want(b.do("GET", west+"/apis"+current, ""), 404, "InvalidResourceType")
}

func TestLocationAndRetryAfterFollowTheSwitches(t *testing.T) {
	b := newBench(t, func(c *arm.Config) { c.RetryAfter, c.DoubleSlash = 1500*time.Millisecond, true })
	a := b.do("POST", west+"/backup"+current, b.body())
	location := a.header.Get("Location")
	if !strings.HasPrefix(location, b.url+west+"//operationresults/") || a.header.Get("Retry-After") != "2" {
		t.Errorf("Location %q, Retry-After %q", location, a.header.Get("Retry-After"))
	}
	b.srv.Change(func(c *arm.Config) { c.RetryAfter = -1 })
	a = b.want(b.do("GET", location, ""), 202, "")
	if !strings.HasPrefix(a.header.Get("Location"), b.url+west+"/operationresults/") || a.header["Retry-After"] != nil {
		t.Errorf("Location %q, Retry-After %q", a.header.Get("Location"), a.header["Retry-After"])
	}
}

func TestAzureAsyncOperationOf2014TellsTheState(t *testing.T) {
	b := newBench(t, func(c *arm.Config) { c.Services[0].MinAPIVersion = "2014-02-14" }) // the URL has no api-version
	b.srv.FailNext("contoso-north", arm.Backup, arm.BackupExpired())
	var urls []string
	for _, id := range []string{west, north} {
		urls = append(urls, b.do("POST", id+"/backup?api-version=2014-02-14", b.body()).header.Get("Azure-AsyncOperation"))
	}
	if a := b.do("GET", urls[0], ""); a.status != 200 || a.body["status"] != "InProgress" {
		t.Errorf("while it runs: %d %s", a.status, a.raw)
	}
	b.clock.pass(time.Hour)
	for i, want := range []string{"Succeeded", "Failed"} {
		if a := b.do("GET", urls[i], ""); a.status != 200 || a.body["status"] != want {
			t.Errorf("got %d %s, want %s", a.status, a.raw, want)
		}
	}
}

func TestOperationsArePolledBelowTheirRegionWhereTheSwitchSaysSo(t *testing.T) {
	b := newBench(t, func(c *arm.Config) { c.Services[0].StatusPolls, c.Services[1].StatusPolls = true, true })
	const place = subscription + "/providers/Microsoft.ApiManagement/locations/westeurope/operationsStatuses/"
	a := b.want(b.do("POST", west+"/backup"+current, b.body()), 202, "")
	location := a.header.Get("Location")
	if !strings.HasPrefix(location, b.url+place) || a.header.Get("Retry-After") != "20" || a.header.Get("Azure-AsyncOperation") != location {
		t.Errorf("%v", a.header)
	}
	poll := func(location, status string) answer {
		t.Helper()
		a := b.do("GET", location, "")
		if a.status != 200 || a.body["status"] != status || a.header.Get("Location") != "" || (a.header.Get("Retry-After") == "20") != (status == "InProgress") {
			t.Errorf("got %d %s %v, want %s", a.status, a.raw, a.header, status)
		}
		return a
	}
	poll(location, "InProgress")
	bare, _, _ := strings.Cut(location, "&")
	id := strings.TrimPrefix(bare, b.url+place)
	for name, elsewhere := range map[string]string{
		"without its signature": bare, "in another region": strings.Replace(location, "westeurope", "northeurope", 1),
		"in another subscription": strings.Replace(location, subscription, "/subscriptions/11111111-0000-0000-0000-000000000000", 1), "below its service": b.url + west + "/operationresults/" + id,
	} {
		if a := b.do("GET", elsewhere, ""); a.status != 404 || a.code() != "OperationNotFound" {
			t.Errorf("%s: %d %s", name, a.status, a.raw)
		}
	}
	b.want(b.do("GET", strings.Replace(location, "api-version", "x", 1), ""), 400, "MissingApiVersionParameter")
	b.clock.pass(5 * time.Minute)
	poll(location, "Succeeded")

	b.srv.FailNext("contoso-north", arm.Restore, arm.BackupExpired())
	failing := b.do("POST", north+"/restore"+current, b.body()).header.Get("Location")
	b.clock.pass(10 * time.Minute)
	if a := poll(failing, "Failed"); !strings.Contains(a.raw, `"error":{"code":"RestoreFailed"`) {
		t.Errorf("got %s", a.raw)
	}

	b.srv.Inject(arm.Fault{Verb: arm.PollStatus, Service: "contoso-west", Status: 503})
	poll(failing, "Failed") // of another service
	b.want(b.do("GET", location, ""), 503, "ServiceUnavailable")
	own := []arm.Grant{{Scope: west, Actions: []string{"*"}}, {Scope: subscription, Actions: []string{"Microsoft.ApiManagement/service/*"}}}
	b.srv.Change(func(c *arm.Config) { c.Grants = own })
	if a := b.want(b.do("GET", location, ""), 403, "AuthorizationFailed"); !strings.Contains(a.message(), "'Microsoft.ApiManagement/locations/operationsStatuses/read' over scope '"+place) {
		t.Errorf("got %s", a.message())
	}
	b.srv.Change(func(c *arm.Config) {
		c.Grants = []arm.Grant{{Scope: subscription, Actions: []string{"Microsoft.ApiManagement/locations/operationsStatuses/read"}}}
	})
	poll(location, "Succeeded")
	if r := b.srv.Requests(); r[len(r)-1].Verb != arm.PollStatus || r[len(r)-1].Service != "contoso-west" {
		t.Errorf("logged %+v", r[len(r)-1])
	}
}

func TestAServiceIsCreatedUpdatedAndDeleted(t *testing.T) {
	b := newBench(t, nil)
	id := group + "contoso-new"
	b.want(b.do("GET", id+current, ""), 404, "ResourceNotFound")
	b.want(b.do("PATCH", id+current, "{}"), 404, "ResourceNotFound")
	b.want(b.do("PUT", id+current, `{"location":"West Europe"}`), 400, "InvalidParameters")
	b.want(b.do("PUT", id+current, `{"location":"West Europe","sku":{"name":"Premium","capacity":1}}`), 201, "")
	if a := b.do("GET", id+current, ""); a.prop("provisioningState") != "Activating" {
		t.Errorf("while it is created: %s", a.raw)
	}
	b.want(b.do("POST", id+"/backup"+current, b.body()), 409, "ServiceLocked")
	b.clock.pass(time.Minute)
	if a := b.do("GET", id+current, ""); a.prop("provisioningState") != "Succeeded" {
		t.Errorf("once created: %s", a.raw)
	}
	b.want(b.do("PATCH", id+current, `{"tags":{"team":"contoso"},"sku":{"name":"Premium","capacity":3},"properties":{"apiVersionConstraint":{"minApiVersion":"2022-08-01"}}}`), 202, "")
	b.clock.pass(time.Minute)
	a := b.do("GET", id+current, "")
	if sku, _ := a.body["sku"].(map[string]any); sku["capacity"] != 3.0 || !strings.Contains(a.raw, `"team":"contoso"`) || !strings.Contains(a.raw, `"minApiVersion":"2022-08-01"`) {
		t.Errorf("after the update: %s", a.raw)
	}
	location := b.want(b.do("DELETE", id+current, ""), 202, "").header.Get("Location")
	b.clock.pass(time.Minute)
	b.want(b.do("GET", location, ""), 204, "")
	b.want(b.do("GET", id+current, ""), 404, "ServiceNotFound")
}

func TestAServiceShowsItsHostsAndRegions(t *testing.T) {
	b := newBench(t, func(c *arm.Config) {
		c.Services[0].HostNames = []string{"api.contoso.com"}
		c.Services[0].AdditionalLocations = []string{"East US"}
		c.Services[0].GatewayURL = "https://127.0.0.1:8443"
	})
	a := b.do("GET", west+current, "")
	for _, want := range []string{`"hostName":"api.contoso.com"`, `"hostName":"contoso-west.azure-api.net"`, `"location":"East US"`, `"gatewayUrl":"https://127.0.0.1:8443"`, `"publicNetworkAccess":"Enabled"`} {
		if !strings.Contains(a.raw, want) {
			t.Errorf("no %s in %s", want, a.raw)
		}
	}
}

func TestTheRequestLogTellsWhoAskedForWhat(t *testing.T) {
	b := newBench(t, nil)
	b.do("GET", west+current, "", "Traceparent", "00-11111111111111111111111111111111-2222222222222222-01", "X-Ms-Client-Request-Id", "contoso-1")
	b.do("GET", west+current, "", "Authorization", "")
	got := b.srv.Requests()
	want := arm.Request{Method: http.MethodGet, Path: west, Service: "contoso-west", Verb: arm.Read, At: b.clock.now(), Status: 200,
		Traceparent: "00-11111111111111111111111111111111-2222222222222222-01", ClientRequestID: "contoso-1"}
	if len(got) != 2 || got[0] != want || got[1].Status != 401 {
		t.Errorf("got %+v", got)
	}
}

func TestTheRequestLogKeepsTheLatest(t *testing.T) {
	b := newBench(t, nil)
	for n := range 10_002 {
		b.srv.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", fmt.Sprint("/", n), nil))
	}
	if r := b.srv.Requests(); len(r) != 10_000 || r[0].Path != "/2" || r[9_999].Path != "/10001" {
		t.Errorf("%d requests, from %s to %s", len(r), r[0].Path, r[len(r)-1].Path)
	}
}

func TestAChangeIsMadeToCopies(t *testing.T) {
	grants, records, accounts := []arm.Grant{{Scope: west}}, []arm.ReportRecord{{Service: "contoso-west"}}, map[string]arm.Account{}
	b := newBench(t, func(c *arm.Config) { c.Grants, c.Records, c.Accounts = grants, records, accounts })
	b.srv.Change(func(c *arm.Config) {
		c.Grants[0].Scope, c.Records[0].Service, c.Accounts["contosonew"] = north, "contoso-north", arm.Account{}
	})
	if grants[0].Scope != west || records[0].Service != "contoso-west" || len(accounts) != 0 {
		t.Errorf("%v, %v, %v: requests under way read them", grants, records, accounts)
	}
}

func TestNewRefusesWhatIsIncomplete(t *testing.T) {
	now := time.Now
	tokens := identity.New([]byte("k"), now)
	for name, c := range map[string]arm.Config{
		"no clock":                  {Tokens: tokens},
		"no issuer":                 {Now: now},
		"short id":                  {Now: now, Tokens: tokens, Services: []arm.Service{{ID: "contoso", Location: "West Europe", SKU: "Basic"}}},
		"short id of a deleted one": {Now: now, Tokens: tokens, Deleted: []arm.Service{{ID: "contoso", Location: "West Europe"}}},
		"no SKU":                    {Now: now, Tokens: tokens, Services: []arm.Service{{ID: west, Location: "West Europe"}}},
	} {
		if _, err := arm.New(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
