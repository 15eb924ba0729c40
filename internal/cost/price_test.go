package cost

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"apim-dr/infra"
)

// figures are the prices and assumptions of docs/cost.md by the words of their first cell. A missing one is told by missing.
type figures struct {
	values  map[string]float64
	missing func(name string)
}

func (f figures) of(name string) float64 {
	v, ok := f.values[name]
	if !ok {
		f.missing(name)
	}
	return v
}

// amounts are counts of a month, in which a backup does not come a whole number of times.
type amounts map[string]float64

func (a amounts) add(times float64, c counts) {
	for k, v := range c {
		a[k] += times * float64(v)
	}
}

func (a amounts) sum(kinds ...string) (total float64) {
	for _, k := range slices.Sorted(maps.Keys(a)) { // always in one order: the last digit depends on it
		for _, kind := range kinds {
			if k == kind || strings.HasPrefix(k, kind+" ") {
				total += a[k]
			}
		}
	}
	return total
}

// kindOfStandby says what the secondaries are.
type kindOfStandby string

const (
	cold kindOfStandby = "cold"
	warm kindOfStandby = "warm"
)

// month is what a stamp does in a month with n services, each with a secondary and drilled once.
func (f figures) month(n float64, standby kindOfStandby) amounts {
	a := amounts{}
	nights, polls := f.nights(), int(f.of("polls of a backup"))
	a.add(nights, perNight)
	a.add(nights*n, plus(perBackup, times(polls, perPoll), perStandby))
	restore := times(int(f.of("polls of a restore")), perPoll)
	a.add(1, perDrills)
	a.add(n, plus(perDrill, restore))
	results := nights*n + n
	if standby == warm {
		a.add(nights*n, plus(perSync, restore))
		results += nights * n
	}
	a.add(results*f.of("subscribers"), perSubscriber)
	passes := f.of("hours of a month") * passesPerHour
	a.add(passes, perPass)
	a.add(passes*3, passPlan) // one plan, the drills and the pruning
	a.add(nights, perPruning)
	a.add(nights*n, perPruned)
	a.add(nights*n*(30-1), perPoint) // without retention
	a.add(passes*n, plus(passService, passSecondary, passDrill))
	return a
}

func (f figures) nights() float64 { return f.of("hours of a month") / 24 }

// item is a line of the bill, for what apim-dr itself needs.
type item struct {
	name string
	cost func(n float64) float64
}

// bill lists the items of a stamp.
func (f figures) bill(standby kindOfStandby) []item {
	month := func(n float64) amounts { return f.month(n, standby) }
	return []item{
		{"executions", func(n float64) float64 { return f.executions(month(n)) }},
		{"Service Bus, Standard", func(n float64) float64 {
			ops := month(n).sum("bus") + f.of("empty receives")
			return f.of("Service Bus Standard, base charge") + beyond(ops, 13e6)/1e6*f.of("Service Bus operations")
		}},
		{"storage transactions", func(n float64) float64 { return f.transactions(n, month(n)) }},
		{"backups kept", func(n float64) float64 { return n * f.of("days kept") * f.of("size of a backup") * f.of("storage") }},
		{"backups sent to the other region", func(n float64) float64 {
			return n * f.nights() * f.of("size of a backup") * f.of("transfer between regions")
		}},
		{"logs", func(n float64) float64 {
			return f.logged(n, month(n)) * (f.of("logs") + f.of("logs kept on")*(f.of("days of logs")-31)/30)
		}},
		{"alerts", func(float64) float64 {
			return float64(len(infra.Alerts()))*f.of("log alert rule") + float64(len(infra.Queues())+len(infra.Topics()))*f.of("metric alert, each entity")
		}},
	}
}

func total(items []item, n float64) (sum float64) {
	for _, i := range items {
		sum += i.cost(n)
	}
	return sum
}

// private is what network=private adds: another Service Bus, four endpoints and three zones.
func (f figures) private() float64 {
	return f.of("Service Bus Premium, one unit") - f.of("Service Bus Standard, base charge") + 4*f.of("private endpoint") + 3*f.of("private DNS zone") +
		f.of("hours of a month")*f.of("NAT gateway with its address")
}

func beyond(used, free float64) float64 { return math.Max(0, used-free) }

func (f figures) executions(a amounts) float64 {
	n := a.sum("execution")
	return beyond(n, 250e3)/1e6*f.of("executions") + beyond(n*f.of("seconds of an execution")*f.of("memory of an instance"), 100e3)*f.of("execution time")
}

// written are the writes of API Management: its backups, in blocks.
func (f figures) written(n float64) float64 {
	return n * f.nights() * (math.Ceil(f.of("size of a backup")*1000/f.of("size of a block")) + 1)
}

func (f figures) transactions(n float64, a amounts) float64 {
	return ((a.sum("state write", "backups write")+f.written(n))*f.of("write") + a.sum("state list", "backups list")*f.of("list") +
		a.sum("state read", "backups read")*f.of("read") + (a.sum("state other", "backups other")+f.of("leases of the host"))*f.of("other")) / 1e4
}

// logged are GB: our lines, the host's, and what storage tells of each request for a backup.
func (f figures) logged(n float64, a amounts) float64 {
	bytes := a.sum("log")*(lineBytes+f.of("overhead of a log line")) + a.sum("execution")*f.of("the host's own of an execution") +
		(a.sum("backups")+f.written(n))*f.of("log of a request for a backup")
	return bytes / 1e9
}

// usd writes an amount with cents where they matter, number a whole one.
func usd(v float64) string {
	if v < 100 {
		return fmt.Sprintf("%.2f", v)
	}
	return number(v)
}

func number(v float64) string {
	digits := fmt.Sprintf("%.0f", v)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
