package dr

import "time"

// What Resource Manager lets one principal write in one subscription and region: a bucket of tokens and its refill
// (https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling). Each backup or restore is one write.
const (
	writeBucket     = 200
	writesPerSecond = 10
)

// StartWindow is the least time over which so many starts are to be spread. They take half of the budget: a person's call, and whatever else the
// identity is used for, need the rest.
func StartWindow(starts int) time.Duration {
	if starts <= writeBucket/2 {
		return 0
	}
	return time.Duration(starts) * time.Second / (writesPerSecond / 2)
}
