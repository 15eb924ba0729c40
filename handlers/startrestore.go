package handlers

import (
	"net/http"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// restoreRequest is the body of POST /api/restores.
type restoreRequest struct {
	Service      string `json:"service"`      // name of the service that is overwritten
	From         string `json:"from"`         // whose recovery point is taken; itself by default
	Confirm      string `json:"confirm"`      // name of the instance that is overwritten, once more
	SafetyBackup bool   `json:"safetyBackup"` // back it up first
	MaxWait      string `json:"maxWait"`      // bounds that, for example "10m"
	commonBody
}

// startRestore overwrites a service with a recovery point, its own or another's.
func (a *App) startRestore(w http.ResponseWriter, r *http.Request) {
	a.startRecovery(w, r, "restores", &restoreRequest{SafetyBackup: true})
}

func (b *restoreRequest) ask(m *mistakes) engine.RecoverRequest {
	m.name("service", b.Service)
	m.optionalName("from", b.From)
	m.optionalName("confirm", b.Confirm)
	req := b.request(m, dr.KindRestore, b.Service)
	req.From, req.Confirm, req.Safety, req.MaxWait = b.From, b.Confirm, b.SafetyBackup, m.wait(b.MaxWait)
	return req
}
