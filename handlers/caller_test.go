package handlers

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"apim-dr/internal/customhandler"
	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/principal"
)

const annID = "00000000-0000-0000-0000-00000000000a"

// as is the header of somebody with app roles.
func as(name, id string, roles ...principal.Role) string {
	claims := []map[string]string{{"typ": "preferred_username", "val": name}, {"typ": "oid", "val": id}}
	for _, r := range roles {
		claims = append(claims, map[string]string{"typ": "roles", "val": string(r)})
	}
	text, err := json.Marshal(map[string]any{"auth_typ": "aad", "claims": claims})
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(text)
}

// behind is an app behind built-in authentication.
func behind(r *recorder, method, target, body, header string) *httptest.ResponseRecorder {
	a := app(r)
	a.Entra, a.Log = true, slog.New(slog.NewTextHandler(&r.log, nil))
	router := customhandler.NewRouter(customhandler.Options{Log: slog.New(slog.DiscardHandler)})
	a.Register(router)
	req := httptest.NewRequest(method, target, strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", "k")
	if header != "" {
		req.Header.Set(principal.Header, header)
	}
	w := httptest.NewRecorder()
	serve(router, w, req)
	return w
}

func TestEachFunctionIsOpenToItsRoleAndThoseAbove(t *testing.T) {
	bodies := map[string]string{ // what a call of it needs to get through
		"StartBackup": `{"service":"a"}`, "StartRestore": `{"service":"a"}`, "StartFailover": `{"primary":"a"}`, "StartDrill": `{"service":"a"}`,
		"AbandonOperation": `{"reason":"x"}`, "RearmService": `{"active":"a"}`, "HoldService": `{"until":"2026-01-31T05:00:00Z","reason":"x"}`, "ReleaseService": `{}`,
	}
	lowest := map[string]principal.Role{
		"StartBackup": principal.Operator, "StartRestore": principal.FailoverOperator, "StartFailover": principal.FailoverOperator, "StartDrill": principal.Operator,
		"GetOperation": principal.Reader, "ListOperations": principal.Reader, "AbandonOperation": principal.Operator, "RearmService": principal.FailoverOperator,
		"HoldService": principal.Operator, "ReleaseService": principal.Operator, "GetServiceBusy": principal.Reader, "GetStatus": principal.Reader, "ListRecoveryPoints": principal.Reader, "GetNotCovered": principal.Reader,
	}
	roles := []principal.Role{principal.Reader, principal.Operator, principal.FailoverOperator}
	for _, f := range (&App{}).Table() {
		if f.HTTP == nil || f.Role == principal.Anybody {
			continue
		}
		method, path, _ := strings.Cut(f.Pattern, " ")
		path = strings.NewReplacer("{id}", restoreID, "{name}", "contoso-eu").Replace(path)
		if f.Name == "ListRecoveryPoints" {
			path += "?service=contoso-eu"
		}
		for i, role := range roles {
			r := &recorder{op: dr.Operation{ID: restoreID, Kind: dr.KindBackup}, recovery: engine.Recovery{Operation: restoring()}, points: []dr.RecoveryPoint{{}}}
			w := behind(r, method, path, bodies[f.Name], as("ann@contoso.com", annID, role))
			if may := i >= slices.Index(roles, lowest[f.Name]); may != (w.Code < 300) || !may && (!isProblem(w, 403) || !strings.Contains(w.Body.String(), string(lowest[f.Name])) || len(r.calls) > 0) {
				t.Errorf("%s as %s: %d %s, calls %q", f.Name, role, w.Code, w.Body, r.calls)
			}
		}
		for header, status := range map[string]int{"": 401, "x": 401, as("ann@contoso.com", annID): 403} {
			r := &recorder{}
			if w := behind(r, method, path, bodies[f.Name], header); !isProblem(w, status) || len(r.calls) > 0 || strings.Contains(w.Body.String(), "ann") {
				t.Errorf("%s with %q: %d %s, calls %q", f.Name, header, w.Code, w.Body, r.calls)
			}
		}
	}
}

// Somebody who tries doors is seen.
func TestWhoIsTurnedAwayStandsInTheLog(t *testing.T) {
	for header, want := range map[string]string{"": "status=401", as("ann@contoso.com", annID, principal.Reader): `by="ann@contoso.com (` + annID + `)" status=403`} {
		r := &recorder{}
		behind(r, http.MethodPost, "/api/backups", `{"service":"a"}`, header)
		if text := r.log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "level=WARN") || !strings.Contains(text, want) {
			t.Errorf("%s: %s", want, text)
		}
	}
}

// traced keeps the trace of the last tick.
type traced struct {
	Engine
	trace string
}

func (e *traced) RunTick(_ context.Context, _ dr.Tick, traceparent string) error {
	e.trace = traceparent
	return nil
}

// The backups of a night are one trace.
func TestATickHandsItsTraceOn(t *testing.T) {
	e := &traced{Engine: &recorder{}}
	a := app(&recorder{})
	a.Engine = e
	router := customhandler.NewRouter(customhandler.Options{Log: a.Log})
	a.Register(router)
	tick := base64.StdEncoding.EncodeToString([]byte(`{"v":1,"tick":{"plan":"nightly","at":"2026-01-05T03:00:00Z","try":0}}`))
	req := httptest.NewRequest(http.MethodPost, "/RunOperation", strings.NewReader(`{"Data":{"msg":"`+tick+`"}}`))
	req.Header.Set("Traceparent", traceparent)
	w := httptest.NewRecorder()
	serve(router, w, req)
	if w.Code != 200 || e.trace != traceparent {
		t.Errorf("%d %s, trace %q", w.Code, w.Body, e.trace)
	}
}

// Who may not begin a failover or a restore may not end it either, nor the backup that a failover waits for.
func TestAbandoningARecoveryNeedsItsRole(t *testing.T) {
	for _, tc := range []struct {
		op   dr.Operation
		role principal.Role
		err  error
		want int
	}{
		{dr.Operation{Kind: dr.KindFailover, Trigger: dr.TriggerHTTP}, principal.Operator, nil, 403},
		{dr.Operation{Kind: dr.KindRestore, Trigger: dr.TriggerCLI}, principal.Operator, nil, 403},
		{dr.Operation{Kind: dr.KindBackup, Trigger: dr.TriggerFailover}, principal.Operator, nil, 403},
		{dr.Operation{Kind: dr.KindFailover, Trigger: dr.TriggerHTTP}, principal.FailoverOperator, nil, 200},
		{dr.Operation{Kind: dr.KindRestore, Trigger: dr.TriggerBackup}, principal.Operator, nil, 200}, // a warm sync
		{dr.Operation{Kind: dr.KindDrill, Trigger: dr.TriggerHTTP}, principal.Operator, nil, 200},
		{dr.Operation{Kind: dr.KindBackup, Trigger: dr.TriggerHTTP}, principal.Operator, nil, 200},
		{dr.Operation{}, principal.Operator, engine.ErrNotFound, 404},
		{dr.Operation{}, principal.Operator, engine.ErrUnreadable, 500},
	} {
		tc.op.ID = restoreID
		r := &recorder{op: tc.op, err: tc.err}
		w := behind(r, http.MethodPost, "/api/operations/"+restoreID+"/abandon", `{"reason":"x"}`, as("ann@contoso.com", annID, tc.role))
		if w.Code != tc.want || (len(r.calls) > 0) != (tc.want == 200) {
			t.Errorf("%s of %s as %s: %d %s, calls %q", tc.op.Kind, tc.op.Trigger, tc.role, w.Code, w.Body, r.calls)
		}
	}
}

func TestWhoAsksIsKept(t *testing.T) {
	const body = `{"service":"a","reason":"why","ticket":"INC-1"}`
	r := &recorder{}
	behind(r, http.MethodPost, "/api/backups", body, as("ann@contoso.com", annID, principal.Operator))
	first := r.asked.Request
	if first.RequestedBy != "entra: ann@contoso.com ("+annID+")" || first.Reason != "why" || first.Ticket != "INC-1" {
		t.Errorf("%+v", first)
	}
	behind(r, http.MethodPost, "/api/backups", body, as("bob@contoso.com", "00000000-0000-0000-0000-00000000000b", principal.Operator))
	if r.asked.KeyHash == first.KeyHash || r.asked.BodyHash != first.BodyHash {
		t.Error("another caller's Idempotency-Key is the same operation")
	}
	if w := behind(r, http.MethodPost, "/api/backups", `{"service":"a","requestedBy":"bob"}`, as("ann@contoso.com", annID, principal.Operator)); !isProblem(w, 400) || fields(t, w)[0] != "requestedBy" {
		t.Errorf("%d %s", w.Code, w.Body)
	}

	// With a function key nobody knows; the header is worth nothing.
	for body, want := range map[string]string{`{"service":"a"}`: "http", `{"service":"a","requestedBy":"ann"}`: "http: ann"} {
		if w := r.post("/api/drills", body, principal.Header, as("eve@contoso.com", annID, principal.FailoverOperator)); w.Code != 202 || r.asked.RequestedBy != want {
			t.Errorf("%d %s: by %q", w.Code, w.Body, r.asked.RequestedBy)
		}
	}
	reason := strings.Repeat("é", maxReason) // characters count, not bytes
	if w := r.post("/api/drills", `{"service":"a","reason":"`+reason+`"}`); w.Code != 202 || r.asked.Reason != reason {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	r = &recorder{op: restoring()}
	r.post("/api/operations/"+restoreID+"/abandon", `{"reason":"why","ticket":"INC-1","requestedBy":"ann"}`)
	r.post("/api/services/contoso-eu/release", `{"ticket":"CHG-2"}`)
	if want := []string{"abandon " + restoreID + " by http: ann: why (INC-1)", "release contoso-eu by http: (CHG-2)"}; !slices.Equal(r.calls, want) {
		t.Errorf("%q", r.calls)
	}
	for _, body := range []string{`{"service":"a","ticket":"a\nb","requestedBy":"a\rb"}`, `{"service":"a","ticket":"\u202etxt","requestedBy":"a\u2029b"}`, `{"service":"a","ticket":"` + strings.Repeat("x", 101) + `","requestedBy":"` + strings.Repeat("é", 101) + `"}`} {
		if w := r.post("/api/backups", body); !isProblem(w, 400) || strings.Join(fields(t, w), " ") != "ticket requestedBy" {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}

// A retry that a newer version answers must still be the same call.
func TestTheHashOfABodyDoesNotChangeBetweenVersions(t *testing.T) {
	for path, tc := range map[string]struct{ body, hashed string }{
		"/api/backups":   {`{"service":"a"}`, `{"service":"a","reason":""}`},
		"/api/drills":    {`{"service":"a","reason":"why"}`, `{"service":"a","recoveryPoint":"","override":null,"reason":"why","dryRun":false}`},
		"/api/failovers": {`{"primary":"a","confirm":"b"}`, `{"primary":"a","target":"","confirm":"b","finalBackup":"never","safetyBackup":false,"maxWait":"","recoveryPoint":"","override":null,"reason":"","dryRun":false}`},
	} {
		r := &recorder{recovery: engine.Recovery{Operation: restoring()}}
		if r.post(path, tc.body); r.asked.BodyHash != hashOf(json.RawMessage(tc.hashed)) {
			t.Errorf("%s: another hash", path)
		}
	}
}

func TestFunctionsWithoutAKeyAreFound(t *testing.T) {
	app := func(files ...string) fstest.MapFS {
		m := fstest.MapFS{"host.json": {Data: []byte("{}")}, "sub/dir/function.json": {Data: []byte("?")}}
		for i, text := range files {
			m[string(rune('A'+i))+"/function.json"] = &fstest.MapFile{Data: []byte(text)}
		}
		return m
	}
	const timer, keyed, open = `{"bindings":[{"type":"timerTrigger","authLevel":"anonymous"}]}`, `{"bindings":[{"type":"httpTrigger","authLevel":"function"}]}`, `{"bindings":[{"type":"http"},{"Type":"HttpTrigger","authLevel":"Anonymous"}]}`
	const page = `{"bindings":[{"type":"httpTrigger","authLevel":"anonymous","route":"dashboard"}]}`
	for text, want := range map[string][]string{
		page: nil, strings.Replace(page, "dashboard", "status", 1): {"GetDashboard"}, open: {"GetDashboard"},
		`{"bindings":[{"type":"httpTrigger","authLevel":"anonymous","route":"dashboard"},{"type":"httpTrigger","authLevel":"anonymous","route":"status"}]}`: {"GetDashboard"},
	} {
		if got, err := Anonymous(fstest.MapFS{"GetDashboard/function.json": {Data: []byte(text)}}); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q %v, want %q", text, got, err, want)
		}
	}
	if got, err := Anonymous(app(page)); err != nil || !slices.Equal(got, []string{"A"}) {
		t.Errorf("the page's route below another name: %q %v", got, err)
	}
	if got, err := Anonymous(app(timer, open, keyed, open)); err != nil || !slices.Equal(got, []string{"B", "D"}) {
		t.Errorf("%q %v", got, err)
	}
	for _, bad := range []fstest.MapFS{app(), app(timer, "?")} {
		if got, err := Anonymous(bad); err == nil {
			t.Errorf("%q", got)
		}
	}
}
