package handlers

import (
	"net/http"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// rearmRequest is the body of POST /api/services/{name}/rearm.
type rearmRequest struct {
	Active    string `json:"active"`    // name of the instance that serves production
	Suspended bool   `json:"suspended"` // the other one is left alone; without it the warm standby will be overwritten again
	origin           // logged
}

type pairList struct {
	Pairs []dr.Pair `json:"pairs"`
}

// rearmService lets the warm standby be kept up to date again.
func (a *App) rearmService(w http.ResponseWriter, r *http.Request) {
	var body rearmRequest
	name := r.PathValue("name")
	if !read(w, r, &body, func(m *mistakes) {
		m.name("name", name)
		m.name("active", body.Active)
		m.origin(r, body.origin)
	}) {
		return
	}
	pairs, err := a.Engine.Rearm(r.Context(), engine.RearmRequest{
		Service: name, Rearm: dr.Rearm{Active: body.Active, Suspended: body.Suspended, By: body.by(r)}, Reason: body.why(),
	})
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, pairList{Pairs: pairs})
}
