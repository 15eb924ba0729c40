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
}

// Plan says when and where to its services are backed up.
type Plan struct {
	Name     string
	Schedule dr.Schedule
	Spread   time.Duration // a tick's backups are started spread over this
	Storage  dr.Storage
	Within   time.Duration // deadline of a backup
}

// Service is one API Management instance that is backed up.
type Service struct {
	Name       string // last segment of the ARM id: the key everywhere
	ResourceID string
	Plan       string
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
