package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"apim-dr/internal/client"
)

func (o Options) addBackup(root *cobra.Command) {
	cmd, a := o.command(&cobra.Command{
		Use: "backup NAME", Short: "Back an instance up", Args: cobra.ExactArgs(1),
		Example: "  apim-dr backup contoso-eu --reason 'before a change' --wait",
	}, func(ctx context.Context, a *app, args []string) error {
		b := a.body()
		b.Service = args[0]
		return a.begin(ctx, client.StartBackup(b))
	})
	a.why(cmd)
	a.waits(cmd, "it has ended")
	root.AddCommand(cmd)
}

// begin starts an operation, and follows it if that is wanted.
func (a *app) begin(ctx context.Context, call client.Call) error {
	var op client.Operation
	answer, err := a.change(ctx, call, &op)
	if err != nil {
		return err
	}
	if a.wait {
		return a.follow(ctx, op, answer)
	}
	a.document(answer.Body)
	if a.output == "table" {
		fmt.Fprintf(a.Out, "%s\n", clean(op.ID))
		fmt.Fprintf(a.Err, "%s of %s was accepted. To follow it: apim-dr operations %s --wait\n", op.Kind, clean(op.Service), clean(op.ID))
	}
	return nil
}
