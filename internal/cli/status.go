package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"apim-dr/internal/client"
	"apim-dr/internal/dr"
)

func (o Options) addStatus(root *cobra.Command) {
	cmd, _ := o.command(&cobra.Command{
		Use: "status [NAME]", Short: "Is everything protected, what is in flight, or all about one service", Args: cobra.MaximumNArgs(1),
		Example: "  apim-dr status\n  apim-dr status contoso-eu",
	}, func(ctx context.Context, a *app, args []string) error {
		var s client.Status
		answer, err := a.show(ctx, client.GetStatus(), &s)
		if err != nil {
			return err
		}
		if len(args) == 0 {
			a.document(answer.Body)
			if a.output == "table" {
				return a.fleet(s)
			}
			return nil
		}
		return a.service(s, answer.Body, args[0])
	})
	root.AddCommand(cmd)
}

func (a *app) fleet(s client.Status) error {
	t := table(a.Out)
	fmt.Fprintf(t, "SERVICE\tACTIVE\t%s\tNEWEST GOOD\tRPO\t%s\tLAST DRILL\tSURVIVES\n", a.paint("PROTECTED", plain), a.paint("LAST OUTCOME", plain))
	for _, p := range s.Services {
		newest := "none"
		if p.NewestGood.ID != "" {
			newest = lasting(seconds(p.AgeSeconds))
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", oneLine(p.Service), oneLine(p.Active), a.protected(p), newest, lasting(seconds(p.RPOSeconds)),
			a.ended(p.LastEnded, s.At), a.lastDrill(p, s.At), p.SurvivesPrimaryLoss.Survives)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, p := range s.Services {
		for i, why := range p.Why {
			if i == 0 {
				fmt.Fprintf(a.Out, "\n%s is not protected:\n", oneLine(p.Service))
			}
			fmt.Fprintf(a.Out, "  %s\n", oneLine(why))
		}
	}
	if s.Discovery != nil {
		for i, f := range s.Discovery.Faults {
			if i == 0 {
				fmt.Fprint(a.Out, "\nThe look for tagged services met:\n")
			}
			fmt.Fprintf(a.Out, "  %s: %s\n", oneLine(f.About), oneLine(f.Why))
		}
	}
	return a.inFlight(s.InFlight, s.NotShown, s.At)
}

func (a *app) protected(p dr.Posture) string {
	if p.Protected {
		return a.paint("yes", green)
	}
	return a.paint("NO", red)
}

func (a *app) ended(e dr.LastEnded, now time.Time) string {
	if e.Operation == "" {
		return a.paint("none", plain)
	}
	colour := map[dr.Outcome]string{dr.Succeeded: plain, dr.Failed: red}[e.Outcome]
	if colour == "" {
		colour = yellow
	}
	return a.paint(fmt.Sprintf("%s %s ago", e.Outcome, lasting(now.Sub(e.EndedAt))), colour)
}

func (a *app) lastDrill(p dr.Posture, now time.Time) string {
	if len(p.Drills) == 0 {
		return "none"
	}
	last := p.Drills[len(p.Drills)-1]
	text := fmt.Sprintf("%s %s ago", last.Outcome, lasting(now.Sub(last.EndedAt)))
	if last.RecoverySeconds > 0 {
		text += ", took " + lasting(seconds(last.RecoverySeconds))
	}
	return text
}

func (a *app) inFlight(ops []client.UnderWay, notShown int, now time.Time) error {
	if len(ops) == 0 {
		return nil
	}
	fmt.Fprint(a.Out, "\nIn flight\n")
	t := table(a.Out)
	for _, op := range ops {
		took := atWork(op.CreatedAt, op.StartedAt, seconds(op.UsualSeconds), now)
		fmt.Fprintf(t, "  %s\t%s of %s\t%s\t%s\t%s\n", oneLine(op.ID), op.Kind, oneLine(op.Service), op.Phase, took, oneLine(op.Waiting))
	}
	if notShown > 0 {
		fmt.Fprintf(t, "  and %d more\n", notShown)
	}
	return t.Flush()
}

// atWork is how long an operation has waited or, if it has started, how long ARM is at work, and what is usual (zero: not known).
func atWork(created, started time.Time, usual time.Duration, now time.Time) string {
	if started.IsZero() {
		return lasting(now.Sub(created))
	}
	took := now.Sub(started)
	switch {
	case usual == 0:
		return lasting(took)
	case took > usual:
		return lasting(took) + ", usually " + lasting(usual)
	}
	return lasting(took) + " of about " + lasting(usual)
}

// service shows one service.
func (a *app) service(s client.Status, body []byte, name string) error {
	var names []string
	for i, p := range s.Services {
		if strings.EqualFold(p.Service, name) {
			if a.output == "json" {
				return a.member(body, "services", i)
			}
			return a.posture(p, s)
		}
		names = append(names, clean(p.Service))
	}
	return fmt.Errorf("%q is no service of the fleet; it has %s", name, join(names))
}

// member prints one element of a list in an answer, as it came.
func (a *app) member(body json.RawMessage, list string, i int) error {
	var answer map[string]json.RawMessage
	var all []json.RawMessage
	if err := json.Unmarshal(body, &answer); err != nil {
		return err
	}
	if err := json.Unmarshal(answer[list], &all); err != nil {
		return err
	}
	a.document(all[i])
	return nil
}

func (a *app) posture(p dr.Posture, s client.Status) error {
	t := rows{table(a.Out)}
	t.add("service", oneLine(p.Service))
	t.add("active instance", oneLine(p.Active))
	t.add("protected", a.protected(p))
	t.add("", lines(p.Why)...)
	if p.NewestGood.ID != "" {
		t.add("newest good", fmt.Sprintf("%s of %s, %s old; the RPO is %s", oneLine(p.NewestGood.ID), utc(p.NewestGood.CreatedAt), lasting(seconds(p.AgeSeconds)), lasting(seconds(p.RPOSeconds))))
		t.add("expires", fmt.Sprintf("%s, in %s", utc(p.ExpiresAt), lasting(p.ExpiresAt.Sub(s.At))))
	}
	t.add("last outcome", a.ended(p.LastEnded, s.At))
	t.add("backups", days(p.Days))
	if u := p.Usual; u.BackupSeconds > 0 {
		t.add("a backup takes", "about "+lasting(seconds(u.BackupSeconds)))
	}
	if u := p.Usual; u.RestoreSeconds > 0 {
		t.add("a restore takes", "about "+lasting(seconds(u.RestoreSeconds)))
	}
	t.add("last drill", a.lastDrill(p, s.At))
	if !p.Proven {
		t.add("not proven", oneLine(p.Unproven))
	}
	t.add("survives its region", string(p.SurvivesPrimaryLoss.Survives))
	t.add("", lines(p.SurvivesPrimaryLoss.Reasons)...)
	for _, pair := range p.Pairs {
		t.add("pair", standby(pair))
	}
	for _, h := range p.Holds {
		t.add("hold", oneLine(h.String()))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	list(a.Out, "Not brought by a restore", p.NotCovered)
	var ours []client.UnderWay
	for _, op := range s.InFlight {
		if strings.EqualFold(op.Service, p.Service) || strings.EqualFold(op.Service, p.Active) {
			ours = append(ours, op)
		}
	}
	return a.inFlight(ours, 0, s.At)
}

func standby(p dr.PairView) string {
	how := map[bool]string{true: "warm", false: "cold"}[p.Warm]
	if p.Suspended && p.Warm {
		how = "warm, suspended"
	}
	text := fmt.Sprintf("%s: %s is active, the standby is %s", oneLine(p.Name), oneLine(p.Active), how)
	if p.BusyBy != "" {
		text += "; at work: " + oneLine(p.BusyBy)
	}
	return text
}

// days are the last days with a backup, the oldest first.
func days(list []dr.BackupDay) string {
	good, bad := 0, 0
	last := ""
	for _, d := range list {
		if d.Good {
			good++
		}
		if d.Bad {
			bad++
			last = d.Date
		}
	}
	text := fmt.Sprintf("good on %d days of the last 30", good)
	if bad > 0 {
		text += fmt.Sprintf(", bad on %d, last on %s", bad, oneLine(last))
	}
	return text
}
