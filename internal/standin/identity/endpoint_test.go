package identity_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"apim-dr/internal/standin/identity"
)

const secret = "contoso-client-secret"

// entra serves the token endpoint over TLS for one application with a secret and a federated subject.
func entra(t *testing.T) (*identity.Issuer, policy.ClientOptions) {
	t.Helper()
	i := identity.New([]byte("k"), time.Now) // MSAL lives by the real clock
	i.Register(identity.App{ClientID: appID, Secret: secret, Subject: "contoso-workload"})
	s := httptest.NewTLSServer(i.TokenEndpoint())
	t.Cleanup(s.Close)
	return i, policy.ClientOptions{
		Transport: s.Client(),
		Retry:     policy.RetryOptions{MaxRetries: -1},
		Cloud:     cloud.Configuration{ActiveDirectoryAuthorityHost: s.URL},
	}
}

func get(t *testing.T, c azcore.TokenCredential) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	token, err := c.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{arm + "/.default"}})
	return token.Token, err
}

func TestClientSecretCredentialGetsATokenThatVerifies(t *testing.T) {
	i, client := entra(t)
	c, err := azidentity.NewClientSecretCredential(identity.Tenant, appID, secret, &azidentity.ClientSecretCredentialOptions{ClientOptions: client, DisableInstanceDiscovery: true})
	if err != nil {
		t.Fatal(err)
	}
	token, err := get(t, c)
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Verify(token, arm); err != nil {
		t.Error(err)
	}
	claims, err := i.Parse(token)
	if err != nil || claims.AppID != appID {
		t.Errorf("appid %q (%v), want %q", claims.AppID, err, appID)
	}
}

func TestAWrongSecretIsRefusedWithEntrasCodeAndNotRepeated(t *testing.T) {
	_, client := entra(t)
	c, err := azidentity.NewClientSecretCredential(identity.Tenant, appID, "wrong-secret", &azidentity.ClientSecretCredentialOptions{ClientOptions: client, DisableInstanceDiscovery: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err = get(t, c)
	if err == nil || !strings.Contains(err.Error(), "AADSTS7000215") || !strings.Contains(err.Error(), "invalid_client") {
		t.Fatalf("got %v, want invalid_client with AADSTS7000215", err)
	}
	if strings.Contains(err.Error(), "wrong-secret") {
		t.Error("the error holds the secret")
	}
}

func TestAnUnknownApplicationIsRefused(t *testing.T) {
	_, client := entra(t)
	c, err := azidentity.NewClientSecretCredential(identity.Tenant, "0b0b0b0b-0000-0000-0000-00000000000b", secret, &azidentity.ClientSecretCredentialOptions{ClientOptions: client, DisableInstanceDiscovery: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = get(t, c); err == nil || !strings.Contains(err.Error(), "AADSTS700016") {
		t.Fatalf("got %v, want AADSTS700016", err)
	}
}

func workload(t *testing.T, client policy.ClientOptions, assertion string) azcore.TokenCredential {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(assertion), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
		ClientOptions: client, ClientID: appID, TenantID: identity.Tenant, TokenFilePath: file, DisableInstanceDiscovery: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWorkloadIdentityCredentialExchangesItsAssertion(t *testing.T) {
	i, client := entra(t)
	assertion, _ := i.Issue(identity.ExchangeAudience, "contoso-workload")
	token, err := get(t, workload(t, client, assertion))
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Verify(token, arm); err != nil {
		t.Error(err)
	}
}

func TestABadAssertionIsRefusedWithEntrasCode(t *testing.T) {
	i, client := entra(t)
	subject, _ := i.Issue(identity.ExchangeAudience, "another-workload")
	audience, _ := i.Issue(arm, "contoso-workload")
	expired, _ := i.IssueFor(identity.ExchangeAudience, "contoso-workload", -time.Minute)
	foreign, _ := identity.New([]byte("another key"), time.Now).Issue(identity.ExchangeAudience, "contoso-workload")
	for code, assertion := range map[string]string{"AADSTS700213": subject, "AADSTS700212": audience, "AADSTS700024": expired, "AADSTS50013": foreign} {
		if _, err := get(t, workload(t, client, assertion)); err == nil || !strings.Contains(err.Error(), code) {
			t.Errorf("got %v, want %s", err, code)
		}
	}
}

// What azidentity itself would never send.
func TestTheTokenEndpointRefusesWhatIsNoClientCredentialsGrant(t *testing.T) {
	const bare = "0b0b0b0b-0000-0000-0000-00000000000b"
	i, client := entra(t)
	i.Register(identity.App{ClientID: bare})
	assertion, _ := i.Issue(identity.ExchangeAudience, "contoso-workload")
	nobody, _ := i.Issue(identity.ExchangeAudience, "")
	const jwt = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	for _, tt := range []struct {
		change []string // names and values
		status int
		want   string
	}{
		{nil, 200, `"token_type":"Bearer"`},
		{[]string{"grant_type", "password"}, 400, "AADSTS70003"},
		{[]string{"scope", arm}, 400, "AADSTS1002012"},
		{[]string{"scope", "openid " + arm + "/.default offline_access"}, 200, `"expires_in":3`},
		{[]string{"client_id", "0c0c0c0c-0000-0000-0000-00000000000c"}, 400, "AADSTS700016"},
		{[]string{"client_secret", ""}, 401, "AADSTS7000218"},
		{[]string{"client_id", bare}, 401, "AADSTS7000215"}, // has no secret
		{[]string{"client_secret", "", "client_assertion", assertion, "client_assertion_type", jwt}, 200, `"token_type":"Bearer"`},
		{[]string{"client_secret", "", "client_assertion", assertion, "client_assertion_type", "saml"}, 401, "AADSTS50027"},
		{[]string{"client_id", bare, "client_assertion", nobody, "client_assertion_type", jwt}, 401, "AADSTS700213"}, // trusts no subject
	} {
		form := url.Values{"grant_type": {"client_credentials"}, "scope": {arm + "/.default"}, "client_id": {appID}, "client_secret": {secret}}
		for n := 0; n < len(tt.change); n += 2 {
			form.Set(tt.change[n], tt.change[n+1])
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, client.Cloud.ActiveDirectoryAuthorityHost+"/contoso/oauth2/v2.0/token", strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := client.Transport.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if resp.Body.Close(); err != nil || resp.StatusCode != tt.status || !strings.Contains(string(body), tt.want) {
			t.Errorf("%q: %d %s (%v), want %d %s", tt.change, resp.StatusCode, body, err, tt.status, tt.want)
		}
	}
}

func TestInstanceDiscoveryNamesTheConfigurationOfTheTenant(t *testing.T) {
	_, client := entra(t)
	authority := client.Cloud.ActiveDirectoryAuthorityHost
	r := httptest.NewRequest("GET", authority+"/common/discovery/instance?api-version=1.1&authorization_endpoint="+authority+"/contoso/oauth2/v2.0/authorize", nil)
	r.RequestURI = ""
	resp, err := client.Transport.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var body strings.Builder
	if err := resp.Write(&body); err != nil {
		t.Fatal(err)
	}
	if want := authority + "/contoso/v2.0/.well-known/openid-configuration"; !strings.Contains(body.String(), want) {
		t.Errorf("got %s, want %s in it", body.String(), want)
	}
}
