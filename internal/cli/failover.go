package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"apim-dr/internal/dr"
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
			"With --direct it needs nothing but your own Azure login and the backup container: no Function App, no Service Bus, no state storage. See docs/break-glass.md.\n\n" + appStatuses + strings.Replace(directStatuses, "Exit status:", "\n\nExit status of --direct:", 1),
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
	return f.runDirect(cmd.Context(), verbose)
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
