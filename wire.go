package main

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"
	"github.com/google/uuid"

	"apim-dr/handlers"
	"apim-dr/internal/apim"
	"apim-dr/internal/bus"
	"apim-dr/internal/config"
	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/gateway"
	"apim-dr/internal/mask"
	"apim-dr/internal/store"
	"apim-dr/internal/usage"
)

// wire builds everything from the configuration. It makes no network call, so that the first invocation is served at once.
func wire(c config.Config, secrets *mask.Mask, log *slog.Logger) (*handlers.App, func(context.Context), error) {
	credential, err := newCredential(c, secrets)
	if err != nil {
		return nil, nil, err
	}
	vault := newVault(c, credential)
	records, err := newStore(c, credential, vault, log)
	if err != nil {
		return nil, nil, err
	}
	sender, err := newBus(c, credential, log)
	if err != nil {
		return nil, nil, err
	}
	arm, err := newARM(c, credential, nil, secrets, log)
	if err != nil {
		return nil, nil, err
	}
	e := newEngine(c, arm, vault, log)
	e.Store, e.Bus = records, sender
	if len(c.Discover) > 0 {
		e.Tags = &engine.Tags{Subscriptions: c.Discover}
	}
	exports, err := newExporter(c, credential, log)
	if err != nil {
		return nil, nil, err
	}
	exports.Reports, exports.States, exports.Bus = arm, records, sender
	return &handlers.App{Engine: e, Records: records, Usage: exports, Now: time.Now, Log: log, Entra: c.Auth == config.Entra}, sender.Close, nil
}

// newMask knows the secrets of the configuration, and the one with which azidentity asks App Service for tokens.
func newMask(c config.Config) *mask.Mask {
	return mask.New(append(c.Secrets(), os.Getenv("IDENTITY_HEADER"))...)
}

func newCredential(c config.Config, secrets *mask.Mask) (azcore.TokenCredential, error) {
	credential, err := c.NewCredential(nil)
	return secretive{credential, secrets}, err
}

// newARM speaks to ARM by way of a transport; nil: its own.
func newARM(c config.Config, credential azcore.TokenCredential, by policy.Transporter, secrets *mask.Mask, log *slog.Logger) (*apim.Client, error) {
	return apim.New(apim.Options{
		Endpoint: c.Cloud.ARM().Endpoint, Audience: c.Cloud.ARM().Audience, APIVersion: c.APIVersion, Credential: credential, Transport: by,
		Access: accessOf(c), Now: time.Now, NewID: uuid.NewString, Mask: secrets.Text, Log: log,
	})
}

// newEngine is the engine without a store of records and without a bus.
func newEngine(c config.Config, arm engine.ARM, vault *store.Vault, log *slog.Logger) *engine.Engine {
	return &engine.Engine{
		Vault: vault, ARM: arm, Gateways: gateway.New(nil), Fleet: fleetOf(c), Timing: c.Timing, APIVersion: c.APIVersion,
		Now: time.Now, Nonce: rand.Text, Log: log,
	}
}

// newVault reaches the accounts of the backups, each with its key if it has one.
func newVault(c config.Config, credential azcore.TokenCredential) *store.Vault {
	return store.NewVault(func(account string) (*service.Client, error) {
		endpoint := c.Cloud.BlobEndpoint(account)
		if key, ok := c.StorageKey(account); ok {
			return store.FromKey(endpoint, account, key.Reveal(), store.ClientOptions(nil))
		}
		return store.FromEndpoint(endpoint, credential, store.ClientOptions(nil))
	})
}

func newStore(c config.Config, credential azcore.TokenCredential, vault *store.Vault, log *slog.Logger) (*store.Store, error) {
	client, err := stateClient(c, credential)
	if err != nil {
		return nil, err
	}
	return store.New(client.NewContainerClient(c.State.Container), store.Options{Vault: vault, Log: log}), nil
}

// newExporter is the export of usage without ARM, records and bus.
func newExporter(c config.Config, credential azcore.TokenCredential, log *slog.Logger) (*usage.Exporter, error) {
	client, err := stateClient(c, credential)
	if err != nil {
		return nil, err
	}
	x := &usage.Exporter{
		Files: store.NewFiles(client.NewContainerClient(c.UsageContainer)), Outage: c.Timing.Outage, Turn: c.UsageTurn, Now: time.Now, Log: log,
		Illegible: func(err error) bool { return errors.Is(err, engine.ErrUnreadable) || errors.Is(err, engine.ErrNewer) },
	}
	for _, i := range c.Fleet.UsageInstances() {
		x.Instances = append(x.Instances, usage.Instance{Name: i.Name, ResourceID: i.ID, Reports: c.Fleet.Usage})
	}
	return x, nil
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
				return apim.Access{Mode: modes[s.Access], ClientID: s.ClientID, Key: key.Reveal, Variable: s.KeyVariable}, nil
			}
		}
		return apim.Access{}, errors.New("storage account " + account + " is no longer in the fleet's storages")
	}
}

func fleetOf(c config.Config) engine.Fleet {
	f := engine.Fleet{Places: c.Places(), Drills: c.DrillSchedule, Prunes: c.PruneSchedule}
	for _, name := range slices.Sorted(maps.Keys(c.Fleet.Storages)) {
		s := c.Fleet.Storages[name]
		access := dr.Access{Mode: string(s.Access), ClientID: s.ClientID}
		if _, ok := c.StorageKey(s.Account); s.Access == config.StorageKey && !ok {
			access.Missing = s.KeyVariable
		}
		f.Storages = append(f.Storages, engine.Storage{Storage: storageOf(s), Access: access})
	}
	for _, name := range slices.Sorted(maps.Keys(c.Fleet.Plans)) {
		p := c.Fleet.Plans[name]
		f.Plans = append(f.Plans, engine.Plan{
			Name: name, Schedule: p.Schedule, Spread: p.Spread, Within: p.Deadline, Storage: storageOf(c.Fleet.Storages[p.Storage]), RPO: p.RPO, Proven: p.ProvenWithin,
			NotDuring: p.NotDuring, Retention: dr.Retention{Last: p.Retention.KeepLast, Daily: p.Retention.KeepDaily, Weekly: p.Retention.KeepWeekly},
		})
	}
	for _, s := range c.Fleet.Services {
		service := engine.Service{Name: s.Name, ResourceID: s.ID, Region: s.Region, Plan: s.Plan}
		for _, sec := range s.Secondaries {
			service.Secondaries = append(service.Secondaries, engine.Secondary{Instance: instanceOf(sec.Instance), Warm: sec.Mode == config.Warm})
		}
		if s.DrillInstance != nil {
			drill := instanceOf(*s.DrillInstance)
			service.Drill = &drill
		}
		f.Services = append(f.Services, service)
	}
	return f
}

func storageOf(s config.Storage) dr.Storage {
	return dr.Storage{Account: s.Account, Container: s.Container, Region: s.Region}
}

func instanceOf(i config.Instance) dr.Instance {
	return dr.Instance{Name: i.Name, ResourceID: i.ID, Region: i.Region}
}
