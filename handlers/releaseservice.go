package handlers

import "net/http"

// releaseRequest is the body of POST /api/services/{name}/release.
type releaseRequest struct {
	origin // logged
}

// releaseService ends a hold; it is right as well where there is none.
func (a *App) releaseService(w http.ResponseWriter, r *http.Request) {
	var body releaseRequest
	name := r.PathValue("name")
	if !read(w, r, &body, func(m *mistakes) {
		m.name("name", name)
		m.origin(r, body.origin)
	}) {
		return
	}
	if err := a.Engine.Release(r.Context(), name, body.by(r), body.why()); err != nil {
		a.refuse(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
