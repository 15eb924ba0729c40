package handlers

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"apim-dr/internal/customhandler"
	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
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
	most := maxListLimit
	if format == "prometheus" {
		most = 0 // their number is enough
	}
	ops, notShown, err := a.Engine.InFlight(r.Context(), most)
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	if format == "prometheus" {
		writeMetrics(w, status, notShown)
		return
	}
	view := statusView{At: a.Now(), Status: status, InFlight: []underWay{}}
	slices.SortFunc(ops, func(a, b engine.UnderWay) int { return a.CreatedAt.Compare(b.CreatedAt) })
	view.NotShown = notShown
	for _, op := range ops {
		u := underWay{ID: op.ID, Kind: op.Kind, Service: op.Service, Phase: op.Phase, Waiting: op.Waiting, CreatedAt: op.CreatedAt, UsualSeconds: op.UsualSeconds}
		if leg := op.AtWork(); leg != nil {
			u.Verb, u.StartedAt = leg.Verb, leg.PostedAt
		}
		view.InFlight = append(view.InFlight, u)
	}
	writeJSON(w, http.StatusOK, view)
}

// statusView is what a status page shows in one answer: the key of this one function is enough for it.
type statusView struct {
	At time.Time `json:"at"`
	engine.Status
	InFlight []underWay `json:"inFlight"` // the oldest first, 200 at most
	NotShown int        `json:"notShown,omitempty"`
}

type underWay struct {
	ID           string    `json:"id"`
	Kind         dr.Kind   `json:"kind"`
	Service      string    `json:"service"` // the instance that it works on
	Phase        dr.Phase  `json:"phase"`
	Waiting      string    `json:"waiting,omitempty"`
	Verb         dr.Verb   `json:"verb,omitempty"` // of the leg at work
	CreatedAt    time.Time `json:"createdAt"`
	StartedAt    time.Time `json:"startedAt,omitzero"`     // when ARM accepted the leg at work
	UsualSeconds float64   `json:"usualSeconds,omitempty"` // what it usually takes on that instance
}
