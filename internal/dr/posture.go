package dr

import (
	"cmp"
	"fmt"
	"time"
)

// Guard is what Assess judges: a service, what is remembered of it, and of the instance that stands in for it.
type Guard struct {
	Service     Instance
	Plan        string
	RPO, Proven time.Duration
	Drilled     bool         // it has a drill instance
	Active      Instance     // the service itself, or the instance that a failover made the active one
	State       ServiceState // what is remembered of Active
	Owner       ServiceState // and of the instance that Active's newest good recovery point was taken of; mostly the same
	Pairs       []PairView
	Unread      string  // why State or Pairs could not be read; empty: they were
	Places      []Place // what a recovery needs, and where it lies
	Watched     RPOWatch
	Holds       []Held // in force, of the service, those it forms a pair with, and its drill instance
}

// PairView is a pair as a caller sees it.
type PairView struct {
	Pair
	Warm bool `json:"warm"` // its standby is to be kept up to date
}

// Posture answers "am I protected?" for a service.
type Posture struct {
	Service    string `json:"service"`
	ResourceID string `json:"resourceId"`
	Plan       string `json:"plan"`
	// Protected: the active instance has a good recovery point that is younger than the plan's RPO and has not expired.
	Protected  bool      `json:"protected"`
	Why        []string  `json:"why,omitempty"` // not
	NewestGood PointRef  `json:"newestGood,omitzero"`
	AgeSeconds float64   `json:"ageSeconds,omitempty"` // of the newest good recovery point
	RPOSeconds float64   `json:"rpoSeconds"`
	LastEnded  LastEnded `json:"lastOutcome,omitzero"`

	Active string `json:"active"` // the instance that serves production, as far as is recorded
	// Colocated: since a failover the active instance lies where its backups do.
	Colocated           bool        `json:"colocated,omitempty"`
	SurvivesPrimaryLoss Survival    `json:"survivesPrimaryLoss"`
	Pairs               []PairView  `json:"pairs,omitempty"`
	Holds               []Held      `json:"holds,omitempty"` // of the service, those it forms a pair with, and its drill instance
	LastRestore         LastRestore `json:"lastRestore,omitzero"`

	LastDrill LastEnded `json:"lastDrill,omitzero"`
	Proof     Proof     `json:"proof,omitzero"`
	// ProofAgeSeconds is the age of the proof; Proven: it is younger than configured.
	ProofAgeSeconds float64 `json:"proofAgeSeconds,omitempty"`
	Proven          bool    `json:"proven"`
	Unproven        string  `json:"unproven,omitempty"` // why not

	ExpiresAt  time.Time    `json:"expiresAt,omitzero"`   // when the newest good recovery point does
	NotCovered []string     `json:"notCovered,omitempty"` // what a restore of it leaves to be done by hand
	Days       []BackupDay  `json:"days,omitempty"`       // how the backups of the active instance ended, of the last 30 days
	Usual      Usual        `json:"usual,omitzero"`       // of the active instance
	Drills     []DrillEnded `json:"drills,omitempty"`     // the last ones of its recovery points
}

// Assess judges a service at a time.
func Assess(g Guard, now time.Time) Posture {
	s := g.State
	region := g.Active.Region
	if region == "" {
		region = s.Region
	}
	p := Posture{
		Service: g.Service.Name, ResourceID: g.Service.ResourceID, Plan: g.Plan, NewestGood: s.NewestGood, RPOSeconds: g.RPO.Seconds(),
		LastEnded: s.LastOutcome, Active: g.Active.Name, Pairs: g.Pairs, Holds: g.Holds, LastRestore: s.LastRestore,
		SurvivesPrimaryLoss: Survives(g.Active.Name, region, g.Places), LastDrill: g.Owner.LastDrill, Proof: g.Owner.Proof,
	}
	p.Days, p.Usual = since(s.history().Days, now), s.Usual()
	owner := g.Owner.history()
	if p.Drills = owner.Drills; s.NewestGood.ID != "" {
		p.ExpiresAt = s.NewestGood.CreatedAt.Add(BackupLife)
		if owner.ByHand.Point == s.NewestGood.ID {
			p.NotCovered = owner.ByHand.List
		}
	}
	p.Colocated = p.SurvivesPrimaryLoss.Survives == Not && !g.Active.Is(g.Service.Name)
	if g.Unread != "" {
		p.Why = append(p.Why, "its records cannot be read: "+g.Unread)
	} else if s.NewestGood.ID == "" {
		p.Why = append(p.Why, fmt.Sprintf("%s has no good recovery point", g.Active.Name))
	}
	if s.NewestGood.ID != "" {
		age := now.Sub(s.NewestGood.At())
		p.AgeSeconds = age.Round(time.Second).Seconds()
		if age > g.RPO {
			p.Why = append(p.Why, fmt.Sprintf("the newest good recovery point is %s old, more than the RPO of %s", age.Round(time.Second), g.RPO))
		}
		if !now.Before(s.NewestGood.CreatedAt.Add(BackupLife)) {
			p.Why = append(p.Why, "the newest good recovery point has expired")
		}
	}
	p.Protected = len(p.Why) == 0
	for _, h := range g.Holds {
		if !p.Protected && g.Active.Is(h.Service) {
			p.Why = append(p.Why, "no backup of it is scheduled now: "+h.String())
		}
	}
	switch age := now.Sub(p.Proof.At); {
	case !g.Drilled:
		p.Unproven = "no drill instance is configured"
	case p.Proof.Operation == "":
		p.Unproven = fmt.Sprintf("no drill of a backup of %s has succeeded yet", cmp.Or(s.NewestGood.Service, g.Active.Name))
	default:
		p.ProofAgeSeconds = age.Round(time.Second).Seconds()
		if p.Proven = age <= g.Proven; !p.Proven {
			p.Unproven = fmt.Sprintf("the last good drill is %s old, more than %s", age.Round(time.Second), g.Proven)
		}
	}
	return p
}
