package handlers

import (
	"net/http"

	"apim-dr/internal/dr"
)

// rearmRequest is the body of POST /api/services/{name}/rearm.
type rearmRequest struct {
	Active string `json:"active"` // name of the instance that serves production; the other one of the pair will be overwritten
	Reason string `json:"reason"` // optional; logged
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
		m.reason(body.Reason)
	}) {
		return
	}
	pairs, err := a.Engine.Rearm(r.Context(), name, body.Active, byHTTP, body.Reason)
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, pairList{Pairs: pairs})
}
