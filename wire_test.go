package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"apim-dr/internal/apim"
	"apim-dr/internal/config"
	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/mask"
)

// whole is a fleet in which each field differs from its default and from its neighbours.
const whole = `FLEET={"storages":{
		"north":{"account":"contosonorth","container":"apim-north","access":"storageKey","keyVariable":"BACKUP_KEY","region":"northeurope"},
		"south":{"account":"contososouth","container":"apim-south","access":"userAssigned","clientId":"00000000-0000-0000-0000-0000000000c1"},
		"west":{"account":"contosowest","container":"apim-west","access":"systemAssigned"}},
	"plans":{"nightly":{"storage":"south","schedule":"0 0 4 * * *","rpo":"27h","provenWithin":"841h","deadline":"11h","spread":"31m","retention":{"keepLast":7,"keepDaily":14,"keepWeekly":4},
		"notDuring":[{"from":"07:00","to":"19:00","days":["mon","fri"]}]}},
	"services":[{"id":"` + contoso + `eu","region":"francecentral","plan":"nightly","drillInstance":"` + contoso + `drill",
		"secondaries":[{"id":"` + contoso + `us","region":"eastus","mode":"warm"},{"id":"` + contoso + `asia"}]}]}`

// A field of the fleet that does not get here is checked and documented, and does nothing.
func TestTheWholeFleetReachesTheEngine(t *testing.T) {
	c, err := config.Load([]string{whole, "BACKUP_KEY=Y29udG9zby1rZXktY2FuYXJ5", "FUNCTIONS_CUSTOMHANDLER_PORT=7080", "DRILL_SCHEDULE=0 0 6 2 * *", "STAMP_REGION=northeurope",
		"SERVICEBUS__fullyQualifiedNamespace=contoso.servicebus.windows.net", "STATE_STORAGE__blobServiceUri=https://contosostate.blob.core.windows.net"}, os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	north, south, west := dr.Storage{Account: "contosonorth", Container: "apim-north", Region: "northeurope"}, dr.Storage{Account: "contososouth", Container: "apim-south"}, dr.Storage{Account: "contosowest", Container: "apim-west"}
	schedule := func(text string) dr.Schedule {
		s, err := dr.ParseSchedule(text)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	instance := func(name, region string) dr.Instance {
		return dr.Instance{Name: "contoso-" + name, ResourceID: contoso + name, Region: region}
	}
	drill := instance("drill", "")
	got := fleetOf(c)
	filled(t, "the fleet", got)
	for _, p := range got.Plans {
		filled(t, "plan "+p.Name, p)
	}
	for _, s := range got.Services {
		filled(t, "service "+s.Name, s)
	}
	plans := []engine.Plan{{Name: "nightly", Schedule: schedule("0 0 4 * * *"), Spread: 31 * time.Minute, Storage: south, Within: 11 * time.Hour, RPO: 27 * time.Hour, Proven: 841 * time.Hour,
		NotDuring: []dr.Window{{From: 7 * time.Hour, To: 19 * time.Hour, Days: []time.Weekday{time.Monday, time.Friday}}}}}
	services := []engine.Service{{Name: "contoso-eu", ResourceID: contoso + "eu", Region: "francecentral", Plan: "nightly", Drill: &drill,
		Secondaries: []engine.Secondary{{Instance: instance("us", "eastus"), Warm: true}, {Instance: instance("asia", "")}}}}
	storages := []engine.Storage{{Storage: north, Access: dr.Access{Mode: "storageKey"}}, {Storage: south, Access: dr.Access{Mode: "userAssigned", ClientID: "00000000-0000-0000-0000-0000000000c1"}},
		{Storage: west, Access: dr.Access{Mode: "systemAssigned"}}}
	var told []engine.Plan // with what is compared
	for _, p := range got.Plans {
		told = append(told, engine.Plan{Name: p.Name, Schedule: p.Schedule, Spread: p.Spread, Storage: p.Storage, Within: p.Within, RPO: p.RPO, Proven: p.Proven, NotDuring: p.NotDuring})
	}
	same := cmp.Comparer(func(a, b dr.Schedule) bool { return a == b })
	if diff := cmp.Diff(plans, told, same) + cmp.Diff(services, got.Services) + cmp.Diff(storages, got.Storages) + cmp.Diff(c.Places(), got.Places); diff != "" || got.Drills != schedule("0 0 6 2 * *") {
		t.Errorf("drills %q, (-want +got):\n%s", got.Drills, diff)
	}

	access := accessOf(c)
	for account, want := range map[string]apim.Access{
		"contosonorth": {Mode: apim.AccessKey, Variable: "BACKUP_KEY"}, "contosowest": {Mode: apim.SystemAssigned},
		"contososouth": {Mode: apim.UserAssigned, ClientID: "00000000-0000-0000-0000-0000000000c1"},
	} {
		got, err := access(account)
		if key := got.Key(); err != nil || (key == "Y29udG9zby1rZXktY2FuYXJ5") != (account == "contosonorth") {
			t.Errorf("%s: key %q, %v", account, key, err)
		}
		if got.Key = nil; cmp.Diff(want, got) != "" {
			t.Errorf("%s: %+v", account, got)
		}
	}
	if _, err := access("contosogone"); err == nil || !strings.Contains(err.Error(), "contosogone is no longer in the fleet") {
		t.Errorf("%v", err)
	}
}

// filled checks that each field of a struct holds something.
func filled(t *testing.T, what string, of any) {
	t.Helper()
	for f, v := range reflect.ValueOf(of).Fields() {
		if v.IsZero() {
			t.Errorf("%s: %s does not get here", what, f.Name)
		}
	}
}

// An answer may name what no request has named before it.
func TestARecorderKnowsEveryNameOfTheFleet(t *testing.T) {
	names := []string{"contoso-eu", "contoso-us", "contoso-asia", "contoso-drill", "contosonorth", "contososouth", "contosowest", "apim-north", "apim-south", "apim-west"}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"error":{"code":"NotFound","message":"There is no %s now"}}`, strings.Join(names, " nor "))
	}))
	defer server.Close()
	c, err := config.LoadDirect([]string{whole, "ARM_ENDPOINT=" + server.URL}, os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	r := newRecorder(c, mask.New())
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/subscriptions", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := r.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	text, err := json.Marshal(r.Exchanges())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.Contains(string(text), name) {
			t.Errorf("it tells %s", name)
		}
	}
	for _, placeholder := range []string{"service-1", "service-2", "service-3", "service-4", "account-1", "account-2", "account-3", "container-1", "container-2", "container-3"} {
		if !strings.Contains(string(text), placeholder) {
			t.Errorf("no %s in %s", placeholder, text)
		}
	}
}

func TestFunctionsThatAnybodyMayCallAreServedOnlyBehindAuthentication(t *testing.T) {
	app := func(level string) fstest.MapFS {
		return fstest.MapFS{"GetStatus/function.json": {Data: []byte(`{"bindings":[{"type":"httpTrigger","authLevel":"` + level + `"}]}`)}}
	}
	page := &fstest.MapFile{Data: read(t, "functions/GetDashboard/function.json")}
	for name, tc := range map[string]struct {
		app          fstest.MapFS
		auth         config.Auth
		fails, warns string
	}{
		"with keys":               {app("function"), config.Key, "", ""},
		"behind authentication":   {app("anonymous"), config.Entra, "", ""},
		"open":                    {app("anonymous"), config.Key, "lets anybody call GetStatus", ""},
		"open, and a page":        {fstest.MapFS{"GetStatus/function.json": app("anonymous")["GetStatus/function.json"], "GetDashboard/function.json": page}, config.Key, "lets anybody call GetStatus;", ""},
		"a page without data":     {fstest.MapFS{"GetDashboard/function.json": page}, config.Key, "", ""},
		"what cannot be read":     {fstest.MapFS{"GetStatus/function.json": {Data: []byte("?")}}, config.Key, "whether the functions need a key: GetStatus/function.json", ""},
		"not in the app's folder": {fstest.MapFS{}, config.Key, "", "was not looked at"},
	} {
		var log bytes.Buffer
		err := closed(tc.app, tc.auth, slog.New(slog.NewTextHandler(&log, nil)))
		if (err != nil) != (tc.fails != "") || err != nil && !strings.Contains(err.Error(), tc.fails) {
			t.Errorf("%s: %v", name, err)
		}
		if text := log.String(); (text != "") != (tc.warns != "") || !strings.Contains(text, tc.warns) {
			t.Errorf("%s: logged %q", name, text)
		}
	}
}

func TestTheSecretsAreThoseOfTheConfigurationAndOfAppService(t *testing.T) {
	t.Setenv("IDENTITY_HEADER", "identity-header-canary")
	c := config.Config{StorageKeys: map[string]config.Secret{"contosonorth": "storage-key-canary"}}
	if got := newMask(c).Text("identity-header-canary and storage-key-canary"); got != mask.Redacted+" and "+mask.Redacted {
		t.Error(got)
	}
}

func TestAServiceThatGoesWithItsRegionIsAWarningAtStart(t *testing.T) {
	for region, level := range map[string]string{"northeurope": "level=WARN", "westeurope": "level=INFO"} {
		var log bytes.Buffer
		c := config.Config{Fleet: config.Fleet{
			Storages: map[string]config.Storage{"north": {Account: "contosonorth", Region: "northeurope"}}, Plans: map[string]config.Plan{"nightly": {Storage: "north"}},
			Services: []config.Service{{Instance: config.Instance{Name: "contoso-eu", Region: region}, Plan: "nightly"}},
		}, StampRegion: "northeurope", BusRegion: "northeurope", StateRegion: "northeurope"}
		tellSurvival(t.Context(), c, slog.New(slog.NewTextHandler(&log, nil)))
		if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, level) || !strings.Contains(text, "service=contoso-eu") {
			t.Errorf("%s: %s", region, text)
		}
	}
}
