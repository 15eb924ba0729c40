package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"apim-dr/internal/customhandler"
	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func (r *recorder) Backup(_ context.Context, req engine.Request) (dr.Operation, error) {
	r.asked = engine.RecoverRequest{Request: req}
	return r.recovery.Operation, r.note("backup " + req.Service)
}

func (r *recorder) Recover(_ context.Context, req engine.RecoverRequest) (engine.Recovery, error) {
	r.asked = req
	return r.recovery, r.note("recover " + req.Service)
}

// call sends a request through the router, as the host does.
func (r *recorder) call(method, target, body string, header ...string) *httptest.ResponseRecorder {
	router := customhandler.NewRouter(customhandler.Options{Log: slog.New(slog.DiscardHandler)})
	app(r).Register(router)
	req := httptest.NewRequest(method, target, strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Traceparent", traceparent)
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	serve(router, w, req)
	return w
}

func (r *recorder) post(path, body string, header ...string) *httptest.ResponseRecorder {
	return r.call(http.MethodPost, path, body, header...)
}

// members decodes an answer.
func members(t *testing.T, w *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	return m
}

// fields are those that a problem names.
func fields(t *testing.T, w *httptest.ResponseRecorder) []string {
	t.Helper()
	var p customhandler.Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	var names []string
	for _, e := range p.Errors {
		names = append(names, e.Field)
	}
	return names
}

func isProblem(w *httptest.ResponseRecorder, status int) bool {
	return w.Code == status && w.Header().Get("Content-Type") == "application/problem+json"
}

const restoreID = "20260105-restore-0123456789abcdef0123"

// restoring is a failover in flight, with its plan.
func restoring() dr.Operation {
	plan := somePlan()
	at := time.Date(2026, 1, 5, 3, 0, 0, 0, time.UTC)
	return dr.Operation{
		ID: restoreID, Kind: dr.KindFailover, Service: "contoso-us", Phase: dr.Running, CreatedAt: at,
		Legs: []dr.Leg{
			{Verb: dr.VerbBackup, Service: "contoso-us", Safety: true, Attempt: 1, Outcome: dr.Succeeded},
			{Verb: dr.VerbRestore, Service: "contoso-us", Point: "point-1", Adopted: "another", Attempt: 1},
		},
		Step: 1,
		Recovery: &dr.Recovery{
			Intent: dr.Intent{Kind: dr.KindFailover, Source: dr.Instance{Name: "contoso-eu"}, Target: dr.Instance{Name: "contoso-us"}, Point: dr.Latest, Final: dr.FinalAuto},
			Bound:  &dr.RecoveryPoint{ID: "point-1", Service: "contoso-eu", CreatedAt: at.Add(-time.Hour), Settings: &dr.Settings{}},
			Plan:   &plan, Pair: "contoso-eu~contoso-us", Role: dr.Switch,
			Final: dr.Final{Operation: "20260105-backup-0123456789abcdef0123", Outcome: dr.Failed, Reason: "it does not answer"},
		},
	}
}

func somePlan() dr.Plan {
	return dr.Plan{
		Kind: dr.KindRestore, Source: dr.Instance{Name: "contoso-eu"}, Target: dr.Instance{Name: "contoso-us"}, Steps: []string{"restore it"},
		Checks:     []dr.Finding{{Name: "sku", Result: dr.Fail, Detail: "Developer is not Premium"}, {Name: "blob", Result: dr.Fail, Detail: "the blob is gone"}},
		NotCovered: []string{"its certificates"}, NextSteps: []string{"move the DNS name"},
	}
}

func TestWhatIsAskedForReachesTheEngine(t *testing.T) {
	who := func(service, reason string) engine.Request {
		return engine.Request{Service: service, Reason: reason, RequestedBy: "http", Traceparent: traceparent}
	}
	for _, tc := range []struct {
		path, body string
		want       engine.RecoverRequest
	}{
		{"/api/backups", `{"service":"a","reason":"before a change"}`, engine.RecoverRequest{Request: who("a", "before a change")}},
		{"/api/restores", `{"service":"a"}`, engine.RecoverRequest{Request: who("a", ""), Kind: dr.KindRestore, Safety: true}},
		{"/api/restores", `{"service":"a","safetyBackup":null}`, engine.RecoverRequest{Request: who("a", ""), Kind: dr.KindRestore, Safety: true}},
		{"/api/restores", `{"service":"a","from":"b","recoveryPoint":"2026-01-05T03:00:00Z","confirm":"c","reason":"why","safetyBackup":false,"maxWait":"1h30m","override":["sku","blob"],"dryRun":true}`,
			engine.RecoverRequest{Request: who("a", "why"), Kind: dr.KindRestore, From: "b", Point: "2026-01-05T03:00:00Z", Confirm: "c",
				MaxWait: dr.Duration(90 * time.Minute), Overrides: []string{"sku", "blob"}, DryRun: true}},
		{"/api/failovers", `{"primary":"a"}`, engine.RecoverRequest{Request: who("a", ""), Kind: dr.KindFailover, Final: dr.FinalNever}},
		{"/api/failovers", `{"primary":"a","target":"b","confirm":"c","recoveryPoint":"point-1","finalBackup":"require","safetyBackup":true,"maxWait":"12h","override":["expiry"],"reason":"why","dryRun":true}`,
			engine.RecoverRequest{Request: who("a", "why"), Kind: dr.KindFailover, Target: "b", Confirm: "c", Point: "point-1", Final: dr.FinalRequire, Safety: true,
				MaxWait: dr.Duration(12 * time.Hour), Overrides: []string{"expiry"}, DryRun: true}},
		{"/api/drills", `{"service":"a"}`, engine.RecoverRequest{Request: who("a", ""), Kind: dr.KindDrill}},
		{"/api/drills", `{"service":"a","recoveryPoint":"latest","override":["sku"],"reason":"why","dryRun":true}`,
			engine.RecoverRequest{Request: who("a", "why"), Kind: dr.KindDrill, Point: dr.Latest, Overrides: []string{"sku"}, DryRun: true}},
	} {
		r := &recorder{recovery: engine.Recovery{Operation: restoring()}}
		w := r.post(tc.path, tc.body)
		if w.Code >= 300 || len(r.calls) != 1 {
			t.Errorf("%s %s: %d %s, calls %q", tc.path, tc.body, w.Code, w.Body, r.calls)
		}
		if len(r.asked.BodyHash) != 64 || r.asked.KeyHash != "" {
			t.Errorf("%s %s: hashes %q, %q", tc.path, tc.body, r.asked.BodyHash, r.asked.KeyHash)
		}
		r.asked.BodyHash = ""
		if d := cmp.Diff(tc.want, r.asked); d != "" {
			t.Errorf("%s %s:\n%s", tc.path, tc.body, d)
		}
	}
}

var recoveries = map[string]string{
	"/api/restores":  `{"service":"contoso-us"}`,
	"/api/failovers": `{"primary":"contoso-us"}`,
	"/api/drills":    `{"service":"contoso-us"}`,
}

func TestWhatWasStartedIsAnsweredWithItsOperationAndPlan(t *testing.T) {
	for path, body := range recoveries {
		r := &recorder{recovery: engine.Recovery{Plan: somePlan(), Operation: restoring()}}
		w := r.post(path, body)
		m := members(t, w)
		if h := w.Header(); w.Code != 202 || h.Get("Location") != "/api/operations/"+restoreID || h.Get("Retry-After") != "5" || m["id"] != restoreID {
			t.Errorf("%s: %d %v %s", path, w.Code, h, w.Body)
		}
		if rec, _ := m["recovery"].(map[string]any); rec["plan"] == nil {
			t.Errorf("%s: the plan is missing: %s", path, w.Body)
		}
		r.recovery.Operation.Phase = dr.Done // a retry finds it so
		if w := r.post(path, body); w.Code != 200 || w.Header().Get("Retry-After") != "" {
			t.Errorf("%s: of an operation that is done %d, Retry-After %q", path, w.Code, w.Header().Get("Retry-After"))
		}
	}
}

func TestADryRunIsAnsweredWithThePlanAlone(t *testing.T) {
	for path, body := range recoveries {
		r := &recorder{recovery: engine.Recovery{Plan: somePlan()}}
		w := r.post(path, strings.Replace(body, "{", `{"dryRun":true,`, 1))
		m := members(t, w)
		plan, _ := m["plan"].(map[string]any)
		if w.Code != 200 || len(m) != 4 || m["passes"] != false || fmt.Sprint(m["blockedBy"]) != "[sku blob]" || m["dryRun"] != true || plan["checks"] == nil || w.Header().Get("Location") != "" || w.Header().Get("Retry-After") != "" {
			t.Errorf("%s: %d %v %s", path, w.Code, w.Header(), w.Body)
		}
	}
}

func TestARefusalTellsWhyAndShowsThePlan(t *testing.T) {
	fit := somePlan()
	fit.Checks = []dr.Finding{{Name: "sku", Result: dr.Pass}}
	for _, tc := range []struct {
		name          string
		err           error
		plan          dr.Plan
		operation     string
		status        int
		title, detail string // detail: is in it
		fields        []string
		withPlan      bool
	}{
		{name: "makes no sense", err: fmt.Errorf("wrapped: %w", &engine.Invalid{Field: "target", Detail: "is no secondary"}), status: 400, title: "The request is not valid",
			detail: "nothing was begun", fields: []string{"target"}},
		{name: "unknown service", err: fmt.Errorf("%w: it has contoso-eu", engine.ErrUnknownService), status: 404, title: "Unknown service", detail: "contoso-eu"},
		{name: "key reused", err: engine.ErrKeyReused, status: 422, title: "Idempotency-Key reused", detail: "Take a new key"},
		{name: "unconfirmed", err: engine.ErrUnconfirmed, plan: fit, status: 409, title: "Not confirmed", detail: `send the same with "confirm":"contoso-us"; nothing was begun.`, withPlan: true},
		{name: "unconfirmed, unfit", err: engine.ErrUnconfirmed, plan: somePlan(), status: 409, title: "Not confirmed", detail: "would be refused: Developer is not Premium\nthe blob is gone", withPlan: true},
		{name: "refused", err: fmt.Errorf("wrapped: %w", engine.ErrRefused), plan: somePlan(), operation: restoreID, status: 409, title: "The plan does not pass its checks",
			detail: "Developer is not Premium\nthe blob is gone", withPlan: true},
		{name: "refused for no check", err: fmt.Errorf("%w: no secondary", engine.ErrRefused), plan: fit, status: 409, title: "The plan does not pass its checks", detail: "no secondary", withPlan: true},
		{name: "outage", err: errors.New("no route to host, key=secret"), plan: somePlan(), status: 503, title: "Something that this needs cannot be reached", detail: "with the same Idempotency-Key"},
		{name: "unreadable", err: engine.ErrUnreadable, status: 500, title: "The record cannot be read"},
	} {
		for path, body := range recoveries {
			r := &recorder{err: tc.err, recovery: engine.Recovery{Plan: tc.plan, Operation: dr.Operation{ID: tc.operation}}}
			w := r.post(path, body)
			m := members(t, w)
			if !isProblem(w, tc.status) || m["title"] != tc.title || !strings.Contains(fmt.Sprint(m["detail"]), tc.detail) || strings.Contains(w.Body.String(), "secret") {
				t.Errorf("%s, %s: %d %s", path, tc.name, w.Code, w.Body)
			}
			if got := fields(t, w); !slices.Equal(got, tc.fields) {
				t.Errorf("%s, %s: fields %q", path, tc.name, got)
			}
			if plan, _ := m["plan"].(map[string]any); tc.withPlan != (plan["steps"] != nil) {
				t.Errorf("%s, %s: plan %v", path, tc.name, m["plan"])
			}
			wantInstance, wantOperation := path, any(nil)
			if tc.operation != "" {
				wantInstance, wantOperation = "/api/operations/"+tc.operation, tc.operation
			}
			if m["instance"] != wantInstance || m["operation"] != wantOperation {
				t.Errorf("%s, %s: instance %v, operation %v", path, tc.name, m["instance"], m["operation"])
			}
			if again := w.Header().Get("Retry-After"); (tc.status == 503) != (again != "") {
				t.Errorf("%s, %s: Retry-After %q", path, tc.name, again)
			}
		}
	}
}

func TestAWrongConfirmIsToldWhatItNames(t *testing.T) {
	r := &recorder{err: engine.ErrUnconfirmed, recovery: engine.Recovery{Plan: somePlan()}}
	w := r.post("/api/restores", `{"service":"contoso-us","confirm":"contoso-eu"}`)
	if detail, _ := members(t, w)["detail"].(string); !isProblem(w, 409) || !strings.HasPrefix(detail, `confirm names "contoso-eu", but contoso-us would be overwritten. `) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestABodyThatIsNotValidStartsNothing(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	for _, tc := range []struct{ path, body, fields string }{
		{"/api/restores", `{}`, "service"},
		{"/api/restores", `{"service":"` + long(51) + `","from":"` + long(51) + `","confirm":"` + long(51) + `"}`, "service from confirm"},
		{"/api/restores", `{"service":"a\r\nb","from":"a\nb","confirm":"a\rb","recoveryPoint":"a\nb","override":["sku\n"],"reason":"a\r\nb","maxWait":"1m\n"}`,
			"service from confirm recoveryPoint override maxWait reason"},
		{"/api/restores", `{"service":"a","target":"b"}`, "target"},
		{"/api/restores", `{"service":"a","finalBackup":"auto"}`, "finalBackup"},
		{"/api/restores", `{"service":"a","safetyBackup":"yes"}`, "safetyBackup"},
		{"/api/restores", `{"service":"a","maxWait":"0s"}`, "maxWait"},
		{"/api/restores", `{"service":"a","maxWait":"-1m"}`, "maxWait"},
		{"/api/restores", `{"service":"a","maxWait":"soon"}`, "maxWait"},
		{"/api/restores", `{"service":"a","maxWait":600}`, "maxWait"},
		{"/api/failovers", `{"service":"a"}`, "service"},
		{"/api/failovers", `{}`, "primary"},
		{"/api/failovers", `{"primary":"a\r\nb","target":"a\nb","confirm":"a\rb"}`, "primary target confirm"},
		{"/api/failovers", `{"primary":"a","finalBackup":""}`, "finalBackup"},
		{"/api/failovers", `{"primary":"a","finalBackup":"always"}`, "finalBackup"},
		{"/api/failovers", `{"primary":"a","from":"b"}`, "from"},
		{"/api/failovers", `{"primary":"a","maxWait":"0s"}`, "maxWait"},
		{"/api/drills", `{}`, "service"},
		{"/api/drills", `{"service":"a","confirm":"a"}`, "confirm"},
		{"/api/drills", `{"service":"a","safetyBackup":true}`, "safetyBackup"},
		{"/api/drills", `{"service":"a","recoveryPoint":"` + long(101) + `"}`, "recoveryPoint"},
		{"/api/drills", `{"service":"a","recoveryPoint":"é"}`, "recoveryPoint"},
		{"/api/drills", `{"service":"a","reason":"` + long(501) + `"}`, "reason"},
		{"/api/drills", `{"service":"a","override":"sku"}`, "override"},
		{"/api/drills", `{"service":"a","override":["sku",7]}`, "override"},
		{"/api/drills", `{"service":"a","override":[null]}`, "override"},
		{"/api/drills", `{"service":"a","override":["sku","sku"]}`, "override"},
		{"/api/drills", `{"service":"a","override":["active"]}`, "override"}, // production would be overwritten
		{"/api/backups", `{"service":"a\r\nb","reason":"a\r\nb"}`, "service reason"},
	} {
		r := &recorder{}
		w := r.post(tc.path, tc.body)
		if got := strings.Join(fields(t, w), " "); !isProblem(w, 400) || got != tc.fields || len(r.calls) > 0 {
			t.Errorf("%s %s: %d, fields %q, calls %q: %s", tc.path, tc.body, w.Code, got, r.calls, w.Body)
		}
	}
	if w := (&recorder{}).post("/api/drills", `{"service":"a","override":["everything"]}`); !strings.Contains(w.Body.String(), strings.Join(dr.Overridable(), ", ")) {
		t.Errorf("what can be overridden is not told: %s", w.Body)
	}
	r := &recorder{recovery: engine.Recovery{Operation: restoring()}}
	all, _ := json.Marshal(dr.Overridable())
	if w := r.post("/api/drills", `{"service":"a","override":`+string(all)+`}`); w.Code != 202 {
		t.Errorf("all that can be overridden: %d %s", w.Code, w.Body)
	}
}

func TestARetryIsToldFromAnotherCall(t *testing.T) {
	hashes := func(path, body string, keys ...string) (key, bodyHash string) {
		t.Helper()
		r := &recorder{recovery: engine.Recovery{Operation: restoring()}}
		var header []string
		for _, k := range keys {
			header = append(header, "Idempotency-Key", k)
		}
		if w := r.post(path, body, header...); w.Code >= 300 {
			t.Fatalf("%s %s: %d %s", path, body, w.Code, w.Body)
		}
		return r.asked.KeyHash, r.asked.BodyHash
	}
	seen := map[string]string{}
	for path, body := range map[string]string{"/api/backups": `{"service":"a"}`, "/api/restores": `{"service":"a"}`, "/api/failovers": `{"primary":"a"}`, "/api/drills": `{"service":"a"}`} {
		key, _ := hashes(path, body, "k-1")
		if again, _ := hashes(path, body, "k-1"); again != key || len(key) != 64 {
			t.Errorf("%s: the same key is %q and %q", path, key, again)
		}
		if other, _ := hashes(path, body, "k-2"); other == key {
			t.Errorf("%s: two keys are one", path)
		}
		if was, taken := seen[key]; taken {
			t.Errorf("a key on %s and on %s is one", path, was)
		}
		seen[key] = path
		for _, bad := range [][]string{{"a", "b"}, {strings.Repeat("k", 256)}, {"é"}} {
			r, header := &recorder{}, []string{}
			for _, k := range bad {
				header = append(header, "Idempotency-Key", k)
			}
			w := r.post(path, body, header...)
			if got := fields(t, w); !isProblem(w, 400) || !slices.Equal(got, []string{"Idempotency-Key (header)"}) || len(r.calls) > 0 {
				t.Errorf("%s: keys %q: %d %s", path, bad, w.Code, w.Body)
			}
		}
	}

	// Of a key that was in use before an update, the hashes stay what they were.
	key, body := hashes("/api/backups", `{"service":"contoso-eu","reason":"r"}`, "k-1")
	if key != hashOf(json.RawMessage(`["POST backups","k-1"]`)) || body != hashOf(json.RawMessage(`{"service":"contoso-eu","reason":"r"}`)) {
		t.Errorf("hashes %s, %s", key, body)
	}

	_, first := hashes("/api/restores", `{"service":"a"}`)
	for _, same := range []string{`{"service":"a","safetyBackup":true}`, `{ "dryRun":false, "service":"a" }`} {
		if _, h := hashes("/api/restores", same); h != first {
			t.Errorf("%s is another call", same)
		}
	}
	for _, other := range []string{`"dryRun":true`, `"confirm":"a"`, `"from":"b"`, `"safetyBackup":false`, `"maxWait":"1m"`, `"override":["sku"]`, `"reason":"r"`, `"recoveryPoint":"p"`} {
		if _, h := hashes("/api/restores", `{"service":"a",`+other+`}`); h == first {
			t.Errorf("with %s it is the same call", other)
		}
	}
	_, first = hashes("/api/failovers", `{"primary":"a"}`)
	for _, other := range []string{`"target":"b"`, `"finalBackup":"auto"`, `"confirm":"b"`, `"dryRun":true`} {
		if _, h := hashes("/api/failovers", `{"primary":"a",`+other+`}`); h == first {
			t.Errorf("with %s it is the same call", other)
		}
	}
}

// FuzzRecovery: whatever the body, it is refused with a reason or asks the engine for something within the limits.
func FuzzRecovery(f *testing.F) {
	paths := []string{"/api/restores", "/api/failovers", "/api/drills"}
	for i, path := range paths {
		f.Add(uint8(i), []byte(recoveries[path]))
	}
	f.Fuzz(func(t *testing.T, route uint8, body []byte) {
		path := paths[int(route)%len(paths)]
		r := &recorder{recovery: engine.Recovery{Operation: restoring()}}
		w := r.post(path, string(body))
		if !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%s %q: no JSON: %q", path, body, w.Body)
		}
		if w.Code >= 400 {
			if m := members(t, w); w.Code != 400 && w.Code != 413 || m["detail"] == "" || len(r.calls) > 0 {
				t.Fatalf("%s %q: %d %s, calls %q", path, body, w.Code, w.Body, r.calls)
			}
			return
		}
		q := r.asked
		for _, s := range []string{q.Service, q.From, q.Target, q.Confirm, q.Point} {
			if len(s) > 100 || strings.ContainsFunc(s, unprintable) {
				t.Errorf("%s %q: %q got through", path, body, s)
			}
		}
		if want := map[bool]int{true: 200, false: 202}[q.DryRun]; w.Code != want || q.Service == "" || len(q.Service) > 50 || len(q.Confirm) > 50 || strings.ContainsAny(q.Reason, "\r\n") ||
			q.MaxWait < 0 || time.Duration(q.MaxWait) > 12*time.Hour || len(q.Overrides) > len(dr.Overridable()) || q.RequestedBy == "" || q.BodyHash == "" {
			t.Errorf("%s %q: %d, asked for %+v", path, body, w.Code, q)
		}
	})
}
