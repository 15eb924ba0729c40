package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"apim-dr/internal/client"
	"apim-dr/internal/dr"
)

// recovery is what the commands that restore share.
type recovery struct {
	*app
	kind    dr.Kind
	point   string
	confirm string
	dryRun  bool
	checks  []string
}

func (r *recovery) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&r.point, "recovery-point", dr.Latest, "latest | id | time (RFC 3339: the newest good one at that time)")
	flags.StringSliceVar(&r.checks, "override", nil, "names of checks that may fail")
	flags.BoolVar(&r.dryRun, "dry-run", false, "print the plan and do nothing")
}

func (r *recovery) body() client.Body {
	b := r.app.body()
	b.RecoveryPoint, b.Override, b.DryRun = r.point, r.checks, r.dryRun
	return b
}

func (o Options) addDrill(root *cobra.Command) {
	r := &recovery{kind: dr.KindDrill}
	cmd, a := o.command(&cobra.Command{
		Use: "drill NAME", Short: "Prove that a backup of an instance can be restored, in its drill instance", Args: cobra.ExactArgs(1),
		Example: "  apim-dr drill contoso-eu --wait",
	}, func(ctx context.Context, a *app, args []string) error {
		b := r.body()
		b.Service = args[0]
		if r.dryRun {
			_, err := r.planned(ctx, b)
			return err
		}
		return a.begin(ctx, client.StartDrill(b))
	})
	r.app = a
	r.flags(cmd)
	a.why(cmd)
	a.waits(cmd, "it has ended")
	root.AddCommand(cmd)
}

func (o Options) addRestore(root *cobra.Command) {
	r := &recovery{kind: dr.KindRestore}
	var from, most string
	var safety bool
	cmd, a := o.command(&cobra.Command{
		Use: "restore NAME", Short: "Overwrite an instance with a recovery point, its own or another's", Args: cobra.ExactArgs(1),
		Long:    "Shows the plan, asks for the name of the instance, and overwrites it with a recovery point, its own or that of --from. Before that it is backed up, so that the\nrestore can be undone.",
		Example: "  apim-dr restore contoso-eu --recovery-point 2026-01-31T14:00:00Z --dry-run\n  apim-dr restore contoso-eu --recovery-point 2026-01-31T14:00:00Z --wait",
	}, func(ctx context.Context, a *app, args []string) error {
		b := r.body()
		b.Service, b.From, b.SafetyBackup, b.MaxWait = args[0], from, &safety, most
		return r.run(ctx, b)
	})
	r.app = a
	r.flags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&r.confirm, "confirm", "", "name of the instance that is overwritten, once more; without it you are asked")
	flags.StringVar(&from, "from", "", "whose recovery point is taken; without it the instance's own")
	flags.BoolVar(&safety, "safety-backup", true, "back the instance up first")
	flags.StringVar(&most, "max-wait", "", "how long that backup may take, such as 10m")
	a.why(cmd)
	a.waits(cmd, "it has ended")
	root.AddCommand(cmd)
}

// run shows the plan, has it confirmed and begins it.
func (r *recovery) run(ctx context.Context, b client.Body) error {
	b.DryRun = true
	answer, err := r.planned(ctx, b)
	if err != nil || r.dryRun {
		return err
	}
	name := answer.Plan.Target.Name
	if err := r.confirmed(ctx, name); err != nil {
		r.document(answer.raw)
		return err
	}
	b.DryRun, b.Confirm = false, name
	if r.kind == dr.KindFailover {
		b.Target = name // of several standbys the one that was shown
	}
	return r.begin(ctx, client.Start(r.kind, b))
}

// plan is the answer to a dry run.
type plan struct {
	client.DryRun
	raw json.RawMessage
}

// planned asks for the plan and shows it. The error tells that it does not pass.
func (r *recovery) planned(ctx context.Context, b client.Body) (p plan, err error) {
	answer, err := r.show(ctx, client.Start(r.kind, b), &p.DryRun)
	if err != nil {
		return p, err
	}
	p.raw = answer.Body
	if r.output == "table" {
		printPlan(r.Out, p.Plan)
		if r.dryRun {
			list(r.Out, "Afterwards", p.Plan.NextSteps)
		} else {
			fmt.Fprintln(r.Out)
		}
	}
	if err = refusal(p.Plan); err != nil || r.dryRun {
		r.document(p.raw)
	}
	return p, err
}

// refusal is how a command ends whose plan does not pass; nil: it passes.
func refusal(p dr.Plan) error {
	if why := p.Refusal(); why != nil {
		return end(Refused, "Refused: %s\nNothing was done.", why)
	}
	return nil
}

// confirmed has the name of what is overwritten typed, unless --confirm has it.
func (r *recovery) confirmed(ctx context.Context, name string) error {
	switch {
	case r.confirm != "" && !strings.EqualFold(r.confirm, name):
		return end(Refused, "Refused: --confirm names %s, but %s would be overwritten. Nothing was done.", r.confirm, name)
	case r.confirm != "":
		return nil
	case !r.Terminal || r.output == "json":
		return unconfirmed(name)
	case !r.ask(ctx, name):
		return errDeclined
	}
	return nil
}

// errDeclined: another name was typed.
var errDeclined = end(Refused, "Not confirmed: nothing was done.")

func unconfirmed(name string) error {
	return end(Refused, "Refused: %s is overwritten, which nobody has confirmed. Pass --confirm %[1]s.", name)
}

// ask has the name of what is overwritten typed.
func (o Options) ask(ctx context.Context, name string) bool {
	fmt.Fprintf(o.Err, "\n%s is overwritten. Type its name to go on: ", name)
	typed := make(chan string, 1)
	go func() { // reading cannot be interrupted; after Ctrl-C the process ends anyway
		line, _ := bufio.NewReader(o.In).ReadString('\n')
		typed <- line
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(o.Err)
		return false
	case line := <-typed:
		return strings.EqualFold(strings.TrimSpace(line), name)
	}
}
