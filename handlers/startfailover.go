package handlers

import (
	"net/http"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// failoverRequest is the body of POST /api/failovers.
type failoverRequest struct {
	Primary      string       `json:"primary"`      // name of the active instance, which is left
	Target       string       `json:"target"`       // name of the one that is overwritten and becomes active; the first that is fit by default
	Confirm      string       `json:"confirm"`      // name of the instance that is overwritten, once more
	FinalBackup  dr.FinalMode `json:"finalBackup"`  // whether the primary is backed up once more
	SafetyBackup bool         `json:"safetyBackup"` // back the target up first
	MaxWait      string       `json:"maxWait"`      // bounds both, for example "10m"
	commonBody
}

// startFailover makes the standby the active instance; a failback is the same call with the names exchanged. By default the side that is left is not
// touched and nothing is waited for: it is called in the middle of an outage.
func (a *App) startFailover(w http.ResponseWriter, r *http.Request) {
	a.startRecovery(w, r, "failovers", &failoverRequest{FinalBackup: dr.FinalNever})
}

func (b *failoverRequest) ask(m *mistakes) engine.RecoverRequest {
	m.name("primary", b.Primary)
	m.optionalName("target", b.Target)
	m.optionalName("confirm", b.Confirm)
	m.final(b.FinalBackup)
	req := b.request(m, dr.KindFailover, b.Primary)
	req.Target, req.Confirm, req.Final, req.Safety, req.MaxWait = b.Target, b.Confirm, b.FinalBackup, b.SafetyBackup, m.wait(b.MaxWait)
	return req
}
