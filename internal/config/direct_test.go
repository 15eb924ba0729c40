package config

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// direct is a good environment for a recovery by hand: the fleet and the key of its storage.
func direct(changes map[string]string) []string {
	all := map[string]string{"SERVICEBUS": "", "STATE_STORAGE": "", "FUNCTIONS_CUSTOMHANDLER_PORT": ""}
	maps.Copy(all, changes)
	return settingsWith(all)
}

func TestADirectCommandNeedsTheFleetAndNoStamp(t *testing.T) {
	c, err := LoadDirect(direct(nil), noFiles)
	if err != nil {
		t.Fatal(err)
	}
	if !c.Direct || c.Credential.Kind != AzureCLI || len(c.Fleet.Services) != 2 || len(c.Places()) != 0 || len(c.Warnings) != 0 {
		t.Errorf("direct %v, credential %s, %d services, places %v, warnings %q", c.Direct, c.Credential.Kind, len(c.Fleet.Services), c.Places(), c.Warnings)
	}
	if got, ok := c.StorageKey("contosodrbackups"); !ok || got.Reveal() != key {
		t.Error("the storage key is not found")
	}
	if c, err = LoadDirect(direct(map[string]string{"CREDENTIAL": "managedIdentity"}), noFiles); err != nil || c.Credential.Kind != ManagedIdentity {
		t.Errorf("credential %s, %v: not the one that is set", c.Credential.Kind, err)
	}
}

func TestADirectCommandNeedsWhatItAsksFor(t *testing.T) {
	for name, row := range map[string]struct {
		needs []Part
		want  []string
	}{
		"state": {[]Part{PartState}, []string{"STATE_STORAGE"}},
		"bus":   {[]Part{PartBus}, []string{"SERVICEBUS"}},
		"all":   {[]Part{PartHost, PartBus, PartState}, []string{"SERVICEBUS", "STATE_STORAGE", "FUNCTIONS_CUSTOMHANDLER_PORT"}},
	} {
		_, err := LoadDirect(direct(nil), noFiles, row.needs...)
		var e *Error
		if !errors.As(err, &e) {
			t.Fatalf("%s: %v", name, err)
		}
		var got []string
		for _, m := range e.Mistakes {
			got = append(got, m.Where)
		}
		if diff := cmp.Diff(row.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if _, err := LoadDirect(direct(map[string]string{"STATE_STORAGE": state, "STATE_CONTAINER": "usage"}), noFiles, PartState); err != nil {
		t.Errorf("the container of usage data stands in the way: %v", err)
	}
	c, err := LoadDirect(direct(map[string]string{"STATE_STORAGE": state}), noFiles, PartState)
	if err != nil || c.State.ConnectionString.Reveal() != state || c.State.Container != "apim-dr" {
		t.Errorf("the state storage is not the one given (%v)", err)
	}
}

func TestWhatADirectCommandDoesNotNeedNeverStandsInItsWay(t *testing.T) {
	broken := map[string]string{"SERVICEBUS": "@Microsoft.KeyVault(x)", "SERVICEBUS__fullyQualifiedNamespace": "?", "SERVICEBUS_REGION": "?", "STATE_STORAGE": "?",
		"STATE_STORAGE__blobServiceUri": "?", "STATE_REGION": "?", "STATE_CONTAINER": "?", "STAMP_REGION": "?", "REGION_NAME": "?", "WATCHDOG_SCHEDULE": "?",
		"DRILL_SCHEDULE": "?", "PRUNE_SCHEDULE": "?", "USAGE_SCHEDULE": "?", "DISCOVER_SUBSCRIPTIONS": "?", "USAGE_CONTAINER": "?", "FUNCTIONS_CUSTOMHANDLER_PORT": "?", "APIMDR_URL": "?", "APIMDR_KEY": "?\n?", "APIMDR_AUDIENCE": "?", "WEBSITE_TIME_ZONE": "Mars", "AUTH": "?", "WEBSITE_AUTH_ENABLED": "?"}
	c, err := LoadDirect(direct(broken), noFiles)
	if err != nil || len(c.Warnings) != 0 || c.ServiceBus != (ServiceBus{}) || c.State.ConnectionString != "" || c.State.Endpoint != "" {
		t.Errorf("%v, warnings %q", err, c.Warnings)
	}
	for _, f := range settingFields() {
		if part := Part(f.Tag.Get("part")); part != "" && (!slices.Contains([]Part{PartHost, PartBus, PartState, PartApp}, part) || broken[f.Tag.Get("envconfig")] == "") {
			t.Errorf("%s: part %q, not tried here", f.Name, part)
		}
	}
}

func TestMistakesElsewhereInTheFleetAreWarningsForADirectCommand(t *testing.T) {
	colocated := strings.Replace(fleet, "France Central", "westeurope", 1)
	for name, row := range map[string]struct {
		set  map[string]string
		want string
	}{
		"no key":     {map[string]string{"BACKUP_KEY": ""}, `FLEET.storages.main.keyVariable: holds "BACKUP_KEY"; that environment variable is not set`},
		"broken key": {map[string]string{"BACKUP_KEY": "@Microsoft.KeyVault(x)"}, "BACKUP_KEY: holds (set, 22 characters); accepted: a storage account key (base64)"},
		"colocated": {map[string]string{"FLEET": colocated, "STAMP_REGION": "westeurope"}, "FLEET.services[0].region: the backup storage contosodrbackups lies in westeurope, " +
			"as contoso-eu does; the loss of that region takes both; accepted: another region for what recovers the service, or allowColocated: true"},
	} {
		c, err := LoadDirect(direct(row.set), noFiles)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{row.want}, c.Warnings); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if _, ok := c.StorageKey("contosodrbackups"); ok != (name == "colocated") {
			t.Errorf("%s: a key %v", name, ok)
		}
	}
	if _, err := LoadDirect(direct(map[string]string{"FLEET": strings.Replace(fleet, "nightly", "weekly", 1)}), noFiles); err == nil {
		t.Error("a broken fleet was accepted")
	}
	if c, err := LoadDirect(direct(map[string]string{"FLEET": strings.Replace(fleet, "1000h", "1h", 1)}), noFiles); err != nil || len(c.Warnings) != 0 {
		t.Errorf("%v, warnings %q of drills that do not run here", err, c.Warnings)
	}
}
