package handlers

import (
	"net/http"

	"apim-dr/internal/customhandler"
	"apim-dr/internal/dr"
)

type pointList struct {
	RecoveryPoints []dr.RecoveryPoint `json:"recoveryPoints"`
}

// listRecoveryPoints answers with the recovery points of a service (?service=), the newest first, without the settings kept in them, which are long.
func (a *App) listRecoveryPoints(w http.ResponseWriter, r *http.Request) {
	service := r.URL.Query().Get("service")
	var wrong mistakes
	wrong.name("service", service)
	if wrong.answer(w, r, customhandler.Problem{Title: queryIsWrong, Detail: correct}) {
		return
	}
	points, err := a.Engine.RecoveryPoints(r.Context(), service)
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	list := pointList{RecoveryPoints: []dr.RecoveryPoint{}}
	for _, p := range points {
		p.Settings = nil
		list.RecoveryPoints = append(list.RecoveryPoints, p)
	}
	writeJSON(w, http.StatusOK, list)
}
