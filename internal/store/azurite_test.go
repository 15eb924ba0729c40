package store_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"

	"apim-dr/internal/dr"
	"apim-dr/internal/standin/azurite"
	"apim-dr/internal/standin/live"
	"apim-dr/internal/store"
	"apim-dr/internal/store/storetest"
)

// emulator is Azurite, shared by the tests of this package; each takes containers of its own. Where it cannot be started, they fail.
var emulator = sync.OnceValues(func() (s *azurite.Server, err error) {
	s, err = azurite.Start(context.Background(), azurite.Options{})
	running = s
	return s, err
})

var running *azurite.Server // once a test has asked for it

func TestMain(m *testing.M) {
	code := m.Run()
	if running != nil {
		running.Close()
	}
	os.Exit(code)
}

var containers atomic.Int64

// lossy is the policy of a client that lost the answer to a write: the request is done, and azcore sees a broken connection.
type lossy struct {
	mu   sync.Mutex
	lose []func()
}

func (l *lossy) LoseAnswer(between func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lose = append(l.lose, between)
}

func (l *lossy) Do(req *policy.Request) (*http.Response, error) {
	resp, err := req.Next()
	if m := req.Raw().Method; err != nil || m != http.MethodPut && m != http.MethodDelete {
		return resp, err
	}
	l.mu.Lock()
	if len(l.lose) == 0 {
		l.mu.Unlock()
		return resp, nil
	}
	between := l.lose[0]
	l.lose = l.lose[1:]
	l.mu.Unlock()
	resp.Body.Close()
	if between != nil {
		between()
	}
	return nil, io.ErrUnexpectedEOF
}

// connect opens the emulator's account, by connection string or by key.
func connect(t *testing.T, how func(s *azurite.Server, o *service.ClientOptions) (*service.Client, error), policies ...policy.Policy) *service.Client {
	t.Helper()
	s, err := emulator()
	if err != nil {
		t.Fatal(err)
	}
	o := store.ClientOptions(nil)
	o.PerRetryPolicies = policies
	o.Retry.RetryDelay = time.Millisecond
	client, err := how(s, o)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func byString(s *azurite.Server, o *service.ClientOptions) (*service.Client, error) {
	return store.FromConnectionString(s.ConnectionString(azurite.Account, azurite.Key), o)
}

func byKey(s *azurite.Server, o *service.ClientOptions) (*service.Client, error) {
	return store.FromKey(s.BlobEndpoint(azurite.Account), azurite.Account, azurite.Key, o)
}

// place is a storage account that the contract is held in.
type place struct {
	name           string
	state, backups func(t *testing.T, p policy.Policy) *service.Client // clients as the app makes them, for the two containers of a test
	containers     string                                              // what the names of the containers begin with
}

var atHome = place{
	name: azurite.Account, containers: "test",
	state:   func(t *testing.T, p policy.Policy) *service.Client { return connect(t, byString, p) },
	backups: func(t *testing.T, p policy.Policy) *service.Client { return connect(t, byKey, p) },
}

// TestBlobStorageKeepsTheContract runs the suite against Azurite or, with AZURE_LIVE=1, in a storage account in Azure (docs/live.md). Each of
// its tests makes two containers and deletes them.
func TestBlobStorageKeepsTheContract(t *testing.T) {
	in := atHome
	if live.On(t, map[string]string{"AZURE_LIVE_STORAGE": "the Blob endpoint of a storage account such as https://contosodr.blob.core.windows.net, for whoever ran az login"}) {
		in = azure(t, os.Getenv("AZURE_LIVE_STORAGE"))
	}
	storetest.Run(t, func(t *testing.T) storetest.Fixture {
		var toState, toBackups lossy
		backups, at := in.backups(t, &toBackups), dr.Storage{Account: in.name, Container: in.newContainer()}
		state := in.state(t, &toState).NewContainerClient(in.newContainer())
		for _, c := range []*container.Client{state, backups.NewContainerClient(at.Container)} {
			if _, err := c.Create(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if _, err := c.Delete(context.WithoutCancel(t.Context()), nil); err != nil {
					t.Errorf("left behind: %s: %v", c.URL(), err)
				}
			})
		}
		vault := store.NewVault(func(string) (*service.Client, error) { return backups, nil })
		return storetest.Fixture{
			Store: store.New(state, store.Options{Vault: vault}), Vault: vault, State: store.AzureBlobs(state),
			Backups: store.AzureBlobs(backups.NewContainerClient(at.Container)), At: at,
			LoseAnswer: toState.LoseAnswer, LoseBackupAnswer: toBackups.LoseAnswer,
		}
	})
}

func (p place) newContainer() string { return fmt.Sprintf("%s-%d", p.containers, containers.Add(1)) }
