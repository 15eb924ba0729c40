package handlers

import (
	"context"
	"fmt"
	"net/http"

	"apim-dr/internal/customhandler"
	"apim-dr/internal/principal"
)

// guarded is an HTTP function behind the question who calls. With function keys the host has asked already, and nobody knows who it is.
func (a *App) guarded(f Function) http.HandlerFunc {
	if !a.Entra || f.Role == principal.Anybody {
		return f.HTTP
	}
	return func(w http.ResponseWriter, r *http.Request) {
		who, err := principal.Of(r.Header)
		if err != nil {
			a.turnAway(w, r, customhandler.Problem{Status: http.StatusUnauthorized, Title: "Who calls is not known", Detail: "Send a token of Microsoft Entra for this app; " + err.Error() + "."})
			return
		}
		if !who.Is(f.Role) {
			a.forbid(w, r, who, f.Role)
			return
		}
		f.HTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, who)))
	}
}

func (a *App) forbid(w http.ResponseWriter, r *http.Request, who principal.Principal, role principal.Role) {
	a.turnAway(w, r, customhandler.Problem{Status: http.StatusForbidden, Title: "Not allowed", Detail: fmt.Sprintf(
		"This needs the app role %s (or one that includes it), which is assigned to people and applications in Entra: enterprise application, users and groups.", role)}, "by", who.String())
}

func (a *App) turnAway(w http.ResponseWriter, r *http.Request, p customhandler.Problem, args ...any) {
	a.Log.WarnContext(r.Context(), "turned away", append(args, "status", p.Status, "reason", p.Detail)...)
	customhandler.WriteProblem(w, r, p)
}

type callerKey struct{}

// caller is who calls; false: nobody knows.
func caller(r *http.Request) (principal.Principal, bool) {
	p, ok := r.Context().Value(callerKey{}).(principal.Principal)
	return p, ok
}
