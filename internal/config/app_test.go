package config

import (
	"errors"
	"slices"
	"testing"
)

func TestACommandThatCallsTheAppNeedsAnAddressAndAKeyOrALogin(t *testing.T) {
	const url, key = "APIMDR_URL=https://contoso-dr.azurewebsites.net/api/", "APIMDR_KEY=a-key=="
	broken := []string{"FLEET={", "TIMING_PROBE=x", "SERVICEBUS=?", "BACKUP_SCHEDULE=?", "AZURE_CLOUD=mars", "AZURE_CLIENT_ID=?", "CREDENTIAL=?"}
	c, err := LoadApp(append(broken, url, key))
	if err != nil || c.App != (App{URL: "https://contoso-dr.azurewebsites.net", Key: "a-key=="}) {
		t.Errorf("%+v, %v", c.App, err)
	}
	c, err = LoadApp([]string{url, "APIMDR_AUDIENCE=api://contoso"})
	if err != nil || c.App.Audience != "api://contoso" || c.Credential.Kind != AzureCLI {
		t.Errorf("%+v, %+v, %v", c.App, c.Credential, err)
	}
	for name, tc := range map[string]struct{ set, wrong []string }{
		"nothing":             {nil, []string{"APIMDR_URL", "APIMDR_KEY"}},
		"http over a network": {[]string{"APIMDR_URL=http://contoso-dr.azurewebsites.net", key}, []string{"APIMDR_URL"}},
		"two lines":           {[]string{url, "APIMDR_KEY=a\nb"}, []string{"APIMDR_KEY"}},
		"half a login":        {[]string{url, "APIMDR_AUDIENCE=api://contoso", "CREDENTIAL=clientSecret"}, []string{"AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"}},
	} {
		_, err := LoadApp(tc.set)
		var e *Error
		var got []string
		if errors.As(err, &e) {
			for _, m := range e.Mistakes {
				got = append(got, m.Where)
			}
		}
		for _, where := range tc.wrong {
			if !slices.Contains(got, where) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
