package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"apim-dr/internal/direct"
	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// failover is one call of the command.
type failover struct {
	*recovery
	fleet                  fleetFlags
	direct, commands       bool
	primary, target, final string
	safety                 bool
	most                   string // of the backups before it
}

func (o Options) addFailover(root *cobra.Command, verbose *bool) {
	f := &failover{recovery: &recovery{app: &app{Options: o}, kind: dr.KindFailover}}
	cmd := &cobra.Command{
		Use: "failover [NAME]", Short: "Restore the newest good backup of an instance into its standby and make that one the active instance", Args: cobra.MaximumNArgs(1),
		Long: "Restores a backup of the primary into another instance of its pair, which is overwritten, and records that one as the active instance. A failback is the same\n" +
			"the other way round. It shows the plan and asks for the name of what is overwritten.\n\n" +
			"With --direct it needs nothing but your own Azure login and the backup container: no Function App, no Service Bus, no state storage. See docs/break-glass.md.\n\n" + appStatuses + strings.Replace(statuses, "Exit status:", "\n\nExit status of --direct:", 1),
		Example: "  apim-dr failover contoso-eu --dry-run\n  apim-dr failover contoso-eu --reason 'West Europe is gone' --wait\n" +
			"  apim-dr failover --direct --fleet fleet.json --primary contoso-eu --confirm contoso-us",
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args, *verbose) },
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.direct, "direct", false, "in this process, with your own Azure login")
	flags.StringVar(&f.primary, "primary", "", "name of the active instance, which is left: the same as NAME")
	flags.StringVar(&f.target, "target", "", "name of the instance that is overwritten; without it the first that is fit")
	flags.StringVar(&f.confirm, "confirm", "", "name of the instance that is overwritten, once more; without it you are asked")
	flags.StringVar(&f.final, "final-backup", string(dr.FinalNever), "back the primary up once more: never | auto | require")
	flags.BoolVar(&f.safety, "safety-backup", false, "back up what is overwritten first")
	flags.StringVar(&f.most, "max-wait", "", "how long these backups may take, such as 10m")
	flags.BoolVar(&f.commands, "print-commands", false, "print shell lines that do the same with az, and do nothing")
	f.recovery.flags(cmd)
	f.app.flags(cmd)
	f.why(cmd)
	f.waits(cmd, "it has ended; --direct always does")
	f.fleet.add(cmd)
	root.AddCommand(cmd)
}

// Flags that mean something in one of the two ways alone.
var (
	ofDirect = []string{"fleet", "primary-id", "target-id", "storage", "access"}
	ofApp    = []string{"url", "wait", "ticket", "safety-backup", "max-wait"}
)

func (f *failover) run(cmd *cobra.Command, args []string, verbose bool) error {
	if len(args) == 1 && f.primary != "" {
		return errors.New("NAME together with --primary; accepted: one or the other")
	} else if len(args) == 1 {
		f.primary = args[0]
	}
	if f.primary == "" {
		f.primary = f.fleet.primaryID[strings.LastIndex(f.fleet.primaryID, "/")+1:]
	}
	here := f.direct || f.commands
	for _, name := range map[bool][]string{true: ofApp, false: ofDirect}[here] {
		if cmd.Flags().Changed(name) {
			return fmt.Errorf("--%s is for a failover %s --direct", name, map[bool]string{true: "without", false: "with"}[here])
		}
	}
	err := errors.Join(oneOf("output", f.output, "table", "json"), oneOf("final-backup", f.final, string(dr.FinalNever), string(dr.FinalAuto), string(dr.FinalRequire)))
	switch {
	case err != nil:
		return err
	case f.primary == "":
		return errors.New("--primary is not set; accepted: the name of the active instance, which is left")
	case f.commands && f.final != string(dr.FinalNever):
		return errors.New("--print-commands prints the restore alone; leave out --final-backup")
	case !here:
		return f.call(cmd.Context())
	}
	return f.locally(cmd.Context(), verbose)
}

// call has the Function App do it.
func (f *failover) call(ctx context.Context) error {
	if err := f.connect(); err != nil {
		return err
	}
	b := f.recovery.body()
	b.Primary, b.Target, b.FinalBackup, b.MaxWait = f.primary, f.target, f.final, f.most
	if f.safety {
		b.SafetyBackup = &f.safety
	}
	return f.recovery.run(ctx, b)
}

func (f *failover) locally(ctx context.Context, verbose bool) error {
	defer f.stopping(ctx)()
	environ, err := f.fleet.environ(f.Environ)
	if err != nil {
		return err
	}
	setup, err := f.Direct(environ, f.log(verbose))
	if err != nil {
		return f.fleet.explain(err)
	}
	f.warnings(setup)
	if f.commands {
		return f.printCommands(ctx, setup)
	}
	return f.do(ctx, setup)
}

func (f *failover) request() engine.RecoverRequest {
	return engine.RecoverRequest{
		Request: engine.Request{Service: f.primary, RequestedBy: f.Who, Reason: f.reason},
		Kind:    dr.KindFailover, Target: f.target, Point: f.point, Confirm: f.confirm, Final: dr.FinalMode(f.final), Overrides: f.checks,
		DryRun: f.dryRun, Trigger: dr.TriggerCLI,
	}
}

const alone = `This runs without the stamp: neither its locks nor its operations are seen. Where its automation may still run, stop the Function App first,
or two restores may meet. At the end the roles are recorded beside the backups: a stamp that returns then knows the new active instance and
does not overwrite it.

`

func (f *failover) do(ctx context.Context, setup Setup) error {
	fmt.Fprint(f.Err, alone)
	if err := setup.Engine.Understands(ctx, f.request()); err != nil { // before anybody waits for a login
		return err
	}
	if err := setup.Login(ctx); err != nil {
		return err
	}
	e, bus, roles := setup.Engine, &direct.Bus{}, &direct.Roles{Vault: setup.Engine.Vault}
	e.Bus, e.Vault = bus, roles
	if err := f.catalog(ctx, e); err != nil {
		return err
	}
	r := f.request()
	answer, err := e.Recover(ctx, r)
	plan := answer.Plan
	if plan.Kind == "" {
		return err
	}
	if f.output == "table" {
		printPlan(f.Out, plan)
		if f.dryRun {
			list(f.Out, "Afterwards", plan.NextSteps)
		}
	}
	if f.dryRun {
		return f.ends(document{DryRun: true, Plan: plan}, refusal(plan))
	}
	if name := plan.Target.Name; errors.Is(err, engine.ErrUnconfirmed) && plan.Refusal() == nil && f.asks() {
		if !f.ask(ctx, name) {
			return f.ends(document{Plan: plan}, end(Refused, "Not confirmed: nothing was done."))
		}
		r.Confirm, r.Target = name, name
		answer, err = e.Recover(ctx, r)
	}
	switch {
	case errors.Is(err, engine.ErrUnconfirmed) && plan.Refusal() == nil:
		return f.ends(document{Plan: plan}, end(Refused, "Refused: %s is overwritten, which nobody has confirmed. Pass --confirm %[1]s.", plan.Target.Name))
	case errors.Is(err, engine.ErrUnconfirmed), errors.Is(err, engine.ErrRefused):
		return f.ends(document{Plan: answer.Plan}, refusal(answer.Plan))
	case err != nil:
		return err
	}
	return f.follow(ctx, e, bus, roles, answer)
}

// catalog reads what lies beside the backups. Without the container that the primary's own backups go to, an older recovery point could pass for the newest.
func (f *failover) catalog(ctx context.Context, e *engine.Engine) error {
	for i, got := range read(ctx, e, e.Fleet.Backups(f.primary), e.Fleet.Around(f.primary)...) {
		where := got.storage.Account + "/" + got.storage.Container
		if got.err != nil && i == 0 {
			return fmt.Errorf("the backups of %s in %s cannot be read, so that nobody knows which is the newest: %w\n"+
				"Your login needs Storage Blob Data Contributor there. The shell lines of --print-commands need no access to it when --recovery-point names an id", f.primary, where, got.err)
		}
		fmt.Fprintf(f.Err, "%s: %d recovery points, %d records of roles\n", where, got.Points, got.Pairs)
		for _, bad := range got.Bad {
			fmt.Fprintf(f.Err, "warning: %s: not read: %s\n", where, clean(bad))
		}
		if got.err != nil {
			fmt.Fprintf(f.Err, "warning: %s: the rest was not read: %s\n", where, clean(got.err.Error()))
		}
	}
	fmt.Fprintln(f.Err)
	return nil
}

// refusal is how a command ends whose plan does not pass; nil: it passes.
func refusal(p dr.Plan) error {
	if why := p.Refusal(); why != nil {
		return end(Refused, "Refused: %s\nNothing was done.", why)
	}
	return nil
}

func (f *failover) asks() bool { return f.Terminal && f.confirm == "" && f.output == "table" }

func (f *failover) follow(ctx context.Context, e *engine.Engine, bus *direct.Bus, roles *direct.Roles, answer engine.Recovery) error {
	fmt.Fprintf(f.Err, "\n%s  operation %s\n", clock(e.Now()), answer.Operation.ID)
	saw := func(op dr.Operation, next time.Time) { fmt.Fprintln(f.Err, progress(op, e.Now(), next)) }
	_, err := direct.Loop{Engine: e, Bus: bus, Saw: saw}.Run(ctx, answer.Operation)
	op, _, read := e.Store.Operation(context.WithoutCancel(ctx), answer.Operation.ID)
	if read != nil { // from memory
		return read
	}
	f.leftOver(ctx, e, bus, op)
	if op.Phase != dr.Done {
		return f.stopped(op, answer.Plan, err)
	}
	result := dr.ResultEvent(op).Result()
	if f.output == "table" {
		printResult(f.Out, result)
	}
	kept := f.roles(roles, result)
	var ending error
	if status := status(op.Outcome); status != OK {
		ending = end(status, "")
	}
	return f.ends(document{Plan: answer.Plan, Result: &result, RolesKept: &kept}, ending)
}

func status(o dr.Outcome) int {
	if code, ok := map[dr.Outcome]int{dr.Succeeded: OK, dr.Rejected: Refused, dr.Failed: Failed}[o]; ok {
		return code
	}
	return Unknown
}

// document is what --output json prints.
type document struct {
	DryRun    bool       `json:"dryRun,omitempty"`
	Plan      dr.Plan    `json:"plan"`
	Refusal   string     `json:"refusal,omitempty"`
	Result    *dr.Result `json:"result,omitempty"` // as a result event has it
	RolesKept *bool      `json:"rolesKept,omitempty"`
	Stopped   string     `json:"stopped,omitempty"` // what was going on, and how to follow it
}

// ends prints the document, if that is wanted, and ends with err.
func (f *failover) ends(d document, err error) error {
	if f.output != "json" {
		return err
	}
	if err != nil && d.Stopped == "" {
		d.Refusal = err.Error()
	}
	out := json.NewEncoder(f.Out)
	out.SetIndent("", "  ")
	return errors.Join(err, out.Encode(d))
}
