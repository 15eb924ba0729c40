package usage

import (
	"slices"
	"strings"
)

// Report is the name of a report, as the path of its address has it.
type Report string

// ByRequest lists single requests with address, URL and user: personal data, exported only when asked for.
const ByRequest Report = "byRequest"

// byTime sums up over intervals, and is the only one that has to be told which.
const byTime Report = "byTime"

// interval is the shortest that byTime takes (2024-05-01 swagger: a multiple of 15 minutes).
const interval = "PT15M"

// Usual are the reports that sum up; all of them unless the fleet names some.
var Usual = []Report{"byApi", byTime, "byOperation", "byProduct", "bySubscription", "byGeo", "byUser"}

// known tells whether there is such a report.
func (r Report) known() bool { return r == ByRequest || slices.Contains(Usual, r) }

// name is the path of the file of a day of a report of an instance, without what it ends with. Azure compares the names of instances without regard
// to case, Blob storage does not.
func name(instance string, r Report, d Day) string {
	return strings.ToLower(instance) + "/" + string(r) + "/" + d.Start().Format("2006/01/02")
}

// What the names of a day's files end with.
const (
	dataSuffix     = ".ndjson.gz"
	manifestSuffix = ".manifest.json"
)
