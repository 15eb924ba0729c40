package e2e

import (
	"slices"
	"time"

	"apim-dr/internal/standin/arm"
	"apim-dr/internal/standin/devstack"
)

const restoreTakes = 1200 * time.Millisecond

// fleet of the stack: one or more services for each test. Those of a pair have a cold standby in East US that is no service itself.
var fleet = slices.Concat(
	services("bad", "nightly-a", "nightly-b", "traced", "list", "errors", "list-keys", "crowd", "in-place", "donor", "lone", "throttled", "alarms"),
	services("kill-preflight", "kill-post", "kill-answer", "kill-poll", "kill-event"),
	pairs("over-post", "over-answer", "over-poll", "over-verify", "over-event"),

	// What cannot work.
	pairs("expired", "no-blob", "empty-blob", "unknown-point", "too-early", "hang-require", "ask", "may-expired", "may-no-blob"),
	pair("no-container", func(p, s *devstack.Instance) { p.Container = "contoso-own" }),
	pair("never-created", func(p, s *devstack.Instance) { s.Absent = true }),
	pair("was-deleted", func(p, s *devstack.Instance) { s.Deleted = true }),
	pair("sku", func(p, s *devstack.Instance) { s.SKU = "Premium" }),
	pair("may-sku", func(p, s *devstack.Instance) { s.SKU = "Premium" }),
	pair("tier", func(p, s *devstack.Instance) { s.SKU, s.Workspaces = "StandardV2", 2 }),
	pair("unwell", func(p, s *devstack.Instance) { s.ProvisioningState = "Failed" }),
	pair("old-point", func(p, s *devstack.Instance) { p.Drill = "old-point-lab" }),
	instance("old-point-lab"),

	// What hangs, is busy, or changes in between.
	pairs("hang-never", "hang-auto", "hang-auto-later", "final-auto", "final-bad", "busy", "locked", "stuck", "pruned", "pruning", "pruned-blob", "abandon", "abandon-early"),

	// What works.
	pair("both", func(p, s *devstack.Instance) { s.Unlisted = false; p.HostNames = []string{"api.contoso.com"} }),
	pair("warm", func(p, s *devstack.Instance) { p.Warm = true }),
	pair("held", func(p, s *devstack.Instance) { p.Warm = true }),
	pairs("twice", "key", "adopt", "at-terminal", "in-pipe", "in-pipe-bad"),
	pair("newer", func(p, s *devstack.Instance) { p.StatusPolls, s.StatusPolls = true, true }),
	pair("drilled", func(p, s *devstack.Instance) { p.Drill = "drilled-lab" }),
	instance("drilled-lab"),

	// What is found by its tag.
	[]devstack.Instance{{Name: "tagged", Unlisted: true, Service: arm.Service{Tags: map[string]string{"apim-dr": "nightly"}}}},

	// Whose configuration changes.
	services("changed"),

	// Whose use is exported.
	exporting("used", ""), exporting("used-killed", ""), exporting("used-v2", "StandardV2"),
)

func exporting(name, sku string) []devstack.Instance {
	return []devstack.Instance{{Name: name, Usage: true, Service: arm.Service{SKU: sku}}}
}

func services(names ...string) []devstack.Instance {
	var list []devstack.Instance
	for _, name := range names {
		list = append(list, devstack.Instance{Name: name})
	}
	return list
}

func instance(name string) []devstack.Instance {
	return []devstack.Instance{{Name: name, Unlisted: true, Service: arm.Service{Location: "North Europe"}}}
}

func pairs(names ...string) []devstack.Instance {
	var list []devstack.Instance
	for _, name := range names {
		list = append(list, pair(name, func(_, _ *devstack.Instance) {})...)
	}
	return list
}

func pair(name string, change func(primary, standby *devstack.Instance)) []devstack.Instance {
	primary := devstack.Instance{Name: name, Secondary: standby(name)}
	other := devstack.Instance{Name: standby(name), Unlisted: true, Service: arm.Service{Location: "East US"}}
	change(&primary, &other)
	return []devstack.Instance{primary, other}
}

func standby(name string) string { return name + "-standby" }

// content is what an instance holds while nothing was restored into it.
func content(name string) string { return "the APIs of " + name }
