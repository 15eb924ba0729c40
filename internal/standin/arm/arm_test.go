package arm_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"

	"apim-dr/internal/standin/arm"
	"apim-dr/internal/standin/azurite"
	"apim-dr/internal/standin/identity"
)

const (
	audience = "https://management.azure.com"
	appID    = "0a0a0a0a-0000-0000-0000-00000000000a"
	group    = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/contoso-rg/providers/Microsoft.ApiManagement/service/"
	current  = "?api-version=2024-05-01"
)

var store *azurite.Server // real blobs for all tests; each test has a container of its own

func TestMain(m *testing.M) {
	os.Exit(func() int {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		var err error
		if store, err = azurite.Start(ctx, azurite.Options{}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer store.Close()
		return m.Run()
	}())
}

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = t
}

func (c *clock) pass(d time.Duration) { c.set(c.now().Add(d)) }

// bench is a stand-in behind a real HTTP server.
type bench struct {
	t         *testing.T
	clock     *clock
	tokens    *identity.Issuer
	srv       *arm.Server
	url       string
	container string
	blobs     *azblob.Client
}

var containers atomic.Int32

func newBench(t *testing.T, change func(*arm.Config)) *bench {
	t.Helper()
	c := &clock{t: time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)}
	b := &bench{t: t, clock: c, tokens: identity.New([]byte("k"), c.now), container: fmt.Sprintf("backups-%d", containers.Add(1))}
	cfg := arm.Config{
		Now: c.now, Tokens: b.tokens, Audience: audience,
		Services: []arm.Service{
			{ID: group + "contoso-west", Location: "West Europe", SKU: "Standard", Capacity: 2, Content: "apis of west"},
			{ID: group + "contoso-north", Location: "North Europe", SKU: "Standard", Capacity: 1, Content: "apis of north"},
			{ID: group + "contoso-premium", Location: "North Europe", SKU: "Premium", Capacity: 1, Content: "apis of premium"},
			{ID: group + "contoso-v2", Location: "North Europe", SKU: "StandardV2", Capacity: 1},
			{ID: group + "contoso-lambda", Location: "North Europe", SKU: "Consumption"},
		},
		Accounts: map[string]arm.Account{
			"contosobackups": {Endpoint: store.BlobEndpoint(azurite.Account), Key: azurite.Key, Trusted: []string{"contoso-west", "contoso-north", appID}},
			"contosodown":    {Endpoint: "http://127.0.0.1:1/contosodown", Key: azurite.Key},
		},
		BackupDuration: 5 * time.Minute, RestoreDuration: 10 * time.Minute, UpdateDuration: time.Minute,
	}
	if change != nil {
		change(&cfg)
	}
	srv, err := arm.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(srv)
	t.Cleanup(h.Close)
	b.srv, b.url = srv, h.URL
	b.blobs, err = azblob.NewClientFromConnectionString(store.ConnectionString(azurite.Account, azurite.Key), nil)
	if err != nil {
		t.Fatal(err)
	}
	b.makeContainer(b.container)
	return b
}

func (b *bench) makeContainer(name string) {
	b.t.Helper()
	if _, err := b.blobs.CreateContainer(b.t.Context(), name, nil); err != nil && !strings.Contains(err.Error(), "ContainerAlreadyExists") {
		b.t.Fatal(err)
	}
}

// body is a request to back up or restore with the storage key, changed by pairs of name and value; the value "-" removes.
func (b *bench) body(pairs ...string) string {
	m := map[string]string{"storageAccount": "contosobackups", "containerName": b.container, "backupName": "nightly", "accessKey": azurite.Key}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
		if pairs[i+1] == "-" {
			delete(m, pairs[i])
		}
	}
	raw, _ := json.Marshal(m)
	return string(raw)
}

type answer struct {
	status int
	header http.Header
	body   map[string]any
	raw    string
}

func (a answer) code() string {
	e, _ := a.body["error"].(map[string]any)
	code, _ := e["code"].(string)
	return code
}

func (a answer) message() string {
	e, _ := a.body["error"].(map[string]any)
	m, _ := e["message"].(string)
	return m
}

func (a answer) prop(name string) any {
	p, _ := a.body["properties"].(map[string]any)
	return p[name]
}

// try sends a request with a good token on a connection of its own.
func (b *bench) try(method, url, body string, headers ...string) (answer, error) {
	b.t.Helper()
	if !strings.HasPrefix(url, "http") {
		url = b.url + url
	}
	r, err := http.NewRequestWithContext(b.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Close = true
	token, _ := b.tokens.Issue(audience, appID)
	r.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: resp.StatusCode, header: resp.Header, raw: string(raw)}
	if len(bytes.TrimSpace(raw)) > 0 {
		if err := json.Unmarshal(raw, &a.body); err != nil {
			return a, errors.Join(err, errors.New(a.raw))
		}
	}
	return a, nil
}

func (b *bench) do(method, url, body string, headers ...string) answer {
	b.t.Helper()
	a, err := b.try(method, url, body, headers...)
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, url, err)
	}
	return a
}

func (b *bench) want(a answer, status int, code string) answer {
	b.t.Helper()
	if a.status != status || a.code() != code {
		b.t.Fatalf("got %d %q (%s), want %d %q", a.status, a.code(), a.raw, status, code)
	}
	return a
}

// backup starts a backup and returns where to poll.
func (b *bench) backup(service string) string {
	b.t.Helper()
	return b.want(b.do("POST", group+service+"/backup"+current, b.body()), 202, "").header.Get("Location")
}

func (b *bench) blob(name string) (string, error) {
	resp, err := b.blobs.DownloadStream(b.t.Context(), b.container, name, nil)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	return string(raw), err
}
