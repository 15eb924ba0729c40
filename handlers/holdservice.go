package handlers

import (
	"net/http"
	"time"

	"apim-dr/internal/engine"
)

// holdRequest is the body of PUT /api/services/{name}/hold.
type holdRequest struct {
	Until string `json:"until"` // RFC 3339
	origin
}

// holdService keeps scheduled work away from an instance and answers with the hold.
func (a *App) holdService(w http.ResponseWriter, r *http.Request) {
	var body holdRequest
	var until time.Time
	name := r.PathValue("name")
	if !read(w, r, &body, func(m *mistakes) {
		m.name("name", name)
		m.origin(r, body.origin)
		m.reason(body.origin, "why nothing is to begin")
		var err error
		if until, err = time.Parse(time.RFC3339, body.Until); err != nil {
			m.add("until", "is missing or no time; accepted: one to come, such as "+a.Now().Add(2*time.Hour).UTC().Format(time.RFC3339))
		}
	}) {
		return
	}
	held, err := a.Engine.Hold(r.Context(), engine.HoldRequest{Service: name, Until: until, Reason: body.why(), By: body.by(r)})
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, held)
}
