// Command apim-dr is the custom handler of the Function App: disaster recovery for Azure API Management. The Functions host starts it; see README.md.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"
	"github.com/google/uuid"

	"apim-dr/handlers"
	"apim-dr/internal/apim"
	"apim-dr/internal/bus"
	"apim-dr/internal/config"
	"apim-dr/internal/customhandler"
	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/store"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) // the host does not restart a handler that exits with 0
	}
}

func run(ctx context.Context) error {
	c, err := config.Load(os.Environ(), os.ReadFile)
	if err != nil {
		return err
	}
	log := slog.New(customhandler.NewLogHandler(os.Stdout, os.Stderr, c.LogLevel))
	for _, warning := range c.Warnings {
		log.Warn(warning)
	}
	app, closeBus, err := wire(c, log)
	if err != nil {
		return err
	}
	defer closeBus(context.WithoutCancel(ctx))
	router := customhandler.NewRouter(customhandler.Options{Log: log, Timeout: c.Timing.Invocation})
	app.Register(router)
	listener, err := customhandler.Listen(ctx, c.Port)
	if err != nil {
		return err
	}
	log.Info("ready", "services", len(c.Fleet.Services), "plans", len(c.Fleet.Plans), "apiVersion", c.APIVersion, "cloud", c.Cloud.Name)
	return customhandler.Serve(ctx, listener, router, customhandler.ServeOptions{Log: log})
}

// wire builds everything from the configuration. It makes no network call, so that the first invocation is served at once.
func wire(c config.Config, log *slog.Logger) (*handlers.App, func(context.Context), error) {
	credential, err := c.NewCredential(nil)
	if err != nil {
		return nil, nil, err
	}
	arm, err := apim.New(apim.Options{
		Endpoint: c.Cloud.ARM().Endpoint, Audience: c.Cloud.ARM().Audience, APIVersion: c.APIVersion, Credential: credential,
		Access: accessOf(c), Now: time.Now, NewID: uuid.NewString, Log: log,
	})
	if err != nil {
		return nil, nil, err
	}
	records, vault, err := newStore(c, credential, log)
	if err != nil {
		return nil, nil, err
	}
	sender, err := newBus(c, credential, log)
	if err != nil {
		return nil, nil, err
	}
	e := &engine.Engine{
		Store: records, Vault: vault, ARM: arm, Bus: sender, Fleet: fleetOf(c), Timing: c.Timing, APIVersion: c.APIVersion,
		Now: time.Now, Nonce: rand.Text, Log: log,
	}
	return &handlers.App{Engine: e, Records: records, Now: time.Now, Log: log}, sender.Close, nil
}

func newStore(c config.Config, credential azcore.TokenCredential, log *slog.Logger) (*store.Store, *store.Vault, error) {
	vault := store.NewVault(func(account string) (*service.Client, error) {
		endpoint := c.Cloud.BlobEndpoint(account)
		if key, ok := c.StorageKey(account); ok {
			return store.FromKey(endpoint, account, key.Reveal(), store.ClientOptions(nil))
		}
		return store.FromEndpoint(endpoint, credential, store.ClientOptions(nil))
	})
	state, err := stateClient(c, credential)
	if err != nil {
		return nil, nil, err
	}
	return store.New(state.NewContainerClient(c.State.Container), store.Options{Vault: vault, Log: log}), vault, nil
}

func stateClient(c config.Config, credential azcore.TokenCredential) (*service.Client, error) {
	if s := c.State.ConnectionString; s != "" {
		return store.FromConnectionString(s.Reveal(), store.ClientOptions(nil))
	}
	return store.FromEndpoint(c.State.Endpoint, credential, store.ClientOptions(nil))
}

func newBus(c config.Config, credential azcore.TokenCredential, log *slog.Logger) (*bus.Bus, error) {
	region := c.StampRegion
	if region == "" {
		region = "unknown-region"
	}
	o := bus.Options{Source: "/apim-dr/" + region, Now: time.Now, Log: log}
	if s := c.ServiceBus.ConnectionString; s != "" {
		return bus.FromConnectionString(s.Reveal(), o)
	}
	return bus.FromCredential(c.ServiceBus.Namespace, credential, o)
}

// accessOf tells the ARM client how API Management reaches a storage account.
func accessOf(c config.Config) func(account string) (apim.Access, error) {
	modes := map[config.Access]apim.Mode{config.StorageKey: apim.AccessKey, config.SystemAssigned: apim.SystemAssigned, config.UserAssigned: apim.UserAssigned}
	return func(account string) (apim.Access, error) {
		for _, s := range c.Fleet.Storages {
			if s.Account == account {
				key, _ := c.StorageKey(account)
				return apim.Access{Mode: modes[s.Access], ClientID: s.ClientID, Key: key.Reveal}, nil
			}
		}
		return apim.Access{}, errors.New("storage account " + account + " is no longer in the fleet's storages")
	}
}

func fleetOf(c config.Config) engine.Fleet {
	var f engine.Fleet
	for _, name := range slices.Sorted(maps.Keys(c.Fleet.Plans)) {
		p := c.Fleet.Plans[name]
		s := c.Fleet.Storages[p.Storage]
		f.Plans = append(f.Plans, engine.Plan{
			Name: name, Schedule: p.Schedule, Spread: p.Spread, Within: p.Deadline, Storage: dr.Storage{Account: s.Account, Container: s.Container},
		})
	}
	for _, s := range c.Fleet.Services {
		f.Services = append(f.Services, engine.Service{Name: s.Name, ResourceID: s.ID, Plan: s.Plan})
	}
	return f
}
