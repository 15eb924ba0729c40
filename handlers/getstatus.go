package handlers

import "net/http"

// getStatus answers with what a person wants to know before anything happens: what each service could be recovered to, and where.
func (a *App) getStatus(w http.ResponseWriter, r *http.Request) {
	status, err := a.Engine.Status(r.Context())
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, status)
}
