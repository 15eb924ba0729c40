package handlers

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"apim-dr/internal/customhandler"
	"apim-dr/internal/engine"
)

// planned is an error with what was found out before it.
type planned struct {
	error
	engine.Recovery
	Confirmed string // what the call names as overwritten
}

func (p planned) Unwrap() error { return p.error }

// refuse is the one place where an error becomes a status.
func (a *App) refuse(w http.ResponseWriter, r *http.Request, err error) {
	p := customhandler.Problem{Status: http.StatusServiceUnavailable, Title: "Something that this needs cannot be reached",
		Detail: "Try again in a minute, with the same Idempotency-Key if you gave one."}
	var invalid *engine.Invalid
	var refusal *engine.Refusal
	var found planned
	errors.As(err, &found)
	switch {
	case errors.As(err, &invalid):
		p = customhandler.Problem{Status: http.StatusBadRequest, Title: "The request is not valid", Detail: correct,
			Errors: []customhandler.FieldError{{Field: invalid.Field, Detail: invalid.Detail}}}
	case errors.As(err, &refusal):
		p = customhandler.Problem{Status: http.StatusConflict, Title: "Not possible as things are", Detail: refusal.Error()}
	case errors.Is(err, engine.ErrUnconfirmed):
		p = unconfirmed(found)
	case errors.Is(err, engine.ErrRefused):
		p = refused(found)
	case errors.Is(err, engine.ErrEnded):
		p = customhandler.Problem{Status: http.StatusConflict, Title: "The operation has ended already", Detail: "There is nothing to abandon; GET " + strings.TrimSuffix(r.URL.Path, "/abandon") + " tells how it ended."}
	case errors.Is(err, engine.ErrUnknownService):
		p = customhandler.Problem{Status: http.StatusNotFound, Title: "Unknown service", Detail: err.Error()}
	case errors.Is(err, engine.ErrKeyReused):
		p = customhandler.Problem{Status: http.StatusUnprocessableEntity, Title: "Idempotency-Key reused", Detail: err.Error() + ". Take a new key."}
	case errors.Is(err, engine.ErrNoPoint):
		p = customhandler.Problem{Status: http.StatusNotFound, Title: "No such recovery point", Detail: "GET /api/recovery-points?service=NAME lists those of a service."}
	case errors.Is(err, engine.ErrNotFound):
		p = customhandler.Problem{Status: http.StatusNotFound, Title: "No such operation", Detail: "List those of today with GET /api/operations, those of another day with ?day=" + a.Now().UTC().AddDate(0, 0, -1).Format(time.DateOnly) + "."}
	case errors.Is(err, engine.ErrCursor):
		p = customhandler.Problem{Status: http.StatusBadRequest, Title: queryIsWrong, Detail: correct, Errors: []customhandler.FieldError{afterIsWrong}}
	case errors.Is(err, engine.ErrNewer), errors.Is(err, engine.ErrUnreadable):
		p = customhandler.Problem{Status: http.StatusInternalServerError, Title: "The record cannot be read", Detail: err.Error()}
	default:
		w.Header().Set("Retry-After", "60")
	}
	level := slog.LevelInfo // a caller's mistake is nothing to wake anybody for
	if p.Status >= http.StatusInternalServerError {
		level = slog.LevelWarn
	}
	a.Log.Log(r.Context(), level, "refused", "status", p.Status, "error", err)
	customhandler.WriteProblem(w, r, p)
}

// unconfirmed shows what would be done, and which name says that it shall be.
func unconfirmed(found planned) customhandler.Problem {
	plan := found.Plan
	detail := fmt.Sprintf("%s would be overwritten. If plan is what you want, send the same with \"confirm\":%[1]q; nothing was begun.", plan.Target.Name)
	if found.Confirmed != "" {
		detail = fmt.Sprintf("confirm names %q, but ", found.Confirmed) + detail
	}
	if why := plan.Refusal(); why != nil {
		detail += " As things are that would be refused: " + why.Message
	}
	return customhandler.Problem{Status: http.StatusConflict, Title: "Not confirmed", Detail: detail, Extra: map[string]any{"plan": plan}}
}

// refused shows which checks fail. The problem's instance is the operation that records the attempt.
func refused(found planned) customhandler.Problem {
	p := customhandler.Problem{Status: http.StatusConflict, Title: "The plan does not pass its checks", Detail: found.Error(), Extra: map[string]any{"plan": found.Plan}}
	if why := found.Plan.Refusal(); why != nil {
		p.Detail = why.Message
	}
	if id := found.Operation.ID; id != "" {
		p.Instance, p.Extra["operation"] = "/api/operations/"+id, id
	}
	return p
}
