package infra_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"apim-dr/infra"
	"apim-dr/internal/bus"
	"apim-dr/internal/config"
	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// resource is one that would be deployed.
type resource struct {
	ID, Type, Name, Location string
	Properties               map[string]any
	SKU                      struct{ Name string }
	Tags                     map[string]string
}

// deployed is what the template makes of a parameter file.
func deployed(t *testing.T, file string) []resource {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var snapshot struct{ PredictedResources []resource }
	if err := json.Unmarshal(text, &snapshot); err != nil {
		t.Fatal(err)
	}
	return snapshot.PredictedResources
}

func of(list []resource, kind string) []resource {
	return slices.DeleteFunc(slices.Clone(list), func(r resource) bool { return r.Type != kind })
}

// both are the parameter files with a snapshot.
var both = []string{"main.snapshot.json", "testdata/everything.snapshot.json"}

// settings are those of a Function App, with something plausible in the place of what only Azure knows.
func settings(t *testing.T, r resource) map[string]string {
	t.Helper()
	known := map[string]string{
		"serviceBusEndpoint": "contoso.servicebus.windows.net", "principalId": "00000000-0000-0000-0000-00000000000a", "clientId": "00000000-0000-0000-0000-00000000000b",
		"ConnectionString": "InstrumentationKey=x", "environment()": "public", "primaryEndpoints": "https://contosodr.blob.core.windows.net/",
	}
	all := map[string]string{}
	for name, v := range r.Properties {
		text, ok := v.(string)
		if !ok {
			t.Fatalf("%s is %v", name, v)
		}
		if strings.HasPrefix(text, "[") && !strings.HasPrefix(text, "[{") {
			for what, value := range known {
				if strings.Contains(text, what) {
					text = value
				}
			}
		}
		all[name] = text
	}
	return all
}

func apps(t *testing.T, file string) (all []map[string]string) {
	t.Helper()
	for _, r := range of(deployed(t, file), "Microsoft.Web/sites/config") {
		if strings.HasSuffix(r.ID, "/config/appsettings") {
			all = append(all, settings(t, r))
		}
	}
	return all
}

// What the app needs it gets, what it gets it reads, and its fleet is one that it accepts.
func TestTheAppStartsWithTheSettingsOfTheDeployment(t *testing.T) {
	ofTheHost := strings.Fields("AzureWebJobsStorage__blobServiceUri AzureWebJobsStorage__credential AzureWebJobsStorage__clientId APPLICATIONINSIGHTS_CONNECTION_STRING " +
		"APPLICATIONINSIGHTS_AUTHENTICATION_STRING SERVICEBUS__credential SERVICEBUS__clientId")
	document, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	for file, stamps := range map[string]int{both[0]: 2, both[1]: 2} {
		found := apps(t, file)
		if len(found) != stamps {
			t.Errorf("%s: %d apps", file, len(found))
		}
		for _, app := range found {
			environ := []string{"FUNCTIONS_CUSTOMHANDLER_PORT=7071"}
			if app["AUTH"] == "entra" {
				environ = append(environ, "WEBSITE_AUTH_ENABLED=True") // the platform's
			}
			for name, value := range app {
				if environ = append(environ, name+"="+value); !slices.Contains(ofTheHost, name) && !strings.Contains(string(document), "\n| `"+name+"` |") {
					t.Errorf("%s: docs/configuration.md does not know %s", file, name)
				}
			}
			c, err := config.Load(environ, os.ReadFile)
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if len(c.Warnings) > 0 {
				t.Errorf("%s: %s", file, c.Warnings)
			}
			for _, s := range c.Fleet.Services {
				if survival := c.Survival(s); survival.Survives != "yes" {
					t.Errorf("%s: %s does not survive the loss of its region: %s", file, s.Name, survival.Reasons)
				}
			}
			for _, name := range append(ofTheHost, strings.Fields("AUTH AZURE_CLIENT_ID AZURE_CLOUD BACKUP_SCHEDULE CREDENTIAL DRILL_SCHEDULE FLEET SERVICEBUS__fullyQualifiedNamespace "+
				"STAMP_REGION STATE_CONTAINER STATE_STORAGE__blobServiceUri USAGE_CONTAINER USAGE_SCHEDULE WATCHDOG_SCHEDULE")...) {
				if app[name] == "" {
					t.Errorf("%s: %s is not set", file, name)
				}
			}
			if c.Credential.ClientID != app["AZURE_CLIENT_ID"] || app["SERVICEBUS__clientId"] != app["AZURE_CLIENT_ID"] || app["AzureWebJobsStorage__clientId"] != app["AZURE_CLIENT_ID"] {
				t.Errorf("%s: not one identity: %v", file, app)
			}
		}
	}
}

// What no other side of this repository has, and Azure must be told: the app's runtime and package, who delivers changes, whom alerts reach.
func TestAzureIsToldHow(t *testing.T) {
	for kind, parts := range map[string][]string{
		"Microsoft.Web/serverfarms": {`"reserved":true`},
		"Microsoft.Web/sites": {
			`"runtime":{"name":"custom","version":"1.0"}`, `"type":"UserAssignedIdentity"`, `"type":"blobContainer"`, `primaryEndpoints.blob, 'packages')`, `"instanceMemoryMB":`, `"maximumInstanceCount":`,
		},
		"Microsoft.EventGrid/systemTopics/eventSubscriptions": {
			`"deliveryWithResourceIdentity":{"destination":{"endpointType":"ServiceBusQueue"`, `/queues/changes`, `"identity":{"type":"SystemAssigned"}`, `"CloudEventSchemaV1_0"`,
		},
		"Microsoft.Insights/actionGroups": {`"platform@contoso.com"`, `"oncall@contoso.com"`, `"https://alerts.contoso.com/hook"`},
	} {
		found := of(deployed(t, both[1]), kind)
		if len(found) == 0 {
			t.Errorf("no %s", kind)
		}
		for _, r := range found {
			text, err := json.Marshal(r.Properties)
			if err != nil {
				t.Fatal(err)
			}
			for _, part := range parts {
				if !strings.Contains(string(text), part) {
					t.Errorf("%s has no %s: %s", r.ID, part, text)
				}
			}
		}
	}
}

// azd finds the app of a stamp by the name that it has in azure.yaml.
func TestAzdFindsTheApp(t *testing.T) {
	text, err := os.ReadFile("../azure.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range of(deployed(t, both[1]), "Microsoft.Web/sites") {
		if service := r.Tags["azd-service-name"]; service == "" || !strings.Contains(string(text), "\nservices:\n  "+service+":") || r.Tags["owner"] != "platform" {
			t.Errorf("%s has the tags %v", r.Name, r.Tags)
		}
	}
}

// function is what a function.json binds.
type function struct {
	Bindings []struct{ Type, QueueName, Connection, Schedule string }
}

func functions(t *testing.T) map[string]function {
	t.Helper()
	files, err := filepath.Glob("../functions/*/function.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	all := map[string]function{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var f function
		if err := json.Unmarshal(text, &f); err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(filepath.Dir(file))] = f
	}
	return all
}

// Each setting and connection that a function.json names is deployed.
func TestFunctionsFindTheirSettings(t *testing.T) {
	app := apps(t, both[0])[0]
	for name, f := range functions(t) {
		for _, b := range f.Bindings {
			if s := strings.Trim(b.Schedule, "%"); s != "" && app[s] == "" {
				t.Errorf("%s: setting %s is not deployed", name, s)
			}
			if b.Connection != "" && app[b.Connection+"__fullyQualifiedNamespace"] == "" {
				t.Errorf("%s: connection %s is not deployed", name, b.Connection)
			}
		}
	}
}

// Queues: those of the functions, of the engine and of the topic, with locks that outlast an invocation, and rights to just what is used.
func TestQueuesAreThoseThatTheAppUses(t *testing.T) {
	read := map[string]bool{}
	for _, f := range functions(t) {
		for _, b := range f.Bindings {
			if queue := strings.TrimSuffix(b.QueueName, "/$DeadLetterQueue"); queue != "" {
				read[queue] = true
			}
		}
	}
	sent := []string{string(engine.Operations), string(engine.Polls)}
	var names []string
	for _, q := range infra.Queues() {
		names = append(names, q.Name)
		if q.LockDuration != 5*time.Minute || q.MaxDeliveryCount != 10 || q.DuplicateWindow != 10*time.Minute {
			t.Errorf("%+v: the protocol counts on these (docs/architecture.md)", q)
		}
	}
	if slices.Sort(names); !slices.Equal(names, slices.Sorted(maps.Keys(read))) {
		t.Errorf("deployed %q, read %q", names, slices.Sorted(maps.Keys(read)))
	}
	if topics := infra.Topics(); len(topics) != 1 || topics[0].Name != bus.Results || topics[0].DuplicateWindow != 10*time.Minute {
		t.Errorf("topics %+v", topics)
	}
	var want []string
	for _, name := range names {
		want = append(want, "queues/"+name+" "+receiver)
	}
	for _, name := range sent {
		want = append(want, "queues/"+name+" "+sender)
	}
	want = append(want, "topics/"+bus.Results+" "+sender)
	for _, file := range both {
		var got []string
		for _, g := range grants(t, file) {
			if strings.HasPrefix(g, "queues/") || strings.HasPrefix(g, "topics/") {
				got = append(got, g)
			}
		}
		expected := slices.Repeat(want, 2) // stamps
		if file == both[1] {               // Event Grid sends, from two sources
			expected = append(expected, "queues/changes "+sender, "queues/changes "+sender)
		}
		if slices.Sort(expected); !slices.Equal(got, expected) {
			t.Errorf("%s: granted\n%q, wanted\n%q", file, got, expected)
		}
	}
}

// What messages come upon in Azure is what they come upon here, where each queue finds duplicates, and nothing is lost by growing old.
func TestQueuesDropNothingButDuplicates(t *testing.T) {
	for _, file := range both {
		for _, r := range deployed(t, file) {
			queue := r.Type == "Microsoft.ServiceBus/namespaces/queues"
			if !queue && r.Type != "Microsoft.ServiceBus/namespaces/topics" {
				continue
			}
			if r.Properties["requiresDuplicateDetection"] != true || queue && r.Properties["deadLetteringOnMessageExpiration"] != true || r.Properties["defaultMessageTimeToLive"] != "P14D" {
				t.Errorf("%s: %s is %v", file, r.Name, r.Properties)
			}
		}
	}
}

// No key opens anything, and nothing is open to everybody.
func TestNothingOpensWithAKey(t *testing.T) {
	must := map[string]map[string]any{
		"Microsoft.Storage/storageAccounts":                         {"allowSharedKeyAccess": false, "allowBlobPublicAccess": false, "minimumTlsVersion": "TLS1_2", "supportsHttpsTrafficOnly": true},
		"Microsoft.Storage/storageAccounts/blobServices/containers": {"publicAccess": "None"},
		"Microsoft.ServiceBus/namespaces":                           {"disableLocalAuth": true, "minimumTlsVersion": "1.2"},
		"Microsoft.Insights/components":                             {"DisableLocalAuth": true},
		"Microsoft.Web/sites":                                       {"httpsOnly": true},
		"Microsoft.Web/sites/basicPublishingCredentialsPolicies":    {"allow": false},
	}
	for _, file := range both {
		seen := map[string]bool{}
		for _, r := range deployed(t, file) {
			for property, want := range must[r.Type] {
				if seen[r.Type] = true; r.Properties[property] != want {
					t.Errorf("%s: %s of %s is %v", file, property, r.ID, r.Properties[property])
				}
			}
		}
		if len(seen) != len(must) {
			t.Errorf("%s has only %v", file, seen)
		}
	}
	for _, app := range append(apps(t, both[0]), apps(t, both[1])...) {
		for name, value := range app {
			if strings.Contains(value, "Key=") && name != "APPLICATIONINSIGHTS_CONNECTION_STRING" || strings.Contains(value, "listKeys") {
				t.Errorf("%s holds a key", name)
			}
		}
	}
}

// The alarm outlives what it watches, and each alert of alerts.json is deployed for each stamp.
func TestAlertsAreDeployedElsewhere(t *testing.T) {
	for _, file := range both {
		resources := deployed(t, file)
		regions := map[string]bool{}
		sites := of(resources, "Microsoft.Web/sites")
		for _, r := range sites {
			regions[r.Location] = true
		}
		rules := of(resources, "Microsoft.Insights/scheduledQueryRules")
		if len(rules) != len(sites)*len(infra.Alerts()) {
			t.Errorf("%s: %d rules", file, len(rules))
		}
		for _, r := range append(append(rules, of(resources, "Microsoft.OperationalInsights/workspaces")...), of(resources, "Microsoft.Insights/components")...) {
			if regions[r.Location] || !strings.Contains(r.ID, "/resourceGroups/rg-contosodr-monitoring/") {
				t.Errorf("%s: %s lies in the region, or in the resource group, of a stamp", file, r.ID)
			}
		}
		group := of(resources, "Microsoft.Insights/actionGroups")
		if len(group) != 1 {
			t.Fatalf("%s: action groups %v", file, group)
		}
		letters := of(resources, "Microsoft.Insights/metricAlerts")
		if len(letters) != len(sites) {
			t.Errorf("%s: %d alerts on dead letters that stay", file, len(letters))
		}
		for _, r := range append(letters, rules...) {
			if actions, err := json.Marshal(r.Properties["actions"]); err != nil || !strings.Contains(string(actions), group[0].ID) {
				t.Errorf("%s: %s tells nobody: %s %v", file, r.ID, actions, err)
			}
		}
		for _, site := range sites {
			for _, a := range infra.Alerts() {
				i := slices.IndexFunc(rules, func(r resource) bool { return strings.HasSuffix(r.ID, "/"+site.Name+"-"+a.Name) })
				if i < 0 {
					t.Errorf("%s: no rule %s for %s", file, a.Name, site.Name)
					continue
				}
				text, err := json.Marshal(rules[i].Properties["criteria"])
				if err != nil {
					t.Fatal(err)
				}
				for _, part := range append(slices.Concat(a.Messages, a.By, slices.Collect(maps.Keys(a.Where))), site.Name, map[bool]string{true: "LessThan", false: "GreaterThan"}[a.Missing]) {
					if !strings.Contains(string(text), part) {
						t.Errorf("%s: the query of %s does not have %s: %s", file, a.Name, part, text)
					}
				}
			}
		}
	}
}

// However an operation ends, unless it succeeds, one alert tells of it.
func TestNoEndThatIsNotGoodGoesUntold(t *testing.T) {
	for _, kind := range []dr.Kind{dr.KindBackup, dr.KindRestore, dr.KindFailover, dr.KindDrill} {
		for outcome, want := range map[dr.Outcome]int{dr.Succeeded: 0, dr.Failed: 1, dr.Rejected: 1, dr.Unknown: 1} {
			line := fmt.Sprintf(`{"msg":"result published","kind":%q,"outcome":%q,"service":"contoso-eu","operation":"20260131-x"}`, kind, outcome)
			found := 0
			for _, a := range infra.Alerts() {
				if a.Finds(line) {
					if found++; !slices.Equal(a.By, []string{"service", "outcome", "operation"}) {
						t.Errorf("%s tells of several operations as if they were one, or not of which: %q", a.Name, a.By)
					}
				}
			}
			if found != want {
				t.Errorf("%s %s: %d alerts", kind, outcome, found)
			}
		}
	}
}

// Backups outlive a zone and a hand that deletes them, but not for ever; and what is read of them is told.
func TestBackupsAreKeptAndThenPurged(t *testing.T) {
	kept := []string{
		`"isVersioningEnabled":true`, `"deleteRetentionPolicy":{"days":7,"enabled":true}`, `"containerDeleteRetentionPolicy":{"days":7,"enabled":true}`, // blob service
		`"version":{"delete":{"daysAfterCreationGreaterThan":31}}`,                         // lifecycle
		`"StorageRead","enabled":true`, `"StorageWrite","enabled":true`, `"StorageDelete"`, // logs
	}
	for _, file := range both {
		resources := deployed(t, file)
		for _, account := range of(resources, "Microsoft.Storage/storageAccounts") {
			if !strings.HasPrefix(account.Name, "stcontosodb") {
				continue
			}
			if want := map[bool]string{true: "Standard_LRS", false: "Standard_ZRS"}[strings.Contains(account.ID, "/rg-contosodr-ne/")]; account.SKU.Name != want { // as that stamp says
				t.Errorf("%s: %s is %s", file, account.ID, account.SKU.Name)
			}
			var all strings.Builder
			for _, r := range resources {
				if strings.Contains(r.ID, "/"+account.Name+"/") {
					text, err := json.Marshal(r.Properties)
					if err != nil {
						t.Fatal(err)
					}
					all.Write(text)
				}
			}
			for _, part := range kept {
				if !strings.Contains(all.String(), part) {
					t.Errorf("%s: %s has no %s: %s", file, account.Name, part, all.String())
				}
			}
		}
	}
}

// A private stamp is reached through its endpoints alone.
func TestAPrivateStampIsPrivate(t *testing.T) {
	resources := deployed(t, both[1])
	open := 0
	for _, kind := range []string{"Microsoft.Web/sites", "Microsoft.ServiceBus/namespaces", "Microsoft.Storage/storageAccounts"} {
		for _, r := range of(resources, kind) {
			if r.Properties["publicNetworkAccess"] == "Disabled" {
				continue
			}
			acls, _ := r.Properties["networkAcls"].(map[string]any)
			if open++; acls["defaultAction"] != "Deny" || acls["bypass"] != "AzureServices" {
				t.Errorf("%s is open: %v", r.ID, r.Properties)
			}
		}
	}
	const stamps = 2
	if open != stamps { // the backups, to API Management alone
		t.Errorf("%d are reached from outside", open)
	}
	if n := len(of(resources, "Microsoft.Network/privateEndpoints")); n != 4*stamps {
		t.Errorf("%d private endpoints", n)
	}
	for kind, n := range map[string]int{"privateEndpoints/privateDnsZoneGroups": 4, "privateDnsZones": 3, "privateDnsZones/virtualNetworkLinks": 3} { // names lead to them
		if got := len(of(resources, "Microsoft.Network/"+kind)); got != n*stamps {
			t.Errorf("%d %s", got, kind)
		}
	}
	for _, r := range of(resources, "Microsoft.Web/sites") {
		if subnet, _ := r.Properties["virtualNetworkSubnetId"].(string); !strings.HasSuffix(subnet, "/subnets/app") {
			t.Errorf("%s goes out by %q", r.ID, subnet)
		}
	}
}

// The snapshots have one subscription for all stamps, or one stamp: that no stamp reads a subscription without an instance of its own shows in the template.
func TestAStampReadsTheSubscriptionsOfItsInstances(t *testing.T) {
	text, err := os.ReadFile("main.json")
	if err != nil {
		t.Fatal(err)
	}
	var template struct {
		Resources map[string]struct{ Properties map[string]any }
	}
	if err := json.Unmarshal(text, &template); err != nil {
		t.Fatal(err)
	}
	readers, err := json.Marshal(template.Resources["roles"].Properties["parameters"])
	if err != nil || !strings.Contains(string(readers), "variables('stampsOf')[variables('subscriptions')[copyIndex()]]") {
		t.Errorf("%v: the reader role is given to others than stampsOf the subscription: %s", err, readers)
	}
}
