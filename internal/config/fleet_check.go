package config

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"apim-dr/internal/dr"
)

const (
	platformKeeps  = 30 * 24 * time.Hour // a backup expires then ("disaster recovery" page of the Azure docs)
	longestProof   = 366 * 24 * time.Hour
	identityAccess = "2021-04-01" // first api-version (a preview) with identity access to the storage
)

// builder turns the fleet's JSON into a Fleet and tells what cannot be meant.
type builder struct {
	root     string // where paths begin: FLEET or FLEET_FILE
	settings settings
	env      environment
	m        *mistakes
	// direct: this is no start of the Function App but a recovery by hand. What is wrong elsewhere in the fleet must not stand in its way.
	direct   bool
	warnings []string
	keys     map[string]Secret // by account
}

// tell adds a mistake or, where it is tolerated, a warning.
func (b *builder) tell(tolerated bool, where, format string, args ...any) {
	if !tolerated {
		b.m.add(where, format, args...)
		return
	}
	b.warnings = append(b.warnings, where+": "+fmt.Sprintf(format, args...))
}

func (b *builder) build(in fleetJSON) Fleet {
	fleet := Fleet{Storages: map[string]Storage{}, Plans: map[string]Plan{}, Usage: b.usage(in)}
	for _, name := range slices.Sorted(maps.Keys(in.Storages)) {
		fleet.Storages[name] = b.storage(name, in.Storages[name])
	}
	b.accounts(fleet.Storages)
	for _, name := range slices.Sorted(maps.Keys(in.Plans)) {
		fleet.Plans[name] = b.plan(name, in.Plans[name])
		if _, ok := fleet.Storages[fleet.Plans[name].Storage]; !ok {
			b.unknown(child(b.root+".plans", name)+".storage", fleet.Plans[name].Storage, "storages", slices.Sorted(maps.Keys(in.Storages)))
		}
	}
	if len(in.Services) == 0 && b.settings.Discover == "" {
		b.m.add(b.root+".services", "holds none; accepted: one or more, or none with DISCOVER_SUBSCRIPTIONS")
	}
	for i, s := range in.Services {
		service := Service{Instance: instance(s.ID).in(s.Region), Plan: s.Plan, AllowColocated: s.AllowColocated, NoUsage: s.Usage != nil && !*s.Usage}
		for _, second := range s.Secondaries {
			service.Secondaries = append(service.Secondaries, Secondary{Instance: instance(second.ID).in(second.Region), Mode: second.Mode})
		}
		if drill := instance(s.DrillInstance); drill.Name != "" {
			service.DrillInstance = &drill
		}
		fleet.Services = append(fleet.Services, service)
		if _, ok := fleet.Plans[service.Plan]; !ok {
			b.unknown(fmt.Sprintf("%s.services[%d].plan", b.root, i), service.Plan, "plans", slices.Sorted(maps.Keys(in.Plans)))
		}
	}
	b.roles(fleet.Services)
	b.regions(fleet.Services)
	if !b.direct {
		b.proofs(fleet)
	}
	return fleet
}

func (b *builder) unknown(at, name, of string, known []string) {
	accepted := "a name under " + b.root + "." + of
	known = slices.DeleteFunc(known, func(name string) bool { return rules["name"](name) != nil })
	if len(known) > 0 {
		accepted += " (" + strings.Join(known, ", ") + ")"
	}
	b.m.add(at, "holds %s; accepted: %s", held(name), accepted)
}

func (b *builder) storage(name string, in storageJSON) Storage {
	at := child(b.root+".storages", name)
	if in.Access == UserAssigned && in.ClientID == "" {
		b.m.add(at+".clientId", "not set; access userAssigned needs the client id of the API Management instance's identity")
	}
	if in.ClientID != "" && in.Access != UserAssigned && in.Access != "" {
		b.m.add(at+".clientId", "holds %s; accepted: only with access userAssigned", held(in.ClientID))
	}
	if in.KeyVariable != "" && in.Access != StorageKey && in.Access != "" {
		b.m.add(at+".keyVariable", "is set; accepted: only with access storageKey")
	}
	if in.Access == SystemAssigned || in.Access == UserAssigned {
		if version := b.settings.APIVersion; version[:len(identityAccess)] < identityAccess {
			b.m.add(at+".access", "holds %q; it needs ARM_API_VERSION %s-preview or later, which is %s", in.Access, identityAccess, version)
		}
	}
	if in.Access == StorageKey {
		b.key(at+".keyVariable", in)
	}
	return Storage{Name: name, Account: in.Account, Container: in.Container, Access: in.Access, ClientID: in.ClientID,
		KeyVariable: in.KeyVariable, Region: regionName(in.Region)}
}

// key finds the storage key that a storage names.
func (b *builder) key(at string, in storageJSON) {
	value := b.env.get(in.KeyVariable)
	switch {
	case in.KeyVariable == "":
		b.m.add(at, "not set; access storageKey needs the name of the environment variable that holds the key")
		return
	case value == "":
		b.tell(b.direct, at, "holds %q; that environment variable is not set", in.KeyVariable)
		return
	}
	if err := rules["storageKey"](value); err != nil {
		b.tell(b.direct, in.KeyVariable, "holds %s; %v", hidden(value), err)
		return
	}
	b.keys[in.Account] = Secret(value)
}

// accounts refuses storages that reach one account in different ways: a backup's record names its account, and how that is reached is
// looked up by it. What is missing is told elsewhere.
func (b *builder) accounts(storages map[string]Storage) {
	const both = "; accepted: the same for both"
	differ := func(a, b string) bool { return a != "" && b != "" && !strings.EqualFold(a, b) }
	first := map[string]Storage{} // by account
	for _, name := range slices.Sorted(maps.Keys(storages)) {
		s := storages[name]
		before, ok := first[s.Account]
		if s.Account == "" || s.Access == "" {
			continue
		}
		if !ok {
			first[s.Account] = s
			continue
		}
		at, other := child(b.root+".storages", name), child(b.root+".storages", before.Name)
		switch {
		case s.Access != before.Access:
			b.m.add(at+".access", "holds %q, but %s with the same account has %q%s", s.Access, other, before.Access, both)
		case differ(s.ClientID, before.ClientID):
			b.m.add(at+".clientId", "is not that of %s, which has the same account%s", other, both)
		case differ(s.KeyVariable, before.KeyVariable):
			b.m.add(at+".keyVariable", "holds %q, but %s with the same account has %q%s", s.KeyVariable, other, before.KeyVariable, both)
		}
	}
}

func (b *builder) plan(name string, in planJSON) Plan {
	at := child(b.root+".plans", name)
	plan := Plan{Name: name, Schedule: ncrontab(cmp.Or(in.Schedule, b.settings.BackupSchedule)), Storage: in.Storage,
		RPO: span(in.RPO), ProvenWithin: span(in.ProvenWithin), Deadline: span(in.Deadline), Spread: span(in.Spread)}
	if plan.RPO > platformKeeps {
		b.m.add(at+".rpo", "holds %v; accepted: at most 720h, since backups expire after 30 days", plan.RPO)
	}
	if plan.ProvenWithin > longestProof {
		b.m.add(at+".provenWithin", "holds %v; accepted: at most 8784h, a year: what was not tried for longer is not proven", plan.ProvenWithin)
	}
	if gap := longestGap(plan.Schedule); plan.RPO > 0 && gap > plan.RPO {
		b.warnings = append(b.warnings, fmt.Sprintf("%s.rpo: %v is shorter than the pause of %v in the schedule %q, so that it is breached between backups",
			at, plan.RPO, gap, plan.Schedule))
	}
	if in.Retention != nil {
		plan.Retention = Retention(*in.Retention)
		b.retention(at+".retention", plan.Retention, plan.Schedule)
	}
	for i, w := range in.NotDuring {
		window := dr.Window{From: timeOfDay(w.From), To: timeOfDay(w.To)}
		for _, day := range w.Days {
			window.Days = append(window.Days, weekdays[day])
		}
		if w.From == w.To {
			b.m.add(fmt.Sprintf("%s.notDuring[%d].to", at, i), "equals from; accepted: another time of day")
		}
		plan.NotDuring = append(plan.NotDuring, window)
	}
	if len(plan.NotDuring) > 0 && neverBegins(plan) {
		b.tell(b.direct, at+".notDuring", "keeps every backup of the schedule %q away until the next one is due; accepted: windows that leave time for one", plan.Schedule)
	}
	return plan
}

// proofs warns of plans whose services would count as unproven between two drills.
func (b *builder) proofs(fleet Fleet) {
	drills := ncrontab(b.settings.DrillSchedule)
	gap := longestGap(drills)
	for _, name := range slices.Sorted(maps.Keys(fleet.Plans)) {
		drilled := func(s Service) bool { return s.Plan == name && s.DrillInstance != nil }
		if within := fleet.Plans[name].ProvenWithin; within > 0 && gap > within && slices.ContainsFunc(fleet.Services, drilled) {
			b.warnings = append(b.warnings, fmt.Sprintf("%s.provenWithin: %v is shorter than the pause of %v in DRILL_SCHEDULE %q, so that services are unproven between drills",
				child(b.root+".plans", name), within, gap, drills))
		}
	}
}

func (b *builder) retention(at string, r Retention, schedule dr.Schedule) {
	if r == (Retention{}) {
		b.m.add(at, "keeps nothing; accepted: keepLast, keepDaily or keepWeekly above 0, or no retention at all")
	}
	limit := func(field string, n, most int) {
		if n < 0 || n > most {
			b.m.add(at+"."+field, "holds %d; accepted: 0 to %d, since backups expire after 30 days", n, most)
		}
	}
	limit("keepLast", r.KeepLast, occurrencesKept(schedule))
	limit("keepDaily", r.KeepDaily, 30)
	limit("keepWeekly", r.KeepWeekly, 4)
}

// A Monday at the start of a year that is no leap year: schedules are measured from here, so that the same text always gets the same answer.
var measuredFrom = time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)

// occurrencesKept is how many backups of a schedule fit into the platform's 30 days, at most 1,000.
func occurrencesKept(s dr.Schedule) int {
	first := s.Next(measuredFrom)
	n := 0
	for at := first; n < 1000 && !at.IsZero() && at.Sub(first) <= platformKeeps; at = s.Next(at) {
		n++
	}
	return n
}

// neverBegins tells whether the windows of a plan keep each of the next hundred backups away until the one after it is due.
func neverBegins(p Plan) bool {
	due := p.Schedule.Next(measuredFrom)
	for i := 0; i < 100 && !due.IsZero(); i++ {
		next := p.Schedule.Next(due)
		if _, begins := dr.Begin(due, 0, p.NotDuring, next); begins {
			return false
		}
		due = next
	}
	return !due.IsZero()
}

// longestGap is the longest pause between the next hundred occurrences.
func longestGap(s dr.Schedule) (gap time.Duration) {
	for i, at := 0, s.Next(measuredFrom); i < 100 && !at.IsZero(); i++ {
		next := s.Next(at)
		gap, at = max(gap, next.Sub(at)), next
	}
	return gap
}
