package config

import (
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/usage"
)

// Fleet is what is protected, how and where to. It is complete and consistent when Load returned it.
type Fleet struct {
	Storages map[string]Storage
	Plans    map[string]Plan
	Services []Service // in the order given
	// Usage are the reports on the use of the services that are exported; empty: nothing is.
	Usage []usage.Report
}

// Access is how an API Management instance reaches the backup storage.
type Access string

// The ways of access. Both identities are the API Management instance's, not this program's, and need an api-version from 2021-04-01-preview on.
const (
	SystemAssigned Access = "systemAssigned"
	UserAssigned   Access = "userAssigned" // Storage.ClientID says which
	StorageKey     Access = "storageKey"   // Config.StorageKey has the key
)

// Storage is a container for backups. It must exist.
type Storage struct {
	Name        string
	Account     string // bare account name
	Container   string
	Access      Access
	ClientID    string // GUID, userAssigned only
	KeyVariable string // environment variable with the key, storageKey only
	Region      string // as ARM writes it (westeurope); empty: not told
}

// Plan is when and where to services are backed up and how long that is kept.
type Plan struct {
	Name         string
	Schedule     dr.Schedule
	Storage      string        // a key of Fleet.Storages
	RPO          time.Duration // the newest good recovery point is to be younger than this
	ProvenWithin time.Duration // the last good drill of a service is to be younger, else the service counts as unproven
	Retention    Retention     // zero: everything is kept until the platform lets it expire, 30 days after its creation
	Deadline     time.Duration // how long one backup may run, from its POST
	Spread       time.Duration // window over which the backups of one tick are started; 0: at once
	NotDuring    []dr.Window   // no scheduled backup and no warm sync begins then
}

// Retention is how many recovery points are kept: see dr.Retention.
type Retention struct {
	KeepLast, KeepDaily, KeepWeekly int
}

// Instance is an API Management instance.
type Instance struct {
	ID            string // ARM id
	Name          string // the key of its lock, its records and its events
	Subscription  string
	ResourceGroup string
	Region        string // as ARM writes it (westeurope); empty: not told anywhere in the fleet
}

// Service is an instance that is backed up.
type Service struct {
	Instance
	Plan           string      // a key of Fleet.Plans
	Secondaries    []Secondary // in the order in which a failover tries them
	DrillInstance  *Instance   // overwritten by drills, maybe other services' too; nil: none
	AllowColocated bool        // accepts that stamp or backups are in the service's own region
	NoUsage        bool        // its use is not exported, nor that of its secondaries
}

// Mode tells whether a secondary is kept up to date.
type Mode string

// The modes.
const (
	Cold Mode = "cold" // restored into when a failover asks for it
	Warm Mode = "warm" // restored into after each good backup of the active instance
)

// Secondary is an instance that a failover may restore into.
type Secondary struct {
	Instance
	Mode Mode
}
