package config

import (
	"fmt"
	"slices"
	"strings"

	"apim-dr/internal/dr"
)

// Places is where the parts of this stamp lie: app, Service Bus and state. None in a configuration by LoadDirect, which works without a stamp.
func (c Config) Places() []dr.Place {
	if c.Direct {
		return nil
	}
	return []dr.Place{{What: "this stamp", Region: c.StampRegion}, {What: "its Service Bus", Region: c.BusRegion}, {What: "its state storage", Region: c.StateRegion}}
}

// Survival tells whether this stamp and the backups of a service are still there when the region of the service, as far as it is configured, is gone.
func (c Config) Survival(s Service) dr.Survival {
	return dr.Survives(s.Name, s.Region, c.needed(s))
}

// needed is where everything lies that a recovery of a service needs.
func (c Config) needed(s Service) []dr.Place {
	storage := c.Fleet.Storages[c.Fleet.Plans[s.Plan].Storage]
	return append(c.Places(), dr.Place{What: "the backup storage " + storage.Account, Region: storage.Region})
}

// colocation refuses what would be lost together with the service that it protects. What is not known is no mistake: an unknown region is like no other.
func (b *builder) colocation(c Config) {
	for i, s := range c.Fleet.Services {
		known := slices.DeleteFunc(c.needed(s), func(p dr.Place) bool { return p.Region == "" })
		at := fmt.Sprintf("%s.services[%d]", b.root, i)
		if found := dr.Survives(s.Name, s.Region, known); found.Survives == dr.Not {
			b.tell(s.AllowColocated || b.direct, at+".region", "%s; the loss of that region takes both; accepted: another region for what recovers the service, or allowColocated: true",
				strings.Join(found.Reasons, ", "))
		}
		elsewhere := func(o Secondary) bool { return !dr.SameRegion(o.Region, s.Region) }
		if len(s.Secondaries) > 0 && !slices.ContainsFunc(s.Secondaries, elsewhere) {
			b.warnings = append(b.warnings, fmt.Sprintf("%s.secondaries: all lie in %s, as %s does, so that none is left when that region is lost", at, s.Region, s.Name))
		}
	}
}

// regions gives an instance the same region wherever it stands in the fleet.
func (b *builder) regions(services []Service) {
	told := map[string]string{} // by name
	each := func(do func(at string, in *Instance)) {
		for i := range services {
			at := fmt.Sprintf("%s.services[%d]", b.root, i)
			do(at, &services[i].Instance)
			for j := range services[i].Secondaries {
				do(fmt.Sprintf("%s.secondaries[%d]", at, j), &services[i].Secondaries[j].Instance)
			}
		}
	}
	each(func(at string, in *Instance) {
		switch before := told[fold(*in)]; {
		case in.Region == "" || in.Name == "":
		case before == "":
			told[fold(*in)] = in.Region
		case before != in.Region:
			b.m.add(at+".region", "holds %q, but %q lies in %s elsewhere in the fleet; accepted: one region an instance", in.Region, in.Name, before)
		}
	})
	each(func(_ string, in *Instance) { in.Region = told[fold(*in)] })
}

// in is the instance in a region, if that is told.
func (i Instance) in(region string) Instance {
	i.Region = regionName(region)
	return i
}
