package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
)

var canaries = []string{"contoso-secret-canary", "bus-canary", key, "contoso%2Dsas%2Dcanary"}

func noCanary(t *testing.T, where, text string) {
	t.Helper()
	for _, canary := range canaries {
		if strings.Contains(text, canary) || strings.Contains(text, fmt.Sprintf("%x", canary)) {
			t.Errorf("%s shows the secret %q:\n%s", where, canary, text)
		}
	}
}

func TestAConfigurationShowsNoSecretHoweverItIsPrinted(t *testing.T) {
	c := load(t, map[string]string{"CREDENTIAL": "clientSecret", "AZURE_CLIENT_ID": "00000000-0000-0000-0000-00000000000a",
		"AZURE_TENANT_ID": "contoso.example", "AZURE_CLIENT_SECRET": "contoso-secret-canary"})
	if c.Credential.ClientSecret.Reveal() != "contoso-secret-canary" {
		t.Fatal("the secret is not there")
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%08.3f"} {
		noCanary(t, verb, fmt.Sprintf(verb, c))
		noCanary(t, verb+" of a pointer", fmt.Sprintf(verb, &c.Credential))
		noCanary(t, verb+" alone", fmt.Sprintf(verb, c.Credential.ClientSecret))
	}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	noCanary(t, "JSON", string(text))
	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewJSONHandler(&log, nil), slog.NewTextHandler(&log, nil)} {
		slog.New(h).Info("start", "config", c, "secret", c.Credential.ClientSecret, "keys", c.StorageKeys)
	}
	noCanary(t, "slog", log.String())
	if !strings.Contains(log.String(), redacted) {
		t.Error("slog does not tell that there is a secret")
	}
}

func TestSecretsAreTheKeysThemselves(t *testing.T) {
	c := load(t, map[string]string{"CREDENTIAL": "clientSecret", "AZURE_CLIENT_ID": "00000000-0000-0000-0000-00000000000a",
		"AZURE_TENANT_ID": "contoso.example", "AZURE_CLIENT_SECRET": "contoso-secret-canary"})
	got := c.Secrets()
	slices.Sort(got)
	if want := []string{key, key, "bus-canary", "contoso-secret-canary"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	c.ServiceBus.ConnectionString = "Endpoint=sb://contoso.example/;SharedAccessSignature=SharedAccessSignature sr=x&sig=y"
	if got := c.Secrets(); !slices.Contains(got, "SharedAccessSignature sr=x&sig=y") {
		t.Errorf("%q", got)
	}
}

func TestNoMistakeShowsASecretWhereverItWasPasted(t *testing.T) {
	sas := "https://contosostate.blob.core.windows.net/?sig=contoso%2Dsas%2Dcanary"
	for _, name := range settingNames() {
		for _, canary := range []string{key, bus, state, sas, "https://root:contoso-secret-canary@contoso.example"} {
			_, err := Load(settingsWith(map[string]string{name: canary, "LOG_LEVEL": "?"}), noFiles)
			noCanary(t, name, err.Error())
		}
	}
	for _, name := range []string{"SERVICEBUS", "STATE_STORAGE", "AZURE_CLIENT_ID", "AZURE_TENANT_ID", "FLEET"} {
		_, err := Load(settingsWith(map[string]string{name: "contoso-secret-canary ~"}), noFiles)
		if err == nil {
			t.Fatalf("%s: no mistake", name)
		}
		noCanary(t, name, err.Error())
	}
	_, err := Load(settingsWith(map[string]string{"AZURE_CLIENT_SECRET": "contoso-secret-canary", "LOG_LEVEL": "contoso-secret-canary", "AZURE_CLOUD": "secret-canary"}), noFiles)
	noCanary(t, "a client secret elsewhere", err.Error())
	_, err = Load(settingsWith(map[string]string{"BACKUP_KEY": "contoso-secret-canary"}), noFiles)
	noCanary(t, "BACKUP_KEY", fmt.Sprint(err))
	for _, field := range fleetFields() {
		last := field[strings.LastIndex(field, ".")+1:]
		for _, canary := range []string{key, bus, sas} {
			text, _ := json.Marshal(map[string]any{"storages": map[string]any{"main": map[string]any{last: canary, "accessKey": canary}},
				"plans":    map[string]any{"nightly": map[string]any{last: canary, canary: 1}},
				"services": []any{map[string]any{last: canary, "drill": canary, "secondaries": []any{canary, map[string]any{last: canary}}}}, "sas": canary})
			_, err := Load(settingsWith(map[string]string{"FLEET": string(text)}), noFiles)
			noCanary(t, field, err.Error())
		}
	}
}
