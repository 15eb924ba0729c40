// Package config reads the whole configuration once, at start: settings from the environment (through envconfig) and the fleet, which is JSON.
// A configuration that loads can be used; every mistake in one that cannot is told at once, without a secret.
package config

import (
	"cmp"
	"errors"
	"io/fs"
	"log/slog"
	"slices"
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
	// Auth tells how callers over HTTP are let in.
	Auth Auth
	// Port is where the Functions host expects the handler, on loopback.
	Port     int
	LogLevel slog.Level
	// StampRegion is where this program runs, as ARM writes it (westeurope); empty: not known.
	StampRegion string
	// BusRegion and StateRegion are where the Service Bus and the state storage lie; StampRegion unless told.
	BusRegion, StateRegion string
	// DrillSchedule is when drills run, of services with a drill instance.
	DrillSchedule dr.Schedule
	// Discover are the subscriptions in which services are found by their tag (dr.PlanTag); none: the fleet names all.
	Discover []string
	// PruneSchedule is when the recovery points are deleted that the plans' retention lets go.
	PruneSchedule dr.Schedule
	// UsageContainer is where exported usage goes, in the state storage. UsageTurn is the time that belongs to one instance before the next one's turn.
	UsageContainer string
	UsageTurn      time.Duration
	// Direct: it is for a command that works without the stamp. ServiceBus, State, Port and the regions of what was not asked for are not filled;
	// DrillSchedule and PruneSchedule are the defaults.
	Direct bool
	// StorageKeys are the keys of backup storages with access storageKey, by account.
	StorageKeys map[string]Secret
	// App is how a command reaches the Function App; filled by LoadApp alone.
	App App
	// Warnings are for the log: what works but is probably not meant.
	Warnings []string
}

// Auth is a way to let callers in.
type Auth string

// The ways.
const (
	Key   Auth = "key"   // the host asks for a function key
	Entra Auth = "entra" // the platform's built-in authentication asks for a token, and app roles say who may do what
)

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

// Part is a part of a stamp that has settings of its own.
type Part string

// The parts.
const (
	PartHost  Part = "host" // the Functions host: port, timers and region
	PartBus   Part = "bus"
	PartState Part = "state"
	PartApp   Part = "app" // the Function App, for a command that calls it
)

// Load reads the configuration of the Function App from environ, as os.Environ gives it, and the fleet's file through readFile (os.ReadFile). A
// setting's name may be in any case. The error is an *Error with every mistake, fit to be printed. The process environment is set for a moment, since
// envconfig reads nothing else, and then as before: call Load before anything else runs.
func Load(environ []string, readFile func(string) ([]byte, error)) (Config, error) {
	return loadFor(newEnvironment(environ), readFile, []Part{PartHost, PartBus, PartState})
}

// LoadDirect is Load for a command that a person runs, perhaps because the stamp is gone. Only the needed parts must be configured; the settings of
// the others are not even read. Without CREDENTIAL it is the person's own login, azureCLI. What does not concern every recovery, such as a storage key
// that is not set, is a warning.
func LoadDirect(environ []string, readFile func(string) ([]byte, error), needs ...Part) (Config, error) {
	env := newEnvironment(environ)
	if env.get("CREDENTIAL") == "" {
		env["CREDENTIAL"] = string(AzureCLI)
	}
	return loadFor(env, readFile, needs)
}

func loadFor(env environment, readFile func(string) ([]byte, error), needs []Part) (Config, error) {
	m := &mistakes{}
	env.keep(needs)
	s, err := env.read(m)
	if err != nil {
		return Config{}, err
	}
	direct := !slices.Contains(needs, PartHost)
	stamp := cmp.Or(s.StampRegion, s.RegionName)
	b := &builder{settings: s, env: env, m: m, direct: direct, keys: map[string]Secret{}}
	c := Config{
		Cloud:       newCloud(s),
		APIVersion:  s.APIVersion,
		ServiceBus:  ServiceBus{ConnectionString: s.Bus, Namespace: s.BusNamespace},
		State:       State{ConnectionString: s.State, Endpoint: strings.TrimRight(s.StateEndpoint, "/"), Container: s.StateContainer},
		StampRegion: regionName(stamp), BusRegion: regionName(cmp.Or(s.BusRegion, stamp)), StateRegion: regionName(cmp.Or(s.StateRegion, stamp)),
		DrillSchedule: ncrontab(s.DrillSchedule), PruneSchedule: ncrontab(s.PruneSchedule), Discover: slices.Compact(slices.Sorted(slices.Values(subscriptionsOf(strings.ToLower(s.Discover))))), UsageContainer: s.UsageContainer, UsageTurn: span(s.UsageTurn), Direct: direct, StorageKeys: b.keys,
	}
	c.Port, _ = strconv.Atoi(s.Port)
	if c.Auth = s.Auth; c.Auth == Entra && !strings.EqualFold(s.BuiltInAuth, "true") {
		m.add("AUTH", "holds %q, but WEBSITE_AUTH_ENABLED, which the platform sets, is not True; turn on the Function App's authentication (docs/security.md), without which anybody could say who he is", Entra)
	}
	_ = c.LogLevel.UnmarshalText([]byte(s.LogLevel))
	c.Credential = newCredentialSettings(s, m)
	c.Timing = newTiming(s, m)
	if c.UsageContainer == c.State.Container && !direct {
		m.add("USAGE_CONTAINER", "holds %q, as STATE_CONTAINER does; accepted: another one, since what is exported is for others to read", s.UsageContainer)
	}
	b.connections(c, needs)
	if root, text := b.fleetText(readFile); root != "" {
		b.root = root
		c.Fleet = b.build(decodeFleet(root, text, m))
		b.colocation(c)
	}
	if s.Port == "" && !direct {
		m.add("FUNCTIONS_CUSTOMHANDLER_PORT", "not set; this program is started by the Azure Functions host, which sets it; on this machine, run: make run")
	}
	if c.APIVersion[:len(retired)] < retired {
		b.warnings = append(b.warnings, "ARM_API_VERSION: "+c.APIVersion+" is older than "+retired+"; such versions are being switched off in public Azure since June 2024")
	}
	if !direct && c.LogLevel > slog.LevelInfo {
		b.warnings = append(b.warnings, "LOG_LEVEL: "+s.LogLevel+" leaves out lines that the alerts of the deployment look for, and the watchdog's heartbeat; accepted for them: info or debug")
	}
	if s.TimeZone != "" && !strings.EqualFold(s.TimeZone, "UTC") {
		b.warnings = append(b.warnings, "WEBSITE_TIME_ZONE: is "+held(s.TimeZone)+"; schedules are read as UTC here, so remove it or the host's timers fire at other times")
	}
	c.Warnings = append(b.warnings, env.unknownTimings()...)
	if err := m.err(c.Secrets()); err != nil {
		return Config{}, err
	}
	return c, nil
}

// connections checks what must be given exactly once, in one of two ways.
func (b *builder) connections(c Config, needs []Part) {
	b.oneOf("FLEET", "FLEET_FILE")
	if slices.Contains(needs, PartBus) {
		b.oneOf("SERVICEBUS", "SERVICEBUS__fullyQualifiedNamespace")
	}
	if slices.Contains(needs, PartState) {
		b.oneOf("STATE_STORAGE", "STATE_STORAGE__blobServiceUri")
	}
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
		Lease: span(s.Lease), StartWithin: span(s.StartWithin), RestoreWithin: span(s.RestoreWithin), MaxWait: span(s.MaxWait),
		Probe: span(s.Probe), Survey: span(s.Survey), BlobMissing: span(s.BlobMissing), VerifyAgain: span(s.VerifyAgain),
		Verify: span(s.Verify), Blind: span(s.Blind), OutageFirst: span(s.OutageFirst), OutageMost: span(s.OutageMost),
		WatchdogGrace: span(s.WatchdogGrace), Orphan: span(s.Orphan), ChangeQuiet: span(s.ChangeQuiet), ChangeLongest: span(s.ChangeLongest),
	}
	if t.Invocation >= serviceBusLock {
		m.add("TIMING_INVOCATION", "holds %v; accepted: less than %v, the lock of a Service Bus message", t.Invocation, serviceBusLock)
	}
	if t.PostWindow >= t.Invocation {
		m.add("TIMING_POST_WINDOW", "holds %v; accepted: less than TIMING_INVOCATION, which is %v", t.PostWindow, t.Invocation)
	} else if room := t.Invocation - t.PostWindow; t.Survey >= room { // a plan is made anew right before the POST, in the same invocation
		m.add("TIMING_SURVEY", "holds %v; accepted: less than TIMING_INVOCATION without TIMING_POST_WINDOW, which leaves %v", t.Survey, room)
	}
	if t.Survey < t.Probe {
		m.add("TIMING_SURVEY", "holds %v; accepted: at least TIMING_PROBE, which is %v", t.Survey, t.Probe)
	}
	if t.MaxWait > t.RestoreWithin {
		m.add("TIMING_MAX_WAIT", "holds %v; accepted: at most TIMING_RESTORE_WITHIN, which is %v", t.MaxWait, t.RestoreWithin)
	}
	if t.ChangeQuiet > t.ChangeLongest {
		m.add("TIMING_CHANGE_QUIET", "holds %v; accepted: at most TIMING_CHANGE_LONGEST, which is %v", t.ChangeQuiet, t.ChangeLongest)
	}
	if t.OutageFirst > t.OutageMost {
		m.add("TIMING_OUTAGE_FIRST", "holds %v; accepted: at most TIMING_OUTAGE_MOST, which is %v", t.OutageFirst, t.OutageMost)
	}
	return t
}
