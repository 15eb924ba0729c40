package handlers

import (
	"net/http"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// drillRequest is the body of POST /api/drills.
type drillRequest struct {
	Service string `json:"service"` // whose recovery point is proved, in the drill instance that the fleet names for it
	commonBody
}

// startDrill restores a recovery point into an instance that serves nothing else.
func (a *App) startDrill(w http.ResponseWriter, r *http.Request) {
	a.startRecovery(w, r, "drills", &drillRequest{})
}

func (b *drillRequest) ask(m *mistakes) engine.RecoverRequest {
	m.name("service", b.Service)
	return b.request(m, dr.KindDrill, b.Service)
}
