// Command bench measures the product beside yardsticks, on the same machine in the same run: `make bench`. It prints a table of ratios, and writes them.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"
)

// row is one figure. Ratio is what the product took, or did, for each that the yardstick did; goal is what that may be at most, or at least.
type row struct {
	Name  string  `json:"name"`
	Ratio float64 `json:"ratio"`
	Goal  string  `json:"goal"`
	OK    bool    `json:"ok"`

	detail string  // both figures with their units
	part   float64 // of the goal: 1 meets it exactly, less is better
}

func atMost(name string, ratio, goal float64, format string, args ...any) row {
	part := ratio
	if goal > 0 {
		part /= goal
	}
	return row{name, ratio, fmt.Sprintf("≤ %g", goal), ratio <= goal, fmt.Sprintf(format, args...), part}
}

func atLeast(name string, ratio, goal float64, format string, args ...any) row {
	return row{name, ratio, fmt.Sprintf("≥ %g", goal), ratio >= goal, fmt.Sprintf(format, args...), goal / ratio}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

// rig is what the measurements share.
type rig struct {
	app string // the staged folder
	dir string // for what is built and written on the way
}

// measurements in the order of the table.
var measurements = []struct {
	name string
	do   func(context.Context, rig) ([]row, error)
}{
	{"reads", reads},
	{"requests", requests},
	{"start", start},
	{"polls", polls},
	{"memory", memory},
	{"history", history},
	{"through", through},
	{"fan-out", fanOut},
	{"recovery", recovery},
}

func main() {
	app := flag.String("app", "dist/app", "the staged folder")
	out := flag.String("out", "dist/bench.json", "where the figures go")
	doc := flag.Bool("doc", false, "write the table into docs/performance.md, and the picture beside it")
	only := flag.String("only", "", "a regular expression of the measurements to make; all of them without it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *app, *out, *only, *doc); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, app, out, only string, doc bool) error {
	chosen, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	if doc && only != "" {
		return errors.New("-doc replaces the whole table: run it without -only")
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if app, err = filepath.Abs(app); err != nil {
		return err
	}
	began := time.Now()
	var rows []row
	for _, m := range measurements {
		if !chosen.MatchString(m.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "%5.0fs  %s\n", time.Since(began).Seconds(), m.name)
		more, err := m.do(ctx, rig{app: app, dir: dir})
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		rows = append(rows, more...)
	}
	if len(rows) == 0 {
		return fmt.Errorf("-only %s: no measurement has such a name", only)
	}
	if err := table(os.Stdout, rows); err != nil {
		return err
	}
	b, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(out, append(b, '\n'), 0o644); err != nil || !doc {
		return err
	}
	return document("docs/performance.md", "docs/performance.svg", rows)
}

func table(w io.Writer, rows []row) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "RATIO\tGOAL\t\tWHAT\t")
	for _, r := range rows {
		mark := "ok"
		if !r.OK {
			mark = "MISSED"
		}
		fmt.Fprintf(t, "%.2f\t%s\t%s\t%s\t%s\n", r.Ratio, r.Goal, mark, r.Name, r.detail)
	}
	return t.Flush()
}
