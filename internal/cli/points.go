package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"apim-dr/internal/client"
)

func (o Options) addPoints(root *cobra.Command) {
	var preview bool
	points, _ := o.command(&cobra.Command{
		Use: "recovery-points NAME", Short: "List the backups of an instance that can be restored", Args: cobra.ExactArgs(1),
		Example: "  apim-dr recovery-points contoso-eu\n  apim-dr recovery-points contoso-eu --prune-preview",
	}, func(ctx context.Context, a *app, args []string) error {
		var got client.Points
		answer, err := a.show(ctx, client.ListRecoveryPoints(args[0], preview), &got)
		if err != nil {
			return err
		}
		a.document(answer.Body)
		if a.output == "json" {
			return nil
		}
		return a.points(got, preview)
	})
	points.Flags().BoolVar(&preview, "prune-preview", false, "tell of each whether it would be deleted now, and why")
	root.AddCommand(points)

	covered, _ := o.command(&cobra.Command{
		Use: "not-covered ID", Short: "What a restore of a recovery point leaves to be done by hand", Args: cobra.ExactArgs(1),
		Example: "  apim-dr not-covered 20260131-backup-3e23e8160039594a3389-s0-a1",
	}, func(ctx context.Context, a *app, args []string) error {
		var got client.NotCovered
		answer, err := a.show(ctx, client.GetNotCovered(args[0]), &got)
		if err != nil {
			return err
		}
		a.document(answer.Body)
		if a.output == "table" {
			fmt.Fprintf(a.Out, "%s of %s\n", clean(got.RecoveryPoint), clean(got.Service))
			list(a.Out, "Not brought by a restore", got.NotCovered)
		}
		return nil
	})
	root.AddCommand(covered)
}

func (a *app) points(got client.Points, preview bool) error {
	t := table(a.Out)
	head := "RECOVERY POINT\tSTATE\tCREATED\tAGE\tEXPIRES\tSIZE"
	if preview {
		head += "\tPRUNE\tWHY"
	}
	fmt.Fprintln(t, head)
	for _, p := range got.RecoveryPoints {
		state := string(p.State)
		if p.Safety {
			state += " (safety)"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s", oneLine(p.ID), state, utc(p.CreatedAt), lasting(a.Now().Sub(p.CreatedAt)), utc(p.ExpiresAt), size(p.Bytes))
		if preview && p.Prune != nil {
			fmt.Fprintf(t, "\t%s\t%s", map[bool]string{true: "goes", false: "stays"}[p.Prune.Goes], oneLine(strings.Join(p.Prune.Why, "; ")))
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}
