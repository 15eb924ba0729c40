package dr

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// remedies are what a person can do about a pair that refuses.
var remedies = map[string]string{
	"NotActive":          "; call with that one as \"primary\" or, if the record is wrong, POST /api/services/{name}/rearm",
	"FailoverInProgress": "; follow that one, or abandon it",
}

// checkRoles holds a failover against the roles of its pair.
func checkRoles(i Intent, f Facts, _ time.Time) Finding {
	if i.Kind != KindFailover {
		return Finding{}
	}
	if i.Source.Is(i.Target.Name) {
		return fail("%s cannot be failed over into itself", i.Source.Name)
	}
	seen := false
	for _, p := range f.Pairs {
		var e *Error
		switch own := i.of(p); {
		case own:
			seen, e = true, p.refuses(Switch, i.Source.Name, f.Self)
		case p.Has(i.Source.Name):
			e = p.Displaces(i.Source.Name)
		}
		if e != nil {
			return fail("%s%s", e.Message, remedies[e.Code])
		}
	}
	if !seen {
		return unsure("the record of the pair could not be read")
	}
	return pass("%s is the active instance", i.Source.Name)
}

// checkActive keeps what nobody asked for away from production, and tells a person what is about to be overwritten.
func checkActive(i Intent, f Facts, _ time.Time) Finding {
	for _, p := range f.Pairs {
		if p.BusyBy != "" && p.Has(i.Target.Name) && i.Kind != KindFailover && !i.Auto {
			return warn("%s: %s may be the active instance when the turn of this comes, and is not overwritten then", p.busy().Message, i.Target.Name)
		}
		if !f.serves(i, p) {
			continue
		}
		if i.Auto {
			return fail("%s is the active instance of the pair %s: nothing automatic restores into it", i.Target.Name, p.Name)
		}
		if i.Kind == KindFailover {
			if i.of(p) { // see roles
				continue
			}
			if len(f.Unread) > 0 { // the pair that would tell may be among them; it is looked at again under the lock
				return unsure("the roles of %s could not all be read", i.Target.Name)
			}
			return fail("%s is the active instance of the pair %s: a failover of another one would overwrite what serves production", i.Target.Name, p.Name)
		}
		return warn("%s is the active instance of the pair %s: it serves production and is overwritten", i.Target.Name, p.Name)
	}
	if i.Auto && len(f.Unread) > 0 {
		return unsure("the roles of %s could not be read", i.Target.Name)
	}
	return Finding{}
}

// serves tells whether the target serves production as the active instance of a pair. A home that was failed over from still stands as the active one
// in its other pairs: what these say of it is out of date.
func (f Facts) serves(i Intent, p Pair) bool {
	displaced := slices.ContainsFunc(f.Pairs, func(o Pair) bool { return i.Target.Is(o.Home) && !o.IsActive(i.Target.Name) })
	return p.IsActive(i.Target.Name) && !displaced
}

// checkGroup: ARM routes control-plane calls through the region of the resource group (Azure docs, Resource Manager overview).
func checkGroup(i Intent, f Facts, _ time.Time) Finding {
	if i.Kind != KindFailover || f.Group.Verdict == "" {
		return Finding{}
	}
	primary := cmp.Or(i.Source.Region, f.Source.Service.Region)
	if primary == "" && f.ofSource(i) {
		primary = f.Point.Region
	}
	group := f.Group.Service.Region
	switch {
	case f.Group.Verdict != OK:
		return unsure("the region of the resource group of %s could not be read: %s", i.Target.Name, f.Group.Why())
	case primary == "":
		return unsure("the region of %s is not known", i.Source.Name)
	case SameRegion(group, primary):
		return warn("the resource group of %s lies in %s, the region of %s: when that region is down, ARM may not be able to change %[1]s; move it to a group elsewhere", i.Target.Name, group, i.Source.Name)
	}
	return pass("in %s", group)
}

// checkSource tells a caller whether the side that is left still answers: then it may be better to look there first.
func checkSource(i Intent, f Facts, _ time.Time) Finding {
	switch {
	case i.Kind != KindFailover || f.Source.Verdict == "":
		return Finding{}
	case f.Source.Verdict != OK:
		return unsure("%s does not answer: %s", i.Source.Name, f.Source.Why())
	}
	return pass("%s answers and is %s", i.Source.Name, f.Source.Service.State)
}

func checkLocations(i Intent, f Facts, _ time.Time) Finding {
	s := f.Source.Service.Settings
	if i.Kind != KindFailover || f.Source.Verdict == "" {
		return Finding{}
	}
	if s == nil && f.Point != nil {
		s = f.Point.Settings
	}
	switch {
	case s == nil:
		return unsure("whether %s has gateways in other regions could not be looked at: %s", i.Source.Name, f.Source.Why())
	case len(s.Locations) > 0:
		return warn("%s has gateways in %s too, which keep serving when its own region fails: is a failover needed?", i.Source.Name, strings.Join(s.Locations, ", "))
	}
	return pass("none")
}

func checkFinal(i Intent, f Facts, _ time.Time) Finding {
	use, why := i.final(f)
	switch {
	case i.Final != FinalAuto && i.Final != FinalRequire, f.Source.Verdict == "":
		return Finding{}
	case why != "" && i.Final == FinalRequire:
		return fail("a final backup is required, but %s; with finalBackup \"never\" the newest good recovery point is restored", why)
	case !use:
		return warn("no final backup is taken: %s", why)
	}
	return pass("%s answers", i.Source.Name)
}

func checkContent(i Intent, f Facts, _ time.Time) Finding {
	if i.Source.Is(i.Target.Name) {
		return Finding{}
	}
	return warn("%s gets the users, subscriptions and keys of %s", i.Target.Name, i.Source.Name)
}
