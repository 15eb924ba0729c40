package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"apim-dr/internal/dr"
)

const (
	group = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/contoso/providers/Microsoft.ApiManagement/service/"
	key   = "Y29udG9zby1rZXktY2FuYXJ5LWNvbnRvc28ta2V5LWNhbmFyeQ=="
	bus   = "Endpoint=sb://127.0.0.1:5672;SharedAccessKeyName=root;SharedAccessKey=bus-canary;UseDevelopmentEmulator=true"
	state = "DefaultEndpointsProtocol=http;AccountName=contosostate;AccountKey=" + key + ";BlobEndpoint=http://127.0.0.1:10000/contosostate"
	fleet = `{
  "storages": {"main": {"account": "contosodrbackups", "container": "apim-backups", "access": "storageKey", "keyVariable": "BACKUP_KEY", "region": "West Europe"}},
  "plans": {"nightly": {"storage": "main", "provenWithin": "1000h", "retention": {"keepLast": 7, "keepDaily": 14, "keepWeekly": 4}, "spread": "30m",
    "notDuring": [{"from": "07:30", "to": "19:00", "days": ["mon", "fri"]}]}},
  "services": [
    {"id": "` + group + `contoso-eu", "region": "France Central", "plan": "nightly", "secondaries": [{"id": "` + group + `contoso-us", "region": "eastus", "mode": "warm"}], "drillInstance": "` + group + `contoso-drill"},
    {"id": "` + group + `contoso-us", "plan": "nightly", "secondaries": [{"id": "` + group + `contoso-eu"}], "allowColocated": true}
  ]
}`
)

// The warning that any TIMING_ variable gets that is no setting.
const (
	noTiming = "is no setting and changes nothing; known: TIMING_INVOCATION, TIMING_POST_WINDOW, TIMING_SETTLE, TIMING_LOOK, TIMING_BUSY, TIMING_LEASE, TIMING_START_WITHIN, " +
		"TIMING_RESTORE_WITHIN, TIMING_MAX_WAIT, TIMING_PROBE, TIMING_SURVEY, TIMING_BLOB_MISSING, TIMING_VERIFY_AGAIN, TIMING_VERIFY, TIMING_BLIND, TIMING_OUTAGE_FIRST, TIMING_OUTAGE_MOST, TIMING_WATCHDOG_GRACE, TIMING_CHANGE_QUIET, TIMING_CHANGE_LONGEST, TIMING_ORPHAN, TIMING_USAGE_TURN"
)

// settingsWith is a good environment with changes; an empty value takes a setting away.
func settingsWith(changes map[string]string) []string {
	all := map[string]string{"FLEET": fleet, "SERVICEBUS": bus, "STATE_STORAGE": state, "BACKUP_KEY": key, "FUNCTIONS_CUSTOMHANDLER_PORT": "7080"}
	maps.Copy(all, changes)
	var environ []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		environ = append(environ, name+"="+all[name])
	}
	return environ
}

func noFiles(name string) ([]byte, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func load(t *testing.T, changes map[string]string) Config {
	t.Helper()
	c, err := Load(settingsWith(changes), noFiles)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// mistakesOf are the lines of the error, one mistake each.
func mistakesOf(t *testing.T, environ []string) []string {
	t.Helper()
	_, err := Load(environ, noFiles)
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an *Error", err)
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 1+len(e.Mistakes) {
		t.Errorf("%d lines for %d mistakes:\n%v", len(lines)-1, len(e.Mistakes), err)
	}
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], "  ")
	}
	return lines[1:]
}

func TestAGoodConfigurationIsReadWhole(t *testing.T) {
	c := load(t, map[string]string{"REGION_NAME": "North Europe", "STATE_REGION": "UK South", "LOG_LEVEL": "debug", "DRILL_SCHEDULE": "0 0 6 1 * *"})
	nightly, _ := dr.ParseSchedule("0 0 3 * * *")
	name := func(n, region string) Instance {
		return Instance{ID: group + n, Name: n, Subscription: "00000000-0000-0000-0000-000000000001", ResourceGroup: "contoso", Region: region}
	}
	drill, eu, us := name("contoso-drill", ""), name("contoso-eu", "francecentral"), name("contoso-us", "eastus")
	want := Fleet{
		Storages: map[string]Storage{"main": {Name: "main", Account: "contosodrbackups", Container: "apim-backups", Access: StorageKey, KeyVariable: "BACKUP_KEY", Region: "westeurope"}},
		Plans: map[string]Plan{"nightly": {Name: "nightly", Schedule: nightly, Storage: "main", RPO: 26 * time.Hour, ProvenWithin: 1000 * time.Hour, Deadline: 12 * time.Hour, Spread: 30 * time.Minute,
			Retention: Retention{7, 14, 4}, NotDuring: []dr.Window{{From: 7*time.Hour + 30*time.Minute, To: 19 * time.Hour, Days: []time.Weekday{time.Monday, time.Friday}}}}},
		Services: []Service{
			{Instance: eu, Plan: "nightly", Secondaries: []Secondary{{us, Warm}}, DrillInstance: &drill},
			{Instance: us, Plan: "nightly", Secondaries: []Secondary{{eu, Cold}}, AllowColocated: true},
		},
	}
	if diff := cmp.Diff(want, c.Fleet, cmp.AllowUnexported(dr.Schedule{})); diff != "" {
		t.Error(diff)
	}
	if c.ServiceBus.ConnectionString.Reveal() != bus || c.State.ConnectionString.Reveal() != state || c.State.Container != "apim-dr" {
		t.Errorf("connections are not those given")
	}
	if c.BusRegion != "northeurope" || c.StateRegion != "uksouth" || c.DrillSchedule.String() != "0 0 6 1 * *" || c.Direct {
		t.Errorf("regions %q, %q, drills %q, direct %v", c.BusRegion, c.StateRegion, c.DrillSchedule, c.Direct)
	}
	if c.Port != 7080 || c.LogLevel != slog.LevelDebug || c.StampRegion != "northeurope" || c.APIVersion != "2024-05-01" || c.Credential.Kind != ManagedIdentity {
		t.Errorf("got %+v", c)
	}
	if len(c.Warnings) > 0 {
		t.Errorf("warnings %q, want none", c.Warnings)
	}
}

func TestAStorageKeyIsFoundByItsAccount(t *testing.T) {
	c := load(t, nil)
	if got, ok := c.StorageKey("contosodrbackups"); !ok || got.Reveal() != key {
		t.Errorf("the storage key is not found")
	}
	if _, ok := c.StorageKey("contosoother"); ok {
		t.Error("an unknown account has a key")
	}
}

func TestDefaultTimesAreThoseOfTheProtocolAndEachCanBeSet(t *testing.T) {
	if diff := cmp.Diff(dr.DefaultTiming(), load(t, nil).Timing); diff != "" {
		t.Error(diff)
	}
	changes, n := map[string]string{}, 0
	for _, f := range settingFields() {
		if name := f.Tag.Get("envconfig"); strings.HasPrefix(name, "TIMING_") {
			n++
			changes[name] = fmt.Sprintf("%ds", n)
		}
	}
	for _, longer := range []string{"TIMING_INVOCATION", "TIMING_RESTORE_WITHIN"} { // than TIMING_POST_WINDOW, than TIMING_MAX_WAIT
		n++
		changes[longer] = fmt.Sprintf("%ds", n)
	}
	seen := map[time.Duration]bool{}
	text, _ := json.Marshal(load(t, changes).Timing)
	values := map[string]time.Duration{}
	if err := json.Unmarshal(text, &values); err != nil {
		t.Fatal(err)
	}
	for field, d := range values {
		if d < time.Second || d > time.Duration(n)*time.Second || seen[d] {
			t.Errorf("%s is %v: no setting of its own", field, d)
		}
		seen[d] = true
	}
}

func TestNamesOfSettingsMindNoCaseAndEmptyMeansNotSet(t *testing.T) {
	environ := settingsWith(map[string]string{"SERVICEBUS": "", "BACKUP_KEY": "", "ARM_API_VERSION": ""})
	environ = append(environ, "servicebus__FULLYQUALIFIEDNAMESPACE= contoso-dr.servicebus.windows.net\n", "Backup_Key="+key, "log_level=warn")
	c, err := Load(environ, noFiles)
	if err != nil {
		t.Fatal(err)
	}
	if c.ServiceBus != (ServiceBus{Namespace: "contoso-dr.servicebus.windows.net"}) || c.LogLevel != slog.LevelWarn || c.APIVersion != "2024-05-01" {
		t.Errorf("got %+v, %v, %q", c.ServiceBus, c.LogLevel, c.APIVersion)
	}
	if _, ok := c.StorageKey("contosodrbackups"); !ok {
		t.Error("the key's variable was not found")
	}
}

func TestOnlyTheGivenEnvironmentIsReadAndTheProcessKeepsItsOwn(t *testing.T) {
	t.Setenv("LOG_LEVEL", "nonsense")
	t.Setenv("FLEET", "mine")
	if err := os.Unsetenv("SERVICEBUS"); err != nil {
		t.Fatal(err)
	}
	if c := load(t, nil); c.LogLevel != slog.LevelInfo {
		t.Errorf("level %v, want the default", c.LogLevel)
	}
	if _, set := os.LookupEnv("SERVICEBUS"); set || os.Getenv("FLEET") != "mine" || os.Getenv("LOG_LEVEL") != "nonsense" {
		t.Error("the process environment has changed")
	}
}

func TestTheFleetMayStandInAFile(t *testing.T) {
	var asked string
	read := func(name string) ([]byte, error) { asked = name; return []byte("\ufeff" + fleet), nil }
	c, err := Load(settingsWith(map[string]string{"FLEET": "", "FLEET_FILE": "/etc/contoso/fleet.json"}), read)
	if err != nil || asked != "/etc/contoso/fleet.json" || len(c.Fleet.Services) != 2 {
		t.Errorf("read %q: %v", asked, err)
	}
	broken := func(string) ([]byte, error) { return []byte(strings.Replace(fleet, "nightly", "weekly", 1)), nil }
	_, err = Load(settingsWith(map[string]string{"FLEET": "", "FLEET_FILE": "/etc/contoso/fleet.json"}), broken)
	if err == nil || !strings.Contains(err.Error(), "FLEET_FILE.services[0].plan") {
		t.Errorf("got %v", err)
	}
}

func TestCloudsAndTheirOverrides(t *testing.T) {
	type addresses struct{ Authority, ARM, Audience, Blob, Bus string }
	for name, row := range map[string]struct {
		set  map[string]string
		want addresses
	}{
		"public": {nil, addresses{"https://login.microsoftonline.com/", "https://management.azure.com", "https://management.core.windows.net/",
			"https://contosodrbackups.blob.core.windows.net", "servicebus.windows.net"}},
		"usgovernment": {map[string]string{"AZURE_CLOUD": "usgovernment"}, addresses{"https://login.microsoftonline.us/", "https://management.usgovcloudapi.net",
			"https://management.core.usgovcloudapi.net/", "https://contosodrbackups.blob.core.usgovcloudapi.net", "servicebus.usgovcloudapi.net"}},
		"china": {map[string]string{"AZURE_CLOUD": "china"}, addresses{"https://login.chinacloudapi.cn/", "https://management.chinacloudapi.cn",
			"https://management.core.chinacloudapi.cn/", "https://contosodrbackups.blob.core.chinacloudapi.cn", "servicebus.chinacloudapi.cn"}},
		"overridden": {map[string]string{"ARM_ENDPOINT": "http://127.0.0.1:7075/", "ARM_AUDIENCE": "https://arm.contoso.example", "AUTHORITY_HOST": "https://login.contoso.example/",
			"BLOB_ENDPOINT": "http://localhost:10000/{account}/"}, addresses{"https://login.contoso.example/", "http://127.0.0.1:7075", "https://arm.contoso.example",
			"http://localhost:10000/contosodrbackups", "servicebus.windows.net"}},
	} {
		c := load(t, row.set).Cloud
		got := addresses{c.Configuration.ActiveDirectoryAuthorityHost, c.ARM().Endpoint, c.ARM().Audience, c.BlobEndpoint("contosodrbackups"), c.ServiceBusSuffix}
		if got != row.want || c.OwnAuthority != (name == "overridden") {
			t.Errorf("%s: got %+v (own authority %v), want %+v", name, got, c.OwnAuthority, row.want)
		}
	}
	if again := load(t, nil).Cloud.ARM().Endpoint; again != "https://management.azure.com" {
		t.Errorf("an override outlived its configuration: %s", again)
	}
}

func TestWarnings(t *testing.T) {
	c := load(t, map[string]string{"ARM_API_VERSION": "2014-02-14", "timing_Setle": "1s", "TIMING_": "1s", "TIMING_LOST": "", "WEBSITE_TIME_ZONE": "Europe/Berlin", "LOG_LEVEL": "error",
		"FLEET": strings.Replace(fleet, `"storage": "main"`, `"storage": "main", "rpo": "12h"`, 1), "DRILL_SCHEDULE": "0 0 5 1 */3 *"})
	want := []string{
		`FLEET.plans.nightly.rpo: 12h0m0s is shorter than the pause of 24h0m0s in the schedule "0 0 3 * * *", so that it is breached between backups`,
		`FLEET.plans.nightly.provenWithin: 1000h0m0s is shorter than the pause of 2208h0m0s in DRILL_SCHEDULE "0 0 5 1 */3 *", so that services are unproven between drills`,
		"ARM_API_VERSION: 2014-02-14 is older than 2021-08-01; such versions are being switched off in public Azure since June 2024",
		"LOG_LEVEL: error leaves out lines that the alerts of the deployment look for, and the watchdog's heartbeat; accepted for them: info or debug",
		`WEBSITE_TIME_ZONE: is "Europe/Berlin"; schedules are read as UTC here, so remove it or the host's timers fire at other times`,
		"TIMING_: " + noTiming, "TIMING_SETLE: " + noTiming,
	}
	if diff := cmp.Diff(want, c.Warnings); diff != "" {
		t.Error(diff)
	}
	// The edges of what is fine.
	c = load(t, map[string]string{"ARM_API_VERSION": "2021-08-01", "WEBSITE_TIME_ZONE": "utc", "LOG_LEVEL": "info", "TIMING_OUTAGE_FIRST": "5m"})
	for _, warning := range c.Warnings {
		if !strings.HasPrefix(warning, "FLEET") {
			t.Error(warning)
		}
	}
}

func TestStoragesOfOneAccountMayDifferInTheirContainers(t *testing.T) {
	const same = `"account": "contosoother", "access": "userAssigned", "clientId": "00000000-0000-0000-0000-00000000000`
	load(t, map[string]string{"FLEET": strings.Replace(fleet, `"storages": {`, `"storages": {"a": {"container": "one", `+same+`a"}, "b": {"container": "two", `+same+`A"},
		"c": {"account": "contosodrbackups", "container": "three", "access": "storageKey", "keyVariable": "backup_key"}, `, 1)})
}
