package handlers

import (
	"net/http"
	"strings"
)

// origin is the part of a body that tells where a call comes from.
type origin struct {
	Reason      string `json:"reason"`                // why; kept with the operation
	Ticket      string `json:"ticket,omitempty"`      // of an incident or a change; kept with the operation
	RequestedBy string `json:"requestedBy,omitempty"` // who, where a function key does not tell it
}

func (o origin) from() origin { return o }

// by is who asks, as it is recorded.
func (o origin) by(r *http.Request) string {
	if who, ok := caller(r); ok {
		return "entra: " + who.String()
	}
	if o.RequestedBy != "" {
		return "http: " + o.RequestedBy
	}
	return "http"
}

// why is the reason with its ticket, for what keeps no ticket of its own.
func (o origin) why() string {
	if o.Ticket == "" {
		return o.Reason
	}
	return strings.TrimSpace(o.Reason + " (" + o.Ticket + ")")
}
