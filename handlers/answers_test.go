package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

func (r *recorder) Abandon(_ context.Context, id, by, reason string) (dr.Operation, error) {
	return r.op, r.note("abandon " + id + " by " + by + ": " + reason)
}

func (r *recorder) Rearm(_ context.Context, r2 engine.RearmRequest) ([]dr.Pair, error) {
	return []dr.Pair{dr.NewPair("contoso-eu", "contoso-us")}, r.note(fmt.Sprintf("rearm %s active %s suspended %v by %s: %s", r2.Service, r2.Active, r2.Suspended, r2.By, r2.Reason))
}

func (r *recorder) Hold(_ context.Context, r2 engine.HoldRequest) (engine.Holding, error) {
	held := dr.Held{Service: r2.Service, Hold: dr.Hold{Until: r2.Until.UTC(), Reason: r2.Reason, By: r2.By}}
	return engine.Holding{Held: held, Replaced: r.hold}, r.note(held.String())
}

func (r *recorder) Release(_ context.Context, service, by, reason string) (dr.Held, error) {
	return dr.Held{Service: service, Hold: r.hold}, r.note("release " + service + " by " + by + ": " + reason)
}

func (r *recorder) Busy(_ context.Context, service string) (engine.Busy, error) {
	return r.busy, r.note("busy " + service)
}

func (r *recorder) Status(context.Context) (engine.Status, error) {
	return engine.Status{Services: []dr.Posture{{}}}, r.note("status")
}

func (r *recorder) InFlight(_ context.Context, limit int) ([]engine.UnderWay, int, error) {
	return r.underWay, 7, r.note(fmt.Sprintf("in flight, %d at most", limit))
}

func (r *recorder) Usual(context.Context, dr.Operation) float64 { return r.usual }

func (r *recorder) Retention(_ context.Context, service string) ([]dr.Decision, error) {
	points, err := r.RecoveryPoints(context.Background(), service)
	var list []dr.Decision
	for i, p := range points {
		list = append(list, dr.Decision{Point: p, Goes: i > 0, Why: []string{"because"}})
	}
	return list, err
}

func (r *recorder) RecoveryPoint(_ context.Context, id string) (dr.RecoveryPoint, error) {
	err := r.note("point " + id)
	if err == nil && len(r.points) == 0 {
		err = engine.ErrNoPoint
	}
	if err != nil {
		return dr.RecoveryPoint{}, err
	}
	return r.points[0], nil
}

func (r *recorder) RecoveryPoints(_ context.Context, service string) ([]dr.RecoveryPoint, error) {
	return r.points, r.note("points of " + service)
}

func (r *recorder) SendTicks(_ context.Context, k dr.Kind) error { return r.note("ticks " + string(k)) }

func (r *recorder) ListOperations(context.Context, string, string, int) ([]dr.Operation, string, error) {
	return []dr.Operation{r.op}, r.next, r.err
}

func (r *recorder) get(target string) *httptest.ResponseRecorder {
	return r.call(http.MethodGet, target, "")
}

func TestTimersDoWhatIsDue(t *testing.T) {
	r := &recorder{}
	for _, f := range app(r).Table() {
		if f.Timer == nil {
			continue
		}
		if r.err = nil; f.Timer(t.Context(), customhandler.TimerInvocation{}) != nil {
			t.Errorf("%s failed", f.Name)
		}
		if r.err = errors.New("no route to host"); !errors.Is(f.Timer(t.Context(), customhandler.TimerInvocation{}), r.err) {
			t.Errorf("%s is silent about a failure", f.Name)
		}
	}
	if !slices.Equal(r.calls, []string{"ticks backup", "ticks backup", "ticks drill", "ticks drill", "exports", "exports", "watch", "tell", "watch", "tell"}) {
		t.Errorf("calls %q", r.calls)
	}
}

func TestAnOperationIsAbandoned(t *testing.T) {
	path := "/api/operations/" + restoreID + "/abandon"
	done, _ := dr.Abandon(restoring(), "http", "why", time.Date(2026, 1, 5, 4, 0, 0, 0, time.UTC))
	r := &recorder{op: done}
	w := r.post(path, `{"reason":"why"}`)
	if m := members(t, w); w.Code != 200 || m["id"] != restoreID || m["outcome"] != "unknown" || !strings.Contains(fmt.Sprint(m["error"]), "ARM may still be at work") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if want := "abandon " + restoreID + " by http: why"; len(r.calls) != 1 || r.calls[0] != want {
		t.Errorf("calls %q", r.calls)
	}
	for err, want := range map[error]int{engine.ErrNotFound: 404, fmt.Errorf("wrapped: %w", engine.ErrEnded): 409, engine.ErrNewer: 500, errors.New("no route to host"): 503} {
		if w := (&recorder{err: err}).post(path, `{"reason":"why"}`); !isProblem(w, want) || want == 409 && !strings.Contains(w.Body.String(), "GET /api/operations/"+restoreID+" tells") {
			t.Errorf("%v: %d %s", err, w.Code, w.Body)
		}
	}
	for _, tc := range []struct {
		path, body string
		status     int
	}{
		{path, `{"reason":"a\r\nb"}`, 400}, {path, `{"force":true}`, 400}, {path, ``, 400}, {path, `{}`, 400}, {"/api/operations/nonsense/abandon", `{"reason":"why"}`, 404},
	} {
		r := &recorder{}
		if w := r.post(tc.path, tc.body); !isProblem(w, tc.status) || len(r.calls) > 0 {
			t.Errorf("%s %s: %d %s, calls %q", tc.path, tc.body, w.Code, w.Body, r.calls)
		}
	}
}

func TestAStandbyIsRearmed(t *testing.T) {
	const path = "/api/services/contoso-eu/rearm"
	r := &recorder{}
	w := r.post(path, `{"active":"contoso-us","suspended":true,"reason":"why"}`)
	pairs, _ := members(t, w)["pairs"].([]any)
	if w.Code != 200 || len(pairs) != 1 || pairs[0].(map[string]any)["active"] != "contoso-eu" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if want := "rearm contoso-eu active contoso-us suspended true by http: why"; len(r.calls) != 1 || r.calls[0] != want {
		t.Errorf("calls %q", r.calls)
	}
	for _, tc := range []struct {
		err    error
		status int
		text   string
	}{
		{&engine.Invalid{Field: "active", Detail: "is in no pair of it"}, 400, `"field":"active","detail":"is in no pair of it"`},
		{engine.ErrUnknownService, 404, "Unknown service"},
		{fmt.Errorf("wrapped: %w", &engine.Refusal{Why: dr.Failure("FailoverInProgress", "wait for its end")}), 409, "FailoverInProgress: wait for its end"},
		{errors.New("no route to host"), 503, "Try again"},
	} {
		if w := (&recorder{err: tc.err}).post(path, `{"active":"contoso-us"}`); !isProblem(w, tc.status) || !strings.Contains(w.Body.String(), tc.text) {
			t.Errorf("%v: %d %s", tc.err, w.Code, w.Body)
		}
	}
	for _, tc := range []struct{ path, body, fields string }{
		{path, `{}`, "active"}, {path, `{"active":"a\nb","reason":"a\nb"}`, "active reason"}, {path, `{"active":"a","standby":"b"}`, "standby"},
		{"/api/services/a%0Ab/rearm", `{"active":"a"}`, "name"}, {"/api/services/" + strings.Repeat("x", 51) + "/rearm", `{"active":"a"}`, "name"},
	} {
		r := &recorder{}
		w := r.post(tc.path, tc.body)
		if got := strings.Join(fields(t, w), " "); !isProblem(w, 400) || got != tc.fields || len(r.calls) > 0 {
			t.Errorf("%s %s: %d, fields %q, calls %q", tc.path, tc.body, w.Code, got, r.calls)
		}
	}
}

func TestAnInstanceIsHeldAndReleased(t *testing.T) {
	const hold, release = "/api/services/contoso-eu/hold", "/api/services/contoso-eu/release"
	const body = `{"until":"2026-01-31T06:00:00+01:00","reason":"a release","ticket":"CHG-1"}`
	r := &recorder{}
	if w := r.call(http.MethodPut, hold, body); w.Code != 200 || members(t, w)["until"] != "2026-01-31T05:00:00Z" || members(t, w)["service"] != "contoso-eu" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := r.post(release, `{"reason":"done"}`); w.Code != 204 || w.Body.Len() > 0 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if want := []string{"contoso-eu is held until 2026-01-31T05:00:00Z by http: a release (CHG-1)", "release contoso-eu by http: done"}; !slices.Equal(r.calls, want) {
		t.Errorf("calls %q", r.calls)
	}
	r.hold = dr.Hold{Until: time.Date(2026, 1, 31, 4, 0, 0, 0, time.UTC), By: "bob", Reason: "another"}
	for answered, w := range map[string]*httptest.ResponseRecorder{"replaced": r.call(http.MethodPut, hold, body), "ended": r.post(release, `{}`)} {
		if m, _ := members(t, w)[answered].(map[string]any); w.Code != 200 || m["by"] != "bob" {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	for err, want := range map[error]int{&engine.Invalid{Field: "until", Detail: "is over"}: 400, engine.ErrUnknownService: 404, errors.New("no route to host"): 503} {
		if w := (&recorder{err: err}).call(http.MethodPut, hold, body); !isProblem(w, want) {
			t.Errorf("%v: %d %s", err, w.Code, w.Body)
		}
	}
	for err, want := range map[error]int{engine.ErrUnknownService: 404, errors.New("no route to host"): 503} {
		if w := (&recorder{err: err}).post(release, `{}`); !isProblem(w, want) {
			t.Errorf("%v: %d %s", err, w.Code, w.Body)
		}
	}
	for _, tc := range []struct{ method, path, body, fields string }{
		{http.MethodPut, hold, `{}`, "reason until"}, {http.MethodPut, hold, `{"until":"tomorrow","reason":"a\nb"}`, "reason until"},
		{http.MethodPut, "/api/services/a%0Ab/hold", body, "name"}, {http.MethodPut, hold, `{"until":"2026-01-31T06:00:00Z","reason":"x","force":true}`, "force"},
		{http.MethodPost, "/api/services/a%0Ab/release", `{"reason":"a\nb"}`, "name reason"},
	} {
		r := &recorder{}
		w := r.call(tc.method, tc.path, tc.body)
		if got := strings.Join(fields(t, w), " "); !isProblem(w, 400) || got != tc.fields || len(r.calls) > 0 {
			t.Errorf("%s %s: %d, fields %q, calls %q", tc.path, tc.body, w.Code, got, r.calls)
		}
	}
}

func TestWhoIsBusySaysWhenToAskAgain(t *testing.T) {
	for busy, after := range map[bool]string{true: "30", false: ""} {
		r := &recorder{busy: engine.Busy{Service: "contoso-eu", Busy: busy, State: "Succeeded"}}
		if w := r.get("/api/services/contoso-eu/busy"); w.Code != 200 || members(t, w)["busy"] != busy || w.Header().Get("Retry-After") != after || r.calls[0] != "busy contoso-eu" {
			t.Errorf("%d %v %s, calls %q", w.Code, w.Header(), w.Body, r.calls)
		}
	}
	if w := (&recorder{err: engine.ErrUnknownService}).get("/api/services/contoso-eu/busy"); !isProblem(w, 404) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestTheStatusIsTheEngines(t *testing.T) {
	w := (&recorder{}).get("/api/status")
	if services, _ := members(t, w)["services"].([]any); w.Code != 200 || len(services) != 1 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := (&recorder{err: errors.New("no route to host")}).get("/api/status"); !isProblem(w, 503) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestARepeatedCallForABackupThatHasEndedIsAnsweredWithIt(t *testing.T) {
	ended := dr.Operation{ID: "20260105-backup-0123456789abcdef0123", Kind: dr.KindBackup, Phase: dr.Done, Outcome: dr.Succeeded}
	r := &recorder{recovery: engine.Recovery{Operation: ended}}
	w := r.post("/api/backups", `{"service":"contoso-eu"}`, "Idempotency-Key", "nightly-1")
	if m := members(t, w); w.Code != http.StatusOK || m["outcome"] != "succeeded" || w.Header().Get("Retry-After") != "" || !strings.HasSuffix(w.Header().Get("Location"), ended.ID) {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
}

func TestTheStatusTellsWhatIsInFlight(t *testing.T) {
	at := time.Date(2026, 1, 5, 3, 0, 0, 0, time.UTC)
	running := dr.Operation{ID: "older", Kind: dr.KindBackup, Service: "contoso-eu", Phase: dr.Running, CreatedAt: at, Legs: []dr.Leg{{Verb: dr.VerbBackup, PostedAt: at.Add(time.Minute)}}}
	waiting := dr.Operation{ID: "newer", Kind: dr.KindDrill, Service: "contoso-drill", Phase: dr.Queued, Waiting: "the lock", CreatedAt: at.Add(time.Hour), Legs: []dr.Leg{{Verb: dr.VerbRestore}}}
	m := members(t, (&recorder{underWay: []engine.UnderWay{{Operation: waiting}, {Operation: running, UsualSeconds: 1500}}}).get("/api/status"))
	want := []any{
		map[string]any{"id": "older", "kind": "backup", "service": "contoso-eu", "phase": "running", "verb": "backup", "createdAt": "2026-01-05T03:00:00Z", "startedAt": "2026-01-05T03:01:00Z", "usualSeconds": 1500.},
		map[string]any{"id": "newer", "kind": "drill", "service": "contoso-drill", "phase": "queued", "waiting": "the lock", "verb": "restore", "createdAt": "2026-01-05T04:00:00Z"},
	}
	if diff := cmp.Diff(want, m["inFlight"]); diff != "" || m["notShown"] != 7. {
		t.Errorf("not shown %v, %s", m["notShown"], diff)
	}
}

func TestRecoveryPointsAreListedAsTheyComeAndWithoutSettings(t *testing.T) {
	at := time.Date(2026, 1, 5, 3, 0, 0, 0, time.UTC)
	r := &recorder{points: []dr.RecoveryPoint{
		{ID: "newest", State: dr.Good, Service: "contoso-eu", ExpiresAt: at, Storage: dr.Storage{Account: "contosodr", Container: "apim-backups"}, Bytes: 7, SKU: "Premium",
			UsedBy: []string{restoreID}, Safety: true, Colocated: true, Settings: &dr.Settings{GatewayURL: "https://contoso-eu.azure-api.net"}},
		{ID: "older", State: dr.Unverified},
	}}
	w := r.get("/api/recovery-points?service=contoso-eu")
	points, _ := members(t, w)["recoveryPoints"].([]any)
	if w.Code != 200 || len(points) != 2 || r.calls[0] != "points of contoso-eu" {
		t.Fatalf("%d %s, calls %q", w.Code, w.Body, r.calls)
	}
	first := points[0].(map[string]any)
	for name, want := range map[string]any{"id": "newest", "state": "good", "service": "contoso-eu", "expiresAt": "2026-01-05T03:00:00Z", "bytes": 7., "sku": "Premium",
		"safety": true, "colocated": true, "settings": nil} {
		if first[name] != want {
			t.Errorf("%s is %v, want %v", name, first[name], want)
		}
	}
	if first["storage"] == nil || first["usedBy"] == nil || r.points[0].Settings == nil {
		t.Errorf("%s, of %+v", w.Body, r.points[0])
	}
	if w := (&recorder{}).get("/api/recovery-points?service=contoso-eu"); w.Code != 200 || strings.TrimSpace(w.Body.String()) != `{"recoveryPoints":[]}` {
		t.Errorf("of a service without: %d %s", w.Code, w.Body)
	}
	for _, query := range []string{"", "?service=", "?service=a%0D%0Ab", "?service=" + strings.Repeat("x", 51)} {
		r := &recorder{}
		w := r.get("/api/recovery-points" + query)
		if got := fields(t, w); !isProblem(w, 400) || !slices.Equal(got, []string{"service"}) || len(r.calls) > 0 {
			t.Errorf("%q: %d %s, calls %q", query, w.Code, w.Body, r.calls)
		}
	}
	for err, want := range map[error]int{&engine.Invalid{Field: "service", Detail: "cannot be one"}: 400, errors.New("no route to host"): 503} {
		if w := (&recorder{err: err}).get("/api/recovery-points?service=contoso-eu"); !isProblem(w, want) {
			t.Errorf("%v: %d %s", err, w.Code, w.Body)
		}
	}
}

func TestTheStatusIsAlsoTextForPrometheus(t *testing.T) {
	proof := dr.Proof{Operation: "op", RecoverySeconds: 664}
	var text strings.Builder
	w := httptest.NewRecorder()
	writeMetrics(w, engine.Status{Services: []dr.Posture{
		{Service: "contoso-eu", Plan: "nightly", Active: "contoso-us", Protected: true, NewestGood: dr.PointRef{ID: "p"}, AgeSeconds: 3600.5, RPOSeconds: 93600, Proven: true, Proof: proof, ProofAgeSeconds: 60,
			SurvivesPrimaryLoss: dr.Survival{Survives: dr.Yes}, Holds: []dr.Held{{}}, ExpiresAt: time.Unix(1_767_582_000, 0), Usual: dr.Usual{BackupSeconds: 541, RestoreSeconds: 1146.5}},
		{Service: `"b\`, Plan: "x\ny", Active: `"B\`, SurvivesPrimaryLoss: dr.Survival{Survives: dr.NotKnown}},
	}}, 3)
	for line := range strings.Lines(w.Body.String()) {
		if !strings.HasPrefix(line, "#") {
			text.WriteString(line)
		}
	}
	const eu, b = `{service="contoso-eu",plan="nightly"} `, `{service="\"b\\",plan="x\ny"} `
	want := "apimdr_operations_in_flight 3\napimdr_protected" + eu + "1\napimdr_protected" + b + "0\napimdr_newest_good_age_seconds" + eu + "3600.5\napimdr_rpo_seconds" + eu + "93600\napimdr_rpo_seconds" + b + "0\n" +
		"apimdr_failed_over" + eu + "1\napimdr_failed_over" + b + "0\napimdr_survives_primary_loss" + eu + "1\napimdr_proven" + eu + "1\napimdr_proven" + b + "0\n" +
		"apimdr_proof_age_seconds" + eu + "60\napimdr_proof_recovery_seconds" + eu + "664\n" +
		"apimdr_newest_good_expires_timestamp_seconds" + eu + "1.767582e+09\napimdr_usual_backup_seconds" + eu + "541\napimdr_usual_restore_seconds" + eu + "1146.5\napimdr_holds" + eu + "1\napimdr_holds" + b + "0\n"
	if diff := cmp.Diff(want, text.String()); diff != "" || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Errorf("%s\n%s", w.Header(), diff)
	}
	if n := strings.Count(w.Body.String(), "# HELP apimdr_"); n != len(metrics)+1 || n != strings.Count(w.Body.String(), " gauge\n") {
		t.Errorf("%s", w.Body)
	}
	r := &recorder{}
	if w := r.get("/api/status?format=prometheus"); w.Code != http.StatusOK || !strings.HasPrefix(w.Body.String(), "# HELP apimdr_operations_in_flight ") || !strings.Contains(w.Body.String(), "\napimdr_operations_in_flight 7\n") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if !slices.Contains(r.calls, "in flight, 0 at most") { // none of them is read
		t.Errorf("calls %q", r.calls)
	}
	if w := r.get("/api/status?format=xml"); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "prometheus") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestAPreviewOfThePruningTellsWhatGoesAndWhy(t *testing.T) {
	r := &recorder{points: []dr.RecoveryPoint{{ID: "new", Settings: &dr.Settings{}}, {ID: "old"}}}
	w := r.get("/api/recovery-points?service=contoso-eu&prune=preview")
	var list struct {
		RecoveryPoints []struct {
			ID       string
			Settings any
			Prune    *struct {
				Goes bool
				Why  []string
			}
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil || w.Code != http.StatusOK || len(list.RecoveryPoints) != 2 {
		t.Fatalf("%v, %d %s", err, w.Code, w.Body)
	}
	for i, p := range list.RecoveryPoints {
		if p.ID != r.points[i].ID || p.Settings != nil || p.Prune == nil || p.Prune.Goes != (i == 1) || len(p.Prune.Why) != 1 {
			t.Errorf("%+v", p)
		}
	}
	if w := r.get("/api/recovery-points?service=contoso-eu&prune=now"); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "accepted: preview") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := r.get("/api/recovery-points?service=contoso-eu"); strings.Contains(w.Body.String(), "prune") {
		t.Errorf("%s", w.Body)
	}
}

func TestWhatARecoveryPointDoesNotCoverIsTold(t *testing.T) {
	const id = "20260105-backup-0123456789abcdef0123-s0-a1"
	r := &recorder{points: []dr.RecoveryPoint{{ID: id, Service: "contoso-eu", Settings: &dr.Settings{SystemIdentity: true, Resource: json.RawMessage(`{"sku":{"name":"Premium"}}`)}}}}
	w := r.get("/api/recovery-points/" + id + "/not-covered")
	for _, want := range []string{`"recoveryPoint":"` + id + `"`, `"service":"contoso-eu"`, "system-assigned identity", "developer portal", `"resource":{"sku":{"name":"Premium"}}`} {
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%d %s lacks %s", w.Code, w.Body, want)
		}
	}
	if w := (&recorder{}).get("/api/recovery-points/" + id + "/not-covered"); w.Code != http.StatusNotFound {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestAnOperationThatRestoresShowsWhatItCameTo(t *testing.T) {
	r := &recorder{op: restoring()}
	w := r.get("/api/operations/" + restoreID)
	m := members(t, w)
	rec, _ := m["recovery"].(map[string]any)
	for name, want := range map[string]any{"source": "contoso-eu", "recoveryPoint": "point-1", "rpoSeconds": 3600., "finalBackup": "auto", "finalBackupNote": "it does not answer",
		"finalBackupOperation": "20260105-backup-0123456789abcdef0123", "pair": "contoso-eu~contoso-us", "role": "switch", "rtoSeconds": nil, "nextSteps": nil} {
		if rec[name] != want {
			t.Errorf("in flight %s is %v, want %v", name, rec[name], want)
		}
	}
	plan, _ := rec["plan"].(map[string]any)
	for _, name := range []string{"checks", "steps", "notCovered", "nextSteps"} {
		if plan[name] == nil {
			t.Errorf("the plan has no %s: %v", name, plan)
		}
	}
	if intent, _ := rec["intent"].(map[string]any); intent["point"] != "latest" {
		t.Errorf("intent %v", rec["intent"])
	}
	backup, restore := m["legs"].([]any)[0].(map[string]any), m["legs"].([]any)[1].(map[string]any)
	if backup["recoveryPoint"] != restoreID+"-s0-a1" || backup["safety"] != true || backup["outcome"] != "succeeded" || restore["recoveryPoint"] != "point-1" || restore["adopted"] != "another" {
		t.Errorf("legs %v, %v", backup, restore)
	}
	if w.Header().Get("Retry-After") != "5" {
		t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
	}

	op := restoring()
	op.Phase, op.Outcome, op.EndedAt = dr.Done, dr.Succeeded, op.CreatedAt.Add(7*time.Minute)
	op.Legs[1].Outcome, op.Legs[1].Gateways = dr.Succeeded, []dr.Gateway{{URL: "https://contoso-us.azure-api.net", Status: 200}}
	r.op = op
	w = r.get("/api/operations/" + restoreID)
	rec, _ = members(t, w)["recovery"].(map[string]any)
	if rec["rtoSeconds"] != 420. || rec["adopted"] != "another" || rec["gateways"] == nil || rec["nextSteps"] == nil || w.Header().Get("Retry-After") != "" {
		t.Errorf("done: %v, %v", w.Header(), rec)
	}

	ops, _ := members(t, r.get("/api/operations"))["operations"].([]any)
	rec, _ = ops[0].(map[string]any)["recovery"].(map[string]any)
	if rec["recoveryPoint"] != "point-1" || rec["plan"] != nil {
		t.Errorf("a list has no plans: %v", rec)
	}

	op.Outcome, op.Legs[1].Outcome, op.Legs[1].Error = dr.Failed, dr.Failed, &dr.Error{Source: "arm", Code: "RestoreFailed", Message: "no\nspace"}
	r.op = op
	restore = members(t, r.get("/api/operations/"+restoreID))["legs"].([]any)[1].(map[string]any)
	if e, _ := restore["error"].(map[string]any); restore["outcome"] != "failed" || e["code"] != "RestoreFailed" || e["message"] != "no\nspace" {
		t.Errorf("failed: %v", restore)
	}

	r.op = dr.Operation{ID: restoreID, Kind: dr.KindBackup, Phase: dr.Running, Legs: []dr.Leg{{Verb: dr.VerbBackup}}}
	if w := r.get("/api/operations/" + restoreID); w.Header().Get("Retry-After") != "15" || members(t, w)["recovery"] != nil {
		t.Errorf("a backup: %v %s", w.Header(), w.Body)
	}
}
