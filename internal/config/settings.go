package config

import (
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/kelseyhightower/envconfig"
)

// settings is every environment variable that this program reads, besides the storage keys that the fleet names. The tag "is" names
// a field's rule, "part" the Part that it belongs to; what is tagged secret is never shown, not even when it is of no use.
type settings struct {
	Fleet     string `envconfig:"FLEET" is:"text" secret:"true"`
	FleetFile string `envconfig:"FLEET_FILE" is:"file"`

	BackupSchedule   string `envconfig:"BACKUP_SCHEDULE" is:"schedule" default:"0 0 3 * * *"`
	WatchdogSchedule string `envconfig:"WATCHDOG_SCHEDULE" is:"watch" default:"0 */5 * * * *" part:"host"`
	DrillSchedule    string `envconfig:"DRILL_SCHEDULE" is:"drills" default:"0 0 5 1 * *" part:"host"`
	PruneSchedule    string `envconfig:"PRUNE_SCHEDULE" is:"schedule" default:"0 0 6 * * *" part:"host"`
	UsageSchedule    string `envconfig:"USAGE_SCHEDULE" is:"exports" default:"0 30 3 * * *" part:"host"`

	Discover string `envconfig:"DISCOVER_SUBSCRIPTIONS" is:"subscriptions" part:"host"`

	Cloud        CloudName `envconfig:"AZURE_CLOUD" is:"cloud" default:"public"`
	ARMEndpoint  string    `envconfig:"ARM_ENDPOINT" is:"endpoint"`
	ARMAudience  string    `envconfig:"ARM_AUDIENCE" is:"audience"`
	Authority    string    `envconfig:"AUTHORITY_HOST" is:"authority"`
	BlobEndpoint string    `envconfig:"BLOB_ENDPOINT" is:"blobTemplate"`
	APIVersion   string    `envconfig:"ARM_API_VERSION" is:"version" default:"2024-05-01"`

	Bus            Secret `envconfig:"SERVICEBUS" is:"busConnection" secret:"true" part:"bus"`
	BusNamespace   string `envconfig:"SERVICEBUS__fullyQualifiedNamespace" is:"host" part:"bus"`
	BusRegion      string `envconfig:"SERVICEBUS_REGION" is:"region" part:"bus"`
	State          Secret `envconfig:"STATE_STORAGE" is:"storageConnection" secret:"true" part:"state"`
	StateEndpoint  string `envconfig:"STATE_STORAGE__blobServiceUri" is:"endpoint" part:"state"`
	StateRegion    string `envconfig:"STATE_REGION" is:"region" part:"state"`
	StateContainer string `envconfig:"STATE_CONTAINER" is:"container" default:"apim-dr" part:"state"`
	UsageContainer string `envconfig:"USAGE_CONTAINER" is:"container" default:"usage" part:"state"`

	Credential   CredentialKind `envconfig:"CREDENTIAL" is:"credential" default:"managedIdentity"`
	ClientID     string         `envconfig:"AZURE_CLIENT_ID" is:"guid" secret:"true"`
	TenantID     string         `envconfig:"AZURE_TENANT_ID" is:"tenant" secret:"true"`
	ClientSecret Secret         `envconfig:"AZURE_CLIENT_SECRET" is:"clientSecret" secret:"true"`
	TokenFile    string         `envconfig:"AZURE_FEDERATED_TOKEN_FILE" is:"file"`

	Auth        Auth   `envconfig:"AUTH" is:"auth" default:"key" part:"host"`
	BuiltInAuth string `envconfig:"WEBSITE_AUTH_ENABLED" is:"text" part:"host"`
	Port        string `envconfig:"FUNCTIONS_CUSTOMHANDLER_PORT" is:"port" part:"host"`
	LogLevel    string `envconfig:"LOG_LEVEL" is:"level" default:"info"`
	StampRegion string `envconfig:"STAMP_REGION" is:"region" part:"host"`
	RegionName  string `envconfig:"REGION_NAME" is:"region" part:"host"`
	TimeZone    string `envconfig:"WEBSITE_TIME_ZONE" is:"text" part:"host"`

	AppURL      string `envconfig:"APIMDR_URL" is:"endpoint" part:"app"`
	AppKey      Secret `envconfig:"APIMDR_KEY" is:"appKey" secret:"true" part:"app"`
	AppAudience string `envconfig:"APIMDR_AUDIENCE" is:"appAudience" part:"app"`

	Invocation    string `envconfig:"TIMING_INVOCATION" is:"duration" default:"100s"`
	PostWindow    string `envconfig:"TIMING_POST_WINDOW" is:"duration" default:"60s"`
	Settle        string `envconfig:"TIMING_SETTLE" is:"duration" default:"5m"`
	Look          string `envconfig:"TIMING_LOOK" is:"duration" default:"60s"`
	Busy          string `envconfig:"TIMING_BUSY" is:"duration" default:"60s"`
	Lease         string `envconfig:"TIMING_LEASE" is:"duration" default:"10m"`
	StartWithin   string `envconfig:"TIMING_START_WITHIN" is:"duration" default:"12h"`
	RestoreWithin string `envconfig:"TIMING_RESTORE_WITHIN" is:"duration" default:"30m"`
	MaxWait       string `envconfig:"TIMING_MAX_WAIT" is:"duration" default:"10m"`
	Probe         string `envconfig:"TIMING_PROBE" is:"duration" default:"10s"`
	Survey        string `envconfig:"TIMING_SURVEY" is:"duration" default:"30s"`
	BlobMissing   string `envconfig:"TIMING_BLOB_MISSING" is:"duration" default:"5m"`
	VerifyAgain   string `envconfig:"TIMING_VERIFY_AGAIN" is:"duration" default:"15s"`
	Verify        string `envconfig:"TIMING_VERIFY" is:"duration" default:"30m"`
	Blind         string `envconfig:"TIMING_BLIND" is:"duration" default:"10m"`
	OutageFirst   string `envconfig:"TIMING_OUTAGE_FIRST" is:"duration" default:"30s"`
	OutageMost    string `envconfig:"TIMING_OUTAGE_MOST" is:"duration" default:"5m"`
	WatchdogGrace string `envconfig:"TIMING_WATCHDOG_GRACE" is:"duration" default:"2m"`
	ChangeQuiet   string `envconfig:"TIMING_CHANGE_QUIET" is:"duration" default:"10m"`
	ChangeLongest string `envconfig:"TIMING_CHANGE_LONGEST" is:"duration" default:"1h"`
	Orphan        string `envconfig:"TIMING_ORPHAN" is:"duration" default:"1h"`
	UsageTurn     string `envconfig:"TIMING_USAGE_TURN" is:"duration" default:"2s"`
}

// environment holds variables by their upper-case name: the Functions host does not mind the case of a setting's name. An empty
// variable counts as not set, and white space around a value is no part of it.
type environment map[string]string

func newEnvironment(environ []string) environment {
	e := environment{}
	for _, line := range environ {
		name, value, _ := strings.Cut(line, "=")
		if value = strings.TrimSpace(value); value != "" {
			e[strings.ToUpper(name)] = value
		}
	}
	return e
}

func (e environment) get(name string) string { return e[strings.ToUpper(name)] }

// keep forgets the settings of all parts but these: what a command has no use for must not stand in its way.
func (e environment) keep(parts []Part) {
	for _, f := range reflect.VisibleFields(reflect.TypeFor[settings]()) {
		if part := Part(f.Tag.Get("part")); part != "" && !slices.Contains(parts, part) {
			delete(e, strings.ToUpper(f.Tag.Get("envconfig")))
		}
	}
}

// read fills the settings. A value that breaks its rule is told, and its default stands in so that the rest can be checked.
func (e environment) read(m *mistakes) (s settings, err error) {
	fields := reflect.VisibleFields(reflect.TypeFor[settings]())
	if err := e.process(fields, &s); err != nil {
		return s, err
	}
	for _, f := range fields {
		v := reflect.ValueOf(&s).Elem().FieldByIndex(f.Index)
		if text := v.String(); text != "" {
			if err := rules[f.Tag.Get("is")](text); err != nil {
				m.add(f.Tag.Get("envconfig"), "holds %s; %v", show(text, f.Tag), err)
				v.SetString(f.Tag.Get("default"))
			}
		}
	}
	return s, nil
}

// unknownTimings warns of variables that look like settings and are none: a misspelt one would change nothing in silence.
func (e environment) unknownTimings() (warnings []string) {
	const prefix = "TIMING_"
	var known []string
	for _, f := range reflect.VisibleFields(reflect.TypeFor[settings]()) {
		if name := f.Tag.Get("envconfig"); strings.HasPrefix(name, prefix) {
			known = append(known, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(e)) {
		if strings.HasPrefix(name, prefix) && !slices.Contains(known, name) {
			warnings = append(warnings, name+": is no setting and changes nothing; known: "+strings.Join(known, ", "))
		}
	}
	return warnings
}

var processEnvironment sync.Mutex

// process runs envconfig over these variables and no others. envconfig reads the process environment and nothing else, so that is
// set for the moment and put back.
func (e environment) process(fields []reflect.StructField, s *settings) error {
	processEnvironment.Lock()
	defer processEnvironment.Unlock()
	for _, f := range fields {
		name := strings.ToUpper(f.Tag.Get("envconfig"))
		before, had := os.LookupEnv(name)
		defer func() {
			if _ = os.Unsetenv(name); had {
				_ = os.Setenv(name, before)
			}
		}()
		err := os.Unsetenv(name)
		if value, ok := e[name]; ok {
			err = os.Setenv(name, value)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return envconfig.Process("", s)
}
