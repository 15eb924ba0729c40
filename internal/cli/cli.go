// Package cli is the command line: what a person asks the Function App for, and what a person runs when that cannot be called. It parses, asks, prints and
// ends with a status; what is done is the engine's, there or in this process.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"apim-dr/internal/client"
	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/record"
)

// Options is what the commands need of the process and of its wiring. All fields must be set.
type Options struct {
	In       io.Reader // where the confirmation is typed
	Terminal bool      // a person sits at In
	Out, Err io.Writer
	Environ  []string // as os.Environ gives it
	Who      string   // runs the command; kept with the operation
	// Direct wires a Setup whose records live in this process only, Stamp one whose records are the stamp's, Verify one like Direct's that can be looked
	// through. The error is the configuration's.
	Direct, Stamp, Verify func(environ []string, log *slog.Logger) (Setup, error)
	// App tells how the Function App is called. The error is the configuration's.
	App func(environ []string) (client.Options, error)
	Now func() time.Time
	// Aside prints a line on Err while the command may be printing there.
	Aside func(text string)
	// Width is how many columns the terminal has that shows both Out and Err; zero: one of them goes elsewhere.
	Width func() int
}

// Setup is what was wired from the configuration.
type Setup struct {
	Engine   *engine.Engine // without a Bus
	Storages []Storage      // of the fleet, in the order of their names
	Warnings []string       // of the configuration
	// Login finds out whether Azure can be asked at all, before anything takes its absence for an answer.
	Login func(ctx context.Context) error
	// Request is what would be sent to ARM for a leg.
	Request func(leg dr.Leg, point string) (Request, *dr.Error)

	// Of Verify only: what passes between here and ARM; what the login lacks on an instance or a subscription; and a store of records that is empty.
	Recorder *record.Recorder
	Lacks    func(ctx context.Context, scope string) ([]Need, *dr.Error)
	Fresh    func() engine.Store
}

// Need is an action that the login lacks. Without tells what one goes without; empty: too much.
type Need struct{ Action, Without string }

// Storage is a container for backups, with its name in the fleet.
type Storage struct {
	Name string
	dr.Storage
}

// Request is a POST without a secret: where Variable is set, "$" and Variable stand in Body for the value of that environment variable.
type Request struct{ URL, Body, Variable string }

// The exit statuses. Usage is also what a configuration or a login gets that cannot be used.
const (
	OK = iota
	Usage
	Refused
	Failed
	Unknown
)

const directStatuses = `Exit status:
  0  succeeded; of a dry run: the plan passes
  1  usage, configuration or login: nothing was begun
  2  refused or rejected, or stopped before anything was asked of ARM: nothing was overwritten; of a dry run: the plan does not pass
  3  failed: ARM says so
  4  unknown: ARM cannot confirm how it ended, or it was stopped while ARM is at work`

// exitStatus tells how an operation ended.
func exitStatus(o dr.Outcome) int {
	if code, ok := map[dr.Outcome]int{dr.Succeeded: OK, dr.Rejected: Refused, dr.Failed: Failed}[o]; ok {
		return code
	}
	return Unknown
}

// ended is the error of a command that ends with another status than Usage.
type ended struct {
	status int
	text   string // empty: everything was said already
}

func (e *ended) Error() string { return e.text }

func end(status int, format string, args ...any) error {
	return &ended{status, fmt.Sprintf(format, args...)}
}

// Run runs the command that args name and returns the exit status. When ctx ends, what ARM has begun goes on there, and the command says so.
func Run(ctx context.Context, args []string, o Options) int {
	root := o.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return OK
	}
	status := Usage
	if e, ok := errors.AsType[*ended](err); ok {
		status = e.status
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(o.Err, clean(text))
	}
	return status
}

// root has all commands.
func (o Options) root() *cobra.Command {
	root := &cobra.Command{
		Use: "apim-dr", Short: "Disaster recovery for Azure API Management",
		Long: "Disaster recovery for Azure API Management.\n\nWithout arguments it is the custom handler of the Function App and serves. The commands call the Function App (APIMDR_URL,\n" +
			"APIMDR_KEY or APIMDR_AUDIENCE; docs/cli.md), but for failover --direct, catalog and verify, which do without it.",
		SilenceUsage: true, SilenceErrors: true, CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetIn(o.In)
	root.SetOut(o.Out)
	root.SetErr(o.Err)
	verbose := root.PersistentFlags().Bool("verbose", false, "log every step of what runs here: failover --direct, catalog, verify")
	o.addStatus(root)
	o.addBackup(root)
	o.addRestore(root)
	o.addFailover(root, verbose)
	o.addDrill(root)
	o.addOperations(root)
	o.addPoints(root)
	o.addHold(root)
	o.addCatalog(root, verbose)
	o.addVerify(root, verbose)
	return root
}

// stopping tells whoever presses Ctrl-C that the step at work is not cut short. The returned function ends that.
func (o Options) stopping(ctx context.Context) func() bool {
	return context.AfterFunc(ctx, func() { o.Aside("\nstopping after the step at work; Ctrl-C again ends at once") })
}

// log is where the engine's own lines go.
func (o Options) log(verbose bool) *slog.Logger {
	level := slog.LevelWarn
	if verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(o.Err, &slog.HandlerOptions{Level: level}))
}

// oneOf refuses a flag's value that is not accepted.
func oneOf(flag, value string, accepted ...string) error {
	for _, a := range accepted {
		if value == a {
			return nil
		}
	}
	return fmt.Errorf("--%s %q; accepted: %s", flag, value, join(accepted))
}
