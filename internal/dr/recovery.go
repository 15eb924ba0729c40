package dr

import (
	"strings"
	"time"
)

// PointState tells what a recovery point is worth.
type PointState string

// The states.
const (
	Good       PointState = "good"       // ARM confirmed it and its blob was seen
	Unverified PointState = "unverified" // nobody knows whether its blob, if there is one, is whole
	Deleting   PointState = "deleting"   // on its way out: nothing may begin to restore it
)

// BackupLife is how long a backup can be restored, counted from its POST (Azure docs, API Management disaster recovery).
const BackupLife = 30 * 24 * time.Hour

// RecoveryPoint is a backup that can, or perhaps can, be restored. The same JSON lies beside the blob, so that the catalog can be rebuilt
// from the backups alone.
type RecoveryPoint struct {
	V          int        `json:"v"`
	Leg        int        `json:"-"`  // the leg of its operation that made it
	ID         string     `json:"id"` // also the blob's name
	State      PointState `json:"state"`
	Service    string     `json:"service"`
	ResourceID string     `json:"resourceId"`
	Operation  string     `json:"operation"`
	Plan       string     `json:"plan,omitempty"`
	CreatedAt  time.Time  `json:"createdAt"` // of the POST
	EndedAt    time.Time  `json:"endedAt"`
	ExpiresAt  time.Time  `json:"expiresAt"`
	Storage    Storage    `json:"storage"`
	Bytes      int64      `json:"bytes"`
	BlobETag   string     `json:"blobEtag,omitempty"`
	SKU        string     `json:"sku,omitempty"` // a restore's target must have the same
	Capacity   int        `json:"capacity,omitempty"`
	Region     string     `json:"region,omitempty"`
	UsedBy     []string   `json:"usedBy,omitempty"` // operations that restore from it
	// Was is the state before Deleting.
	Was PointState `json:"was,omitempty"`
	// Retained is why storage has refused to delete it: "immutable"; empty: it has not.
	Retained string `json:"retained,omitempty"`
	// Safety: taken only so that a restore can be undone; nothing automatic restores it.
	Safety bool `json:"safety,omitempty"`
	// Colocated: it lies in the region of the instance that it was taken of, and may be lost with it.
	Colocated bool `json:"colocated,omitempty"`
	// Changed: its service was changed while it was made, so that it may hold the state before, after or between.
	Changed bool `json:"changedDuringBackup,omitempty"`
	// Settings is what the instance had beside what the backup holds.
	Settings *Settings `json:"settings,omitempty"`
}

// withoutSettings is the point without its longest part.
func (p RecoveryPoint) withoutSettings() RecoveryPoint {
	p.Settings = nil
	return p
}

// Points lists the recovery points that an operation has left.
func Points(op Operation) []RecoveryPoint {
	var points []RecoveryPoint
	for i, leg := range op.Legs {
		state := map[Outcome]PointState{Succeeded: Good, Unknown: Unverified}[leg.Outcome]
		if leg.Verb != VerbBackup || state == "" {
			continue
		}
		posted := leg.begun() // the intent is the nearest that is known of an unanswered one, and errs on the safe side
		points = append(points, RecoveryPoint{
			V: Version, Leg: i, ID: op.pointID(i), State: state, Service: leg.Service, ResourceID: leg.ResourceID, Operation: op.ID, Plan: op.Plan,
			CreatedAt: posted, EndedAt: leg.EndedAt, ExpiresAt: posted.Add(BackupLife), Storage: leg.Storage,
			Bytes: leg.Blob.Bytes, BlobETag: leg.Blob.ETag, SKU: leg.Before.SKU, Capacity: leg.Before.Capacity, Region: leg.Before.Region,
			Safety: leg.Safety, Colocated: SameRegion(leg.Storage.Region, leg.Before.Region), Settings: leg.Before.Settings,
			Changed: leg.Changed,
		})
	}
	return points
}

// Newest chooses the newest good recovery point of a service by a time; nil when there is none. Safety backups count only where the caller names
// the time, auto false: what nobody looks at must not restore what was to be undone.
func Newest(points []RecoveryPoint, by time.Time, auto bool) *RecoveryPoint {
	var newest *RecoveryPoint
	for i, p := range points {
		if p.State == Good && !p.CreatedAt.After(by) && !(auto && p.Safety) && (newest == nil || p.CreatedAt.After(newest.CreatedAt)) {
			newest = &points[i]
		}
	}
	return newest
}

// ServiceState is what is remembered of a service between operations. It can be rebuilt from records and recovery points.
type ServiceState struct {
	V       int    `json:"v"`
	Service string `json:"service"`
	// NewestGood is what an automatic restore takes: the newest good recovery point since the service was last restored or, if there is none,
	// the one that was restored. Safety backups do not count: they may hold what was to be undone.
	NewestGood  PointRef    `json:"newestGood,omitzero"`
	LastOutcome LastEnded   `json:"lastOutcome,omitzero"`
	LastBackup  LastEnded   `json:"lastBackup,omitzero"`  // of it, whatever the outcome
	LastRestore LastRestore `json:"lastRestore,omitzero"` // into it
	LastGiven   LastRestore `json:"lastGiven,omitzero"`   // of its recovery points, into whichever instance
	LastDrill   LastEnded   `json:"lastDrill,omitzero"`   // of its recovery points
	Proof       Proof       `json:"proof,omitzero"`       // by the newest drill that succeeded
	Region      string      `json:"region,omitempty"`     // as ARM last showed it
	Hold        Hold        `json:"hold,omitzero"`
	RPO         RPOWatch    `json:"rpo,omitzero"` // of a service of the fleet
	History     *History    `json:"history,omitempty"`
}

// PointRef names a recovery point and its age.
type PointRef struct {
	ID        string    `json:"id"`
	Service   string    `json:"service,omitempty"` // whose it is, where that is another service
	CreatedAt time.Time `json:"createdAt"`
	AsOf      time.Time `json:"asOf,omitzero"` // when the service was restored to it; zero: it is the service's own state of CreatedAt
}

// At is the time whose state of the service the point stands for.
func (r PointRef) At() time.Time {
	if !r.AsOf.IsZero() {
		return r.AsOf
	}
	return r.CreatedAt
}

// LastEnded tells how the newest operation ended.
type LastEnded struct {
	Operation string    `json:"operation"`
	Outcome   Outcome   `json:"outcome"`
	EndedAt   time.Time `json:"endedAt"`
}

// LastRestore tells what a service was overwritten with.
type LastRestore struct {
	Operation string    `json:"operation"`
	Outcome   Outcome   `json:"outcome"`
	At        time.Time `json:"at"` // of the POST
	Point     string    `json:"recoveryPoint"`
}

// Proof is a drill that restored a recovery point.
type Proof struct {
	Operation       string    `json:"operation"`
	At              time.Time `json:"at"` // when it was verified
	Point           string    `json:"recoveryPoint"`
	PointCreatedAt  time.Time `json:"recoveryPointCreatedAt"`
	RecoverySeconds float64   `json:"recoverySeconds"` // from the restore's POST to its verification
}

// After merges what a done operation brought for service; the newest wins, so that order and repetition do not matter. It
// tells whether anything changed.
func (s ServiceState) After(op Operation, service string) (ServiceState, bool) {
	before := s
	s.V, s.Service = Version, service
	for _, p := range Points(op) {
		if p.State == Good && !p.Safety && p.Service == service {
			s.offer(PointRef{ID: p.ID, CreatedAt: p.CreatedAt})
		}
	}
	ended := LastEnded{Operation: op.ID, Outcome: op.Outcome, EndedAt: op.EndedAt}
	s.gave(op)
	if op.Service == service {
		if op.Kind == KindBackup && op.EndedAt.After(s.LastBackup.EndedAt) {
			s.LastBackup = ended
		}
		if op.EndedAt.After(s.LastOutcome.EndedAt) {
			s.LastOutcome = ended
			if region := op.Leg().Before.Region; region != "" {
				s.Region = region
			}
		}
		s.overwritten(op)
	}
	if op.Kind == KindDrill {
		s.drilled(op, ended)
	}
	s.recall(op)
	return s, s != before
}

// Offer merges a recovery point that was found beside its blob.
func (s ServiceState) Offer(p RecoveryPoint) (ServiceState, bool) {
	before := s
	s.V, s.Service = Version, p.Service
	if p.State == Good && !p.Safety {
		s.offer(PointRef{ID: p.ID, CreatedAt: p.CreatedAt})
	}
	if h := s.history(); h.left(p) {
		s.History = &h
	}
	return s, s != before
}

// Holds merges what a failover is known to have restored into the service.
func (s ServiceState) Holds(service string, r PointRef) (ServiceState, bool) {
	before := s
	s.V, s.Service = Version, service
	s.offer(r)
	return s, s != before
}

func (s *ServiceState) offer(r PointRef) {
	if r.At().After(s.NewestGood.At()) {
		s.NewestGood = r
	}
}

// overwritten takes in that the service now holds, or perhaps holds, what was restored.
func (s *ServiceState) overwritten(op Operation) {
	leg := op.restored()
	if leg == nil {
		return
	}
	s.LastRestore.follow(op, leg)
	s.offer(restoredPoint(op, s.Service))
}

// gave takes in that a recovery point of the service was restored, or perhaps was.
func (s *ServiceState) gave(op Operation) {
	leg := op.restored()
	if leg != nil && op.Recovery.Bound != nil && strings.EqualFold(op.Recovery.Bound.Service, s.Service) {
		s.LastGiven.follow(op, leg)
	}
}

// follow takes in a restore that was begun later.
func (l *LastRestore) follow(op Operation, leg *Leg) {
	if at := leg.begun(); at.After(l.At) {
		*l = LastRestore{Operation: op.ID, Outcome: leg.Outcome, At: at, Point: leg.Point}
	}
}

// restoredPoint is what an operation has restored into service; zero when it has restored nothing.
func restoredPoint(op Operation, service string) PointRef {
	leg := op.restored()
	if leg == nil || op.Recovery.Bound == nil {
		return PointRef{}
	}
	b := op.Recovery.Bound
	ref := PointRef{ID: b.ID, CreatedAt: b.CreatedAt, AsOf: leg.begun()}
	if !strings.EqualFold(b.Service, service) {
		ref.Service = b.Service
	}
	return ref
}

// begun is when the leg was POSTed or, where that was never answered, intended.
func (leg *Leg) begun() time.Time {
	if leg.PostedAt.IsZero() {
		return leg.Claim.From
	}
	return leg.PostedAt
}

// drilled takes in a drill of the service's backups. What is proven is the instance that the recovery point was taken of: another one may have been
// restored from it, and be the active one now.
func (s *ServiceState) drilled(op Operation, ended LastEnded) {
	if s.owns(op) && op.EndedAt.After(s.LastDrill.EndedAt) {
		s.LastDrill = ended
	}
	b := op.Recovery.Bound
	if seconds, ok := drillSeconds(op); ok && strings.EqualFold(b.Service, s.Service) && op.EndedAt.After(s.Proof.At) {
		s.Proof = Proof{Operation: op.ID, At: op.EndedAt, Point: b.ID, PointCreatedAt: b.CreatedAt, RecoverySeconds: seconds}
	}
}

// owns tells whether a drill is one of the service's recovery points.
func (s *ServiceState) owns(drill Operation) bool {
	b := drill.Recovery.Bound
	return b != nil && strings.EqualFold(b.Service, s.Service) || drill.Source() == s.Service
}

// drillSeconds is what a drill that succeeded took from its POST to the verified instance; false of any other.
func drillSeconds(op Operation) (float64, bool) {
	leg := op.restored()
	if leg == nil || op.Outcome != Succeeded || op.Recovery.Bound == nil {
		return 0, false
	}
	return op.EndedAt.Sub(leg.begun()).Round(time.Millisecond).Seconds(), true
}
