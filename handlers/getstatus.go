package handlers

import (
	"fmt"
	"net/http"

	"apim-dr/internal/customhandler"
)

// getStatus answers with what a person wants to know before anything happens: what each service could be recovered to, and where. With
// ?format=prometheus it is text for those who scrape.
func (a *App) getStatus(w http.ResponseWriter, r *http.Request) {
	format := r.URL.Query().Get("format")
	var wrong mistakes
	if format != "" && format != "json" && format != "prometheus" {
		wrong.add("format", fmt.Sprintf("%.50q is not accepted; accepted: json (also without it), prometheus", format))
	}
	if wrong.answer(w, r, customhandler.Problem{Title: queryIsWrong, Detail: correct}) {
		return
	}
	status, err := a.Engine.Status(r.Context())
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	if format == "prometheus" {
		writeMetrics(w, status)
		return
	}
	writeJSON(w, http.StatusOK, status)
}
