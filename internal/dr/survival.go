package dr

import (
	"fmt"
	"strings"
)

// SameRegion compares regions, which ARM writes both as "West Europe" and as westeurope. An unknown one is like no other.
func SameRegion(a, b string) bool {
	return a != "" && strings.EqualFold(strings.ReplaceAll(a, " ", ""), strings.ReplaceAll(b, " ", ""))
}

// Place is something that a recovery needs, and where it lies.
type Place struct {
	What   string `json:"what"`             // "this stamp", "the backup storage contosodr"
	Region string `json:"region,omitempty"` // empty: not known
}

// Survival tells whether what a recovery needs is still there when the region of the active instance is gone.
type Survival struct {
	Survives Known    `json:"survives"` // unknown: a region is not known
	Reasons  []string `json:"reasons,omitempty"`
}

// Survives holds the places of what a recovery needs against the region of the instance that it protects.
func Survives(instance, region string, places []Place) Survival {
	s := Survival{Survives: Yes}
	var unknown []string
	if region == "" {
		unknown = append(unknown, fmt.Sprintf("the region of %s is not known", instance))
	}
	for _, p := range places {
		switch {
		case SameRegion(p.Region, region):
			s.Survives = Not
			s.Reasons = append(s.Reasons, fmt.Sprintf("%s lies in %s, as %s does", p.What, p.Region, instance))
		case p.Region == "":
			unknown = append(unknown, fmt.Sprintf("the region of %s is not known", p.What))
		}
	}
	if s.Survives == Yes && len(unknown) > 0 {
		s.Survives = NotKnown
	}
	s.Reasons = append(s.Reasons, unknown...)
	return s
}
