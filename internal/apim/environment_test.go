package apim_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/google/uuid"

	"apim-dr/internal/apim"
	"apim-dr/internal/dr"
	"apim-dr/internal/mask"
	"apim-dr/internal/standin/arm"
	"apim-dr/internal/standin/identity"
	"apim-dr/internal/standin/live"
)

// place is Resource Manager with an instance that the suite may read.
type place struct {
	endpoint, audience string
	credential         azcore.TokenCredential
	instance           string     // ARM id
	backups            dr.Storage // where one backup of it may go; without an account: none may be made
}

// where is Azure with AZURE_LIVE=1, else the stand-in.
func where(t *testing.T) place {
	t.Helper()
	if !live.On(t, map[string]string{
		"AZURE_LIVE_SERVICE": "the ARM id of an instance, /subscriptions/…/resourceGroups/…/providers/Microsoft.ApiManagement/service/…, for whoever ran az login",
	}) {
		return standIn(t)
	}
	credential, err := azidentity.NewAzureCLICredential(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := place{
		endpoint: "https://management.azure.com", audience: "https://management.core.windows.net/", credential: credential,
		instance: strings.TrimRight(os.Getenv("AZURE_LIVE_SERVICE"), "/"),
	}
	if to := os.Getenv("AZURE_LIVE_BACKUP"); to != "" {
		var found bool
		if p.backups.Account, p.backups.Container, found = strings.Cut(to, "/"); !found || p.backups.Account == "" || p.backups.Container == "" {
			t.Fatalf("AZURE_LIVE_BACKUP is %q; accepted: account/container", to)
		}
	}
	return p
}

func standIn(t *testing.T) place {
	t.Helper()
	const audience = "https://management.azure.com"
	p := place{
		audience: audience, instance: "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/contoso-rg/providers/Microsoft.ApiManagement/service/contoso-eu",
		backups: dr.Storage{Account: "contosodr", Container: "apim-backups"},
	}
	tokens := identity.New([]byte("k"), time.Now)
	p.credential = issuer{tokens}
	server, err := arm.New(arm.Config{
		Now: time.Now, Tokens: tokens, Audience: audience,
		Services: []arm.Service{{ID: p.instance, Location: "West Europe", SKU: "Developer", Capacity: 1, SystemIdentity: true, Workspaces: 2, MinAPIVersion: "2021-08-01"}},
		Groups:   map[string]string{"contoso-rg": "West Europe"},
		Accounts: map[string]arm.Account{"contosodr": {Endpoint: "https://contosodr.blob.core.windows.net", Key: "a2V5", Trusted: []string{"contoso-eu"}}},
		// Long enough to be seen at work, at a wait that is a whole number of seconds.
		BackupDuration: 1500 * time.Millisecond, RetryAfter: time.Second, BlobTransport: blobs{},
	})
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(server)
	t.Cleanup(h.Close)
	p.endpoint = h.URL
	return p
}

// issuer is the stand-in's credential.
type issuer struct{ tokens *identity.Issuer }

func (i issuer) GetToken(_ context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	token, expires := i.tokens.Issue(strings.TrimSuffix(o.Scopes[0], "/.default"), "0a0a0a0a-0000-0000-0000-00000000000a")
	return azcore.AccessToken{Token: token, ExpiresOn: expires}, nil
}

// blobs is a storage account that has every container and takes every blob. What is in a backup is none of this suite's business.
type blobs struct{}

func (blobs) Do(r *http.Request) (*http.Response, error) {
	status := map[string]int{http.MethodPut: http.StatusCreated}[r.Method]
	return &http.Response{Request: r, StatusCode: max(status, http.StatusOK), Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(nil))}, nil
}

// client is the client as the app makes it, but for what change changes.
func (p place) client(t *testing.T, change func(*apim.Options)) *apim.Client {
	t.Helper()
	o := apim.Options{
		Endpoint: p.endpoint, Audience: p.audience, Credential: p.credential, Now: time.Now, NewID: uuid.NewString, Mask: mask.New().Text,
		Access: func(account string) (apim.Access, error) {
			return apim.Access{}, fmt.Errorf("no access to %s is known", account)
		},
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	if change != nil {
		change(&o)
	}
	c, err := apim.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
