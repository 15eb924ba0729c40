package handlers

import (
	"net/http"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/principal"
)

// abandonRequest is the body of POST /api/operations/{id}/abandon.
type abandonRequest struct {
	origin
}

// abandonOperation gives an operation up and answers with it: its lock is free, and ARM may still be at work.
func (a *App) abandonOperation(w http.ResponseWriter, r *http.Request) {
	var body abandonRequest
	if !read(w, r, &body, func(m *mistakes) {
		m.origin(r, body.origin)
		m.reason(body.origin, "why it is given up")
	}) {
		return
	}
	id := r.PathValue("id")
	if !dr.ValidID(id) {
		a.refuse(w, r, engine.ErrNotFound)
		return
	}
	if who, known := caller(r); known && !who.Is(principal.FailoverOperator) {
		op, _, err := a.Records.Operation(r.Context(), id)
		if err != nil {
			a.refuse(w, r, err)
			return
		}
		if recovers(op) {
			a.forbid(w, r, who, principal.FailoverOperator)
			return
		}
	}
	op, err := a.Engine.Abandon(r.Context(), id, body.by(r), body.why())
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, viewOf(op))
}

// recovers tells of an operation whether a FailoverOperator has started it, or has made it necessary.
func recovers(op dr.Operation) bool {
	return op.Trigger == dr.TriggerFailover || !op.Automatic() && (op.Kind == dr.KindRestore || op.Kind == dr.KindFailover)
}
