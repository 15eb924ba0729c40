package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"apim-dr/internal/dr"
)

func table(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) }

// rows prints names with their values, in two columns. What is empty is left out.
type rows struct{ *tabwriter.Writer }

func (r rows) add(name string, values ...string) {
	for _, v := range values {
		if v != "" {
			fmt.Fprintf(r, "%s\t%s\n", name, v)
			name = ""
		}
	}
}

// title says what is overwritten with what.
func title(p dr.Plan) string {
	with := "a recovery point"
	if p.Point != nil {
		with = fmt.Sprintf("recovery point %s of %s, %s old", p.Point.ID, utc(p.Point.CreatedAt), lasting(time.Duration(p.DataAge)))
	}
	switch {
	case p.Final.Use && p.Point != nil:
		with = fmt.Sprintf("a final backup of %s; the newest until then is %s", p.Source.Name, with)
	case p.Final.Use:
		with = "a final backup of " + p.Source.Name
	}
	what := fmt.Sprintf("%s of %s into %s", strings.ToUpper(string(p.Kind[:1]))+string(p.Kind[1:]), p.Source.Name, p.Target.Name)
	if strings.EqualFold(p.Source.Name, p.Target.Name) {
		what = "Restore of " + p.Target.Name
	}
	return what + ", which is OVERWRITTEN with " + with
}

func printPlan(w io.Writer, p dr.Plan) {
	fmt.Fprintf(w, "%s\n", clean(title(p)))
	list(w, "Steps", p.Steps)
	fmt.Fprintln(w, "\nChecks")
	t := table(w)
	for _, c := range p.Checks {
		for i, line := range strings.Split(clean(c.Detail), "\n") {
			grade, name := grade(c), c.Name
			if i > 0 {
				grade, name = "", ""
			}
			fmt.Fprintf(t, "  %s\t%s\t%s\n", grade, name, line)
		}
	}
	_ = t.Flush() // to a terminal or a pipe: nobody to tell
	list(w, "Not brought by a restore", p.NotCovered)
}

func grade(c dr.Finding) string {
	switch {
	case c.Overridden:
		return "overridden"
	case c.Result == dr.Fail:
		return "FAIL"
	}
	return string(c.Result)
}

func list(w io.Writer, head string, items []string) {
	if len(items) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", head)
	for i, item := range items {
		fmt.Fprintf(w, "  %d. %s\n", i+1, strings.ReplaceAll(clean(item), "\n", "\n     "))
	}
}

func printResult(w io.Writer, r dr.Result) {
	fmt.Fprintf(w, "\n%s: ", strings.ToUpper(string(r.Outcome)))
	switch r.Outcome {
	case dr.Succeeded:
		fmt.Fprintf(w, "%s holds recovery point %s.\n", r.Service, r.Recovery.RecoveryPoint)
	case dr.Rejected:
		fmt.Fprintf(w, "%s was not overwritten.\n", r.Service)
	case dr.Failed:
		fmt.Fprintf(w, "ARM did not restore %s; look at it before anything else is started there.\n", r.Service)
	default:
		fmt.Fprintf(w, "ARM cannot confirm the restore of %s; look at it before anything else is started there.\n", r.Service)
	}
	trouble(w, r)
	t := table(w)
	rec := r.Recovery
	if r.Outcome == dr.Succeeded {
		fmt.Fprintf(t, "  recovery time (RTO)\t%s, from the call to the verified end\n", lasting(seconds(rec.RTOSeconds)))
	}
	fmt.Fprintf(t, "  age of the data (RPO)\t%s at the call\n", lasting(seconds(rec.RPOSeconds)))
	for _, g := range rec.Gateways {
		answer := fmt.Sprintf("answers %d", g.Status)
		if g.Status == 0 {
			answer = "no answer from here: " + clean(g.Error)
		}
		fmt.Fprintf(t, "  gateway\t%s %s\n", clean(g.URL), answer)
	}
	if rec.FinalTold != "" {
		fmt.Fprintf(t, "  no final backup\t%s\n", clean(rec.FinalTold))
	}
	_ = t.Flush()
	notes(w, r)
	list(w, "Now", rec.NextSteps)
}

// printBackup tells how a backup ended; point is its recovery point.
func printBackup(w io.Writer, r dr.Result, point string) {
	fmt.Fprintf(w, "\n%s: ", strings.ToUpper(string(r.Outcome)))
	switch r.Outcome {
	case dr.Succeeded:
		fmt.Fprintf(w, "%s is backed up as %s, in %s from the call to the verified end.\n", r.Service, clean(point), lasting(r.EndedAt.Sub(r.CreatedAt)))
	case dr.Rejected:
		fmt.Fprintf(w, "no backup of %s was begun.\n", r.Service)
	case dr.Failed:
		fmt.Fprintf(w, "%s was not backed up.\n", r.Service)
	default:
		fmt.Fprintf(w, "ARM cannot confirm the backup of %s.\n", r.Service)
	}
	trouble(w, r)
	notes(w, r)
}

func trouble(w io.Writer, r dr.Result) {
	if r.Error != nil {
		fmt.Fprintf(w, "  %s\n", strings.ReplaceAll(clean(r.Error.String()), "\n", "\n  "))
	}
}

func notes(w io.Writer, r dr.Result) {
	for _, note := range r.Evidence {
		fmt.Fprintf(w, "  %s %s\n", utc(note.At), clean(note.Text))
	}
}
