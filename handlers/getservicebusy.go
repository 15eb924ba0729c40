package handlers

import "net/http"

// getServiceBusy tells a pipeline whether an instance may be worked on.
func (a *App) getServiceBusy(w http.ResponseWriter, r *http.Request) {
	busy, err := a.Engine.Busy(r.Context(), r.PathValue("name"))
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	if busy.Busy {
		w.Header().Set("Retry-After", "30")
	}
	writeJSON(w, http.StatusOK, busy)
}
