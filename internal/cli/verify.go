package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"apim-dr/internal/direct"
	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// verify is one call of the command.
type verify struct {
	Options
	fleet                               fleetFlags
	name, drill, record, reason, output string
	force                               bool

	setup   Setup
	engine  *engine.Engine
	bus     *direct.Bus
	service engine.Service
	say     io.Writer // the steps go here: to where the table is, and beside a document
	told    verified
}

// verified is what --output json prints.
type verified struct {
	Service    string     `json:"service"`
	Steps      []step     `json:"steps"`
	Backup     *dr.Result `json:"backup,omitempty"` // as a result event has it
	Drill      *dr.Result `json:"drill,omitempty"`
	RestoreFor float64    `json:"restoreSeconds,omitempty"` // of the drill, from the POST to the verified end
	Findings   []string   `json:"findings,omitempty"`
	Recording  string     `json:"recording,omitempty"`
	Ended      string     `json:"ended,omitempty"` // why it did not end well
}

// step is one of the steps with what it found.
type step struct {
	Name   string  `json:"name"`
	Checks []check `json:"checks"`
}

// check is a finding, in the words of a plan's: pass, warn, fail, unknown.
type check struct {
	Result dr.Grade `json:"result"`
	About  string   `json:"about"`
	Detail string   `json:"detail"`
}

const verifyStatuses = `Exit status:
  0  all well
  1  usage, configuration or login: nothing was begun
  2  refused: a permission or the container is missing, or a check of the drill's plan fails; what was refused was not begun. Or stopped before the next step
  3  failed: ARM says so, or what it left is not as it should be
  4  unknown: ARM cannot confirm how it ended, or it was stopped while ARM is at work`

func (o Options) addVerify(root *cobra.Command, verbose *bool) {
	v := &verify{Options: o}
	cmd := &cobra.Command{
		Use: "verify", Short: "Try permissions, storage, one backup and, if wanted, a drill against Azure, without the Function App", Args: cobra.NoArgs,
		Long: "Tries with your own Azure login whether an instance can be backed up and restored: what you lack of the permissions, the container, one backup, what that\n" +
			"left and, with --drill, its restore into the drill instance, which is overwritten. It needs no Function App, no Service Bus, no state storage, and tells at\n" +
			"the end what the run shows of what nobody has confirmed yet. See docs/verify.md.\n\n" + verifyStatuses,
		Example: "  apim-dr verify --fleet fleet.json --service contoso-eu --record contoso.json\n  apim-dr verify --fleet fleet.json --service contoso-eu --drill contoso-drill --record contoso.json",
		RunE:    func(cmd *cobra.Command, _ []string) error { return v.run(cmd.Context(), *verbose) },
	}
	flags := cmd.Flags()
	flags.StringVar(&v.name, "service", "", "name of the instance that is backed up; without it the only one of the fleet")
	flags.StringVar(&v.drill, "drill", "", "name of its drill instance, which is OVERWRITTEN with that backup; without it nothing is restored")
	flags.StringVar(&v.record, "record", "", "write what ARM was asked and answered to this new file, without names and secrets")
	flags.StringVar(&v.reason, "reason", "apim-dr verify", "kept with the operation")
	flags.BoolVar(&v.force, "force", false, "back up although a permission is known to be missing")
	flags.StringVarP(&v.output, "output", "o", "table", "table | json (one document at the end)")
	v.fleet.addFile(cmd)
	root.AddCommand(cmd)
}

func (v *verify) run(ctx context.Context, verbose bool) error {
	defer v.stopping(ctx)()
	if err := oneOf("output", v.output, "table", "json"); err != nil {
		return err
	}
	environ, err := v.fleet.environ(v.Environ)
	if err != nil {
		return err
	}
	if v.setup, err = v.Verify(environ, v.log(verbose)); err != nil {
		return err
	}
	v.warnings(v.setup)
	v.engine, v.bus = v.setup.Engine, &direct.Bus{}
	v.engine.Bus = v.bus
	if v.say = v.Out; v.output == "json" {
		v.say = v.Err
	}
	if err := v.chosen(); err != nil {
		return err
	}
	file, err := v.reserve()
	if err != nil {
		return err
	}
	if file != nil {
		v.setup.Recorder.WriteInto(file)
	}
	return v.ends(file, v.steps(ctx))
}

// chosen finds the service, and holds --drill against its drill instance.
func (v *verify) chosen() error {
	services := v.engine.Fleet.Services
	var names []string
	for _, s := range services {
		names = append(names, s.Name)
	}
	if v.name == "" && len(names) == 1 {
		v.name = names[0]
	}
	i := slices.IndexFunc(services, func(s engine.Service) bool { return strings.EqualFold(s.Name, v.name) })
	if i < 0 {
		return fmt.Errorf("--service %q; accepted: %s", v.name, join(names))
	}
	v.service = services[i]
	v.told.Service = v.service.Name
	switch d := v.service.Drill; {
	case v.drill == "":
	case d == nil:
		return fmt.Errorf("--drill %q, but %s has no drillInstance in the fleet: a drill overwrites an instance that serves nothing else", v.drill, v.service.Name)
	case !d.Is(v.drill):
		return end(Refused, "Refused: a drill overwrites %s, the drillInstance of %s, which --drill %s does not name. Nothing was done.", d.Name, v.service.Name, v.drill)
	}
	return nil
}

// reserve makes the file of the recording before anything is begun: at the end it would be too late to learn that it cannot be written.
func (v *verify) reserve() (*os.File, error) {
	if v.record == "" {
		return nil, nil
	}
	file, err := os.OpenFile(v.record, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("--record %s: there is such a file, which is not overwritten; name a new one", v.record)
	}
	return file, err
}

func (v *verify) steps(ctx context.Context) error {
	fmt.Fprint(v.Err, "This runs without the stamp: neither its locks nor its operations are seen. A backup that the stamp begins at the same time waits or is waited for.\n\n")
	if err := v.setup.Login(ctx); err != nil {
		return err
	}
	for _, look := range []func(context.Context) error{v.permissions, v.storage} {
		if err := look(ctx); ctx.Err() != nil {
			return stopped(ctx, "Nothing was begun.")
		} else if err != nil {
			return err
		}
	}
	op, err := v.backup(ctx)
	for _, p := range dr.Points(op) { // also of one that ended unknown
		err = errors.Join(err, v.left(ctx, p))
	}
	if err != nil || v.drill == "" {
		return err
	}
	if ctx.Err() != nil {
		return stopped(ctx, "The backup stands; %s was not overwritten.", v.service.Drill.Name)
	}
	return v.restore(ctx, dr.Points(op)[0])
}

// stopped is how a run ends that a person stopped before the next step.
func stopped(ctx context.Context, format string, args ...any) error {
	return end(Refused, "Stopped (%v). %s", context.Cause(ctx), fmt.Sprintf(format, args...))
}

// ends tells what the run shows, however the steps ended, closes the recording, and prints the document if that is wanted.
func (v *verify) ends(file *os.File, err error) error {
	v.told.Findings = v.setup.Recorder.Findings()
	list(v.say, "What this run shows", v.told.Findings)
	if file != nil {
		err = errors.Join(err, v.keep(file))
	}
	if err != nil {
		v.told.Ended = err.Error()
	}
	if v.output == "json" {
		out := json.NewEncoder(v.Out)
		out.SetIndent("", "  ")
		err = errors.Join(err, out.Encode(v.told))
	}
	return err
}

func (v *verify) keep(file *os.File) error {
	n := len(v.setup.Recorder.Exchanges())
	if n == 0 { // there is nothing to tell of
		return errors.Join(file.Close(), os.Remove(file.Name()))
	}
	if err := errors.Join(v.setup.Recorder.Flush(), file.Close()); err != nil {
		return fmt.Errorf("the recording was not written whole: %w", err)
	}
	v.told.Recording = file.Name()
	fmt.Fprintf(v.say, "\n%s holds the %d requests to ARM and their answers; names, ids and secrets are replaced. Read it. If there is nothing in it that\n"+
		"others must not see, please open an issue with it and the list above (not the steps: they have your names). Nobody has run this against Azure before you.\n", file.Name(), n)
	return nil
}
