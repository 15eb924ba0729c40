package handlers

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"apim-dr/internal/customhandler"
	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// getOperation answers with one operation.
func (a *App) getOperation(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if !dr.ValidID(id) {
		a.refuse(w, r, engine.ErrNotFound)
		return
	}
	op, _, err := a.Records.Operation(r.Context(), id)
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	hint(w, op)
	v := viewOf(op)
	v.UsualSeconds = a.Engine.Usual(r.Context(), op)
	writeJSON(w, http.StatusOK, v)
}

const (
	listLimit    = 50
	maxListLimit = 200
	maxAfter     = 4096 // bytes
)

var afterIsWrong = customhandler.FieldError{Field: "after", Detail: "accepted: what nextLink holds"}

type operationList struct {
	Operations []operationView `json:"operations"`
	NextLink   string          `json:"nextLink,omitempty"`
	NotShown   int             `json:"notShown,omitempty"` // in flight beyond the limit
}

// listOperations answers with the operations of a day (?day=2006-01-02, UTC, today if absent), a page at a time (?limit, ?after;
// the newest of a page first, the pages in no order of time), or with those in flight (?inFlight=true, all of them up to ?limit, 200 if absent), whose cost
// does not grow with history.
func (a *App) listOperations(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	day, limit, inFlight := a.Now().UTC(), listLimit, q.Get("inFlight")
	if inFlight == "true" {
		limit = maxListLimit
	}
	var wrong mistakes
	var err error
	if s := q.Get("day"); s != "" {
		if day, err = time.Parse(time.DateOnly, s); err != nil {
			wrong.add("day", "accepted: a date such as 2026-01-31, UTC")
		}
	}
	if s := q.Get("limit"); s != "" {
		if limit, err = strconv.Atoi(s); err != nil || limit < 1 || limit > maxListLimit {
			wrong.add("limit", "accepted: 1 to 200")
		}
	}
	if inFlight != "" && inFlight != "true" && inFlight != "false" {
		wrong.add("inFlight", "accepted: true or false")
	}
	for _, name := range []string{"day", "after"} {
		if inFlight == "true" && q.Has(name) {
			wrong.add(name, "has no meaning beside inFlight=true, which lists what is in flight now; leave one of the two out")
		}
	}
	after := q.Get("after")
	if len(after) > maxAfter || strings.ContainsFunc(after, unprintable) {
		wrong = append(wrong, afterIsWrong)
	}
	if wrong.answer(w, r, customhandler.Problem{Title: queryIsWrong, Detail: correct}) {
		return
	}
	list := operationList{Operations: []operationView{}}
	var ops []engine.UnderWay
	var next string
	if inFlight == "true" {
		ops, list.NotShown, err = a.Engine.InFlight(r.Context(), limit)
	} else {
		var ofDay []dr.Operation
		ofDay, next, err = a.Records.ListOperations(r.Context(), day.Format("20060102"), after, limit)
		for _, op := range ofDay {
			ops = append(ops, engine.UnderWay{Operation: op})
		}
	}
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	slices.SortFunc(ops, func(a, b engine.UnderWay) int { return b.CreatedAt.Compare(a.CreatedAt) })
	for _, op := range ops {
		v := viewOf(op.Operation)
		v.UsualSeconds = op.UsualSeconds
		if v.Recovery != nil {
			v.Recovery.Plan = nil
		}
		list.Operations = append(list.Operations, v)
	}
	if next != "" {
		q.Set("day", day.Format(time.DateOnly))
		q.Set("after", next)
		for _, name := range hostsOwn { // a function key does not go into an answer
			q.Del(name)
		}
		list.NextLink = "/api/operations?" + q.Encode()
	}
	writeJSON(w, http.StatusOK, list)
}
