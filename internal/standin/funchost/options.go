package funchost

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"
)

// Tags of the lines passed to Options.Output, with the level the real host gives them.
const (
	StreamStdout = "stdout" // Information
	StreamStderr = "stderr" // Error, or Warning when the line contains "warn"
	StreamLogs   = "logs"   // Information: an entry of Logs in the answer of a successful invocation
)

// ErrCrashLoop is in the error of Host.Run when the handler crashed for the third time within 30 minutes.
var ErrCrashLoop = errors.New("the handler crashed three times: the host stops")

// ErrTimeout is in the error of an invocation that did not end within the function timeout.
var ErrTimeout = errors.New("the function timeout is over")

// Options says what to host. Only Root is required.
type Options struct {
	// Root is the staged folder. Values of a local.settings.json in it are settings too.
	Root string
	// Settings are the application settings: the environment of the handler besides PATH, HOME and TMPDIR, and what %NAME% in
	// function.json stands for. They win over local.settings.json.
	Settings map[string]string
	// Listener takes the requests from outside. Nil: Run listens on Addr, or on a free port of 127.0.0.1 when that is empty too.
	Listener net.Listener
	Addr     string
	// MasterKey opens everything, HostKey every function of level "function", FunctionKeys (by function name) one function each.
	// An empty key opens nothing.
	MasterKey, HostKey string
	FunctionKeys       map[string]string
	// IdentityHeader is what the handler has to show for a token. Empty: made up.
	IdentityHeader string
	// Token answers the managed-identity endpoint of App Service. Nil: there is none. clientID is empty for the system-assigned one.
	Token func(ctx context.Context, resource, clientID string) (token string, expires time.Time, err error)
	// Principal plays built-in authentication: it turns a bearer token into what X-MS-CLIENT-PRINCIPAL holds; false: the caller gets a 401. What callers
	// send under that name is dropped. Nil: it is off.
	Principal func(token string) (header string, ok bool)
	// Output gets every line of the handler, whole, with one of the Stream tags. Nil: the lines go to Log. Called concurrently.
	Output func(stream, line string)
	// Event observes processes and invocations. Called concurrently; an invocation waits for it.
	Event func(Event)
	// Log gets what the host itself has to say. Nil: nothing.
	Log *slog.Logger
	// FunctionTimeout, when positive, replaces functionTimeout of host.json.
	FunctionTimeout time.Duration
	// UnlimitedRestarts restarts the handler after every crash, not only after two within 30 minutes.
	UnlimitedRestarts bool
	// LastRuns tells when timers (by function name) ran last under an earlier host: one that missed a run since then runs at the
	// start, past due, unless its monitor is off.
	LastRuns map[string]time.Time
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
}

// EventKind says what an Event is about.
type EventKind string

// The kinds of events, in the order of a life.
const (
	ProcessStarted    EventKind = "process started"
	ProcessReady      EventKind = "process ready" // the handler answered its first GET /
	ProcessExited     EventKind = "process exited"
	InvocationStarted EventKind = "invocation started"
	InvocationEnded   EventKind = "invocation ended"
)

// Event is one observation. Process events carry PID and, at the exit, ExitCode; invocation events the rest.
type Event struct {
	Kind         EventKind
	At           time.Time
	PID          int
	ExitCode     int // -1 when a signal ended the process
	Function     string
	InvocationID string
	MessageID    string // Service Bus triggers only
	Duration     time.Duration
	Status       int      // of the handler's answer; 0 when there was none
	Logs         []string // of a successful answer
	Err          error    // why the invocation failed; nil for success
}
