package client

import (
	"time"

	"apim-dr/internal/dr"
)

// Operation is an operation as the app shows it.
type Operation struct {
	ID                          string
	Kind                        dr.Kind
	Service                     string
	Trigger                     dr.Trigger
	RequestedBy, Reason, Ticket string
	Phase                       dr.Phase
	Waiting                     string
	Outcome                     dr.Outcome
	Error                       *dr.Error
	CreatedAt, EndedAt          time.Time
	StartedAt                   time.Time // when ARM accepted the leg at work; zero: it has not
	UsualSeconds                float64   // of the leg at work; zero: not known
	Legs                        []Leg
	Evidence                    []dr.Note
	Recovery                    *dr.Recovered
}

// Leg is one ARM backup or restore.
type Leg struct {
	Verb          dr.Verb
	Service       string
	Outcome       dr.Outcome
	RecoveryPoint string
}

// AtWork is the leg that the operation is at, or has ended with.
func (o Operation) AtWork() Leg {
	for _, l := range o.Legs {
		if l.Outcome == "" {
			return l
		}
	}
	if len(o.Legs) == 0 {
		return Leg{Service: o.Service}
	}
	return o.Legs[len(o.Legs)-1]
}

// DryRun is what a recovery would do.
type DryRun struct {
	Plan dr.Plan
}

// Operations is a list of them, or a page of one.
type Operations struct {
	Operations []Operation
	NextLink   string
	NotShown   int // in flight beyond the limit
}

// Status tells of each service whether it is protected, and what is in flight.
type Status struct {
	At       time.Time
	Services []dr.Posture
	InFlight []UnderWay
	NotShown int // in flight beyond the limit
	// Discovery is of services that are found by their tag; nil: none are looked for.
	Discovery *struct{ Faults []dr.Fault }
}

// UnderWay is an operation in flight.
type UnderWay struct {
	ID, Service, Waiting string
	Kind                 dr.Kind
	Phase                dr.Phase
	CreatedAt, StartedAt time.Time
	UsualSeconds         float64
}

// Points is the list of a service's recovery points, the newest first.
type Points struct {
	RecoveryPoints []Point
}

// Point is a recovery point and, where that was asked for, what would become of it.
type Point struct {
	dr.RecoveryPoint
	Prune *struct {
		Goes bool
		Why  []string
	}
}

// NotCovered is what a restore of a recovery point leaves to be done by hand.
type NotCovered struct {
	RecoveryPoint, Service string
	NotCovered             []string
}

// Holding is a hold with the one that it replaces.
type Holding struct {
	dr.Held
	Replaced dr.Hold
}

// Released is the hold that was ended.
type Released struct{ Ended dr.Held }

// Busy tells whether somebody works on an instance.
type Busy struct {
	Busy bool
	Why  []string
}

// Pairs are those that a service is one of.
type Pairs struct{ Pairs []dr.Pair }
