package dr

import "time"

// PointState tells what a recovery point is worth.
type PointState string

// The states.
const (
	Good       PointState = "good"       // ARM confirmed it and its blob was seen
	Unverified PointState = "unverified" // nobody knows whether its blob, if there is one, is whole
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
}

// Points lists the recovery points that an operation has left.
func Points(op Operation) []RecoveryPoint {
	var points []RecoveryPoint
	for i, leg := range op.Legs {
		state := map[Outcome]PointState{Succeeded: Good, Unknown: Unverified}[leg.Outcome]
		if leg.Verb != VerbBackup || state == "" {
			continue
		}
		posted := leg.PostedAt
		if posted.IsZero() { // never answered: the intent is the nearest that is known, and errs on the safe side
			posted = leg.Claim.From
		}
		points = append(points, RecoveryPoint{
			V: Version, Leg: i, ID: op.pointID(i), State: state, Service: leg.Service, ResourceID: leg.ResourceID, Operation: op.ID, Plan: op.Plan,
			CreatedAt: posted, EndedAt: leg.EndedAt, ExpiresAt: posted.Add(BackupLife), Storage: leg.Storage,
			Bytes: leg.Blob.Bytes, BlobETag: leg.Blob.ETag, SKU: leg.Before.SKU, Capacity: leg.Before.Capacity, Region: leg.Before.Region,
		})
	}
	return points
}

// ServiceState is what is remembered of a service between operations. It can be rebuilt from records and recovery points.
type ServiceState struct {
	V           int       `json:"v"`
	Service     string    `json:"service"`
	NewestGood  PointRef  `json:"newestGood,omitzero"`
	LastOutcome LastEnded `json:"lastOutcome,omitzero"`
}

// PointRef names a recovery point and its age.
type PointRef struct {
	ID        string    `json:"id"`
	CreatedAt time.Time `json:"createdAt"`
}

// LastEnded tells how the newest operation ended.
type LastEnded struct {
	Operation string    `json:"operation"`
	Outcome   Outcome   `json:"outcome"`
	EndedAt   time.Time `json:"endedAt"`
}

// After merges what a done operation brought for service; the newest wins, so that order and repetition do not matter. It
// tells whether anything changed.
func (s ServiceState) After(op Operation, service string) (ServiceState, bool) {
	before := s
	s.V, s.Service = Version, service
	for _, p := range Points(op) {
		if p.State == Good && p.Service == service && p.CreatedAt.After(s.NewestGood.CreatedAt) {
			s.NewestGood = PointRef{ID: p.ID, CreatedAt: p.CreatedAt}
		}
	}
	if op.Service == service && op.EndedAt.After(s.LastOutcome.EndedAt) {
		s.LastOutcome = LastEnded{Operation: op.ID, Outcome: op.Outcome, EndedAt: op.EndedAt}
	}
	return s, s != before
}
