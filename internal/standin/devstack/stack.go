// Package devstack puts one machine's worth of Azure together: Azurite for Blob, stand-ins for Service Bus, Resource Manager and the managed
// identity, and the Functions host with the staged app. `make run`, `make demo` and the end-to-end tests use it.
package devstack

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"

	"apim-dr/internal/standin/arm"
	"apim-dr/internal/standin/azurite"
	"apim-dr/internal/standin/funchost"
	"apim-dr/internal/standin/identity"
	"apim-dr/internal/standin/servicebus"
)

// Names that the stack uses.
const (
	StateAccount    = "contosodrstate"
	BackupAccount   = "contosodrbackups"
	BackupContainer = "apim-backups"
	StateContainer  = "apim-dr"
	FunctionKey     = "local" // opens every function; this machine only
	MasterKey       = "local-master"
	Subscription    = "stack" // of topic results: Events reads it
	armAudience     = "https://management.core.windows.net/"
)

// Options says what to start. App is required.
type Options struct {
	App      string   // the staged folder
	Addr     string   // of the Functions host; empty: a free port of 127.0.0.1
	Services []string // names of the API Management instances; empty: contoso-eu and contoso-us

	BackupDuration time.Duration // of ARM; 0: instantly
	RetryAfter     time.Duration // of ARM, whole seconds

	Settings map[string]string // more settings of the app; they win
	Output   func(stream, line string)
	Log      *slog.Logger // of the stand-ins; nil: nothing
	Restarts bool         // restart the handler however often it is killed
}

// Stack is a running stack.
type Stack struct {
	Azurite *azurite.Server
	Bus     *servicebus.Server
	ARM     *arm.Server
	Tokens  *identity.Issuer
	Host    *funchost.Host
	State   *azblob.Client // the account of the app's records
	Backups *azblob.Client // the account of the backups
	Client  *azservicebus.Client

	close []func()
	ended chan error
}

// Start starts everything and returns when the host serves. On an error nothing is left running.
func Start(ctx context.Context, o Options) (*Stack, error) {
	if len(o.Services) == 0 {
		o.Services = []string{"contoso-eu", "contoso-us"}
	}
	s := &Stack{ended: make(chan error, 1)}
	if err := s.start(ctx, o); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Stack) start(ctx context.Context, o Options) error {
	stateKey, backupKey := newKey(), newKey()
	if err := s.startAzurite(ctx, o, stateKey, backupKey); err != nil {
		return err
	}
	busAddr, err := s.startBus(o)
	if err != nil {
		return err
	}
	armURL, err := s.startARM(ctx, o, backupKey)
	if err != nil {
		return err
	}
	settings := map[string]string{
		"FLEET":              fleet(o.Services),
		"BACKUP_STORAGE_KEY": backupKey,
		"BACKUP_SCHEDULE":    "0 0 3 * * *",
		"WATCHDOG_SCHEDULE":  "*/5 * * * * *",
		"ARM_ENDPOINT":       armURL,
		"ARM_AUDIENCE":       armAudience,
		"BLOB_ENDPOINT":      "http://" + s.Azurite.Addr() + "/{account}",
		"SERVICEBUS":         s.Bus.ConnectionString(busAddr),
		"STATE_STORAGE":      s.Azurite.ConnectionString(StateAccount, stateKey),
		"CREDENTIAL":         "managedIdentity",
		"STAMP_REGION":       "northeurope",
		"LOG_LEVEL":          "debug", // polls are told at this level only
	}
	maps.Copy(settings, localTiming)
	maps.Copy(settings, o.Settings)
	return s.startHost(ctx, o, settings)
}

// localTiming scales the waits of the protocol down to what somebody in front of a terminal likes to wait.
var localTiming = map[string]string{
	"TIMING_POST_WINDOW": "5s", "TIMING_SETTLE": "2s", "TIMING_LOOK": "1s", "TIMING_BUSY": "1s", "TIMING_LEASE": "20s", "TIMING_WATCHDOG_GRACE": "2s",
	"TIMING_VERIFY_AGAIN": "1s", "TIMING_OUTAGE_FIRST": "1s", "TIMING_OUTAGE_MOST": "5s",
}

func (s *Stack) startAzurite(ctx context.Context, o Options, stateKey, backupKey string) error {
	var err error
	s.Azurite, err = azurite.Start(context.WithoutCancel(ctx), azurite.Options{
		Accounts: StateAccount + ":" + stateKey + ";" + BackupAccount + ":" + backupKey,
	})
	if err != nil {
		return err
	}
	s.close = append(s.close, func() { _ = s.Azurite.Close() })
	if s.State, err = azblob.NewClientFromConnectionString(s.Azurite.ConnectionString(StateAccount, stateKey), nil); err != nil {
		return err
	}
	if s.Backups, err = azblob.NewClientFromConnectionString(s.Azurite.ConnectionString(BackupAccount, backupKey), nil); err != nil {
		return err
	}
	if _, err = s.State.CreateContainer(ctx, StateContainer, nil); err != nil {
		return err
	}
	_, err = s.Backups.CreateContainer(ctx, BackupContainer, nil)
	return err
}

func (s *Stack) startBus(o Options) (addr string, err error) {
	queue := func(name string) servicebus.Queue {
		return servicebus.Queue{Name: name, LockDuration: 5 * time.Minute, DuplicateWindow: 10 * time.Minute, MaxDeliveryCount: 10}
	}
	s.Bus, err = servicebus.New(servicebus.Config{
		Queues: []servicebus.Queue{queue("operations"), queue("polls")},
		Topics: []servicebus.Topic{{Name: "results", DuplicateWindow: 10 * time.Minute,
			Subscriptions: []servicebus.Subscription{{Queue: servicebus.Queue{Name: Subscription, LockDuration: time.Minute, MaxDeliveryCount: 10}}}}},
		KeyName: "local", Key: newKey(), Log: o.Log,
	})
	if err != nil {
		return "", err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	go s.Bus.Serve(l)
	s.close = append(s.close, func() { _ = s.Bus.Close() })
	s.Client, err = azservicebus.NewClientFromConnectionString(s.Bus.ConnectionString(l.Addr().String()), nil)
	return l.Addr().String(), err
}

func (s *Stack) startARM(ctx context.Context, o Options, backupKey string) (url string, err error) {
	s.Tokens = identity.New([]byte(newKey()), time.Now)
	var services []arm.Service
	regions := []string{"West Europe", "East US"}
	for i, name := range o.Services {
		services = append(services, arm.Service{ID: ResourceID(name), Location: regions[i%len(regions)], SKU: "Developer", Capacity: 1})
	}
	s.ARM, err = arm.New(arm.Config{
		Now: time.Now, Tokens: s.Tokens, Audience: armAudience, Services: services,
		// What the app's role grants, and nothing else.
		Actions: []string{"Microsoft.ApiManagement/service/read", "Microsoft.ApiManagement/service/backup/action", "Microsoft.ApiManagement/service/operationresults/read"},
		Accounts: map[string]arm.Account{
			BackupAccount: {Endpoint: s.Azurite.BlobEndpoint(BackupAccount), Key: backupKey, Trusted: o.Services},
		},
		BackupDuration: o.BackupDuration, RetryAfter: o.RetryAfter,
	})
	if err != nil {
		return "", err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: s.ARM, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	go server.Serve(l)
	s.close = append(s.close, func() { _ = server.Close() })
	return "http://" + l.Addr().String(), nil
}

func (s *Stack) startHost(ctx context.Context, o Options, settings map[string]string) error {
	var err error
	s.Host, err = funchost.New(funchost.Options{
		Root: o.App, Settings: settings, Addr: o.Addr, MasterKey: MasterKey, HostKey: FunctionKey,
		Token: func(_ context.Context, resource, clientID string) (string, time.Time, error) {
			token, expires := s.Tokens.Issue(resource, clientID)
			return token, expires, nil
		},
		Output: o.Output, Log: o.Log, UnlimitedRestarts: o.Restarts,
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	stopped := make(chan struct{})
	go func() {
		s.ended <- s.Host.Run(ctx)
		close(stopped)
	}()
	s.close = append(s.close, func() { cancel(); <-stopped })
	select {
	case <-s.Host.Ready():
		return nil
	case err := <-s.ended:
		return errors.Join(errors.New("the Functions host did not start"), err)
	}
}

// Ended tells when the host stopped by itself, and why.
func (s *Stack) Ended() <-chan error { return s.ended }

// Close stops everything, the handler first. No process is left.
func (s *Stack) Close() {
	for i := len(s.close) - 1; i >= 0; i-- {
		s.close[i]()
	}
	s.close = nil
}

// ResourceID is the ARM id of an instance of the stack.
func ResourceID(service string) string {
	return "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-contoso/providers/Microsoft.ApiManagement/service/" + service
}

func fleet(services []string) string {
	type object map[string]any
	var list []object
	for _, name := range services {
		list = append(list, object{"id": ResourceID(name), "plan": "nightly"})
	}
	b, err := json.Marshal(object{
		"storages": object{"main": object{"account": BackupAccount, "container": BackupContainer, "access": "storageKey", "keyVariable": "BACKUP_STORAGE_KEY", "region": "northeurope"}},
		"plans":    object{"nightly": object{"storage": "main"}},
		"services": list,
	})
	if err != nil {
		panic(err) // only strings and maps
	}
	return string(b)
}

func newKey() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.StdEncoding.EncodeToString(b[:])
}

// Post calls a route of the app with the local key, as curl would.
func (s *Stack) Post(ctx context.Context, route, body string, header http.Header) (*http.Response, error) {
	return s.call(ctx, http.MethodPost, route, body, header)
}

// Get calls a route of the app with the local key.
func (s *Stack) Get(ctx context.Context, route string) (*http.Response, error) {
	return s.call(ctx, http.MethodGet, route, "", nil)
}

func (s *Stack) call(ctx context.Context, method, route, body string, header http.Header) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, s.Host.URL()+route, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("x-functions-key", FunctionKey)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	maps.Copy(r.Header, header)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, route, err)
	}
	return resp, nil
}
