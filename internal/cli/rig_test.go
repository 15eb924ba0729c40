package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"apim-dr/internal/apim"
	"apim-dr/internal/client"
	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/mask"
	"apim-dr/internal/store"
	"apim-dr/internal/store/memstore"
	"apim-dr/internal/store/storetest"
)

const (
	azure      = "https://management.azure.com"
	group      = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-"
	provider   = "/providers/Microsoft.ApiManagement/service/"
	theKey     = "Y29udG9zby1rZXktY2FuYXJ5LWNvbnRvc28ta2V5LWNhbmFyeQ=="
	primaryID  = group + "eu" + provider + "contoso-eu"
	targetID   = group + "us" + provider + "contoso-us"
	aLocation  = azure + targetID + "//operationresults/Y29udG9zbw==?api-version=2024-05-01"
	restoreURL = azure + targetID + "/restore?api-version=2024-05-01"
)

var (
	t0      = time.Date(2026, 1, 31, 11, 2, 0, 0, time.UTC)
	nightly = dr.Storage{Account: "contosodrbackups", Container: "apim-backups", Region: "northeurope"}
)

// rig is a fleet of two instances, an Azure that answers over HTTP, and a person. It lives in a bubble of synctest.
type rig struct {
	t       *testing.T
	setup   Setup
	options apim.Options // of the ARM client
	environ []string     // that Direct got
	vault   *memstore.Store
	in      string
	person  bool // sits at a terminal
	// together takes both outputs as a terminal shows them; nil: they are kept apart.
	together *bytes.Buffer
	ctx      context.Context

	mu      sync.Mutex
	dead    map[string]bool   // instances that do not answer
	state   map[string]string // provisioningState, where it is not Succeeded
	ends    time.Time         // when ARM's work ends
	takes   time.Duration
	refuses string            // ARM's answer to a restore
	fails   string            // how ARM's work ends, where it fails
	bodies  []string          // that were POSTed
	lists   map[string]string // of permissions, by the end of their scope's id; others are of all actions. An error's code: refused
	onPost  func()
	onList  func() // permissions are asked for

	app     func([]string) (client.Options, error)
	aside   atomic.Pointer[string] // what was said beside
	columns int                    // of the terminal
	more    []string               // of the environment
}

func newRig(t *testing.T) *rig {
	time.Sleep(time.Until(t0)) // a bubble begins in 2000
	vault := memstore.New(time.Now)
	r := &rig{t: t, vault: vault, ctx: t.Context(), dead: map[string]bool{}, state: map[string]string{}, takes: 14*time.Minute + 30*time.Second}
	r.options = apim.Options{
		Endpoint: azure, Audience: azure, Credential: token{}, Transport: r, Now: time.Now, NewID: func() string { return "id" }, Mask: mask.New(theKey).Text,
		Access: func(string) (apim.Access, error) {
			return apim.Access{Mode: apim.AccessKey, Key: func() string { return theKey }, Variable: "BACKUP_KEY"}, nil
		},
	}
	arm, err := apim.New(r.options)
	if err != nil {
		t.Fatal(err)
	}
	var nonces atomic.Int64 // a Function App asks for some beside the command
	records := store.Over(store.Memory(time.Now), store.Options{Vault: vault.Vault})
	r.setup = Setup{
		Storages: []Storage{{"north", nightly}}, Warnings: []string{"a warning of the configuration"},
		Login: func(context.Context) error { return nil },
		Request: func(leg dr.Leg, point string) (Request, *dr.Error) {
			got, failure := arm.Command(leg, point)
			return Request(got), failure
		},
		Engine: &engine.Engine{
			Store: records, Vault: vault.Vault, ARM: arm, Gateways: r, Timing: dr.DefaultTiming(), APIVersion: apim.DefaultAPIVersion, Now: time.Now,
			Nonce: func() string { return fmt.Sprint("n", nonces.Add(1)) }, Log: slog.New(slog.DiscardHandler),
			Fleet: engine.Fleet{
				Plans:    []engine.Plan{{Name: "nightly", Storage: nightly, Within: 12 * time.Hour}},
				Storages: []engine.Storage{{Storage: nightly, Access: dr.Access{Mode: "storageKey"}}},
				Services: []engine.Service{{Name: "contoso-eu", ResourceID: primaryID, Region: "westeurope", Plan: "nightly",
					Secondaries: []engine.Secondary{{Instance: dr.Instance{Name: "contoso-us", ResourceID: targetID, Region: "northeurope"}}}}},
			},
		},
	}
	vault.Backups(nightly)
	r.point(t0.Add(-32*time.Hour), "a")
	r.point(t0.Add(-8*time.Hour), "b")
	return r
}

// point is a backup of contoso-eu as an earlier stamp has left it.
func (r *rig) point(at time.Time, nonce string) dr.RecoveryPoint {
	r.t.Helper()
	p := dr.RecoveryPoint{
		V: dr.Version, ID: dr.NewID(dr.KindBackup, at, nonce) + "-s0-a1", State: dr.Good, Service: "contoso-eu", ResourceID: primaryID, Operation: dr.NewID(dr.KindBackup, at, nonce),
		CreatedAt: at, EndedAt: at.Add(15 * time.Minute), ExpiresAt: at.Add(dr.BackupLife), Storage: nightly, Bytes: 6, SKU: "Developer", Capacity: 1, Region: "West Europe",
		Settings: &dr.Settings{GatewayURL: "https://contoso-eu.azure-api.net", HostNames: []dr.HostName{{Type: "Proxy", Name: "api.contoso.com", Custom: true, Certificate: "KeyVault"}}},
	}
	if _, err := r.vault.Backups(nightly).Create(r.t.Context(), p.ID, store.Content{Body: []byte("backup")}); err != nil {
		r.t.Fatal(err)
	}
	stamp := store.Over(store.Memory(time.Now), store.Options{Vault: r.vault.Vault})
	if err := storetest.PutPoint(r.t.Context(), stamp, p); err != nil {
		r.t.Fatal(err)
	}
	return p
}

// run runs a command and returns what it printed and its exit status.
func (r *rig) run(args ...string) (out, err string, status int) {
	var stdout, stderr bytes.Buffer
	outputs := [2]io.Writer{&stdout, &stderr}
	if r.together != nil {
		outputs = [2]io.Writer{r.together, r.together}
	}
	wire := func(environ []string, _ *slog.Logger) (Setup, error) {
		r.environ = environ
		return r.setup, nil
	}
	status = Run(r.ctx, args, Options{
		In: strings.NewReader(r.in), Terminal: r.person, Out: outputs[0], Err: outputs[1], Environ: append(r.more, "FLEET=theirs", "fleet_file=theirs", "BACKUP_KEY="+theKey), Who: "ann",
		Direct: wire, Stamp: wire, Verify: r.recorded, App: r.app, Now: time.Now, Width: func() int { return r.columns },
		Aside: func(text string) { r.aside.Store(&text) },
	})
	if all := stdout.String() + stderr.String(); strings.Contains(all, theKey) {
		r.t.Errorf("the key was printed:\n%s", all)
	}
	return stdout.String(), stderr.String(), status
}

// failover runs the direct failover of contoso-eu.
func (r *rig) failover(args ...string) (out, err string, status int) {
	return r.run(append([]string{"failover", "--direct", "--primary", "contoso-eu"}, args...)...)
}

// role is the record of roles beside the backups.
func (r *rig) role() (dr.Pair, error) {
	return r.vault.Vault.Role(context.Background(), nightly, dr.PairName("contoso-eu", "contoso-us"))
}

type token struct{}

func (token) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "token", ExpiresOn: time.Now().Add(24 * time.Hour)}, nil
}

func (r *rig) Probe(_ context.Context, urls []string) (list []dr.Gateway) {
	for _, u := range urls {
		list = append(list, dr.Gateway{URL: u, Status: 200})
	}
	return list
}

// Do is Azure Resource Manager.
func (r *rig) Do(req *http.Request) (*http.Response, error) {
	_, name, below := cut(req.URL.Path)
	r.mu.Lock()
	dead := r.dead[name]
	r.mu.Unlock()
	if dead {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	working := time.Now().Before(r.ends)
	switch {
	case req.Method == http.MethodPost:
		body, _ := io.ReadAll(req.Body)
		r.bodies = append(r.bodies, req.URL.String()+" "+string(body))
		if r.onPost != nil {
			r.onPost()
		}
		if r.refuses != "" {
			return problem("InvalidParameters", r.refuses), nil
		}
		if below == "backup" {
			r.backedUp(req.Context(), body)
		}
		r.ends = time.Now().Add(r.takes)
		return answer(202, "", "Location", strings.Replace(aLocation, "contoso-us", name, 1), "Retry-After", "60"), nil
	case strings.HasSuffix(req.URL.Path, "/Microsoft.Authorization/permissions"):
		return r.permissions(strings.TrimSuffix(req.URL.Path, "/providers/Microsoft.Authorization/permissions")), nil
	case below == "workspaces":
		return answer(200, `{"value":[],"count":0}`), nil
	case name == "":
		return answer(200, `{"type":"Microsoft.Resources/resourceGroups","location":"northeurope"}`), nil
	case strings.Contains(below, "operationresults") && working:
		return answer(202, "", "Location", req.URL.String(), "Retry-After", "60"), nil
	case strings.Contains(below, "operationresults") && r.fails != "":
		return problem("RestoreFailed", r.fails), nil
	}
	state := "Succeeded"
	if s := r.state[name]; s != "" {
		state = s
	} else if working {
		state = "Updating"
	}
	return answer(200, fmt.Sprintf(`{"type":"Microsoft.ApiManagement/service","location":"North Europe","sku":{"name":"Developer","capacity":1},
		"properties":{"provisioningState":%q,"gatewayUrl":"https://%s.azure-api.net"}}`, state, name)), nil
}

func (r *rig) permissions(scope string) *http.Response {
	if r.onList != nil {
		r.onList()
	}
	for end, list := range r.lists {
		switch {
		case !strings.HasSuffix(scope, end):
		case !strings.HasPrefix(list, "{"):
			refused := problem(list, "The client 'ann@contoso.com' has no authorization over scope '"+scope+"'.")
			refused.StatusCode = http.StatusForbidden
			return refused
		default:
			return answer(200, `{"value":[`+list+`]}`)
		}
	}
	return answer(200, `{"value":[{"actions":["*"],"notActions":[]}]}`)
}

func (r *rig) backedUp(ctx context.Context, body []byte) {
	var b struct{ BackupName string }
	if err := json.Unmarshal(body, &b); err != nil {
		r.t.Error(err)
	}
	if _, err := r.vault.Backups(nightly).Create(ctx, b.BackupName, store.Content{Body: []byte("backup")}); err != nil {
		r.t.Error(err)
	}
}

// cut finds the instance in a path.
func cut(path string) (before, name, below string) {
	before, rest, _ := strings.Cut(path, provider)
	name, below, _ = strings.Cut(rest, "/")
	return before, name, below
}

func answer(status int, body string, headers ...string) *http.Response {
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

func problem(code, message string) *http.Response {
	body, _ := json.Marshal(map[string]any{"error": map[string]string{"code": code, "message": message}}) // strings marshal
	return answer(400, string(body))
}

// has fails the test where a text lacks one of these.
func has(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}
