package store_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"

	"apim-dr/internal/store"
)

// azure is a storage account in Azure, reached as whoever ran az login. The names of the containers are this run's own: nothing that was there
// before is written to, and nothing of it deleted.
func azure(t *testing.T, endpoint string) place {
	t.Helper()
	az, err := azidentity.NewAzureCLICredential(nil)
	if err != nil {
		t.Fatal(err)
	}
	credential := &kept{TokenCredential: az}
	u, err := url.Parse(endpoint)
	if err != nil {
		t.Fatalf("AZURE_LIVE_STORAGE: %v", err)
	}
	client := func(t *testing.T, p policy.Policy) *service.Client {
		t.Helper()
		o := store.ClientOptions(nil)
		o.PerRetryPolicies = []policy.Policy{p}
		client, err := store.FromEndpoint(endpoint, credential, o)
		if err != nil {
			t.Fatalf("AZURE_LIVE_STORAGE: %v", err)
		}
		return client
	}
	var run [4]byte
	_, _ = rand.Read(run[:])
	name, _, _ := strings.Cut(u.Hostname(), ".")
	return place{name: name, containers: "apimdr-live-" + hex.EncodeToString(run[:]), state: client, backups: client}
}

// kept keeps a token of the one scope that it is asked for: az takes a second to get one, and every test has clients of its own, each of which
// would ask within the 4 s of its first try.
type kept struct {
	azcore.TokenCredential

	mu    sync.Mutex
	token azcore.AccessToken
}

func (k *kept) GetToken(ctx context.Context, o policy.TokenRequestOptions) (_ azcore.AccessToken, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Until(k.token.ExpiresOn) < 5*time.Minute {
		k.token, err = k.TokenCredential.GetToken(ctx, o)
	}
	return k.token, err
}
