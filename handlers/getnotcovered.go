package handlers

import (
	"encoding/json"
	"net/http"

	"apim-dr/internal/dr"
)

type notCovered struct {
	RecoveryPoint string          `json:"recoveryPoint"`
	Service       string          `json:"service"`
	NotCovered    []string        `json:"notCovered"`
	Resource      json.RawMessage `json:"resource,omitempty"` // the instance as ARM showed it when the backup was made, without secrets
}

// getNotCovered answers with what a restore of a recovery point leaves to be done by hand.
func (a *App) getNotCovered(w http.ResponseWriter, r *http.Request) {
	p, err := a.Engine.RecoveryPoint(r.Context(), r.PathValue("id"))
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	answer := notCovered{RecoveryPoint: p.ID, Service: p.Service, NotCovered: dr.ByHand(p)}
	if p.Settings != nil {
		answer.Resource = p.Settings.Resource
	}
	writeJSON(w, http.StatusOK, answer)
}
