package cost

import (
	"maps"
	"strings"

	"apim-dr/internal/standin/arm"
	"apim-dr/internal/standin/devstack"
)

// counts are what is billed, by what it is: "execution", "bus", "arm", "log", "state read", "backups write" and so on.
type counts map[string]int

// times and plus make formulas of them.
func times(n int, c counts) counts {
	d := counts{}
	for k, v := range c {
		if n*v != 0 {
			d[k] = n * v
		}
	}
	return d
}

func plus(list ...counts) counts {
	d := counts{}
	for _, c := range list {
		for k, v := range c {
			if d[k] += v; d[k] == 0 {
				delete(d, k)
			}
		}
	}
	return d
}

// The formulas. TestTheCountsAreTheFormulas holds the local stack to them, and the figures of docs/cost.md come from them.
var (
	// The first night of a stamp: the timer and one tick. Each later night has two transactions less, since the plan has run before.
	perNight = counts{"execution BackupSchedule": 1, "execution RunOperation": 1, "bus operations send": 1, "bus operations delivery": 1, "bus operations settlement": 1,
		"state list": 1, "state read": 4, "state write": 2, "log": 2}
	// A backup without its polls. The blobs that API Management writes are not in it.
	perBackup = counts{"execution RunOperation": 1, "bus operations send": 1, "bus operations delivery": 1, "bus operations settlement": 1, "bus results send": 1,
		"arm backup": 1, "arm read": 2, "state read": 3, "state write": 8, "state delete": 2, "backups write": 1, "backups other": 1, "log": 7}
	// The same when somebody asks for it: nothing is looked up that only a schedule has to know.
	perCall = counts{"execution StartBackup": 1, "execution RunOperation": 1, "bus operations send": 1, "bus operations delivery": 1, "bus operations settlement": 1, "bus results send": 1,
		"arm backup": 1, "arm read": 2, "state read": 2, "state write": 8, "state delete": 2, "backups write": 1, "backups other": 1, "log": 8}
	// One GET. The lease is moved on each here, and in Azure only when it would end before the next: at most so often.
	perPoll = counts{"execution PollOperation": 1, "bus polls send": 1, "bus polls delivery": 1, "bus polls settlement": 1, "arm poll": 1, "state read": 1, "state other": 1, "log": 1}
	// What a secondary adds to a backup of its primary.
	perStandby = counts{"state read": 2, "backups read": 2}
	// A warm standby follows: a restore without its polls.
	perSync = counts{"execution RunOperation": 1, "bus operations send": 1, "bus operations delivery": 1, "bus operations settlement": 1, "bus results send": 1,
		"arm restore": 1, "arm read": 2, "arm group": 1, "arm workspaces": 1,
		"state read": 21, "state write": 13, "state delete": 2, "backups list": 1, "backups read": 3, "backups other": 1, "log": 8}
	// A night of drills: its timer and its tick. Then a drill, of a service with a secondary, without its polls.
	perDrills = counts{"execution DrillSchedule": 1, "execution RunOperation": 1, "bus operations send": 1, "bus operations delivery": 1, "bus operations settlement": 1,
		"state list": 1, "state read": 4, "state write": 2, "log": 2}
	perDrill = counts{"execution RunOperation": 1, "bus operations send": 1, "bus operations delivery": 1, "bus operations settlement": 1, "bus results send": 1,
		"arm restore": 1, "arm read": 2, "arm group": 1, "arm workspaces": 1,
		"state read": 15, "state write": 11, "state delete": 2, "backups list": 1, "backups read": 2, "backups other": 1, "log": 8}
	// A pruning that deletes nothing: its tick, and of each service its message and the look at its only recovery point. Then each further point.
	perPruning = counts{"execution RunOperation": 1, "bus operations send": 1, "bus operations delivery": 1, "bus operations settlement": 1, "state list": 1, "state read": 2, "state write": 1, "log": 1}
	perPruned  = counts{"execution RunOperation": 1, "bus operations send": 1, "bus operations delivery": 1, "bus operations settlement": 1, "state list": 2, "state read": 2, "log": 1}
	perPoint   = counts{"state read": 1}
	// Each result that is read from a subscription of the topic.
	perSubscriber = counts{"bus results/Subscriptions/stack delivery": 1, "bus results/Subscriptions/stack settlement": 1}

	// A pass of the watchdog with nothing in flight, and what is added to it by each schedule (of a plan, the drills, the pruning), service, secondary and drill instance.
	perPass       = counts{"execution Watchdog": 1, "state list": 3, "log": 2}
	passPlan      = counts{"state read": 1}
	passService   = counts{"state read": 1}
	passSecondary = counts{"state read": 2, "backups read": 1}
	passDrill     = counts{"state read": 1}
	passUnguarded = counts{"log": 1}                          // a service that is not protected
	firstPass     = counts{"state read": 1, "state write": 1} // of a stamp that was not there before: for each service and each schedule that it notes
)

const (
	passesPerHour = 12  // one every five minutes
	lineBytes     = 400 // of a log line, at most: the lines of a backup have 360, those of a pass 215
)

// pass is one of a fleet at rest with one plan.
func pass(services, secondaries, drills int) counts {
	plans := 2 // the pruning is one
	if drills > 0 {
		plans++
	}
	return plus(perPass, times(plans, passPlan), times(services, passService), times(secondaries, passSecondary), times(drills, passDrill))
}

// flat names what was counted as the formulas do. Gateways are no part of Resource Manager, and nobody bills a question to them.
func flat(b devstack.Bill) counts {
	c := counts{"log": b.LogLines}
	for k, n := range b.Executions {
		c["execution "+k] += n
	}
	for k, n := range b.Bus {
		c["bus "+k.Entity+" "+k.Kind] += n
	}
	for k, n := range b.Blobs {
		c[strings.TrimPrefix(k.Account, "contosodr")+" "+k.Kind] += n
	}
	for k, n := range b.ARM {
		if k != arm.Gateway {
			c["arm "+string(k)] += n
		}
	}
	maps.DeleteFunc(c, func(_ string, n int) bool { return n == 0 })
	return c
}

// sum adds up what begins with a word.
func (c counts) sum(kind string) (n int) {
	for k, v := range c {
		if k == kind || strings.HasPrefix(k, kind+" ") {
			n += v
		}
	}
	return n
}
