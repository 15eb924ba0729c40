package handlers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"apim-dr/infra"
	"apim-dr/internal/customhandler"
	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/usage"
)

// recorder is an engine and a store that write down what they are asked for.
type recorder struct {
	busy engine.Busy
	Engine
	Records
	calls    []string
	err      error
	op       dr.Operation // what there is
	recovery engine.Recovery
	asked    engine.RecoverRequest // the last one; of a backup its Request alone
	points   []dr.RecoveryPoint
	next     string  // page of the list
	hold     dr.Hold // in force
	underWay []engine.UnderWay
	usual    float64      // seconds
	log      bytes.Buffer // of an app behind built-in authentication
}

func (r *recorder) note(call string) error { r.calls = append(r.calls, call); return r.err }

func (r *recorder) Knock(_ context.Context, w dr.Wake) error { return r.note("knock " + w.ID) }
func (r *recorder) Bury(_ context.Context, w dr.Wake, why *dr.Error) error {
	return r.note("bury " + w.ID + " " + why.Code + " " + why.Message)
}
func (r *recorder) RunTick(_ context.Context, t dr.Tick, _ string) error {
	return r.note("tick " + t.Plan)
}
func (r *recorder) Watch(context.Context) error { return r.note("watch") }
func (r *recorder) Guard(context.Context) error { return r.note("tell") }
func (r *recorder) Start(context.Context) error { return r.note("exports") }
func (r *recorder) Run(_ context.Context, m usage.Message) error {
	return r.note("export " + m.Service)
}
func (r *recorder) TickLater(_ context.Context, t dr.Tick, _ error) error {
	return r.note("tick later " + t.Plan)
}
func (r *recorder) Quarantine(_ context.Context, content []byte, reason string) error {
	return r.note("quarantine " + string(content))
}
func (r *recorder) Operation(context.Context, string) (dr.Operation, string, error) {
	return r.op, "", r.err
}

func (r *recorder) Refresh(context.Context) {}
func (r *recorder) Changed(_ context.Context, c dr.Change) error {
	return r.note("changed " + c.ResourceID + " " + c.What)
}

func app(r *recorder) *App {
	return &App{Engine: r, Records: r, Usage: r, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
}

func TestMessagesAreKnocksTicksOrQuarantined(t *testing.T) {
	const id = "20260105-backup-0123456789abcdef0123"
	properties := map[string]string{"DeadLetterReason": "MaxDeliveryCountExceeded", "DeadLetterErrorDescription": "ten times"}
	for _, tc := range []struct{ name, body, want, wantDead string }{
		{"a wake", `{"v":1,"id":"` + id + `","epoch":0,"n":3,"try":0}`, "knock " + id, "bury " + id + " DeadLettered"},
		{"a tick", `{"v":1,"tick":{"plan":"nightly","at":"2026-01-05T03:00:00Z","try":0}}`, "tick nightly", "tick later nightly"},
		{"an export", `{"v":1,"usage":{"service":"contoso-eu","at":"2026-01-05T03:30:00Z","n":1}}`, "export contoso-eu", ""},
		{"nonsense", `nonsense`, "quarantine nonsense", "quarantine nonsense"},
		{"a newer version", `{"v":2,"id":"` + id + `"}`, `quarantine {"v":2,"id":"` + id + `"}`, `quarantine {"v":2,"id":"` + id + `"}`},
	} {
		r := &recorder{}
		m := customhandler.MessageInvocation{Body: []byte(tc.body), MessageID: "m-1", DeliveryCount: 10, ApplicationProperties: properties}
		for _, f := range []func(context.Context, customhandler.MessageInvocation) error{app(r).runOperation, app(r).pollOperation, app(r).deadLetter} {
			if err := f(t.Context(), m); err != nil {
				t.Errorf("%s: %v", tc.name, err)
			}
		}
		if tc.wantDead == "" { // nothing is lost with it
			r.calls = append(r.calls, "")
		}
		if len(r.calls) != 3 || r.calls[0] != tc.want || r.calls[1] != tc.want || !strings.HasPrefix(r.calls[2], tc.wantDead) {
			t.Errorf("%s: %q", tc.name, r.calls)
		}
		if tc.name == "a wake" && (!strings.Contains(r.calls[2], "MaxDeliveryCountExceeded") || !strings.Contains(r.calls[2], tc.body)) {
			t.Errorf("the dead letter's reason and content are not kept: %s", r.calls[2])
		}
	}
}

func TestEachChangeOfAMessageIsTakenIn(t *testing.T) {
	const id = "/subscriptions/0/resourceGroups/rg/providers/Microsoft.ApiManagement/service/"
	event := func(name string) string {
		return `{"type":"Microsoft.ApiManagement.APIUpdated","time":"2026-01-05T03:00:00Z","source":"` + id + name + `"}`
	}
	r := &recorder{}
	for _, body := range []string{event("a"), "[" + event("b") + "," + event("c") + "]", "nonsense", "[" + event("d") + ",7]"} {
		if err := app(r).configurationChanged(t.Context(), customhandler.MessageInvocation{Body: []byte(body)}); err != nil {
			t.Fatal(err)
		}
	}
	const what = " Microsoft.ApiManagement.APIUpdated"
	if want := []string{"changed " + id + "a" + what, "changed " + id + "b" + what, "changed " + id + "c" + what, "quarantine nonsense", "quarantine [" + event("d") + ",7]", "changed " + id + "d" + what}; !slices.Equal(r.calls, want) {
		t.Errorf("%q, want %q", r.calls, want)
	}
	r = &recorder{err: errors.New("no route to host")}
	if err := app(r).configurationChanged(t.Context(), customhandler.MessageInvocation{Body: []byte("[" + event("b") + "," + event("c") + "]")}); !errors.Is(err, r.err) || len(r.calls) != 2 {
		t.Errorf("%v, %q", err, r.calls)
	}
}

func TestAMessageWhoseHandlingFailsIsDeliveredAgain(t *testing.T) {
	r := &recorder{err: errors.New("no route to host")}
	m := customhandler.MessageInvocation{Body: []byte("nonsense")}
	if err := app(r).runOperation(t.Context(), m); !errors.Is(err, r.err) {
		t.Errorf("completed although it was not even quarantined: %v", err)
	}
}

// The alert about dead letters finds the lines of both.
func TestDeadLettersRaiseTheirAlert(t *testing.T) {
	alerts := infra.Alerts()
	dead := alerts[slices.IndexFunc(alerts, func(a infra.Alert) bool { return a.Name == "dead-letter" })]
	for body, handle := range map[string]func(*App) func(context.Context, customhandler.MessageInvocation) error{
		`{"v":1,"id":"20260105-backup-0123456789abcdef0123"}`:                                                             func(a *App) func(context.Context, customhandler.MessageInvocation) error { return a.deadLetter },
		`[{"eventType":"a","eventTime":"2026-01-05T03:00:00Z","data":{"httpRequest":{"clientIpAddress":"203.0.113.7"}}}]`: func(a *App) func(context.Context, customhandler.MessageInvocation) error { return a.deadChange },
		"nonsense": func(a *App) func(context.Context, customhandler.MessageInvocation) error { return a.pollOperation },
	} {
		var out bytes.Buffer
		a := app(&recorder{})
		a.Log = slog.New(customhandler.NewLogHandler(&out, &out, slog.LevelInfo))
		if err := handle(a)(t.Context(), customhandler.MessageInvocation{Body: []byte(body)}); err != nil || strings.Contains(out.String(), "203.0.113.7") || !slices.ContainsFunc(strings.Split(out.String(), "\n"), dead.Finds) {
			t.Errorf("%s: %v, %s", body, err, out.String())
		}
	}
}

func TestErrorsBecomeStatuses(t *testing.T) {
	for err, want := range map[error]int{
		engine.ErrNotFound: 404, engine.ErrUnreadable: 500, engine.ErrNewer: 500, engine.ErrKeyReused: 422, engine.ErrUnknownService: 404,
		engine.ErrCursor: 400, errors.New("no route to host, key=secret"): 503,
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/api/operations/20260105-backup-0123456789abcdef0123", nil)
		r.SetPathValue("id", "20260105-backup-0123456789abcdef0123")
		var log bytes.Buffer
		a := app(&recorder{err: err})
		a.Log = slog.New(slog.NewTextHandler(&log, nil))
		a.getOperation(w, r)
		if text := log.String(); !strings.Contains(text, fmt.Sprint("status=", want)) || strings.Contains(text, "level=WARN") != (want >= 500) {
			t.Errorf("%v is logged as %s", err, text)
		}
		if w.Code != want || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%v: %d %s", err, w.Code, w.Body)
		}
		if want == 503 && (w.Header().Get("Retry-After") == "" || strings.Contains(w.Body.String(), "secret")) {
			t.Errorf("an outage: %v %s", w.Header(), w.Body)
		}
	}
}
