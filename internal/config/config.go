// Package config reads the whole configuration once, at start: settings from the environment (through envconfig) and the fleet, which is JSON.
// A configuration that loads can be used; every mistake in one that cannot is told at once, without a secret.
package config

import (
	"cmp"
	"errors"
	"io/fs"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"apim-dr/internal/dr"
)

// Config is everything that the program is told from outside.
type Config struct {
	Fleet      Fleet
	Cloud      Cloud
	APIVersion string // of API Management in ARM
	ServiceBus ServiceBus
	State      State
	Credential Credential
	Timing     dr.Timing
	// Port is where the Functions host expects the handler, on loopback.
	Port     int
	LogLevel slog.Level
	// StampRegion is where this program runs, as ARM writes it (westeurope); empty: not known.
	StampRegion string
	// StorageKeys are the keys of backup storages with access storageKey, by account.
	StorageKeys map[string]Secret
	// Warnings are for the log: what works but is probably not meant.
	Warnings []string
}

// ServiceBus is the namespace with the queues operations and polls and the topic results. Exactly one field is set.
type ServiceBus struct {
	ConnectionString Secret // local stack
	Namespace        string // fully qualified; with Config.NewCredential
}

// State is the storage of records. Exactly one of ConnectionString and Endpoint is set.
type State struct {
	ConnectionString Secret // local stack
	Endpoint         string // blob service, no slash at its end; with Config.NewCredential
	Container        string
}

// StorageKey returns the key of a backup storage account; false when no storage of that account uses one.
func (c Config) StorageKey(account string) (Secret, bool) {
	key, ok := c.StorageKeys[account]
	return key, ok
}

const (
	serviceBusLock = 5 * time.Minute // maxAutoLockRenewalDuration's default and a queue lock's maximum
	retired        = "2021-08-01"    // older api-versions may be off in public Azure since 1 June 2024
)

// Load reads the configuration from environ, as os.Environ gives it, and the fleet's file through readFile (os.ReadFile). A setting's name may be in any
// case. The error is an *Error with every mistake, fit to be printed. The process environment is set for a moment, since envconfig reads
// nothing else, and then as before: call Load before anything else runs.
func Load(environ []string, readFile func(string) ([]byte, error)) (Config, error) {
	m := &mistakes{}
	env := newEnvironment(environ)
	s, err := env.read(m)
	if err != nil {
		return Config{}, err
	}
	b := &builder{settings: s, env: env, m: m, keys: map[string]Secret{}}
	c := Config{
		Cloud:       newCloud(s),
		APIVersion:  s.APIVersion,
		ServiceBus:  ServiceBus{ConnectionString: s.Bus, Namespace: s.BusNamespace},
		State:       State{ConnectionString: s.State, Endpoint: strings.TrimRight(s.StateEndpoint, "/"), Container: s.StateContainer},
		StampRegion: regionName(cmp.Or(s.StampRegion, s.RegionName)),
		StorageKeys: b.keys,
	}
	c.Port, _ = strconv.Atoi(s.Port)
	_ = c.LogLevel.UnmarshalText([]byte(s.LogLevel))
	c.Credential = newCredentialSettings(s, m)
	c.Timing = newTiming(s, m)
	b.connections(c)
	if root, text := b.fleetText(readFile); root != "" {
		b.root = root
		c.Fleet = b.build(decodeFleet(root, text, m))
		b.idleFields(c.Fleet)
	}
	if s.Port == "" {
		m.add("FUNCTIONS_CUSTOMHANDLER_PORT", "not set; this program is started by the Azure Functions host, which sets it; on this machine, run: make run")
	}
	if c.APIVersion[:len(retired)] < retired {
		b.warnings = append(b.warnings, "ARM_API_VERSION: "+c.APIVersion+" is older than "+retired+"; such versions are being switched off in public Azure since June 2024")
	}
	if s.TimeZone != "" && !strings.EqualFold(s.TimeZone, "UTC") {
		b.warnings = append(b.warnings, "WEBSITE_TIME_ZONE: is "+held(s.TimeZone)+"; schedules are read as UTC here, so remove it or the host's timers fire at other times")
	}
	c.Warnings = append(b.warnings, env.unknownTimings()...)
	if err := m.err(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// connections checks what must be given exactly once, in one of two ways.
func (b *builder) connections(c Config) {
	b.oneOf("FLEET", "FLEET_FILE")
	b.oneOf("SERVICEBUS", "SERVICEBUS__fullyQualifiedNamespace")
	b.oneOf("STATE_STORAGE", "STATE_STORAGE__blobServiceUri")
	if name, suffix := c.ServiceBus.Namespace, c.Cloud.ServiceBusSuffix; name != "" && !strings.HasSuffix(strings.ToLower(name), "."+suffix) {
		b.m.add("SERVICEBUS__fullyQualifiedNamespace", "holds %s; accepted: a host name that ends with .%s, as AZURE_CLOUD is %s", held(name), suffix, c.Cloud.Name)
	}
}

func (b *builder) oneOf(one, other string) {
	first, second := b.env.get(one) != "", b.env.get(other) != ""
	switch {
	case !first && !second:
		b.m.add(one, "not set, nor is %s; accepted: one of the two", other)
	case first && second:
		b.m.add(one, "set, and so is %s; accepted: one of the two", other)
	}
}

// fleetText returns the fleet and where it came from; none when that was told as a mistake.
func (b *builder) fleetText(readFile func(string) ([]byte, error)) (root string, text []byte) {
	if b.settings.Fleet != "" {
		return "FLEET", []byte(b.settings.Fleet)
	}
	path := b.settings.FleetFile
	if path == "" {
		return "", nil
	}
	text, err := readFile(path)
	if err != nil {
		if wrapped := (*fs.PathError)(nil); errors.As(err, &wrapped) {
			err = wrapped.Err // the path is told already, or not to be told
		}
		b.m.add("FLEET_FILE", "holds %s; it cannot be read: %v", held(path), err)
		return "", nil
	}
	return "FLEET_FILE", text
}

func newTiming(s settings, m *mistakes) dr.Timing {
	t := dr.Timing{
		Invocation: span(s.Invocation), PostWindow: span(s.PostWindow), Settle: span(s.Settle), Look: span(s.Look), Busy: span(s.Busy),
		Lease: span(s.Lease), StartWithin: span(s.StartWithin), BlobMissing: span(s.BlobMissing), VerifyAgain: span(s.VerifyAgain),
		Verify: span(s.Verify), Blind: span(s.Blind), OutageFirst: span(s.OutageFirst), OutageMost: span(s.OutageMost),
		WatchdogGrace: span(s.WatchdogGrace), Orphan: span(s.Orphan),
	}
	if t.Invocation >= serviceBusLock {
		m.add("TIMING_INVOCATION", "holds %v; accepted: less than %v, the lock of a Service Bus message", t.Invocation, serviceBusLock)
	}
	if t.PostWindow >= t.Invocation {
		m.add("TIMING_POST_WINDOW", "holds %v; accepted: less than TIMING_INVOCATION, which is %v", t.PostWindow, t.Invocation)
	}
	if t.OutageFirst > t.OutageMost {
		m.add("TIMING_OUTAGE_FIRST", "holds %v; accepted: at most TIMING_OUTAGE_MOST, which is %v", t.OutageFirst, t.OutageMost)
	}
	return t
}
