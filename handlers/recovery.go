package handlers

import (
	"net/http"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// recoveryBody is the body of a restore, a failover or a drill.
type recoveryBody interface {
	// ask tells what the body asks for, and what is wrong with it.
	ask(m *mistakes) engine.RecoverRequest
	from() origin
}

// commonBody is what these bodies share.
type commonBody struct {
	RecoveryPoint string   `json:"recoveryPoint"` // id, time (RFC 3339: the newest good one at that time) or "latest", the default
	Override      []string `json:"override"`      // names of checks that may fail
	origin
	DryRun bool `json:"dryRun"` // the plan and nothing else
}

func (b commonBody) request(m *mistakes, kind dr.Kind, service string) engine.RecoverRequest {
	m.point(b.RecoveryPoint)
	m.override(b.Override)
	return engine.RecoverRequest{
		Request: engine.Request{Service: service},
		Kind:    kind, Point: b.RecoveryPoint, Overrides: b.Override, DryRun: b.DryRun,
	}
}

type dryRunView struct {
	DryRun bool `json:"dryRun"`
	// Passes: a call with confirm would be accepted as things are. BlockedBy: the checks that fail, which override does not name.
	Passes    bool     `json:"passes"`
	BlockedBy []string `json:"blockedBy,omitempty"`
	Plan      dr.Plan  `json:"plan"`
}

func dryRun(plan dr.Plan) dryRunView {
	v := dryRunView{DryRun: true, Passes: plan.Refusal() == nil, Plan: plan}
	for _, c := range plan.Failing() {
		v.BlockedBy = append(v.BlockedBy, c.Name)
	}
	return v
}

// startRecovery answers 202 with the operation, or 200 with the plan of a dry run. body is a pointer to its defaults.
func (a *App) startRecovery(w http.ResponseWriter, r *http.Request, route string, body recoveryBody) {
	var req engine.RecoverRequest
	if !read(w, r, body, func(m *mistakes) {
		req = body.ask(m)
		m.origin(r, body.from())
		m.key(r)
	}) {
		return
	}
	complete(&req.Request, r, route, body.from(), body)
	done, err := a.Engine.Recover(r.Context(), req)
	switch {
	case err != nil:
		a.refuse(w, r, planned{err, done, req.Confirm})
	case req.DryRun:
		writeJSON(w, http.StatusOK, dryRun(done.Plan))
	default:
		accepted(w, done.Operation)
	}
}
