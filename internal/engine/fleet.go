package engine

import (
	"slices"
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
	// Prunes is when recovery points are let go; the zero Schedule: never.
	Prunes dr.Schedule
}

// Plan says when and where to its services are backed up.
type Plan struct {
	Name     string
	Schedule dr.Schedule
	Spread   time.Duration // a tick's backups are started spread over this, or over dr.StartWindow where that is longer
	Storage  dr.Storage
	Within   time.Duration // deadline of a backup, and of a restore from one
	RPO      time.Duration // the newest good recovery point is to be younger
	Proven   time.Duration // the last good drill is to be younger
	// NotDuring are times in which no scheduled backup and no warm sync of its services begins.
	NotDuring []dr.Window
	Retention dr.Retention
}

// Storage is an account for backups, and how API Management reaches it.
type Storage struct {
	dr.Storage
	dr.Access
}

// Service is one API Management instance that is backed up.
type Service struct {
	Name        string // last segment of the ARM id: the key everywhere
	ResourceID  string
	Region      string // as configured; empty: not told
	Plan        string
	Secondaries []Secondary // in the order in which a failover tries them
	Drill       *dr.Instance
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

// service finds an instance that is listed as a service, which its plan backs up.
func (f Fleet) service(name string) (Service, bool) {
	for _, s := range f.Services {
		if strings.EqualFold(s.Name, name) {
			return s, true
		}
	}
	return Service{}, false
}

func (s Service) instance() dr.Instance {
	return dr.Instance{Name: s.Name, ResourceID: s.ResourceID, Region: s.Region}
}

// member is an instance that the fleet knows in any role, with the plan that says where its backups go: its own, or that of the service which it
// stands by for.
type member struct {
	dr.Instance
	plan    Plan
	drilled bool // it is a drill instance and nothing else
}

// member finds an instance: a service first, then a secondary, then a drill instance.
func (f Fleet) member(name string) (member, bool) {
	if s, ok := f.service(name); ok {
		p, _ := f.plan(s.Plan)
		return member{Instance: s.instance(), plan: p}, true
	}
	for _, s := range f.Services {
		p, _ := f.plan(s.Plan)
		for _, sec := range s.Secondaries {
			if sec.Is(name) {
				return member{Instance: sec.Instance, plan: p}, true
			}
		}
		if s.Drill != nil && s.Drill.Is(name) {
			return member{Instance: *s.Drill, plan: p, drilled: true}, true
		}
	}
	return member{}, false
}

// named is an instance of the fleet or, for one that is not, the mere name.
func (f Fleet) named(name string) dr.Instance {
	if m, ok := f.member(name); ok {
		return m.Instance
	}
	return dr.Instance{Name: name}
}

// partners are the instances that a service can be failed over to: its secondaries, and the services whose secondary it is.
func (f Fleet) partners(name string) []dr.Instance {
	var list []dr.Instance
	if s, ok := f.service(name); ok {
		for _, sec := range s.Secondaries {
			list = append(list, sec.Instance)
		}
	}
	for _, c := range f.couplesWith(name) {
		if p, _ := c.partner(name); !slices.ContainsFunc(list, func(i dr.Instance) bool { return i.Is(p.Name) }) {
			list = append(list, p)
		}
	}
	return list
}

// Backups lists the containers that the backups of an instance and of those it forms a pair with go to, its own first. The copies of the records of
// its pairs lie there as well. None: the fleet does not know the instance.
func (f Fleet) Backups(name string) []dr.Storage {
	var list []dr.Storage
	for _, around := range f.Around(name) {
		if m, ok := f.member(around); ok && !slices.Contains(list, m.plan.Storage) {
			list = append(list, m.plan.Storage)
		}
	}
	return list
}

// keeps tells whether the backups of a service go to a container, as far as the fleet knows it.
func (f Fleet) keeps(service string, s dr.Storage) bool {
	_, known := f.member(service)
	return !known || slices.ContainsFunc(f.Backups(service), s.Same)
}

// Around names an instance and those it forms a pair with.
func (f Fleet) Around(name string) []string {
	names := []string{name}
	for _, p := range f.partners(name) {
		names = append(names, p.Name)
	}
	return names
}

// access is how API Management reaches an account for backups; zero when it is not one of the fleet's.
func (f Fleet) access(account string) dr.Access {
	for _, s := range f.Storages {
		if s.Account == account {
			return s.Access
		}
	}
	return dr.Access{}
}

func (f Fleet) names() string {
	var names []string
	for _, s := range f.Services {
		names = append(names, s.Name)
	}
	return some(names)
}

// members are the names of all instances: services, secondaries and drill instances.
func (f Fleet) members() string {
	var names []string
	for _, s := range f.Services {
		names = append(names, s.Name)
		for _, sec := range s.Secondaries {
			names = append(names, sec.Name)
		}
		if s.Drill != nil {
			names = append(names, s.Drill.Name)
		}
	}
	slices.Sort(names)
	return some(slices.Compact(names))
}

// some joins names for a message, which must not grow with the fleet.
func some(names []string) string {
	const most = 20
	if len(names) > most {
		names = append(names[:most:most], "…")
	}
	return strings.Join(names, ", ")
}

func namesOf(list []dr.Instance) string {
	names := make([]string, len(list))
	for i, in := range list {
		names[i] = in.Name
	}
	return some(names)
}

// at finds an instance of the fleet by its ARM id, or by that of something in it.
func (f Fleet) at(resourceID string) (member, bool) {
	id := strings.ToLower(resourceID)
	for _, s := range f.Services {
		for _, i := range s.all() {
			own := strings.ToLower(i.ResourceID)
			if id == own || strings.HasPrefix(id, own+"/") {
				return f.member(i.Name)
			}
		}
	}
	return member{}, false
}

// all is a service with its secondaries and its drill instance.
func (s Service) all() []dr.Instance {
	list := []dr.Instance{s.instance()}
	for _, sec := range s.Secondaries {
		list = append(list, sec.Instance)
	}
	if s.Drill != nil {
		list = append(list, *s.Drill)
	}
	return list
}
