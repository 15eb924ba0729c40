// Package devstack puts one machine's worth of Azure together: Azurite for Blob, stand-ins for Service Bus, Resource Manager, gateways and the
// managed identity, and the Functions host with the staged app. `make run`, the demos and the end-to-end tests use it.
package devstack

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"apim-dr/internal/standin/arm"
)

// Names that a stack uses. Those of the accounts end with Options.Name.
const (
	BackupContainer = "apim-backups"
	StateContainer  = "apim-dr"
	UsageContainer  = "usage"
	FunctionKey     = "local" // opens every function; this machine only
	MasterKey       = "local-master"
	Subscription    = "stack"    // of topic results: Events reads it
	Examples        = "examples" // another one, for the subscribers in examples/
	stateAccount    = "contosodrstate"
	backupsAccount  = "contosodrbackups"
	armAudience     = "https://management.core.windows.net/"
)

// Options says what to start. App is required.
type Options struct {
	App       string     // the staged folder
	Addr      string     // of the Functions host; empty: a free port of 127.0.0.1
	Services  []string   // for Start: names of instances in West Europe that are services and nothing else
	Instances []Instance // the fleet of the stamp, with standby and drill instances; both empty: two services

	// Of ARM, for Start.
	BackupDuration, RestoreDuration time.Duration // 0: instantly
	RetryAfter                      time.Duration // whole seconds

	Region string // of the stamp; empty: northeurope
	Name   string // tells the storage accounts of several stamps apart: lower-case letters and digits
	Keep   bool   // the storage outlives Stop
	Meter  bool   // count what Azure would bill: Bill

	MessageLock time.Duration // of the queues; 0: five minutes, as in Azure
	Keys        Keys
	Callers     map[string][]string // with it, built-in authentication is on: client ids with their app roles. Tokens are for Audience
	Settings    map[string]string   // more settings of the app; they win
	Output      func(stream, line string)
	Log         *slog.Logger // of the stand-ins; nil: nothing
	Restarts    bool         // restart the handler however often it is killed
}

// Keys are the secrets of a stamp. What is empty is made up, or the constants above for the keys of functions.
type Keys struct {
	State, Backups   string // of the storage accounts, base64
	Bus              string
	Identity         string // IDENTITY_HEADER
	Function, Master string
}

// Stack is the usual local stack: one stamp and the cloud around it.
type Stack struct {
	*Cloud
	*Stamp
}

// Start starts everything and returns when the host serves. On an error nothing is left running.
func Start(ctx context.Context, o Options) (*Stack, error) {
	if len(o.Services)+len(o.Instances) == 0 {
		o.Services = []string{"contoso-eu", "contoso-us"}
	}
	o.Instances = slices.Clone(o.Instances)
	for _, name := range o.Services {
		o.Instances = append(o.Instances, Instance{Name: name})
	}
	cloud, err := StartCloud(ctx, o.Instances, arm.Config{BackupDuration: o.BackupDuration, RestoreDuration: o.RestoreDuration, RetryAfter: o.RetryAfter})
	if err != nil {
		return nil, err
	}
	stamp, err := cloud.StartStamp(ctx, o)
	if err != nil {
		cloud.Close()
		return nil, err
	}
	return &Stack{cloud, stamp}, nil
}

// Close stops everything, the handler first. No process is left.
func (s *Stack) Close() {
	s.Stamp.Close()
	s.Cloud.Close()
}

// fleet is the setting FLEET.
func (s *Stamp) fleet() string {
	type object map[string]any
	regions := map[string]string{}
	for _, i := range s.o.Instances {
		regions[i.Name] = i.location()
	}
	exports := slices.ContainsFunc(s.o.Instances, func(i Instance) bool { return i.Usage })
	var list []object
	storages, plans := object{}, object{}
	for _, i := range s.o.Instances {
		if i.Unlisted {
			continue
		}
		storage, plan := "main", "nightly"
		if i.Container != "" {
			storage, plan = i.Container, i.Container
		}
		storages[storage] = object{"account": s.backupsAccount, "container": i.container(), "access": "storageKey", "keyVariable": "BACKUP_STORAGE_KEY", "region": s.o.Region}
		plans[plan] = object{"storage": storage}
		service := object{"id": ResourceID(i.Name), "region": i.location(), "plan": plan}
		if i.Secondary != "" {
			service["secondaries"] = []object{{"id": ResourceID(i.Secondary), "region": regions[i.Secondary], "mode": map[bool]string{true: "warm", false: "cold"}[i.Warm]}}
		}
		if i.Drill != "" {
			service["drillInstance"] = ResourceID(i.Drill)
		}
		if exports {
			service["usage"] = i.Usage
		}
		list = append(list, service)
	}
	fleet := object{"storages": storages, "plans": plans, "services": list}
	if exports {
		fleet["usage"] = object{}
	}
	b, err := json.Marshal(fleet)
	if err != nil {
		panic(err) // only strings, lists and maps
	}
	return string(b)
}

// Stage builds the app and stages it in a folder, as `make stage` with these variables does.
func Stage(app string, variables ...string) error {
	_, here, _, _ := runtime.Caller(0)
	build := exec.Command("make", append(variables, "stage", "APP="+app)...)
	build.Dir = filepath.Join(filepath.Dir(here), "..", "..", "..")
	if text, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("make stage: %w\n%s", err, text)
	}
	return nil
}

func newKey() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.StdEncoding.EncodeToString(b[:])
}
