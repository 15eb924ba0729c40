package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"apim-dr/internal/client"
)

func (o Options) addHold(root *cobra.Command) {
	var until string
	var lasts time.Duration
	hold, a := o.command(&cobra.Command{
		Use: "hold NAME", Short: "Keep scheduled work away from an instance, such as during a deployment", Args: cobra.ExactArgs(1),
		Long: "Until then no scheduled backup or drill of the instance and no warm sync of it or into it begins. What somebody asks for is not kept away. With --wait the\n" +
			"command stays until nothing is at work on the instance. `apim-dr release NAME` ends the hold early.",
		Example: "  apim-dr hold contoso-eu --for 2h --reason 'release 42' --wait",
	}, func(ctx context.Context, a *app, args []string) error {
		if (lasts > 0) == (until != "") {
			return errors.New("accepted: one of --for, such as 2h, and --until, such as " + utc(a.Now().Add(2*time.Hour)))
		}
		b := a.body()
		if b.Until = until; lasts > 0 {
			b.Until = utc(a.Now().Add(lasts))
		}
		return a.hold(ctx, args[0], b)
	})
	hold.Flags().DurationVar(&lasts, "for", 0, "how long, such as 2h; 30 days at most")
	hold.Flags().StringVar(&until, "until", "", "until when (RFC 3339)")
	a.why(hold)
	a.waits(hold, "nothing is at work on the instance")
	root.AddCommand(hold)

	release, a := o.command(&cobra.Command{
		Use: "release NAME", Short: "End the hold of an instance", Args: cobra.ExactArgs(1), Example: "  apim-dr release contoso-eu",
	}, func(ctx context.Context, a *app, args []string) error {
		var got client.Released
		answer, err := a.change(ctx, client.ReleaseService(args[0], a.body()), &got)
		if err != nil {
			return err
		}
		a.document(answer.Body)
		switch {
		case a.output == "json" && len(answer.Body) == 0:
			a.document([]byte("{}"))
		case a.output == "json":
		case got.Ended.Until.IsZero():
			fmt.Fprintf(a.Out, "There was no hold of %s.\n", args[0])
		default:
			fmt.Fprintf(a.Out, "Ended: %s\n", clean(got.Ended.String()))
		}
		return nil
	})
	a.why(release)
	root.AddCommand(release)

	var active string
	var suspended bool
	rearm, a := o.command(&cobra.Command{
		Use: "rearm NAME", Short: "Say which instance of a pair serves production", Args: cobra.ExactArgs(1),
		Long:    "Says which instance serves production. The other one becomes its standby: a warm one is OVERWRITTEN by the next good backup, unless --suspended leaves it alone.",
		Example: "  apim-dr rearm contoso-eu --active contoso-us --suspended --reason 'failed over by hand'",
	}, func(ctx context.Context, a *app, args []string) error {
		b := a.body()
		b.Active, b.Suspended = active, suspended
		var got client.Pairs
		answer, err := a.change(ctx, client.RearmService(args[0], b), &got)
		if err != nil {
			return err
		}
		a.document(answer.Body)
		for _, p := range got.Pairs {
			if a.output == "table" {
				fmt.Fprintf(a.Out, "%s: %s is the active instance%s\n", clean(p.Name), clean(p.Active), map[bool]string{true: "; the other one is left alone"}[p.Suspended])
			}
		}
		return nil
	})
	rearm.Flags().StringVar(&active, "active", "", "name of the instance that serves production")
	rearm.Flags().BoolVar(&suspended, "suspended", false, "leave the other one alone")
	a.why(rearm)
	root.AddCommand(rearm)
}

// hold sets a hold and, if that is wanted, waits until nobody works on the instance any more.
func (a *app) hold(ctx context.Context, name string, b client.Body) error {
	var held client.Holding
	answer, err := a.change(ctx, client.HoldService(name, b), &held)
	if err != nil {
		return err
	}
	a.document(answer.Body)
	if a.output == "table" {
		fmt.Fprintln(a.Out, clean(held.Held.String()))
		if !held.Replaced.Until.IsZero() {
			fmt.Fprintf(a.Out, "It replaces the hold until %s by %s: %s\n", utc(held.Replaced.Until), clean(held.Replaced.By), clean(held.Replaced.Reason))
		}
	}
	if !a.wait {
		return nil
	}
	return a.idle(ctx, held)
}

const busyAgain = 10 * time.Second

func (a *app) idle(ctx context.Context, held client.Holding) error {
	m := a.meter()
	defer m.end()
	began := a.Now()
	ticks := time.NewTicker(time.Second)
	defer ticks.Stop()
	for look := began; ; {
		now := a.Now()
		if !now.Before(held.Until) {
			m.end()
			return end(Refused, "%s is still busy, and the hold is over.", held.Service)
		}
		if !now.Before(look) {
			var busy client.Busy
			answer, err := a.client.Do(ctx, client.GetServiceBusy(held.Service), &busy)
			if err != nil && ctx.Err() == nil {
				m.end()
				return a.failed(err)
			}
			if err == nil && !busy.Busy {
				m.show(moment{key: "free", phase: "free", what: held.Service, since: began, now: a.Now(), done: true})
				return nil
			}
			look = a.Now().Add(max(busyAgain, answer.RetryAfter))
			what := held.Service + ": " + strings.Join(busy.Why, "; ")
			m.show(moment{key: cmp.Or(what, "busy"), phase: "busy", what: what, since: began, now: a.Now()})
		}
		select {
		case <-ticks.C:
		case <-ctx.Done():
			m.end()
			return end(Unknown, "Stopped. The hold of %s stays until %s. To end it: apim-dr release %[1]s", held.Service, utc(held.Until))
		}
	}
}
