package handlers

import (
	"fmt"
	"net/http"

	"apim-dr/internal/customhandler"
	"apim-dr/internal/dr"
)

type pointList struct {
	RecoveryPoints []listedPoint `json:"recoveryPoints"`
}

type listedPoint struct {
	dr.RecoveryPoint
	Prune *pruning `json:"prune,omitempty"` // only where it was asked for
}

// pruning is what would become of a recovery point now.
type pruning struct {
	Goes bool     `json:"goes"`
	Why  []string `json:"why"`
}

// listRecoveryPoints answers with the recovery points of a service (?service=), the newest first, without the settings kept in them, which are long.
// With ?prune=preview it tells what would be deleted and why, and deletes nothing.
func (a *App) listRecoveryPoints(w http.ResponseWriter, r *http.Request) {
	service, prune := r.URL.Query().Get("service"), r.URL.Query().Get("prune")
	var wrong mistakes
	wrong.name("service", service)
	if prune != "" && prune != "preview" {
		wrong.add("prune", fmt.Sprintf("%q is not accepted; accepted: preview", prune))
	}
	if wrong.answer(w, r, customhandler.Problem{Title: queryIsWrong, Detail: correct}) {
		return
	}
	list := pointList{RecoveryPoints: []listedPoint{}}
	add := func(p dr.RecoveryPoint, fate *pruning) {
		p.Settings = nil
		list.RecoveryPoints = append(list.RecoveryPoints, listedPoint{p, fate})
	}
	var err error
	if prune == "" {
		var points []dr.RecoveryPoint
		points, err = a.Engine.RecoveryPoints(r.Context(), service)
		for _, p := range points {
			add(p, nil)
		}
	} else {
		var decisions []dr.Decision
		decisions, err = a.Engine.Retention(r.Context(), service)
		for _, d := range decisions {
			add(d.Point, &pruning{Goes: d.Goes, Why: d.Why})
		}
	}
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, list)
}
