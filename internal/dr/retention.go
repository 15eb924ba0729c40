package dr

import (
	"fmt"
	"slices"
	"time"
)

// Retention says which good recovery points of a service are kept while they can be restored: the newest Last, and the newest of each of the last Daily
// days and Weekly weeks that have one (UTC; weeks as in ISO 8601). Zero: all of them. Safety backups and unverified points do not count: they stay
// until they expire.
type Retention struct {
	Last, Daily, Weekly int
}

// Stock is what Retention judges: the recovery points of one service, and what is known around them.
type Stock struct {
	Points []RecoveryPoint
	// Stands names the points that must stay though the policy would let them go, with the reason: what an instance was restored from, say.
	Stands map[string]string
	// InUse names the operations that restore a point, or are going to.
	InUse map[string][]string
	// Stop is why nothing of the service may go for now; empty: it may.
	Stop string
}

// Decision is what becomes of a recovery point.
type Decision struct {
	Point RecoveryPoint
	Goes  bool
	Why   []string
}

// Decide tells what becomes of each recovery point, in the order of s.Points. Whatever the policy, what goes is neither the newest good point, nor in
// use, nor named in s.Stands.
func (r Retention) Decide(s Stock, now time.Time) []Decision {
	kept := r.kept(s.Points, now)
	newest := Newest(s.Points, now.Add(BackupLife), true)
	all := make([]Decision, len(s.Points))
	for i, p := range s.Points {
		d := Decision{Point: p}
		live := p.ExpiresAt.After(now)
		if newest != nil && newest.ID == p.ID {
			d.Why = append(d.Why, "it is the newest good one")
		}
		if why := s.Stands[p.ID]; why != "" {
			d.Why = append(d.Why, why)
		}
		for _, id := range s.InUse[p.ID] {
			d.Why = append(d.Why, "operation "+id+" uses it")
		}
		d.Why = append(d.Why, kept[p.ID]...)
		switch {
		case p.State == Deleting:
		case live && p.State == Unverified:
			d.Why = append(d.Why, "it is unverified: kept until it expires")
		case live && p.Safety:
			d.Why = append(d.Why, "it is a safety backup: kept until it expires")
		case live && r == (Retention{}):
			d.Why = append(d.Why, "the plan has no retention: kept until it expires")
		case live && p.Retained != "":
			d.Why = append(d.Why, "retained: "+p.Retained+"; tried again when it has expired")
		}
		switch {
		case len(d.Why) > 0:
		case s.Stop != "":
			d.Why = []string{s.Stop}
		default:
			d.Goes, d.Why = true, []string{r.against(p, now)}
		}
		all[i] = d
	}
	return all
}

// against is why a point goes that nothing keeps.
func (r Retention) against(p RecoveryPoint, now time.Time) string {
	switch {
	case p.State == Deleting:
		return "its deletion has begun"
	case !p.ExpiresAt.After(now):
		return "it expired at " + p.ExpiresAt.UTC().Format(time.RFC3339) + ": API Management restores none that is older than 30 days"
	}
	return fmt.Sprintf("it is not among the last %d, nor the newest of one of the last %d days or %d weeks that have one", r.Last, r.Daily, r.Weekly)
}

// kept tells which points the policy keeps, and by which rules.
func (r Retention) kept(points []RecoveryPoint, now time.Time) map[string][]string {
	var good []RecoveryPoint
	for _, p := range points {
		if p.State == Good && !p.Safety && p.ExpiresAt.After(now) {
			good = append(good, p)
		}
	}
	slices.SortFunc(good, func(a, b RecoveryPoint) int { return b.CreatedAt.Compare(a.CreatedAt) })
	why := map[string][]string{}
	rule := func(name string, most int, slot func(i int, at time.Time) string) {
		last, n := "", 0
		for i, p := range good {
			if at := slot(i, p.CreatedAt.UTC()); at != last && n < most {
				last, n = at, n+1
				why[p.ID] = append(why[p.ID], fmt.Sprintf("%s %s", name, at))
			}
		}
	}
	rule("last", r.Last, func(i int, _ time.Time) string { return fmt.Sprint(i + 1) })
	rule("daily", r.Daily, func(_ int, at time.Time) string { return at.Format(time.DateOnly) })
	rule("weekly", r.Weekly, func(_ int, at time.Time) string {
		year, week := at.ISOWeek()
		return fmt.Sprintf("%d-W%02d", year, week)
	})
	return why
}
