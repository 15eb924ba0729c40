package funchost

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/google/uuid"
)

func TestTheHandlerGetsTokensAsFromAppService(t *testing.T) {
	expires := time.Now().Add(time.Hour).Truncate(time.Second)
	asked := make(chan string, 10)
	r := runReady(t, Options{
		Root: stage(t, plainHost, map[string]string{"Nightly": minuteTimer}),
		Token: func(_ context.Context, resource, clientID string) (string, time.Time, error) {
			asked <- resource + " " + clientID
			if resource == "https://refused.contoso.com" {
				return "", time.Time{}, errors.New("no such resource")
			}
			return "token-1", expires, nil
		},
	}, fine)
	env := map[string]string{}
	for _, pair := range r.greetings()[0].Env {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	t.Setenv("IDENTITY_ENDPOINT", env["IDENTITY_ENDPOINT"])
	t.Setenv("IDENTITY_HEADER", env["IDENTITY_HEADER"])
	// The real client, as the handler uses it.
	id := uuid.NewString() // azidentity caches tokens by it for the life of the process
	credential, err := azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ID: azidentity.ClientID(id)})
	if err != nil {
		t.Fatal(err)
	}
	token, err := credential.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://management.azure.com/.default"}})
	if err != nil {
		t.Fatal(err)
	}
	if token.Token != "token-1" || !token.ExpiresOn.Equal(expires) {
		t.Errorf("token %q until %s", token.Token, token.ExpiresOn)
	}
	if got := <-asked; got != "https://management.azure.com "+id {
		t.Errorf("asked for %q", got)
	}
	const good = "/msi/token?api-version=2019-08-01&resource=https://management.azure.com"
	for _, test := range []struct {
		name, path, header string
		want               int
	}{
		{"system-assigned", good, env["IDENTITY_HEADER"], http.StatusOK},
		{"no header", good, "", http.StatusUnauthorized},
		{"wrong header", good, "guess", http.StatusUnauthorized},
		{"other version", strings.Replace(good, "2019", "2017", 1), env["IDENTITY_HEADER"], http.StatusBadRequest},
		{"no resource", "/msi/token?api-version=2019-08-01", env["IDENTITY_HEADER"], http.StatusBadRequest},
		{"refused", "/msi/token?api-version=2019-08-01&resource=https://refused.contoso.com", env["IDENTITY_HEADER"], http.StatusBadRequest},
	} {
		res, body := r.send("GET", test.path, "", "X-IDENTITY-HEADER", test.header)
		if res.StatusCode != test.want || (test.want == http.StatusOK) != strings.Contains(body, "token-1") {
			t.Errorf("%s: %d %s", test.name, res.StatusCode, body)
		}
	}
}
