package handlers

import (
	"net/http"

	"apim-dr/internal/dashboard"
)

// getDashboard answers with the status page, which holds no data.
func (a *App) getDashboard() http.HandlerFunc {
	if a.Entra {
		return dashboard.Handler(dashboard.Entra)
	}
	return dashboard.Handler(dashboard.Key)
}
