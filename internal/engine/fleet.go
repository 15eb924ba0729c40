package engine

import (
	"fmt"
	"strings"
	"time"

	"apim-dr/internal/dr"
)

// Fleet is what the engine knows of the configuration.
type Fleet struct {
	Plans    []Plan
	Services []Service
	Storages []Storage
	// Places is where this stamp's parts lie: app, bus and state.
	Places []dr.Place
	// Drills is when drills run; the zero Schedule: only when asked for.
	Drills dr.Schedule
}

// Plan says when and where to its services are backed up.
type Plan struct {
	Name     string
	Schedule dr.Schedule
	Spread   time.Duration // a tick's backups are started spread over this
	Storage  dr.Storage
	Within   time.Duration // deadline of a backup, and of a restore from one
	RPO      time.Duration // the newest good recovery point is to be younger
	Proven   time.Duration // the last good drill is to be younger
}

// Storage is an account for backups, and how API Management reaches it.
type Storage struct {
	dr.Storage
	dr.Access
}

// Service is one API Management instance that is backed up.
type Service struct {
	Name           string // last segment of the ARM id: the key everywhere
	ResourceID     string
	Region         string // as configured; empty: not told
	Plan           string
	Secondaries    []Secondary // in the order in which a failover tries them
	Drill          *dr.Instance
	AllowColocated bool
}

// Secondary is an instance that a failover of its service restores into.
type Secondary struct {
	dr.Instance
	Warm bool // kept up to date
}

func (f Fleet) plan(name string) (Plan, bool) {
	for _, p := range f.Plans {
		if p.Name == name {
			return p, true
		}
	}
	return Plan{}, false
}

func (f Fleet) service(name string) (Service, Plan, error) {
	for _, s := range f.Services {
		if strings.EqualFold(s.Name, name) {
			p, _ := f.plan(s.Plan)
			return s, p, nil
		}
	}
	return Service{}, Plan{}, fmt.Errorf("%w: %q; it has %s", ErrUnknownService, name, f.names())
}

func (f Fleet) names() string {
	const most = 20
	var names []string
	for _, s := range f.Services {
		if names = append(names, s.Name); len(names) == most {
			names = append(names, "…")
			break
		}
	}
	return strings.Join(names, ", ")
}
