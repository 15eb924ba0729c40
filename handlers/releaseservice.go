package handlers

import (
	"net/http"

	"apim-dr/internal/dr"
)

// releaseRequest is the body of POST /api/services/{name}/release.
type releaseRequest struct {
	origin // logged
}

type releaseView struct {
	Ended dr.Held `json:"ended"`
}

// releaseService answers with the hold that it has ended, or 204 where there was none.
func (a *App) releaseService(w http.ResponseWriter, r *http.Request) {
	var body releaseRequest
	name := r.PathValue("name")
	if !read(w, r, &body, func(m *mistakes) {
		m.name("name", name)
		m.origin(r, body.origin)
	}) {
		return
	}
	ended, err := a.Engine.Release(r.Context(), name, body.by(r), body.why())
	switch {
	case err != nil:
		a.refuse(w, r, err)
	case ended.Until.IsZero():
		w.WriteHeader(http.StatusNoContent)
	default:
		writeJSON(w, http.StatusOK, releaseView{ended})
	}
}
