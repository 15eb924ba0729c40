package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/google/uuid"

	"apim-dr/handlers"
	"apim-dr/internal/apim"
	"apim-dr/internal/bus"
	"apim-dr/internal/customhandler"
	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/store"
	"apim-dr/internal/usage"
)

// instant is a Resource Manager that answers at once: what was begun is still at work.
type instant struct {
	http.Server
	url   string
	asked atomic.Int64 // so often
}

func newInstant() (*instant, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &instant{url: "http://" + l.Addr().String()}
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		w.Header().Set("Location", s.url+r.URL.String())
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(http.StatusAccepted)
	})
	go func() { _ = s.Serve(l) }()
	return s, nil
}

// forever is a token.
type forever struct{}

func (forever) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "bench", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// takes is a Service Bus that accepts everything at once, and keeps the newest wake of each operation.
type takes struct{ wakes sync.Map } // dr.Wake by operation

func (t *takes) Wake(_ context.Context, w dr.Wake, _ engine.Queue, _ time.Time) error {
	t.wakes.Store(w.ID, w)
	return nil
}
func (*takes) Tick(context.Context, dr.Tick, time.Time) error { return nil }
func (*takes) Publish(context.Context, dr.Event) error        { return nil }

// local is the product's own handlers, engine, records and ARM client; around them an instant Resource Manager, an instant bus, and storage in memory.
type local struct {
	handler http.Handler
	engine  *engine.Engine
	blobs   store.Blobs
	bus     *takes
	arm     string
	ids     []string // of operations in flight
}

// newLocal has so many operations in flight, each of a service of its own.
func newLocal(ctx context.Context, arm string, inFlight int) (*local, error) {
	// What is logged is made, and thrown away.
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	log := slog.New(customhandler.NewLogHandler(null, null, slog.LevelInfo))
	client, err := apim.New(apim.Options{
		Endpoint: arm, Audience: "https://management.core.windows.net/", Credential: forever{}, Now: time.Now, NewID: uuid.NewString, Mask: func(text string) string { return text }, Log: log,
		Access: func(string) (apim.Access, error) { return apim.Access{Mode: apim.SystemAssigned}, nil },
	})
	if err != nil {
		return nil, err
	}
	l := &local{blobs: store.Memory(time.Now), bus: &takes{}, arm: arm}
	vault := store.VaultOver(func(dr.Storage) (store.Blobs, error) { return nil, errors.New("there are no backups") })
	records := store.Over(l.blobs, store.Options{Vault: vault, Log: log})
	schedule, err := dr.ParseSchedule("0 0 3 * * *")
	if err != nil {
		return nil, err
	}
	storage := dr.Storage{Account: "contosodrbackups", Container: "apim-backups"}
	fleet := engine.Fleet{
		Plans:    []engine.Plan{{Name: "nightly", Schedule: schedule, Storage: storage, Within: 12 * time.Hour, RPO: 26 * time.Hour}},
		Storages: []engine.Storage{{Storage: storage, Access: dr.Access{Mode: string(apim.SystemAssigned)}}},
	}
	for i := range inFlight {
		id := resourceID(i)
		name := id[strings.LastIndex(id, "/")+1:]
		fleet.Services = append(fleet.Services, engine.Service{Name: name, ResourceID: id, Plan: "nightly"})
	}
	l.engine = &engine.Engine{Store: records, Vault: vault, ARM: client, Bus: l.bus, Fleet: fleet, Timing: dr.DefaultTiming(), APIVersion: apim.DefaultAPIVersion, Now: time.Now, Nonce: rand.Text, Log: log}
	app := &handlers.App{Engine: l.engine, Records: records, Usage: &usage.Exporter{}, Now: time.Now, Log: log}
	router := customhandler.NewRouter(customhandler.Options{Log: log})
	app.Register(router)
	l.handler = router
	for _, s := range fleet.Services {
		if err := l.begin(ctx, records, s, storage); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func resourceID(i int) string {
	return fmt.Sprintf("/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-contoso/providers/Microsoft.ApiManagement/service/contoso-%05d", i)
}

// begin has a backup that Resource Manager has accepted.
func (l *local) begin(ctx context.Context, records *store.Store, s engine.Service, storage dr.Storage) error {
	now := time.Now()
	op := dr.Operation{
		V: dr.Version, Rev: 1, ID: dr.NewID(dr.KindBackup, now, s.Name), Kind: dr.KindBackup, Service: s.Name, Plan: s.Plan, Trigger: dr.TriggerTimer,
		CreatedAt: now, NotAfter: now.Add(12 * time.Hour), Phase: dr.Running,
		Legs: []dr.Leg{{Verb: dr.VerbBackup, Service: s.Name, ResourceID: s.ResourceID, Storage: storage, Within: dr.Duration(12 * time.Hour), Attempt: 1,
			PostedAt: now, Deadline: now.Add(12 * time.Hour), Location: l.arm + s.ResourceID + "/operationresults/1?api-version=" + apim.DefaultAPIVersion}},
	}
	if _, err := records.CreateOperation(ctx, op); err != nil {
		return err
	}
	w := dr.Wake{V: dr.Version, ID: op.ID, Location: op.Legs[0].Location, Lease: now.Add(time.Hour)}
	l.bus.wakes.Store(op.ID, w)
	l.ids = append(l.ids, op.ID)
	return records.Mark(ctx, w)
}

// wake is the newest message of an operation.
func (l *local) wake(id string) dr.Wake {
	w, _ := l.bus.wakes.Load(id)
	return w.(dr.Wake)
}

// invocation is what the Functions host POSTs for the newest message of an operation.
func (l *local) invocation(id string) ([]byte, error) {
	wake := l.wake(id)
	body, err := bus.Encode(bus.Message{Wake: &wake})
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{"Data": map[string]any{"message": body}, "Metadata": map[string]any{ // dataType binary: base64
		"DeliveryCount": "1", "MessageId": `"` + wake.MessageID() + `"`, "EnqueuedTimeUtc": `"2026-01-01T03:00:00Z"`, "sys": map[string]any{"MethodName": "PollOperation"},
	}})
}
