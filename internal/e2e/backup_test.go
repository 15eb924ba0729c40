package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"apim-dr/handlers"
	"apim-dr/internal/principal"
	"apim-dr/internal/standin/arm"
	"apim-dr/internal/standin/devstack"
)

func TestTheNightlyTimerBacksEveryServiceUp(t *testing.T) {
	if err := stack.Host.Invoke(t.Context(), "BackupSchedule"); err != nil {
		t.Fatal(err)
	}
	for _, instance := range fleet { // all, so that no nightly backup runs into a later test
		if instance.Unlisted {
			continue
		}
		service := instance.Name
		var op operation
		waitFor(t, service+" has a nightly backup", func() bool {
			for _, e := range stack.Bus.Sent("results") {
				var event struct {
					Data struct{ Operation, Service, Trigger string }
				}
				if json.Unmarshal(e.Body, &event) == nil && event.Data.Service == service && event.Data.Trigger == "timer" {
					op.ID = event.Data.Operation
				}
			}
			return op.ID != ""
		})
		op = ended(t, op.ID)
		eventOnce(t, op)
		if strings.HasSuffix(instance.SKU, "V2") {
			if op.Outcome != "rejected" {
				t.Errorf("%s, in a tier without backups: %+v", service, op)
			}
			continue
		}
		point, container := op.Legs[0].RecoveryPoint, op.Legs[0].Storage.Container
		if op.Outcome != "succeeded" || !blobExists(t, stack.Backups, container, point) || !blobExists(t, stack.Backups, container, point+".apimdr.json") {
			t.Errorf("%s: %+v", service, op)
		}
		if !blobExists(t, stack.State, devstack.StateContainer, "recovery-points/"+service+"/"+point+".json") {
			t.Errorf("%s: no record of its recovery point", service)
		}
		if service == "nightly-b" { // which nothing else works on
			oneTrace(t, op, traceOfTimer(t))
		}
	}
}

func TestARMsErrorComesThroughWhole(t *testing.T) {
	t.Parallel()
	stack.ARM.FailNext("errors", arm.Backup, &arm.Error{Status: 400, Code: "ActivationFailed", Message: "Unable to activate API service at this time.\r\nParameter name: x"})
	op := ended(t, startBackup(t, "errors").ID)
	eventOnce(t, op)
	if op.Outcome != "failed" || op.Error == nil || op.Error.Source != "arm" || op.Error.Code != "ActivationFailed" || !strings.HasSuffix(op.Error.Message, "\r\nParameter name: x") {
		t.Errorf("%+v %+v", op, op.Error)
	}
}

func TestTheSameIdempotencyKeyIsTheSameOperation(t *testing.T) {
	t.Parallel()
	key := http.Header{"Idempotency-Key": {"release-42"}}
	_, first := post(t, "/api/backups", `{"service":"list-keys"}`, key)
	_, again := post(t, "/api/backups", `{"service":"list-keys"}`, key)
	var a, b operation
	if json.Unmarshal(first, &a) != nil || json.Unmarshal(again, &b) != nil || a.ID == "" || a.ID != b.ID {
		t.Fatalf("%s\n%s", first, again)
	}
	resp, body := post(t, "/api/backups", `{"service":"list-keys","reason":"other"}`, key)
	if resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(string(body), a.ID) {
		t.Errorf("%s %s", resp.Status, body)
	}
	eventOnce(t, ended(t, a.ID))
}

func TestOperationsAreListed(t *testing.T) {
	t.Parallel()
	op := startBackup(t, "list")
	_, body := get(t, "/api/operations?inFlight=true")
	if !strings.Contains(string(body), op.ID) {
		t.Errorf("not in flight: %s", body)
	}
	ended(t, op.ID)
	if all := listed(t, "/api/operations?limit=50"); !slices.ContainsFunc(all, func(o operation) bool { return o.ID == op.ID }) {
		t.Errorf("%s is not among %d listed", op.ID, len(all))
	}
}

// listed are the operations of all pages of a list.
func listed(t *testing.T, next string) (all []operation) {
	t.Helper()
	u, err := url.Parse(next)
	if err != nil {
		t.Fatal(err)
	}
	for limit, _ := strconv.Atoi(u.Query().Get("limit")); next != ""; {
		var page struct {
			Operations []operation
			NextLink   string
		}
		resp, body := get(t, next)
		if resp.StatusCode != http.StatusOK || json.Unmarshal(body, &page) != nil || len(page.Operations) > limit {
			t.Fatalf("%s: %s %s", next, resp.Status, body)
		}
		all, next = append(all, page.Operations...), page.NextLink
	}
	return all
}

func TestACrowdOnOneServiceTakesTurns(t *testing.T) {
	t.Parallel()
	var ids []string
	for range 3 {
		ids = append(ids, startBackup(t, "crowd").ID)
	}
	for _, id := range ids {
		op := ended(t, id)
		if op.Outcome != "succeeded" {
			t.Errorf("%s: %s %+v", id, op.Outcome, op.Error)
		}
		eventOnce(t, op)
	}
	var last arm.Operation
	for _, o := range stack.ARM.Operations() {
		if o.Service != "crowd" {
			continue
		}
		if o.Started.Before(last.Ended) {
			t.Errorf("two at once: %+v and %+v", last, o)
		}
		last = o
	}
}

// What is not accepted is refused with problem+json, and nothing is enqueued.
func TestBadRequestsEnqueueNothing(t *testing.T) {
	long := fmt.Sprintf(`{"service":"bad","reason":%q}`, strings.Repeat("x", 70_000))
	for name, tc := range map[string]struct {
		body   string
		header http.Header
		status int
		says   string
	}{
		"unknown service": {`{"service":"contoso-asia"}`, nil, 404, "contoso-asia"},
		"no service":      {`{}`, nil, 400, "service"},
		"not JSON":        {`service=bad`, nil, 400, "JSON"},
		"over 64 KiB":     {long, nil, 413, ""},
		"wrong type":      {`{"service":7}`, nil, 400, "service"},
		"unknown field":   {`{"service":"bad","servce":"x"}`, nil, 400, "servce"},
		"two values":      {`{"service":"bad"}{"service":"bad"}`, nil, 400, ""},
		"not a JSON type": {`{"service":"bad"}`, http.Header{"Content-Type": {"text/plain"}}, 415, "application/json"},
		"invalid UTF-8":   {"{\"service\":\"b\xffd\"}", nil, 400, "UTF-8"},
		"CR/LF in reason": {`{"service":"bad","reason":"a\r\nb"}`, nil, 400, "reason"},
		"a path":          {`{"service":"../../locks/bad"}`, nil, 404, ""},
		"a long service":  {`{"service":"` + strings.Repeat("b", 60_000) + `"}`, nil, 400, "service"},
		"two keys":        {`{"service":"bad"}`, http.Header{"Idempotency-Key": {"a", "b"}}, 400, "Idempotency-Key"},
		"key too long":    {`{"service":"bad"}`, http.Header{"Idempotency-Key": {strings.Repeat("k", 256)}}, 400, "Idempotency-Key"},
	} {
		resp, body := post(t, "/api/backups", tc.body, tc.header)
		var p struct {
			Title  string
			Status int
		}
		if resp.StatusCode != tc.status || resp.Header.Get("Content-Type") != "application/problem+json" || json.Unmarshal(body, &p) != nil || p.Status != tc.status || p.Title == "" || !strings.Contains(string(body), tc.says) {
			t.Errorf("%s: %s %s", name, resp.Status, body)
		}
	}
	for _, route := range []string{"/api/operations/nonsense", "/api/operations/20260101-backup-00000000000000000000"} {
		if resp, body := get(t, route); resp.StatusCode != 404 || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %s %s", route, resp.Status, body)
		}
	}
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
		r, err := http.NewRequestWithContext(t.Context(), method, stack.Host.URL()+"/api/backups", strings.NewReader(`{"service":"bad"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("x-functions-key", devstack.FunctionKey)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if body := drain(t, resp); resp.StatusCode != 405 || resp.Header.Get("Allow") != "POST" || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %s %v %s", method, resp.Status, resp.Header, body)
		}
	}
	for _, query := range []string{"day=yesterday", "limit=0", "limit=1000", "inFlight=perhaps", "after=%00"} {
		if resp, body := get(t, "/api/operations?"+query); resp.StatusCode != 400 || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %s %s", query, resp.Status, body)
		}
	}
	for _, op := range listed(t, "/api/operations?limit=200") {
		if op.Service == "bad" && op.Trigger == "http" {
			t.Errorf("an operation was made: %+v", op)
		}
	}
}

func TestWithoutAKeyNothingOpens(t *testing.T) {
	t.Parallel()
	opened := 0
	for _, f := range (&handlers.App{}).Table() {
		if f.HTTP == nil || f.Role == principal.Anybody { // a page without data
			continue
		}
		opened++
		for _, key := range []string{"", "guess"} {
			method, path, _ := strings.Cut(f.Pattern, " ")
			r, err := http.NewRequestWithContext(t.Context(), method, stack.Host.URL()+path+"?code="+key, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("X-Ms-Client-Principal", "eyJhdXRoX3R5cCI6ImFhZCJ9")
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			if drain(t, resp); resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s with the key %q: %s", f.Pattern, key, resp.Status)
			}
		}
	}
	if opened < 10 {
		t.Errorf("%d functions", opened)
	}
}

// What comes in over a queue is input as well: it is kept, or ignored, and nothing dies of it.
func TestMessagesThatAreNotOursDoNoHarm(t *testing.T) {
	t.Parallel()
	sender, err := stack.Client.NewSender("operations", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer sender.Close(t.Context())
	for _, body := range []string{"nonsense", `{"v":1,"id":"20200101-backup-0123456789abcdef0123","epoch":0,"n":0,"try":0}`, `{"v":1,"tick":{"plan":"weekly","at":"2020-01-01T00:00:00Z"}}`} {
		if err := sender.SendMessage(t.Context(), &azservicebus.Message{Body: []byte(body)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	sum := sha256.Sum256([]byte("nonsense"))
	waitFor(t, "it is quarantined", func() bool {
		return blobExists(t, stack.State, devstack.StateContainer, "quarantine/"+hex.EncodeToString(sum[:]))
	})
	waitFor(t, "the others are dropped", func() bool {
		return lines.has("operation that does not exist", "20200101-backup-0123456789abcdef0123") && lines.has("a tick that no plan has", "weekly")
	})
}
