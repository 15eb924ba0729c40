package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	endpointAccepted = "accepted: an https URL without query (http only for this machine's loopback addresses)"
	durationAccepted = "accepted: a duration above 0 in hours, minutes, seconds, such as 26h, 1h30m or 90s"
	keyHidden        = "(set, 52 characters)"
	reportsAccepted  = "accepted: byApi | byTime | byOperation | byProduct | bySubscription | byGeo | byUser"
	fieldsWanted     = "({second} {minute} {hour} {day} {month} {day of week}, or five fields without the second)"
)

func TestEachMistakenSettingIsNamedWithWhatItHeldAndWhatIsAccepted(t *testing.T) {
	for name, row := range map[string]struct {
		set  map[string]string
		want []string
	}{
		"no fleet":           {map[string]string{"FLEET": ""}, []string{"FLEET: not set, nor is FLEET_FILE; accepted: one of the two"}},
		"two fleets":         {map[string]string{"FLEET_FILE": "/etc/contoso/fleet.json"}, []string{"FLEET: set, and so is FLEET_FILE; accepted: one of the two"}},
		"no such fleet file": {map[string]string{"FLEET": "", "FLEET_FILE": "/etc/contoso/fleet.json"}, []string{`FLEET_FILE: holds "/etc/contoso/fleet.json"; it cannot be read: file does not exist`}},
		"schedule out of range": {map[string]string{"BACKUP_SCHEDULE": "0 99 * * * *"},
			[]string{`BACKUP_SCHEDULE: holds "0 99 * * * *"; accepted: an NCRONTAB expression in UTC such as 0 0 3 * * * (minute "99": accepted are 0 to 59)`}},
		"schedule never": {map[string]string{"WATCHDOG_SCHEDULE": "0 0 0 30 2 *"},
			[]string{`WATCHDOG_SCHEDULE: holds "0 0 0 30 2 *"; accepted: an NCRONTAB expression in UTC such as 0 */5 * * * * (never occurs)`}},
		"far too long": {map[string]string{"FLEET": "", "FLEET_FILE": "/" + strings.Repeat("x", 300)}, []string{"FLEET_FILE: holds (set, 301 characters); it cannot be read: file does not exist"}},
		"schedule in words": {map[string]string{"WATCHDOG_SCHEDULE": "hourly"},
			[]string{`WATCHDOG_SCHEDULE: holds "hourly"; accepted: an NCRONTAB expression in UTC such as 0 */5 * * * * ` + fieldsWanted}},
		"cloud":           {map[string]string{"AZURE_CLOUD": "mars"}, []string{`AZURE_CLOUD: holds "mars"; accepted: public | usgovernment | china`}},
		"plain http":      {map[string]string{"ARM_ENDPOINT": "http://arm.contoso.example"}, []string{`ARM_ENDPOINT: holds "http://arm.contoso.example"; ` + endpointAccepted}},
		"http to an IP":   {map[string]string{"ARM_ENDPOINT": "http://10.0.0.1"}, []string{`ARM_ENDPOINT: holds "http://10.0.0.1"; ` + endpointAccepted}},
		"looks like home": {map[string]string{"ARM_ENDPOINT": "http://127.0.0.1.contoso.example"}, []string{`ARM_ENDPOINT: holds "http://127.0.0.1.contoso.example"; ` + endpointAccepted}},
		"user info":       {map[string]string{"ARM_ENDPOINT": "https://me@contoso.example"}, []string{`ARM_ENDPOINT: holds (set, 26 characters); ` + endpointAccepted}},
		"two lines":       {map[string]string{"ARM_AUDIENCE": "a\nb"}, []string{`ARM_AUDIENCE: holds "a\nb"; accepted: the audience of ARM tokens such as https://management.core.windows.net/`}},
		"authority":       {map[string]string{"AUTHORITY_HOST": "http://127.0.0.1:1"}, []string{`AUTHORITY_HOST: holds "http://127.0.0.1:1"; accepted: an https URL such as https://login.microsoftonline.com`}},
		"blob template": {map[string]string{"BLOB_ENDPOINT": "https://contoso.example/"},
			[]string{`BLOB_ENDPOINT: holds "https://contoso.example/"; accepted: an https URL with {account} in it, such as https://{account}.blob.core.windows.net (http only for this machine's loopback addresses)`}},
		"api-version":      {map[string]string{"ARM_API_VERSION": "latest"}, []string{`ARM_API_VERSION: holds "latest"; accepted: yyyy-mm-dd or yyyy-mm-dd-preview`}},
		"no bus":           {map[string]string{"SERVICEBUS": ""}, []string{"SERVICEBUS: not set, nor is SERVICEBUS__fullyQualifiedNamespace; accepted: one of the two"}},
		"half a bus":       {map[string]string{"SERVICEBUS": "Endpoint=sb://contoso;SharedAccessKey=x"}, []string{"SERVICEBUS: holds (set, 39 characters); accepted: a connection string Endpoint=sb://…;SharedAccessKeyName=…;SharedAccessKey=…"}},
		"bus host":         {map[string]string{"SERVICEBUS": "", "SERVICEBUS__fullyQualifiedNamespace": "contoso"}, []string{`SERVICEBUS__fullyQualifiedNamespace: holds "contoso"; accepted: a host name such as contoso-dr.servicebus.windows.net`}},
		"bus of elsewhere": {map[string]string{"SERVICEBUS": "", "SERVICEBUS__fullyQualifiedNamespace": "contoso.servicebus.windows.net", "AZURE_CLOUD": "china"}, []string{`SERVICEBUS__fullyQualifiedNamespace: holds "contoso.servicebus.windows.net"; accepted: a host name that ends with .servicebus.chinacloudapi.cn, as AZURE_CLOUD is china`}},
		"state twice":      {map[string]string{"STATE_STORAGE__blobServiceUri": "https://contosostate.blob.core.windows.net"}, []string{"STATE_STORAGE: set, and so is STATE_STORAGE__blobServiceUri; accepted: one of the two"}},
		"state shorthand":  {map[string]string{"STATE_STORAGE": "UseDevelopmentStorage=true"}, []string{"STATE_STORAGE: holds (set, 26 characters); accepted: a connection string DefaultEndpointsProtocol=…;AccountName=…;AccountKey=…, written out also for Azurite"}},
		"container":        {map[string]string{"STATE_CONTAINER": "apim--dr"}, []string{`STATE_CONTAINER: holds "apim--dr"; accepted: a container name, 3 to 63 lower-case letters, digits and single hyphens inside`}},
		"client secret": {map[string]string{"CREDENTIAL": "clientSecret"}, []string{"AZURE_TENANT_ID: not set; CREDENTIAL clientSecret needs it",
			"AZURE_CLIENT_ID: not set; CREDENTIAL clientSecret needs it", "AZURE_CLIENT_SECRET: not set; CREDENTIAL clientSecret needs it"}},
		"workload": {map[string]string{"CREDENTIAL": "workloadIdentity", "AZURE_TENANT_ID": "contoso.example", "AZURE_CLIENT_ID": "00000000-0000-0000-0000-00000000000a"},
			[]string{"AZURE_FEDERATED_TOKEN_FILE: not set; CREDENTIAL workloadIdentity needs it"}},
		"client id": {map[string]string{"AZURE_CLIENT_ID": "contoso"}, []string{"AZURE_CLIENT_ID: holds (set, 7 characters); accepted: a GUID"}},
		"key vault": {map[string]string{"AZURE_CLIENT_SECRET": "@Microsoft.KeyVault(SecretUri=https://contoso.vault.azure.net/secrets/x)"},
			[]string{"AZURE_CLIENT_SECRET: holds (set, 72 characters); accepted: a client secret (a Key Vault reference was not resolved?)"}},
		"no port":         {map[string]string{"FUNCTIONS_CUSTOMHANDLER_PORT": ""}, []string{"FUNCTIONS_CUSTOMHANDLER_PORT: not set; this program is started by the Azure Functions host, which sets it; on this machine, run: make run"}},
		"port":            {map[string]string{"FUNCTIONS_CUSTOMHANDLER_PORT": "65536"}, []string{`FUNCTIONS_CUSTOMHANDLER_PORT: holds "65536"; accepted: a port, 1 to 65535`}},
		"level":           {map[string]string{"LOG_LEVEL": "loud"}, []string{`LOG_LEVEL: holds "loud"; accepted: debug | info | warn | error`}},
		"no duration":     {map[string]string{"TIMING_SETTLE": "5"}, []string{`TIMING_SETTLE: holds "5"; ` + durationAccepted}},
		"nothing":         {map[string]string{"TIMING_SETTLE": "0s"}, []string{`TIMING_SETTLE: holds "0s"; ` + durationAccepted}},
		"less":            {map[string]string{"TIMING_LEASE": "-1m"}, []string{`TIMING_LEASE: holds "-1m"; ` + durationAccepted}},
		"longer than bus": {map[string]string{"TIMING_INVOCATION": "5m"}, []string{"TIMING_INVOCATION: holds 5m0s; accepted: less than 5m0s, the lock of a Service Bus message"}},
		"long wait":       {map[string]string{"TIMING_MAX_WAIT": "31m"}, []string{"TIMING_MAX_WAIT: holds 31m0s; accepted: at most TIMING_RESTORE_WITHIN, which is 30m0s"}},
		"outage":          {map[string]string{"TIMING_OUTAGE_MOST": "10s"}, []string{"TIMING_OUTAGE_FIRST: holds 30s; accepted: at most TIMING_OUTAGE_MOST, which is 10s"}},
		"late POST":       {map[string]string{"TIMING_POST_WINDOW": "100s"}, []string{"TIMING_POST_WINDOW: holds 1m40s; accepted: less than TIMING_INVOCATION, which is 1m40s"}},
		"long survey":     {map[string]string{"TIMING_SURVEY": "40s"}, []string{"TIMING_SURVEY: holds 40s; accepted: less than TIMING_INVOCATION without TIMING_POST_WINDOW, which leaves 40s"}},
		"short survey":    {map[string]string{"TIMING_SURVEY": "9s"}, []string{"TIMING_SURVEY: holds 9s; accepted: at least TIMING_PROBE, which is 10s"}},
		"drills":          {map[string]string{"DRILL_SCHEDULE": "monthly"}, []string{`DRILL_SCHEDULE: holds "monthly"; accepted: an NCRONTAB expression in UTC such as 0 0 5 1 * * ` + fieldsWanted}},
		"exports":         {map[string]string{"USAGE_SCHEDULE": "daily"}, []string{`USAGE_SCHEDULE: holds "daily"; accepted: an NCRONTAB expression in UTC such as 0 30 3 * * * ` + fieldsWanted}},
		"usage in state":  {map[string]string{"USAGE_CONTAINER": "apim-dr"}, []string{`USAGE_CONTAINER: holds "apim-dr", as STATE_CONTAINER does; accepted: another one, since what is exported is for others to read`}},
		"short work":      {map[string]string{"TIMING_INVOCATION": "30s"}, []string{"TIMING_POST_WINDOW: holds 1m0s; accepted: less than TIMING_INVOCATION, which is 30s"}},
		"who calls":       {map[string]string{"AUTH": "entra", "WEBSITE_AUTH_ENABLED": "False"}, []string{`AUTH: holds "entra", but WEBSITE_AUTH_ENABLED, which the platform sets, is not True; turn on the Function App's authentication (docs/security.md), without which anybody could say who he is`}},
		"key not set":     {map[string]string{"BACKUP_KEY": ""}, []string{`FLEET.storages.main.keyVariable: holds "BACKUP_KEY"; that environment variable is not set`}},
		"key unresolved":  {map[string]string{"BACKUP_KEY": "@Microsoft.KeyVault(x)"}, []string{"BACKUP_KEY: holds (set, 22 characters); accepted: a storage account key (base64)"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(row.want, mistakesOf(t, settingsWith(row.set))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEachMistakeInTheFleetIsNamedByItsPath(t *testing.T) {
	const onlyStorages, nameAccepted = `"storages": {"main": {`, "accepted: a name of 1 to 63 letters, digits, - or _"
	for name, row := range map[string]struct {
		old, new string // what is changed in the good fleet
		want     []string
	}{
		"not JSON":         {"}},\n  \"plans\"", "}},\n  plans", []string{"FLEET: is not JSON, line 3, column 3: invalid character 'p' looking for beginning of object key string"}},
		"not UTF-8":        {"nightly", "nightl\xff", []string{"FLEET: is not UTF-8; accepted: JSON in UTF-8"}},
		"a list":           {fleet, "[]", []string{"FLEET: holds a list; accepted: an object"}},
		"nothing":          {fleet, "{}", []string{"FLEET.storages: not set; accepted: an object", "FLEET.plans: not set; accepted: an object", "FLEET.services: not set; accepted: a list"}},
		"no services":      {fleet[strings.Index(fleet, `"services"`):], `"services": []}`, []string{"FLEET.services: holds none; accepted: one or more, or none with DISCOVER_SUBSCRIPTIONS"}},
		"unknown field":    {`"spread"`, `"spred"`, []string{"FLEET.plans.nightly.spred: unknown field; accepted: schedule, storage, rpo, provenWithin, retention, deadline, spread, notDuring"}},
		"other case":       {`"spread"`, `"Spread"`, []string{"FLEET.plans.nightly.Spread: unknown field; accepted: schedule, storage, rpo, provenWithin, retention, deadline, spread, notDuring"}},
		"strange field":    {`"spread"`, `"sp\nread"`, []string{`FLEET.plans.nightly["sp\nread"]: unknown field; accepted: schedule, storage, rpo, provenWithin, retention, deadline, spread, notDuring`}},
		"key in the fleet": {`"account"`, `"accessKey": "` + key + `", "account"`, []string{"FLEET.storages.main.accessKey: a secret has no place in the fleet; put it into an environment variable and name that in keyVariable"}},
		"key as variable":  {`"BACKUP_KEY"`, `"` + key + `"`, []string{"FLEET.storages.main.keyVariable: holds " + keyHidden + "; accepted: the NAME of the environment variable with the key, at most 64 letters, digits and _"}},
		"field twice":      {`"spread": "30m"`, `"spread": "30m", "spread": "31m"`, []string{"FLEET.plans.nightly.spread: given twice; accepted: once"}},
		"plan twice":       {`"plans": {`, `"plans": {"nightly": {"storage": "main"}, `, []string{"FLEET.plans.nightly: given twice; accepted: once"}},
		"wrong name": {onlyStorages, `"storages": {"a b": {"access": "sas", "container": "x"}, "main": {`, []string{
			`FLEET.storages["a b"]: is a wrong name; ` + nameAccepted,
			`FLEET.storages["a b"].access: holds "sas"; accepted: systemAssigned | userAssigned | storageKey`,
			`FLEET.storages["a b"].container: holds "x"; accepted: a container name, 3 to 63 lower-case letters, digits and single hyphens inside`,
			`FLEET.storages["a b"].account: not set; accepted: the bare name of a storage account, 3 to 24 lower-case letters and digits`}},
		"wrong name of all": {`"main": {`, `"a b": {`, []string{`FLEET.storages["a b"]: is a wrong name; ` + nameAccepted,
			`FLEET.plans.nightly.storage: holds "main"; accepted: a name under FLEET.storages`}},
		"wrong name, deeper": {`"main": {"account": "contosodrbackups", "container": "apim-backups", "access": "storageKey", "keyVariable"`,
			`"main": {"account": "contosodrbackups", "container": "apim-backups", "access": "storageKey", "keyVariable": "BACKUP_KEY"}, "c\nd": {"account": "contosoother", "container": "apim-backups", "access": "systemAssigned", "keyVariable"`, []string{
				`FLEET.storages["c\nd"]: is a wrong name; ` + nameAccepted, `FLEET.storages["c\nd"].keyVariable: is set; accepted: only with access storageKey`}},
		"wrong plan": {`"plans": {"nightly": {`, `"plans": {"night.ly": {"rpo": "721h",`, []string{
			`FLEET.plans["night.ly"]: is a wrong name; ` + nameAccepted,
			`FLEET.plans["night.ly"].rpo: holds 721h0m0s; accepted: at most 720h, since backups expire after 30 days`,
			`FLEET.services[0].plan: holds "nightly"; accepted: a name under FLEET.plans`, `FLEET.services[1].plan: holds "nightly"; accepted: a name under FLEET.plans`}},
		"field missing":   {`"account": "contosodrbackups", `, ``, []string{"FLEET.storages.main.account: not set; accepted: the bare name of a storage account, 3 to 24 lower-case letters and digits"}},
		"account":         {"contosodrbackups", "Contoso-dr", []string{`FLEET.storages.main.account: holds "Contoso-dr"; accepted: the bare name of a storage account, 3 to 24 lower-case letters and digits`}},
		"container":       {"apim-backups", "-backups", []string{`FLEET.storages.main.container: holds "-backups"; accepted: a container name, 3 to 63 lower-case letters, digits and single hyphens inside`}},
		"number for text": {`"30m"`, `30`, []string{`FLEET.plans.nightly.spread: holds "30"; ` + durationAccepted}},
		"null":            {`"30m"`, `null`, []string{`FLEET.plans.nightly.spread: holds "null"; ` + durationAccepted}},
		"null for number": {`"keepLast": 7`, `"keepLast": null`, []string{`FLEET.plans.nightly.retention.keepLast: holds "null"; accepted: a whole number`}},
		"text for number": {`"keepLast": 7`, `"keepLast": "7"`, []string{"FLEET.plans.nightly.retention.keepLast: holds a text; accepted: a whole number"}},
		"half a number":   {`"keepLast": 7`, `"keepLast": 7.5`, []string{`FLEET.plans.nightly.retention.keepLast: holds "7.5"; accepted: a whole number`}},
		"huge number":     {`"keepLast": 7`, `"keepLast": 1e99`, []string{`FLEET.plans.nightly.retention.keepLast: holds "1e99"; accepted: a whole number`}},
		"text for bool":   {`"allowColocated": true`, `"allowColocated": "yes"`, []string{"FLEET.services[1].allowColocated: holds a text; accepted: true | false"}},
		"object for list": {`[{"from"`, `{"x": [{"from"`, nil},
		"no variable":     {`, "keyVariable": "BACKUP_KEY"`, ``, []string{"FLEET.storages.main.keyVariable: not set; access storageKey needs the name of the environment variable that holds the key"}},
		"variable unused": {`"storageKey"`, `"systemAssigned"`, []string{"FLEET.storages.main.keyVariable: is set; accepted: only with access storageKey"}},
		"no client id": {`"storageKey", "keyVariable": "BACKUP_KEY"`, `"userAssigned"`,
			[]string{"FLEET.storages.main.clientId: not set; access userAssigned needs the client id of the API Management instance's identity"}},
		"client id unused":    {`"storageKey",`, `"storageKey", "clientId": "00000000-0000-0000-0000-00000000000a",`, []string{`FLEET.storages.main.clientId: holds "00000000-0000-0000-0000-00000000000a"; accepted: only with access userAssigned`}},
		"access":              {`"storageKey"`, `"sas"`, []string{`FLEET.storages.main.access: holds "sas"; accepted: systemAssigned | userAssigned | storageKey`}},
		"two keys an account": {onlyStorages, `"storages": {"b": {"account": "contosodrbackups", "container": "other", "access": "storageKey", "keyVariable": "OTHER_KEY"}, "main": {`, []string{`FLEET.storages.main.keyVariable: holds "BACKUP_KEY", but FLEET.storages.b with the same account has "OTHER_KEY"; accepted: the same for both`}},
		"two ways an account": {onlyStorages, `"storages": {"b": {"account": "contosodrbackups", "container": "other", "access": "systemAssigned"}, "main": {`, []string{`FLEET.storages.main.access: holds "storageKey", but FLEET.storages.b with the same account has "systemAssigned"; accepted: the same for both`}},
		"two identities": {onlyStorages, `"storages": {"a": {"account": "contosoother", "container": "one", "access": "userAssigned", "clientId": "00000000-0000-0000-0000-00000000000a"}, ` +
			`"b": {"account": "contosoother", "container": "two", "access": "userAssigned", "clientId": "00000000-0000-0000-0000-00000000000b"}, "main": {`,
			[]string{`FLEET.storages.b.clientId: is not that of FLEET.storages.a, which has the same account; accepted: the same for both`}},
		"unused storage's key": {onlyStorages, `"storages": {"b": {"account": "contosoother", "container": "other", "access": "storageKey", "keyVariable": "NO_KEY"}, "main": {`, []string{`FLEET.storages.b.keyVariable: holds "NO_KEY"; that environment variable is not set`}},
		"storage":              {`"storage": "main"`, `"storage": "mian"`, []string{`FLEET.plans.nightly.storage: holds "mian"; accepted: a name under FLEET.storages (main)`}},
		"plan":                 {`"plan": "nightly", "secondaries": [{"id": "` + group + `contoso-eu"}]`, `"plan": "nigthly"`, []string{`FLEET.services[1].plan: holds "nigthly"; accepted: a name under FLEET.plans (nightly)`}},
		"schedule":             {`"storage": "main"`, `"storage": "main", "schedule": "daily"`, []string{`FLEET.plans.nightly.schedule: holds "daily"; accepted: an NCRONTAB expression in UTC such as 0 0 3 * * * ` + fieldsWanted}},
		"rpo":                  {`"storage": "main"`, `"storage": "main", "rpo": "721h"`, []string{"FLEET.plans.nightly.rpo: holds 721h0m0s; accepted: at most 720h, since backups expire after 30 days"}},
		"proof":                {`"1000h"`, `"8785h"`, []string{"FLEET.plans.nightly.provenWithin: holds 8785h0m0s; accepted: at most 8784h, a year: what was not tried for longer is not proven"}},
		"region":               {`"France Central"`, `"eu-west"`, []string{`FLEET.services[0].region: holds "eu-west"; accepted: an Azure region such as westeurope`}},
		"two regions": {`"eastus", "mode": "warm"}]`, `"eastus"}, {"id": "` + group + `Contoso-EU2", "region": "East US"}, {"id": "` + group + `contoso-eu", "region": "eastus"}]`, []string{
			`FLEET.services[0].secondaries[2].id: holds "contoso-eu", the service itself; accepted: another instance`,
			`FLEET.services[1].secondaries[0].id: holds "contoso-eu", which is services[0] and has a secondary of its own, so that a failover would overwrite what it serves; accepted: an instance that stands by and nothing else`,
			`FLEET.services[0].secondaries[2].region: holds "eastus", but "contoso-eu" lies in francecentral elsewhere in the fleet; accepted: one region an instance`}},
		"deadline":      {`"storage": "main"`, `"storage": "main", "deadline": "-1h"`, []string{`FLEET.plans.nightly.deadline: holds "-1h"; ` + durationAccepted}},
		"keeps nothing": {`{"keepLast": 7, "keepDaily": 14, "keepWeekly": 4}`, `{}`, []string{"FLEET.plans.nightly.retention: keeps nothing; accepted: keepLast, keepDaily or keepWeekly above 0, or no retention at all"}},
		"keeps too long": {`{"keepLast": 7, "keepDaily": 14, "keepWeekly": 4}`, `{"keepLast": 32, "keepDaily": 31, "keepWeekly": -1}`, []string{
			"FLEET.plans.nightly.retention.keepLast: holds 32; accepted: 0 to 31, since backups expire after 30 days",
			"FLEET.plans.nightly.retention.keepDaily: holds 31; accepted: 0 to 30, since backups expire after 30 days",
			"FLEET.plans.nightly.retention.keepWeekly: holds -1; accepted: 0 to 4, since backups expire after 30 days"}},
		"clock":        {`"07:30"`, `"7:30"`, []string{`FLEET.plans.nightly.notDuring[0].from: holds "7:30"; accepted: a time of day in UTC, 00:00 to 23:59`}},
		"empty window": {`"07:30"`, `"19:00"`, []string{"FLEET.plans.nightly.notDuring[0].to: equals from; accepted: another time of day"}},
		"no time left": {`"07:30", "to": "19:00", "days": ["mon", "fri"]`, `"01:00", "to": "23:00"}, {"from": "22:00", "to": "02:00"`, []string{
			`FLEET.plans.nightly.notDuring: keeps every backup of the schedule "0 0 3 * * *" away until the next one is due; accepted: windows that leave time for one`}},
		"day": {`"fri"`, `"friday"`, []string{`FLEET.plans.nightly.notDuring[0].days[1]: holds "friday"; accepted: mon | tue | wed | thu | fri | sat | sun`}},
		"id": {`"id": "` + group + `contoso-us", "plan"`, `"id": "` + group + `contoso_us", "plan"`, []string{`FLEET.services[1].id: holds "` + group + `contoso_us"; ` +
			`accepted: /subscriptions/<GUID>/resourceGroups/<group>/providers/Microsoft.ApiManagement/service/<name>, the name 1 to 50 letters, digits and hyphens, a letter first`}},
		"report": {`"services": [`, `"usage": {"reports": ["byApi", "byMoon", "byRequest"]}, "services": [`, []string{
			`FLEET.usage.reports[1]: holds "byMoon"; ` + reportsAccepted, `FLEET.usage.reports[2]: holds "byRequest"; ` + reportsAccepted}},
		"reports twice":   {`"services": [`, `"usage": {"reports": ["byApi", "byGeo", "byApi"]}, "services": [`, []string{`FLEET.usage.reports[2]: holds "byApi", which stands there already; accepted: each once`}},
		"no reports":      {`"services": [`, `"usage": {"reports": [], "byRequest": true}, "services": [`, []string{"FLEET.usage.reports: holds none; accepted: one or more, or no reports at all for all that sum up"}},
		"usage of one":    {`"allowColocated": true`, `"allowColocated": true, "usage": true`, []string{"FLEET.services[1].usage: holds true, but FLEET.usage is not set; accepted: usage, which says what is exported, for the whole fleet"}},
		"usage in words":  {`"services": [`, `"usage": "all", "services": [`, []string{"FLEET.usage: holds a text; accepted: an object"}},
		"request in word": {`"services": [`, `"usage": {"byRequest": "yes"}, "services": [`, []string{"FLEET.usage.byRequest: holds a text; accepted: true | false"}},
		"mode":            {`"warm"`, `"hot"`, []string{`FLEET.services[0].secondaries[0].mode: holds "hot"; accepted: cold | warm`}},
	} {
		t.Run(name, func(t *testing.T) {
			changed := strings.Replace(fleet, row.old, row.new, 1)
			if changed == fleet {
				t.Fatal("the row changes nothing")
			}
			got := mistakesOf(t, settingsWith(map[string]string{"FLEET": changed, "OTHER_KEY": strings.Repeat("QUJD", 10)}))
			if row.want == nil {
				return // refused; the words are another package's
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestIdentityAccessNeedsANewEnoughApiVersion(t *testing.T) {
	changed := strings.Replace(fleet, `"storageKey", "keyVariable": "BACKUP_KEY"`, `"systemAssigned"`, 1)
	got := mistakesOf(t, settingsWith(map[string]string{"FLEET": changed, "ARM_API_VERSION": "2021-01-01-preview"}))
	want := []string{`FLEET.storages.main.access: holds "systemAssigned"; it needs ARM_API_VERSION 2021-04-01-preview or later, which is 2021-01-01-preview`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	load(t, map[string]string{"FLEET": changed, "ARM_API_VERSION": "2021-04-01-preview"})
}

func TestAllMistakesAreToldAtOnce(t *testing.T) {
	changed := strings.NewReplacer(`"account": "contosodrbackups", `, `"accountKey": "`+key+`", `, `"30m"`, `"soon"`, `"warm"`, `"hot"`,
		`"plan": "nightly"`, `"plan": "weekly"`, `"BACKUP_KEY"`, `"NO_KEY"`).Replace(fleet)
	got := mistakesOf(t, settingsWith(map[string]string{"FLEET": changed, "AZURE_CLOUD": "mars", "SERVICEBUS": "", "STATE_STORAGE": "x", "CREDENTIAL": "clientSecret",
		"AZURE_CLIENT_ID": "x", "TIMING_BUSY": "x", "FUNCTIONS_CUSTOMHANDLER_PORT": "", "BACKUP_SCHEDULE": "x"}))
	var where []string
	for _, line := range got {
		at, _, _ := strings.Cut(line, ": ")
		where = append(where, at)
	}
	want := []string{"BACKUP_SCHEDULE", "AZURE_CLOUD", "STATE_STORAGE", "AZURE_CLIENT_ID", "TIMING_BUSY", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET", "SERVICEBUS",
		"FLEET.storages.main.accountKey", "FLEET.storages.main.account", "FLEET.plans.nightly.spread", "FLEET.services[0].secondaries[0].mode",
		"FLEET.storages.main.keyVariable", "FLEET.services[0].plan", "FLEET.services[1].plan", "FUNCTIONS_CUSTOMHANDLER_PORT"}
	if diff := cmp.Diff(want, where); diff != "" {
		t.Error(diff)
	}
}
