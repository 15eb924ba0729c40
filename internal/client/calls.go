package client

import (
	"net/http"
	"net/url"
	"strconv"

	"apim-dr/internal/dr"
)

// Call is one call of the app.
type Call struct {
	Function string // whose key opens it, beside a host key
	method   string
	path     string
	query    url.Values
	body     any
}

// Body is that of any call. A field that a call does not know must be left out: the app refuses it.
type Body struct {
	Service       string   `json:"service,omitempty"`
	Primary       string   `json:"primary,omitempty"`
	Target        string   `json:"target,omitempty"`
	From          string   `json:"from,omitempty"`
	Confirm       string   `json:"confirm,omitempty"`
	RecoveryPoint string   `json:"recoveryPoint,omitempty"`
	FinalBackup   string   `json:"finalBackup,omitempty"`
	SafetyBackup  *bool    `json:"safetyBackup,omitempty"`
	MaxWait       string   `json:"maxWait,omitempty"`
	Override      []string `json:"override,omitempty"`
	DryRun        bool     `json:"dryRun,omitempty"`
	Until         string   `json:"until,omitempty"`
	Active        string   `json:"active,omitempty"`
	Suspended     bool     `json:"suspended,omitempty"`
	Reason        string   `json:"reason,omitempty"`
	Ticket        string   `json:"ticket,omitempty"`
	RequestedBy   string   `json:"requestedBy,omitempty"`
}

// StartBackup answers with an Operation.
func StartBackup(b Body) Call { return post("StartBackup", "/api/backups", b) }

// StartRestore answers with an Operation, a dry run with a DryRun.
func StartRestore(b Body) Call { return post("StartRestore", "/api/restores", b) }

// StartFailover answers as StartRestore does.
func StartFailover(b Body) Call { return post("StartFailover", "/api/failovers", b) }

// StartDrill answers as StartRestore does.
func StartDrill(b Body) Call { return post("StartDrill", "/api/drills", b) }

// AbandonOperation answers with the Operation.
func AbandonOperation(id string, b Body) Call {
	return post("AbandonOperation", "/api/operations/"+url.PathEscape(id)+"/abandon", b)
}

// RearmService answers with Pairs.
func RearmService(name string, b Body) Call { return post("RearmService", service(name, "rearm"), b) }

// HoldService answers with a Holding.
func HoldService(name string, b Body) Call {
	return Call{Function: "HoldService", method: http.MethodPut, path: service(name, "hold"), body: b}
}

// ReleaseService answers with Released, or 204: there was no hold.
func ReleaseService(name string, b Body) Call {
	return post("ReleaseService", service(name, "release"), b)
}

// GetServiceBusy answers with Busy.
func GetServiceBusy(name string) Call { return get("GetServiceBusy", service(name, "busy"), nil) }

// GetStatus answers with Status.
func GetStatus() Call { return get("GetStatus", "/api/status", nil) }

// GetOperation answers with an Operation.
func GetOperation(id string) Call {
	return get("GetOperation", "/api/operations/"+url.PathEscape(id), nil)
}

const page = 200 // the most that a list holds

// ListInFlight answers with Operations.
func ListInFlight() Call {
	return get("ListOperations", "/api/operations", url.Values{"inFlight": {"true"}})
}

// ListDay answers with a page of the Operations of a day (2006-01-02, UTC; empty: today).
func ListDay(day, after string) Call {
	q := url.Values{"limit": {strconv.Itoa(page)}}
	for name, value := range map[string]string{"day": day, "after": after} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return get("ListOperations", "/api/operations", q)
}

// ListRecoveryPoints answers with Points; with preview each tells whether it would be deleted now.
func ListRecoveryPoints(name string, preview bool) Call {
	q := url.Values{"service": {name}}
	if preview {
		q.Set("prune", "preview")
	}
	return get("ListRecoveryPoints", "/api/recovery-points", q)
}

// GetNotCovered answers with NotCovered.
func GetNotCovered(point string) Call {
	return get("GetNotCovered", "/api/recovery-points/"+url.PathEscape(point)+"/not-covered", nil)
}

// Start is the call that begins an operation of a kind.
func Start(kind dr.Kind, b Body) Call {
	return map[dr.Kind]func(Body) Call{
		dr.KindBackup: StartBackup, dr.KindRestore: StartRestore, dr.KindFailover: StartFailover, dr.KindDrill: StartDrill,
	}[kind](b)
}

func service(name, what string) string { return "/api/services/" + url.PathEscape(name) + "/" + what }

func post(function, path string, b Body) Call {
	return Call{Function: function, method: http.MethodPost, path: path, body: b}
}

func get(function, path string, query url.Values) Call {
	return Call{Function: function, method: http.MethodGet, path: path, query: query}
}
