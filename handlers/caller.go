package handlers

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"apim-dr/internal/customhandler"
	"apim-dr/internal/principal"
)

// guarded is an HTTP function behind the question who calls. With function keys the host has asked already, and nobody knows who it is.
func (a *App) guarded(f Function) http.HandlerFunc {
	if !a.Entra {
		return f.HTTP
	}
	return func(w http.ResponseWriter, r *http.Request) {
		who, err := principal.Of(r.Header)
		if err != nil {
			a.turnAway(w, r, customhandler.Problem{Status: http.StatusUnauthorized, Title: "Who calls is not known", Detail: "Send a token of Microsoft Entra for this app; " + err.Error() + "."})
			return
		}
		if !who.Is(f.Role) {
			a.turnAway(w, r, customhandler.Problem{Status: http.StatusForbidden, Title: "Not allowed", Detail: fmt.Sprintf(
				"This needs the app role %s (or one that includes it), which is assigned to people and applications in Entra: enterprise application, users and groups.", f.Role)}, "by", who.String())
			return
		}
		f.HTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, who)))
	}
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

// origin is the part of a body that tells where a call comes from.
type origin struct {
	Reason      string `json:"reason"`                // why; kept with the operation
	Ticket      string `json:"ticket,omitempty"`      // of an incident or a change; kept with the operation
	RequestedBy string `json:"requestedBy,omitempty"` // who, where a function key does not tell it
}

func (o origin) from() origin { return o }

// by is who asks, as it is recorded.
func (o origin) by(r *http.Request) string {
	if who, ok := caller(r); ok {
		return "entra: " + who.String()
	}
	if o.RequestedBy != "" {
		return "http: " + o.RequestedBy
	}
	return "http"
}

// why is the reason with its ticket, for what keeps no ticket of its own.
func (o origin) why() string {
	if o.Ticket == "" {
		return o.Reason
	}
	return strings.TrimSpace(o.Reason + " (" + o.Ticket + ")")
}

// Anonymous names the HTTP functions of a staged app that the host lets anybody call, whom only built-in authentication keeps out then. The host starts the
// program in the folder that holds them; it is an error if there is none.
func Anonymous(app fs.FS) ([]string, error) {
	files, err := fs.Glob(app, "*/function.json")
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("no */function.json: %w", fs.ErrNotExist)
	}
	var open []string
	for _, file := range files {
		text, err := fs.ReadFile(app, file)
		if err != nil {
			return nil, err
		}
		var f struct {
			Bindings []struct{ Type, AuthLevel string }
		}
		if err := json.Unmarshal(text, &f); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		for _, b := range f.Bindings {
			if strings.EqualFold(b.Type, "httpTrigger") && strings.EqualFold(b.AuthLevel, "anonymous") {
				open = append(open, path.Dir(file))
			}
		}
	}
	return open, err
}
