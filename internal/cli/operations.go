package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"apim-dr/internal/client"
	"apim-dr/internal/dr"
)

func (o Options) addOperations(root *cobra.Command) {
	var inFlight bool
	var day string
	cmd, a := o.command(&cobra.Command{
		Use: "operations [ID]", Short: "List the operations of a day or those in flight, or show one", Args: cobra.MaximumNArgs(1),
		Example: "  apim-dr operations --in-flight\n  apim-dr operations --day 2026-01-31\n  apim-dr operations 20260131-failover-3d41d1d43a2f1d9142fe --wait",
	}, func(ctx context.Context, a *app, args []string) error {
		switch {
		case len(args) == 1 && (inFlight || day != ""):
			return errors.New("an id together with --in-flight or --day; accepted: one or the other")
		case len(args) == 1:
			return a.operation(ctx, args[0])
		case a.wait:
			return errors.New("--wait needs the id of an operation")
		case inFlight && day != "":
			return errors.New("--in-flight together with --day; accepted: one or the other")
		}
		return a.operations(ctx, inFlight, day)
	})
	cmd.Flags().BoolVar(&inFlight, "in-flight", false, "those in flight")
	cmd.Flags().StringVar(&day, "day", "", "of which day (2026-01-31, UTC); without it today")
	a.waits(cmd, "that operation has ended")
	root.AddCommand(cmd)

	abandon, a := o.command(&cobra.Command{
		Use: "abandon ID", Short: "Give an operation up: its lock is free, and ARM may still be at work", Args: cobra.ExactArgs(1),
		Example: "  apim-dr operations abandon 20260131-drill-3d41d1d43a2f1d9142fe --reason 'the instance was deleted'",
	}, func(ctx context.Context, a *app, args []string) error {
		var op client.Operation
		answer, err := a.change(ctx, client.AbandonOperation(args[0], a.body()), &op)
		if err != nil {
			return err
		}
		a.document(answer.Body)
		if a.output == "table" {
			printEnd(a.Out, op)
		}
		return nil
	})
	a.why(abandon)
	cmd.AddCommand(abandon)
}

func (a *app) operation(ctx context.Context, id string) error {
	var op client.Operation
	answer, err := a.show(ctx, client.GetOperation(id), &op)
	switch {
	case err != nil:
		return err
	case a.wait:
		return a.follow(ctx, op, answer)
	}
	a.document(answer.Body)
	if a.output == "table" {
		a.print(op, a.Now().Add(a.ahead(answer)))
	}
	return nil
}

func (a *app) print(op client.Operation, now time.Time) {
	t := rows{table(a.Out)}
	t.add("operation", oneLine(op.ID))
	t.add("what", fmt.Sprintf("%s of %s", op.Kind, oneLine(op.Service)))
	t.add("begun by", string(op.Trigger))
	t.add("requested by", oneLine(op.RequestedBy))
	t.add("reason", oneLine(op.Reason))
	t.add("ticket", oneLine(op.Ticket))
	t.add("created", utc(op.CreatedAt))
	t.add("phase", string(op.Phase))
	t.add("waits", oneLine(op.Waiting))
	if op.Phase != dr.Done {
		t.add("at work", atWork(op.CreatedAt, op.StartedAt, seconds(op.UsualSeconds), now))
	} else {
		t.add("ended", utc(op.EndedAt))
	}
	_ = t.Flush() // to a terminal or a pipe: nobody to tell
	if op.Phase == dr.Done {
		printEnd(a.Out, op)
	}
}

// printEnd tells how an operation ended.
func printEnd(w io.Writer, op client.Operation) {
	r := dr.Result{Kind: op.Kind, Service: clean(op.Service), Outcome: op.Outcome, Error: op.Error, Evidence: op.Evidence, Recovery: op.Recovery, CreatedAt: op.CreatedAt, EndedAt: op.EndedAt}
	if r.Recovery == nil {
		printBackup(w, r, op.AtWork().RecoveryPoint)
		return
	}
	printResult(w, r)
}

func (a *app) operations(ctx context.Context, inFlight bool, day string) error {
	all, raw, err := a.every(ctx, inFlight, day)
	if err != nil {
		return err
	}
	if a.output == "json" {
		body, err := json.Marshal(raw)
		a.document(body)
		return err
	}
	t := table(a.Out)
	fmt.Fprintln(t, "CREATED\tOPERATION\tKIND\tSERVICE\tPHASE\tOUTCOME\tTOOK")
	for _, op := range all.Operations {
		took := "-"
		if !op.EndedAt.IsZero() {
			took = lasting(op.EndedAt.Sub(op.CreatedAt))
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", utc(op.CreatedAt), oneLine(op.ID), op.Kind, oneLine(op.Service), op.Phase, cmp.Or(string(op.Outcome), "-"), took)
	}
	if all.NotShown > 0 {
		fmt.Fprintf(a.Err, "%d more are in flight.\n", all.NotShown)
	}
	return t.Flush()
}

// every is the whole list, the newest first, decoded and as it came.
func (a *app) every(ctx context.Context, inFlight bool, day string) (all client.Operations, raw map[string]any, err error) {
	var whole []json.RawMessage
	call := client.ListDay(day, "")
	if inFlight {
		call = client.ListInFlight()
	}
	for {
		var page client.Operations
		answer, err := a.show(ctx, call, &page)
		if err != nil {
			return all, nil, err
		}
		var bodies struct{ Operations []json.RawMessage }
		if err := json.Unmarshal(answer.Body, &bodies); err != nil {
			return all, nil, err
		}
		all.Operations, whole = append(all.Operations, page.Operations...), append(whole, bodies.Operations...)
		all.NotShown = page.NotShown
		next, err := url.Parse(page.NextLink)
		if err != nil || page.NextLink == "" {
			break
		}
		call = client.ListDay(next.Query().Get("day"), next.Query().Get("after"))
	}
	order := make([]int, len(all.Operations))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return all.Operations[j].CreatedAt.Compare(all.Operations[i].CreatedAt) })
	ops, docs := make([]client.Operation, len(order)), make([]json.RawMessage, len(order))
	for i, from := range order {
		ops[i], docs[i] = all.Operations[from], whole[from]
	}
	all.Operations = ops
	raw = map[string]any{"operations": docs}
	if all.NotShown > 0 {
		raw["notShown"] = all.NotShown
	}
	return all, raw, nil
}
