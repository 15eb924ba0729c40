package handlers

import (
	"net/http"

	"apim-dr/internal/engine"
)

// backupRequest is the body of POST /api/backups.
type backupRequest struct {
	Service string `json:"service"` // name of a service of the fleet
	origin
}

// startBackup answers 202 with the operation, which then goes its own way.
func (a *App) startBackup(w http.ResponseWriter, r *http.Request) {
	var body backupRequest
	if !read(w, r, &body, func(m *mistakes) {
		m.name("service", body.Service)
		m.origin(r, body.origin)
		m.key(r)
	}) {
		return
	}
	req := engine.Request{Service: body.Service}
	complete(&req, r, "backups", body.origin, body)
	op, err := a.Engine.Backup(r.Context(), req)
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	accepted(w, op)
}
