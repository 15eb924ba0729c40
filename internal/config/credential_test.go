package config

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"apim-dr/internal/standin/identity"
)

const (
	appID    = "00000000-0000-0000-0000-00000000000a"
	audience = "https://management.core.windows.net/"
)

func credentialOf(t *testing.T, c Config, transport policy.Transporter) azcore.TokenCredential {
	t.Helper()
	credential, err := c.NewCredential(transport)
	if err != nil {
		t.Fatal(err)
	}
	return credential
}

func tokenFrom(t *testing.T, credential azcore.TokenCredential, scope string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	token, err := credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}})
	return token.Token, err
}

// App Service's endpoint: GET ?api-version=2019-08-01&resource=…[&client_id=…] with the header X-IDENTITY-HEADER.
func TestManagedIdentityAsksAppServicesEndpointAndPicksTheIdentity(t *testing.T) {
	issuer := identity.New([]byte("k"), time.Now)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if r.Header.Get("X-IDENTITY-HEADER") != "contoso-header" || q.Get("api-version") != "2019-08-01" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		client := q.Get("client_id")
		if client == "" {
			client = "system"
		}
		token, expires := issuer.Issue(q.Get("resource"), client)
		_ = json.NewEncoder(w).Encode(map[string]string{"access_token": token, "expires_on": strconv.FormatInt(expires.Unix(), 10),
			"resource": q.Get("resource"), "token_type": "Bearer", "client_id": client})
	}))
	t.Cleanup(server.Close)
	t.Setenv("IDENTITY_ENDPOINT", server.URL+"/msi/token")
	t.Setenv("IDENTITY_HEADER", "contoso-header")
	for want, set := range map[string]map[string]string{"system": nil, appID: {"AZURE_CLIENT_ID": appID}} {
		credential := credentialOf(t, load(t, set), server.Client())
		// A resource of its own each time: azidentity keeps tokens of managed identities for the whole process.
		token, err := tokenFrom(t, credential, "https://"+want+".contoso.example/.default")
		if err != nil {
			t.Fatal(err)
		}
		claims, err := issuer.Parse(token)
		if err != nil || claims.AppID != want {
			t.Errorf("the token is for %q (%v), want %q", claims.AppID, err, want)
		}
	}
}

// entra is the token endpoint over TLS, and the settings that lead there.
func entra(t *testing.T, app identity.App) (*identity.Issuer, *httptest.Server, map[string]string) {
	t.Helper()
	issuer := identity.New([]byte("k"), time.Now)
	app.ClientID = appID
	issuer.Register(app)
	server := httptest.NewTLSServer(issuer.TokenEndpoint())
	t.Cleanup(server.Close)
	return issuer, server, map[string]string{"AUTHORITY_HOST": server.URL, "AZURE_CLIENT_ID": appID, "AZURE_TENANT_ID": identity.Tenant}
}

func TestClientSecretGetsATokenAndAWrongOneIsRefusedWithoutBeingShown(t *testing.T) {
	issuer, server, set := entra(t, identity.App{Secret: "contoso-client-secret"})
	set["CREDENTIAL"], set["AZURE_CLIENT_SECRET"] = "clientSecret", "contoso-client-secret"
	token, err := tokenFrom(t, credentialOf(t, load(t, set), server.Client()), audience+"/.default")
	if err != nil {
		t.Fatal(err)
	}
	if err := issuer.Verify(token, audience); err != nil {
		t.Error(err)
	}
	set["AZURE_CLIENT_SECRET"] = "contoso-secret-canary"
	_, err = tokenFrom(t, credentialOf(t, load(t, set), server.Client()), audience+"/.default")
	if err == nil || !strings.Contains(err.Error(), "AADSTS7000215") {
		t.Fatalf("got %v, want the refusal of the secret", err)
	}
	noCanary(t, "the refusal", err.Error())
}

func TestWorkloadIdentityTradesTheTokenInItsFile(t *testing.T) {
	issuer, server, set := entra(t, identity.App{Subject: "contoso-workload"})
	assertion, _ := issuer.Issue(identity.ExchangeAudience, "contoso-workload")
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(assertion), 0o600); err != nil {
		t.Fatal(err)
	}
	set["CREDENTIAL"], set["AZURE_FEDERATED_TOKEN_FILE"] = "workloadIdentity", path
	token, err := tokenFrom(t, credentialOf(t, load(t, set), server.Client()), audience+"/.default")
	if err != nil {
		t.Fatal(err)
	}
	if err := issuer.Verify(token, audience); err != nil {
		t.Error(err)
	}
}

func TestAzureCLIAsksAzForTheTenant(t *testing.T) {
	dir := t.TempDir()
	const az = `#!/bin/sh
echo "$@" > "$(dirname "$0")/asked"
echo '{"accessToken":"from az","expires_on":4102444800,"tokenType":"Bearer"}'
`
	if err := os.WriteFile(filepath.Join(dir, "az"), []byte(az), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	c := load(t, map[string]string{"CREDENTIAL": "azureCLI", "AZURE_TENANT_ID": "contoso.example"})
	token, err := tokenFrom(t, credentialOf(t, c, nil), audience+"/.default")
	if err != nil || token != "from az" {
		t.Fatalf("got %q, %v", token, err)
	}
	asked, err := os.ReadFile(filepath.Join(dir, "asked"))
	if want := "account get-access-token -o json --resource " + audience + " --tenant contoso.example\n"; err != nil || string(asked) != want {
		t.Errorf("az was asked %q (%v), want %q", asked, err, want)
	}
}

func TestACredentialOfNoKnownKindIsAnError(t *testing.T) {
	if _, err := (Config{}).NewCredential(nil); err == nil {
		t.Error("no error")
	}
}
