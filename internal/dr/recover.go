package dr

import (
	"slices"
	"strings"
	"time"
)

// Instance names an API Management instance.
type Instance struct {
	Name       string `json:"name"`       // last segment of the ARM id: the key of its lock and its records
	ResourceID string `json:"resourceId"` // ARM id
	Region     string `json:"region,omitempty"`
}

// Is tells whether name is this instance's. Azure does not mind the case of names.
func (i Instance) Is(name string) bool { return strings.EqualFold(i.Name, name) }

// FinalMode tells whether a failover takes a last backup of the instance that it leaves.
type FinalMode string

// The modes.
const (
	FinalNever   FinalMode = "never"   // the side that is left is not touched
	FinalAuto    FinalMode = "auto"    // taken if that side answers; without it the newest good recovery point is restored
	FinalRequire FinalMode = "require" // without it nothing is restored
)

// Intent is what was asked for, as the plan is made from it: who asks does not matter.
type Intent struct {
	Kind   Kind     `json:"kind"`
	Source Instance `json:"source"` // whose recovery point is restored
	Target Instance `json:"target"` // what is overwritten
	// Point is the recovery point asked for: an id, a time (RFC 3339: the newest good one at that time), or "latest".
	Point string `json:"point"`
	// Safety backs the target up first.
	Safety bool `json:"safety,omitempty"`
	// Final is a failover's last backup of Source; empty: never.
	Final FinalMode `json:"finalBackup,omitempty"`
	// MaxWait bounds the safety backup and the final backup.
	MaxWait Duration `json:"maxWait,omitempty"`
	// Auto: nobody asked for it. It never restores onto the active instance of a pair.
	Auto bool `json:"auto,omitempty"`
	// Overrides are the checks that may fail.
	Overrides []string `json:"overrides,omitempty"`
}

// Latest as Intent.Point means the newest good recovery point.
const Latest = "latest"

// Restored is when an operation began to restore, or to be heard, and when that ended; zero: it has not. False: it has not begun.
func (op Operation) Restored() (from, to time.Time, ok bool) {
	for i := range op.Legs {
		if leg := &op.Legs[i]; leg.Verb == VerbRestore && !leg.begun().IsZero() {
			return leg.begun(), leg.EndedAt, true
		}
	}
	return from, to, false
}

// Uses names the recovery points that an operation restores, or may yet.
func (op Operation) Uses() []string {
	r := op.Recovery
	if r == nil {
		return nil
	}
	var ids []string
	if ValidPointID(r.Intent.Point) {
		ids = append(ids, r.Intent.Point)
	}
	for _, p := range []*RecoveryPoint{r.Bound, r.planned()} {
		if p != nil && !slices.Contains(ids, p.ID) {
			ids = append(ids, p.ID)
		}
	}
	return ids
}

func (r *Recovery) planned() *RecoveryPoint {
	if r.Plan == nil {
		return nil
	}
	return r.Plan.Point
}

// Recovery is what an operation that restores has beside its legs: whose data it takes, why it was let through and what follows from it.
type Recovery struct {
	Intent Intent `json:"intent"`
	// Bound is the recovery point that is restored; nil until the work begins, when nobody has chosen one before.
	Bound *RecoveryPoint `json:"bound,omitempty"`
	// Plan is what the caller was shown or, where nobody asked, what was found when the work began.
	Plan *Plan `json:"plan,omitempty"`
	// Pair is the pair that the operation belongs to, Role what it does there.
	Pair string `json:"pair,omitempty"`
	Role Role   `json:"role,omitempty"`
	// Admitted: a failover that was let through by the roles of all pairs around; who comes later gives way to it.
	Admitted bool `json:"admitted,omitempty"`
	// Urgent: goes before other waiting work on its service, and follows a restore of the same point that already runs.
	Urgent bool  `json:"urgent,omitempty"`
	Final  Final `json:"final,omitzero"`
}

// Final is the last backup of the instance that a failover leaves. It is an operation of its own, which the failover only watches.
type Final struct {
	Operation string    `json:"operation,omitempty"`
	Until     time.Time `json:"until,omitzero"` // not waited for any longer
	Outcome   Outcome   `json:"outcome,omitempty"`
	Reason    string    `json:"reason,omitempty"` // why it is not used
}

// awaits tells whether the operation has a final backup to wait for.
func (op *Operation) awaits() bool {
	r := op.Recovery
	return r != nil && (r.Intent.Final == FinalAuto || r.Intent.Final == FinalRequire) && r.Final.Outcome == "" && op.Step == 0 && op.Leg().Attempt == 0
}

// bind sets the recovery point that the operation restores.
func (op *Operation) bind(p *RecoveryPoint) {
	short := p.withoutSettings() // they stand in the point's own record
	op.Recovery.Bound = &short
	for i := range op.Legs {
		if op.Legs[i].Verb == VerbRestore {
			op.Legs[i].Point, op.Legs[i].Storage = p.ID, p.Storage
		}
	}
}

// Blob is the name of the blob that the leg at work writes or reads.
func (op Operation) Blob() string {
	if leg := op.Leg(); leg.Verb == VerbRestore {
		return leg.Point
	}
	return op.PointID()
}

// Source is the service whose recovery point is restored; empty: the operation restores nothing.
func (op Operation) Source() string {
	if op.Recovery == nil {
		return ""
	}
	return op.Recovery.Intent.Source.Name
}

// Overrides tells whether the caller has said that a check may fail.
func (op Operation) Overrides(check string) bool {
	return op.Recovery != nil && slices.Contains(op.Recovery.Intent.Overrides, check)
}

// touched is the leg that ARM was asked to overwrite the service with, however that ended; nil: it was not.
func (op Operation) touched() *Leg {
	for i := range op.Legs {
		if leg := &op.Legs[i]; leg.Verb == VerbRestore && leg.Outcome != Rejected && (leg.Attempt > 0 || leg.Adopted != "") {
			return leg
		}
	}
	return nil
}

// restored is the leg that overwrote, or perhaps overwrote, the service; nil: none did.
func (op Operation) restored() *Leg {
	if leg := op.touched(); leg != nil && (leg.Outcome == Succeeded || leg.Outcome == Unknown) {
		return leg
	}
	return nil
}

// Gateway is what answered at a gateway's status address after a restore. It is a finding and decides nothing: one inside a virtual network
// cannot be reached from everywhere.
type Gateway struct {
	URL    string `json:"url"`
	Status int    `json:"status,omitempty"` // HTTP status; 0: no answer
	Error  string `json:"error,omitempty"`
}
