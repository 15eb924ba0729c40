package config

import (
	"fmt"
	"slices"
	"strings"

	"apim-dr/internal/usage"
)

// usage lists the reports that are exported.
func (b *builder) usage(in fleetJSON) []usage.Report {
	at := b.root + ".usage"
	if in.Usage == nil {
		for i, s := range in.Services {
			if s.Usage != nil && *s.Usage {
				b.m.add(fmt.Sprintf("%s.services[%d].usage", b.root, i), "holds true, but %s is not set; accepted: usage, which says what is exported, for the whole fleet", at)
			}
		}
		return nil
	}
	reports := slices.Clone(in.Usage.Reports)
	for i, r := range reports {
		if r != "" && slices.Contains(reports[:i], r) {
			b.m.add(fmt.Sprintf("%s.reports[%d]", at, i), "holds %q, which stands there already; accepted: each once", r)
		}
	}
	switch {
	case reports == nil:
		reports = slices.Clone(usage.Usual)
	case len(reports) == 0:
		b.m.add(at+".reports", "holds none; accepted: one or more, or no reports at all for all that sum up")
	}
	if in.Usage.ByRequest { // personal data: named apart, so that nobody gets them with a list
		reports = append(reports, usage.ByRequest)
	}
	return reports
}

// UsageInstances are those whose use is exported: the services and, since one of them may have become the active instance, their secondaries.
func (f Fleet) UsageInstances() (list []Instance) {
	if len(f.Usage) == 0 {
		return nil
	}
	add := func(i Instance) {
		if !slices.ContainsFunc(list, func(known Instance) bool { return strings.EqualFold(known.Name, i.Name) }) {
			list = append(list, i)
		}
	}
	off := func(name string) bool {
		return slices.ContainsFunc(f.Services, func(s Service) bool { return s.NoUsage && strings.EqualFold(s.Name, name) })
	}
	for _, s := range f.Services {
		if s.NoUsage {
			continue
		}
		add(s.Instance)
		for _, second := range s.Secondaries {
			if !off(second.Name) {
				add(second.Instance)
			}
		}
	}
	return list
}
