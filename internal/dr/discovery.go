package dr

import (
	"slices"
	"strings"
	"time"
)

// PlanTag is the tag of an instance that says which plan it has.
const PlanTag = "apim-dr"

// Tagged is an instance with the tag.
type Tagged struct {
	Instance
	Plan string `json:"plan"` // the tag's value
}

// Listed is what a subscription showed; Error: it could not be listed, or not to its end.
type Listed struct {
	Subscription string
	Instances    []Tagged
	Error        string
}

// Discovery is what was found by its tag.
type Discovery struct {
	V      int       `json:"v"`
	At     time.Time `json:"at"` // of the last look
	Found  []Found   `json:"found"`
	Gone   []Gone    `json:"gone,omitempty"`   // in the last 30 days: as long as their backups can be restored
	Faults []Fault   `json:"faults,omitempty"` // what could not be taken in at the last look
}

// Found is an instance that is backed up since it has the tag.
type Found struct {
	Tagged
	Subscription string    `json:"subscription"` // in which it was found
	Since        time.Time `json:"since"`
}

// Gone is an instance that is backed up no more.
type Gone struct {
	Instance
	At  time.Time `json:"at"` // since when
	Why string    `json:"why"`
}

// Fault is what stands in the way of backing an instance, or a subscription of them, up.
type Fault struct {
	About string `json:"about"` // ARM id
	Why   string `json:"why"`
}

// Why an instance is not one of the found ones.
const (
	listed = "the fleet names it itself"
	noPlan = "its tag " + PlanTag + " names a plan that the fleet does not have: "
)

// mostGone bounds the gone ones: the record of a thousand services and of those has some 500 KB, and may have 1 MiB.
const mostGone = 500

// Next takes in a look at all subscriptions. What the fleet names itself is none of the found ones: the fleet says more of it. What a subscription that
// could not be listed had before stays.
func (d Discovery) Next(looks []Listed, plans []string, inFleet func(name string) bool, now time.Time) Discovery {
	next := Discovery{V: Version, At: now}
	fault := func(about, why string) { next.Faults = append(next.Faults, Fault{About: about, Why: why}) }
	was := map[string]Found{}
	for _, f := range d.Found {
		was[strings.ToLower(f.ResourceID)] = f
	}
	taken := map[string]string{} // name to id
	unlisted := map[string]bool{}
	why := map[string]string{} // an instance is gone
	for _, look := range looks {
		if look.Error != "" {
			unlisted[strings.ToLower(look.Subscription)] = true
			fault("/subscriptions/"+look.Subscription, look.Error)
			continue
		}
		for _, t := range look.Instances {
			id, name := strings.ToLower(t.ResourceID), strings.ToLower(t.Name)
			switch {
			case inFleet(t.Name):
				why[id] = listed
			case !slices.Contains(plans, t.Plan):
				why[id] = noPlan + t.Plan
				fault(t.ResourceID, why[id])
			case strings.EqualFold(taken[name], t.ResourceID): // shown twice
			case taken[name] != "":
				fault(t.ResourceID, "another instance has its name: "+taken[name])
			default:
				taken[name] = t.ResourceID
				f := Found{Tagged: t, Subscription: look.Subscription, Since: now}
				if old, ok := was[id]; ok {
					f.Since = old.Since
				}
				next.Found = append(next.Found, f)
			}
		}
	}
	for _, f := range d.Found {
		switch id, name := strings.ToLower(f.ResourceID), strings.ToLower(f.Name); {
		case taken[name] != "":
		case unlisted[strings.ToLower(f.Subscription)] && !inFleet(f.Name) && slices.Contains(plans, f.Plan):
			taken[name] = f.ResourceID
			next.Found = append(next.Found, f)
		default:
			g := Gone{Instance: f.Instance, At: now, Why: why[id]}
			switch {
			case g.Why != "":
			case inFleet(f.Name):
				g.Why = listed
			case !slices.Contains(plans, f.Plan):
				g.Why = noPlan + f.Plan
			case slices.ContainsFunc(looks, func(l Listed) bool { return strings.EqualFold(l.Subscription, f.Subscription) }):
				g.Why = "it is not there, or has no tag " + PlanTag
			default:
				g.Why = "its subscription is no longer looked at"
			}
			next.Gone = append(next.Gone, g)
		}
	}
	for _, g := range d.Gone {
		if taken[strings.ToLower(g.Name)] == "" && now.Sub(g.At) < BackupLife && !slices.ContainsFunc(next.Gone, func(n Gone) bool { return n.Is(g.Name) }) {
			next.Gone = append(next.Gone, g)
		}
	}
	next.Gone = next.Gone[:min(len(next.Gone), mostGone)]
	slices.SortFunc(next.Found, func(a, b Found) int { return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) })
	return next
}
