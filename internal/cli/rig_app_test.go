package cli

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"apim-dr/handlers"
	"apim-dr/internal/client"
	"apim-dr/internal/customhandler"
	"apim-dr/internal/direct"
	"apim-dr/internal/dr"
)

// functionApp is a Function App: the real handlers, the real engine, and something that delivers its messages.
type functionApp struct {
	rig    *rig
	router http.Handler
	bus    *direct.Bus
	keys   int
	// before sees each call; an answer of its own goes back in place of the app's, and after the app has heard the call if heard.
	before func(*http.Request) (answer *http.Response, err error, heard bool)
	way    time.Duration   // of a call to the app: without it the app and its caller act at the same instants, in whichever order
	mu     sync.Mutex      // a look may be under way when a command was stopped and the next one calls
	driven map[string]bool // operations that are brought to their end
}

// newApp makes a Function App of the rig's engine, with a drill instance.
func newApp(r *rig) *functionApp {
	a := &functionApp{rig: r, bus: &direct.Bus{}, driven: map[string]bool{}}
	e := r.setup.Engine
	e.Bus = a.bus
	e.Fleet.Plans[0].RPO, e.Fleet.Plans[0].Proven = 26*time.Hour, 35*24*time.Hour
	e.Fleet.Services[0].Drill = &dr.Instance{Name: "contoso-drill", ResourceID: group + "drill" + provider + "contoso-drill", Region: "northeurope"}
	app := &handlers.App{Engine: e, Records: e.Store.(handlers.Records), Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	router := customhandler.NewRouter(customhandler.Options{Log: app.Log, Timeout: time.Minute})
	app.Register(router)
	a.router = router
	read(r.ctx, e, []dr.Storage{nightly})
	r.app = func([]string) (client.Options, error) {
		return client.Options{URL: "https://contoso-dr.azurewebsites.net", Key: theKey, Transport: a, Now: time.Now, NewKey: func() string { a.keys++; return fmt.Sprint("key", a.keys) }}, nil
	}
	return a
}

// RoundTrip is the way to the app and back.
func (a *functionApp) RoundTrip(r *http.Request) (*http.Response, error) {
	time.Sleep(a.way)
	if r.Header.Get("X-Functions-Key") != theKey {
		a.rig.t.Error("a call without the key")
	}
	if a.before != nil {
		if answer, err, heard := a.before(r); answer != nil || err != nil {
			if heard {
				a.serve(r)
			}
			return answer, err
		}
	}
	return a.serve(r), nil
}

func (a *functionApp) serve(r *http.Request) *http.Response {
	w := httptest.NewRecorder()
	a.router.ServeHTTP(w, r)
	answer := w.Result()
	answer.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	if id, ok := strings.CutPrefix(answer.Header.Get("Location"), "/api/operations/"); ok && answer.StatusCode == http.StatusAccepted && a.first(id) {
		op, _, err := a.rig.setup.Engine.Store.Operation(context.Background(), id)
		if err != nil {
			a.rig.t.Error(err)
		}
		go func() { // as long as the test lasts
			_, _ = direct.Loop{Engine: a.rig.setup.Engine, Bus: a.bus}.Run(a.rig.t.Context(), op)
		}()
	}
	return answer
}

// first tells of an operation whether nothing brings it to its end yet.
func (a *functionApp) first(id string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.driven[id]
	a.driven[id] = true
	return !before
}

// begun counts the operations of today that were not rejected.
func (a *functionApp) begun() (n int) {
	ops, _, err := a.rig.setup.Engine.Store.(handlers.Records).ListOperations(context.Background(), time.Now().UTC().Format("20060102"), "", 100)
	if err != nil {
		a.rig.t.Error(err)
	}
	for _, op := range ops {
		if op.Outcome != dr.Rejected {
			n++
		}
	}
	return n
}
