package dr

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Role is what an operation does to the pair it belongs to.
type Role string

// The roles. An operation without one changes no roles, such as a restore by hand.
const (
	Switch Role = "switch" // failover and failback: the target becomes the active instance
	Follow Role = "follow" // warm standby: the standby gets what the active instance has
)

// Pair remembers which of two instances is the active one. Without a record the configured primary is.
type Pair struct {
	V    int    `json:"v"`
	Name string `json:"name"` // PairName of the two
	Home string `json:"home"` // the configured primary
	// Active is the instance that serves production, as far as apim-dr brought that about or was told.
	Active string `json:"active"`
	// Restored is what the last failover restored into Active; zero: none did, or nobody knows.
	Restored PointRef `json:"restored,omitzero"`
	// Suspended: the warm standby is not kept up to date. Set by a failover, until the failback or a re-arm.
	Suspended bool `json:"suspended,omitempty"`
	// BusyBy is the failover at work; WasSuspended what Suspended was before it.
	BusyBy       string `json:"busyBy,omitempty"`
	WasSuspended bool   `json:"wasSuspended,omitempty"`
	// Syncing is the warm sync that restores, or is about to restore, into the standby.
	Syncing string `json:"syncing,omitempty"`
	// Standby is what the instance that is not active holds, StandbyAt when that was last known.
	Standby   PointRef  `json:"standby,omitzero"`
	StandbyAt time.Time `json:"standbyAt,omitzero"`
	// ChangedAt is when Active was set last, or when it became doubtful; By the operation or person that brought that about.
	ChangedAt time.Time `json:"changedAt,omitzero"`
	By        string    `json:"by,omitempty"`
}

// PairName is the name of the pair of two instances: the same whichever comes first.
func PairName(a, b string) string {
	names := []string{strings.ToLower(a), strings.ToLower(b)}
	slices.Sort(names)
	return strings.Join(names, "~")
}

// NewPair is a pair of which nothing was recorded yet.
func NewPair(home, other string) Pair {
	return Pair{V: Version, Name: PairName(home, other), Home: home, Active: home}
}

// IsActive tells whether an instance serves production.
func (p Pair) IsActive(name string) bool { return strings.EqualFold(p.Active, name) }

// Members are the names of the two, in lower case.
func (p Pair) Members() [2]string {
	a, b, _ := strings.Cut(p.Name, "~")
	return [2]string{a, b}
}

// Has tells whether an instance is one of the two.
func (p Pair) Has(name string) bool {
	members := p.Members()
	return slices.Contains(members[:], strings.ToLower(name))
}

// Admit lets an operation begin, and notes it as being at work, or tells why it may not.
func (p Pair) Admit(op Operation) (Pair, *Error) {
	r := op.Recovery
	if refusal := p.refuses(r.Role, r.Intent.Source.Name, op.ID); refusal != nil {
		return p, refusal
	}
	switch {
	case r.Role == Follow:
		p.V, p.Syncing = Version, op.ID
	case r.Role == Switch && p.BusyBy != op.ID:
		p.V, p.BusyBy, p.WasSuspended, p.Suspended = Version, op.ID, p.Suspended, true
	}
	return p, nil
}

// refuses tells why an operation with that role, from that source, may not begin.
func (p Pair) refuses(role Role, source, id string) *Error {
	switch {
	case role == "":
		return nil
	case !p.IsActive(source):
		return notActive(p, source)
	case p.BusyBy != "" && p.BusyBy != id:
		return p.busy()
	case role == Follow && p.Suspended:
		return Failure("StandbySuspended", fmt.Sprintf("the standby of the pair %s is suspended since a failover; it is kept up to date again after the failback or a re-arm", p.Name))
	}
	return nil
}

// Displaces is the reason why nothing is taken from an instance for another pair: in this one it is not the active one, or about to be left.
func (p Pair) Displaces(name string) *Error {
	switch {
	case !p.IsActive(name):
		return notActive(p, name)
	case p.BusyBy != "":
		return p.busy()
	}
	return nil
}

func (p Pair) busy() *Error {
	return Failure("FailoverInProgress", fmt.Sprintf("operation %s is failing over the pair %s", p.BusyBy, p.Name))
}

func notActive(p Pair, name string) *Error {
	return Failure("NotActive", fmt.Sprintf("%s is the active instance of the pair %s, not %s", p.Active, p.Name, name))
}

// After merges what a done operation brought; it tells whether anything changed. Order and repetition do not matter: a failover counts while it is the
// one at work, and of the standby the newest knowledge wins.
func (p Pair) After(op Operation) (Pair, bool) {
	before, r := p, op.Recovery
	if r == nil || op.Phase != Done {
		return p, false
	}
	if r.Role == Switch && p.BusyBy == op.ID {
		p.BusyBy = ""
		switch op.Outcome {
		case Succeeded:
			p.Active, p.ChangedAt, p.By, p.Restored = op.Service, p.later(op.EndedAt), op.ID, restoredPoint(op, op.Service)
			p.Suspended = !strings.EqualFold(op.Service, p.Home)
			p.Standby, p.StandbyAt = PointRef{}, op.EndedAt // the instance that was left has gone its own way
		case Unknown: // perhaps it is overwritten: nothing automatic goes on before somebody has looked, nor by a stamp that knows it from the copy alone
			p.ChangedAt, p.By = p.later(op.EndedAt), op.ID
		default:
			p.Suspended = p.WasSuspended
		}
		p.WasSuspended = false
	}
	if p.Syncing == op.ID {
		p.Syncing = ""
	}
	if leg := op.touched(); leg != nil && !p.IsActive(op.Service) && op.EndedAt.After(p.StandbyAt) {
		p.Standby, p.StandbyAt = PointRef{}, op.EndedAt // of a restore that failed nobody knows what it left
		if r.Bound != nil && leg.Outcome == Succeeded && strings.EqualFold(r.Bound.Service, p.Active) {
			p.Standby = PointRef{ID: r.Bound.ID, Service: r.Bound.Service, CreatedAt: r.Bound.CreatedAt}
		}
	}
	return p, p != before
}

// Rearm is what a person says of a pair.
type Rearm struct {
	Active    string // the instance that serves production
	Suspended bool   // the other one is left alone; otherwise the warm standby is kept up to date again
	By        string
}

// Rearm takes a person's word for which instance is active.
func (p Pair) Rearm(r Rearm, now time.Time) (Pair, *Error) {
	switch {
	case !p.Has(r.Active):
		return p, Failure("NotInPair", fmt.Sprintf("%s is not one of the pair %s", r.Active, p.Name))
	case p.BusyBy != "":
		return p, Failure("FailoverInProgress", p.busy().Message+"; wait for its end or abandon it")
	case p.Syncing != "" && !p.IsActive(r.Active):
		return p, Failure("SyncInProgress", fmt.Sprintf("operation %s is bringing %s up to date with %s, which overwrites it; wait for its end, or abandon it and look at the instance", p.Syncing, r.Active, p.Active))
	}
	if !p.IsActive(r.Active) {
		p.Standby, p.StandbyAt, p.Restored = PointRef{}, now, PointRef{}
	}
	p.V, p.Active, p.Suspended, p.ChangedAt, p.By = Version, r.Active, r.Suspended, p.later(now), r.By
	return p, nil
}

// later is the time of a change: always after the one before, whosever clock that was taken from. Otherwise a record with a time to come, of a
// laptop whose clock is wrong, would outlive every change.
func (p Pair) later(now time.Time) time.Time {
	if now.After(p.ChangedAt) {
		return now
	}
	return p.ChangedAt.Add(time.Millisecond)
}

// Newer returns the one of two records of a pair that knows better who is active. A failover that ran without the state storage leaves its
// record beside the backups only.
func (p Pair) Newer(other Pair) Pair {
	if other.Name != p.Name || !other.ChangedAt.After(p.ChangedAt) {
		return p
	}
	other.BusyBy, other.WasSuspended, other.Syncing = p.BusyBy, p.WasSuspended, p.Syncing
	return other
}
