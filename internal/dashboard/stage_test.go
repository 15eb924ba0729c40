package dashboard_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"apim-dr/internal/apicheck"
	"apim-dr/internal/browsertest"
	"apim-dr/internal/dashboard"
	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// prefix is a route prefix that is not the app's own.
const (
	prefix = "/gateway/api"
	key    = "the-key"
)

// status is what GET /api/status answers with, as handlers has it.
type status struct {
	At time.Time `json:"at"`
	engine.Status
	InFlight []inFlight `json:"inFlight"`
}

type inFlight struct {
	ID           string    `json:"id"`
	Kind         dr.Kind   `json:"kind"`
	Service      string    `json:"service"`
	Phase        dr.Phase  `json:"phase"`
	Waiting      string    `json:"waiting,omitempty"`
	Verb         dr.Verb   `json:"verb,omitempty"`
	CreatedAt    time.Time `json:"createdAt"`
	StartedAt    time.Time `json:"startedAt,omitzero"`
	UsualSeconds float64   `json:"usualSeconds,omitempty"`
}

// The page is shown what the app would answer.
func TestTheStageAnswersAsIsDescribed(t *testing.T) {
	description, err := os.ReadFile("../../handlers/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	app, err := apicheck.New(description)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(fleet(time.Date(2026, 1, 31, 11, 2, 0, 0, time.UTC)))
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Check(apicheck.Exchange{Method: http.MethodGet, Path: "/api/status", Status: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: body}); err != nil {
		t.Error(err)
	}
}

// stage serves the page, and a status that a test can change.
type stage struct {
	*httptest.Server
	mu     sync.Mutex
	status func(now time.Time) status
	answer http.HandlerFunc // in place of the status, if not nil
	asked  int
}

func newStage(t *testing.T, login dashboard.Login, s func(now time.Time) status) *stage {
	t.Helper()
	st := &stage{status: s}
	mux := http.NewServeMux()
	mux.Handle("GET "+prefix+"/dashboard", dashboard.Handler(login))
	mux.HandleFunc("GET "+prefix+"/status", st.serve)
	st.Server = httptest.NewServer(mux)
	t.Cleanup(st.Close)
	return st
}

func (st *stage) serve(w http.ResponseWriter, r *http.Request) {
	st.mu.Lock()
	s, answer := st.status, st.answer
	st.asked++
	st.mu.Unlock()
	switch {
	case answer != nil:
		answer(w, r)
	case r.Header.Get("x-functions-key") != key:
		w.WriteHeader(http.StatusUnauthorized)
	default:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s(time.Now()))
	}
}

func (st *stage) show(s func(now time.Time) status) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.status = s
}

// instead lets another one answer for the status; nil: the status again.
func (st *stage) instead(answer http.HandlerFunc) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.answer = answer
}

func (st *stage) count() int {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.asked
}

// enter opens the page, gives it the key and waits for the fleet.
func (st *stage) enter(t *testing.T, tab *browsertest.Tab) {
	t.Helper()
	tab.Go(st.URL + prefix + "/dashboard")
	tab.Wait("the page asks for the key", "!document.getElementById('gate').hidden")
	tab.Fill("#key", key)
	tab.Press("\r")
	tab.Wait("the fleet is shown", "!document.getElementById('fleet').hidden")
}

// refreshed presses Refresh and waits for the answer, or for what stands in its place, to be shown.
func (st *stage) refreshed(tab *browsertest.Tab) {
	const idle = "!document.getElementById('as-of').textContent.includes('asking')"
	tab.Wait("no answer is awaited", idle) // Refresh would add none
	tab.Click("#refresh")
	tab.Wait("the answer", idle)
}

// fine fails when the page has done what it must not. A missing or wrong key is answered with 401, which the browser itself tells.
func fine(t *testing.T, tab *browsertest.Tab) {
	t.Helper()
	for _, complaint := range tab.Complaints() {
		if !strings.HasPrefix(complaint, "network: Failed to load resource: the server responded with a status of 401") {
			t.Error(complaint)
		}
	}
	for _, r := range tab.Requests() {
		if strings.Contains(r.URL, key) {
			t.Errorf("the key is in the URL %s", r.URL)
		}
	}
}

// fleet has a service in each state that is to stand out.
func fleet(now time.Time) status {
	now = now.UTC()
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	id := func(kind, name string) string { return now.Format("20060102") + "-" + kind + "-" + name }
	service := func(name string, age time.Duration) dr.Posture {
		p := dr.Posture{
			Service: name, Active: name, Plan: "nightly", RPOSeconds: (26 * time.Hour).Seconds(), Protected: age < 26*time.Hour, AgeSeconds: age.Seconds(),
			ResourceID:          "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-" + name + "/providers/Microsoft.ApiManagement/service/" + name,
			NewestGood:          dr.PointRef{ID: id("backup", name) + "-s0-a1", CreatedAt: ago(age)},
			ExpiresAt:           ago(age).Add(dr.BackupLife),
			LastEnded:           dr.LastEnded{Operation: id("backup", name), Outcome: dr.Succeeded, EndedAt: ago(age)},
			SurvivesPrimaryLoss: dr.Survival{Survives: dr.Yes}, Unproven: "no drill instance is configured",
			NotCovered: []string{"hostname api.contoso.com (Proxy): add it with its certificate (from KeyVault), then point the DNS name there", "the developer portal: publish its content again"},
			Usual:      dr.Usual{BackupSeconds: 1260, RestoreSeconds: 1800},
		}
		for i := 29; i >= 0; i-- {
			p.Days = append(p.Days, dr.BackupDay{Date: now.AddDate(0, 0, -i).Format(time.DateOnly), Good: true})
		}
		return p
	}
	eu := service("contoso-eu", 5*time.Hour+12*time.Minute)
	eu.Active, eu.Unproven, eu.Proven = "contoso-us", "", true
	eu.Pairs = []dr.PairView{{Pair: dr.Pair{Name: "contoso-eu~contoso-us", Home: "contoso-eu", Active: "contoso-us", Suspended: true}, Warm: true}}
	eu.SurvivesPrimaryLoss = dr.Survival{Survives: dr.Not, Reasons: []string{"the backup storage contosodrus lies in eastus, as contoso-us does"}}
	for i, minutes := range []float64{24, 26, 25, 0, 31, 27, 26} {
		d := dr.DrillEnded{Operation: id("drill", "d"), Outcome: dr.Succeeded, EndedAt: ago(time.Duration(7-i) * 7 * 24 * time.Hour), RecoverySeconds: minutes * 60}
		if minutes == 0 {
			d.Outcome = dr.Failed
		}
		eu.Drills = append(eu.Drills, d)
	}
	us := service("contoso-us", 9*time.Hour)
	us.Days[12].Bad = true
	us.Days[13] = dr.BackupDay{Date: us.Days[13].Date, Bad: true}
	old := service("contoso-old", 75*time.Hour)
	old.Why = []string{"the newest good recovery point is 75h0m0s old, more than the RPO of 26h0m0s", "no backup of it is scheduled now"}
	old.Holds = []dr.Held{{Service: "contoso-old", Hold: dr.Hold{Until: now.Add(3 * time.Hour), Reason: "release 12", By: "http: ann", At: ago(time.Hour)}}}
	old.Days = old.Days[:27]
	lab := service("contoso-lab", 22*time.Hour+50*time.Minute)
	lab.LastEnded = dr.LastEnded{Operation: id("backup", "lab"), Outcome: dr.Failed, EndedAt: ago(12 * time.Minute)}
	lab.Days[29] = dr.BackupDay{Date: lab.Days[29].Date, Bad: true}
	fresh := service("contoso-new", 0)
	fresh.NewestGood, fresh.Protected, fresh.AgeSeconds, fresh.ExpiresAt, fresh.LastEnded, fresh.Days, fresh.NotCovered = dr.PointRef{}, false, 0, time.Time{}, dr.LastEnded{}, nil, nil
	fresh.Why = []string{"contoso-new has no good recovery point"}
	return status{
		At: now,
		Status: engine.Status{
			Places:   []dr.Place{{What: "this stamp", Region: "northeurope"}, {What: "its Service Bus", Region: "northeurope"}},
			Services: []dr.Posture{eu, us, old, lab, fresh},
		},
		InFlight: []inFlight{
			{ID: id("backup", "us2"), Kind: dr.KindBackup, Service: "contoso-us", Phase: dr.Running, Verb: dr.VerbBackup, CreatedAt: ago(10 * time.Minute), StartedAt: ago(9 * time.Minute), UsualSeconds: 1260},
			{ID: id("backup", "lab2"), Kind: dr.KindBackup, Service: "contoso-lab", Phase: dr.Running, Verb: dr.VerbBackup, CreatedAt: ago(40 * time.Minute), StartedAt: ago(39 * time.Minute), UsualSeconds: 1260},
			{ID: id("backup", "new2"), Kind: dr.KindBackup, Service: "contoso-new", Phase: dr.Queued, Waiting: "contoso-new is Updating", CreatedAt: ago(2 * time.Minute)},
			{ID: id("drill", "x"), Kind: dr.KindDrill, Service: "contoso-drill", Phase: dr.Running, Verb: dr.VerbRestore, CreatedAt: ago(time.Minute), StartedAt: ago(time.Minute)},
		},
	}
}
