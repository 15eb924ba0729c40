// Package handlers has one file for each trigger: decode, one engine call, answer. Table is the only place where functions are registered.
package handlers

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"apim-dr/internal/customhandler"
	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/principal"
	"apim-dr/internal/usage"
)

// Engine is what the triggers ask for.
type Engine interface {
	// Refresh lets the other calls know the services that were found by their tag.
	Refresh(ctx context.Context)
	Backup(ctx context.Context, r engine.Request) (dr.Operation, error)
	Recover(ctx context.Context, r engine.RecoverRequest) (engine.Recovery, error)
	Abandon(ctx context.Context, id, by, reason string) (dr.Operation, error)
	Rearm(ctx context.Context, r engine.RearmRequest) ([]dr.Pair, error)
	Hold(ctx context.Context, r engine.HoldRequest) (engine.Holding, error)
	Release(ctx context.Context, service, by, reason string) (dr.Held, error)
	Busy(ctx context.Context, service string) (engine.Busy, error)
	Status(ctx context.Context) (engine.Status, error)
	InFlight(ctx context.Context, limit int) (list []engine.UnderWay, notShown int, err error)
	Usual(ctx context.Context, op dr.Operation) float64
	RecoveryPoints(ctx context.Context, service string) ([]dr.RecoveryPoint, error)
	RecoveryPoint(ctx context.Context, id string) (dr.RecoveryPoint, error)
	Retention(ctx context.Context, service string) ([]dr.Decision, error)
	Changed(ctx context.Context, c dr.Change) error
	Knock(ctx context.Context, w dr.Wake) error
	Bury(ctx context.Context, w dr.Wake, why *dr.Error) error
	SendTicks(ctx context.Context, kind dr.Kind) error
	RunTick(ctx context.Context, t dr.Tick, traceparent string) error
	TickLater(ctx context.Context, t dr.Tick, cause error) error
	Watch(ctx context.Context) error
	Guard(ctx context.Context) error
}

// Usage exports what API Management reports about its use.
type Usage interface {
	Start(ctx context.Context) error
	Run(ctx context.Context, m usage.Message) error
}

// Records is what the triggers read and write beside the engine.
type Records interface {
	// Operation reads a record; engine.ErrNotFound, engine.ErrUnreadable, engine.ErrNewer.
	Operation(ctx context.Context, id string) (dr.Operation, string, error)
	// ListOperations returns up to limit records of a day (yyyymmdd) and where to go on; "" at the end.
	ListOperations(ctx context.Context, day, after string, limit int) ([]dr.Operation, string, error)
	// Quarantine keeps content that cannot be read.
	Quarantine(ctx context.Context, content []byte, reason string) error
}

// App holds what the handlers need. All fields must be set.
type App struct {
	Engine  Engine
	Records Records
	Usage   Usage
	Now     func() time.Time
	Log     *slog.Logger
	// Entra: built-in authentication is on and tells who calls. Otherwise the host has asked for a function key.
	Entra bool
}

// Function is one folder of functions/. Exactly one of HTTP, Timer and Message is set.
type Function struct {
	Name    string
	Pattern string // of an HTTP function, as http.ServeMux takes it
	HTTP    http.HandlerFunc
	Query   []string       // names of the query parameters that an HTTP function knows
	Role    principal.Role // that an HTTP function needs where it is known who calls
	Timer   func(context.Context, customhandler.TimerInvocation) error
	Message func(context.Context, customhandler.MessageInvocation) error
}

// Table lists every function of the app. A test holds it against the function.json files.
func (a *App) Table() []Function {
	return []Function{
		{Name: "BackupSchedule", Timer: a.backupSchedule},
		{Name: "DrillSchedule", Timer: a.drillSchedule},
		{Name: "UsageExport", Timer: a.usageExport},
		{Name: "StartBackup", Pattern: "POST /api/backups", Role: principal.Operator, HTTP: a.startBackup},
		{Name: "StartRestore", Pattern: "POST /api/restores", Role: principal.FailoverOperator, HTTP: a.startRestore},
		{Name: "StartFailover", Pattern: "POST /api/failovers", Role: principal.FailoverOperator, HTTP: a.startFailover},
		{Name: "StartDrill", Pattern: "POST /api/drills", Role: principal.Operator, HTTP: a.startDrill},
		{Name: "GetOperation", Pattern: "GET /api/operations/{id}", Role: principal.Reader, HTTP: a.getOperation},
		{Name: "ListOperations", Pattern: "GET /api/operations", Role: principal.Reader, Query: []string{"day", "limit", "inFlight", "after"}, HTTP: a.listOperations},
		{Name: "AbandonOperation", Pattern: "POST /api/operations/{id}/abandon", Role: principal.Operator, HTTP: a.abandonOperation},
		{Name: "RearmService", Pattern: "POST /api/services/{name}/rearm", Role: principal.FailoverOperator, HTTP: a.rearmService},
		{Name: "HoldService", Pattern: "PUT /api/services/{name}/hold", Role: principal.Operator, HTTP: a.holdService},
		{Name: "ReleaseService", Pattern: "POST /api/services/{name}/release", Role: principal.Operator, HTTP: a.releaseService},
		{Name: "GetServiceBusy", Pattern: "GET /api/services/{name}/busy", Role: principal.Reader, HTTP: a.getServiceBusy},
		{Name: "GetStatus", Pattern: "GET /api/status", Role: principal.Reader, Query: []string{"format"}, HTTP: a.getStatus},
		{Name: "GetDashboard", Pattern: "GET /api/dashboard", Role: principal.Anybody, HTTP: a.getDashboard()},
		{Name: "ListRecoveryPoints", Pattern: "GET /api/recovery-points", Role: principal.Reader, Query: []string{"service", "prune"}, HTTP: a.listRecoveryPoints},
		{Name: "GetNotCovered", Pattern: "GET /api/recovery-points/{id}/not-covered", Role: principal.Reader, HTTP: a.getNotCovered},
		{Name: "GetOpenAPI", Pattern: "GET /api/openapi.json", Role: principal.Reader, HTTP: a.getOpenAPI},
		{Name: "RunOperation", Message: a.runOperation},
		{Name: "PollOperation", Message: a.pollOperation},
		{Name: "Watchdog", Timer: a.watchdog},
		{Name: "ConfigurationChanged", Message: a.configurationChanged},
		{Name: "DeadLetterOperations", Message: a.deadLetter},
		{Name: "DeadLetterPolls", Message: a.deadLetter},
		{Name: "DeadLetterChanges", Message: a.deadChange},
	}
}

// Register puts the table's functions into a router.
func (a *App) Register(r *customhandler.Router) {
	for _, f := range a.Table() {
		switch {
		case f.HTTP != nil:
			serve := knownQuery(f)
			f.HTTP = func(w http.ResponseWriter, r *http.Request) {
				if f.Role != principal.Anybody { // whom nobody knows makes the app read nothing
					a.Engine.Refresh(r.Context())
				}
				serve(w, r)
			}
			r.HTTP(f.Name, f.Pattern, a.guarded(f))
		case f.Timer != nil:
			r.Timer(f.Name, func(ctx context.Context, t customhandler.TimerInvocation) error {
				a.Engine.Refresh(ctx)
				return f.Timer(ctx, t)
			})
		default:
			r.Message(f.Name, func(ctx context.Context, m customhandler.MessageInvocation) error {
				a.Engine.Refresh(ctx)
				return f.Message(ctx, m)
			})
		}
	}
}
