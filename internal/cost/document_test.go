package cost

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what follows from the prices, the assumptions and the counts into docs/cost.md")

const document = "../../docs/cost.md"

var fleetSizes = []float64{1, 10, 100}

// Prices and assumptions are read from the document; all other figures in it follow from them and from the counts.
func TestTheDocumentsFiguresFollowFromItsPricesAndTheCounts(t *testing.T) {
	b, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	f := figures{values: map[string]float64{}, missing: func(name string) { t.Errorf("%s has neither a price nor an assumption %q", document, name) }}
	for _, heading := range []string{"Prices", "Assumptions"} {
		_, rows := table(t, text, heading)
		for _, r := range rows {
			v, err := strconv.ParseFloat(strings.ReplaceAll(r[1], ",", ""), 64)
			if _, twice := f.values[r[0]]; err != nil || twice {
				t.Errorf("%s: %q is no number, or stands there twice: %q", heading, r[0], r[1])
			}
			f.values[r[0]] = v
		}
	}
	want := text
	for heading, rows := range map[string][][]string{"API Management": f.instances(), "apim-dr itself": f.running(), "A month in numbers": f.amounts(), "What is counted": counted()} {
		old, _ := table(t, text, heading)
		want = strings.Replace(want, old, lines(rows), 1)
	}
	_, rest, _ := strings.Cut(want, "\n\n")
	_, rest, _ = strings.Cut(rest, "\n\n")
	head, _, _ := strings.Cut(want, "\n\n")
	want = head + "\n\n" + f.answer() + "\n\n" + rest
	if *update {
		if err := os.WriteFile(document, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(text, "\n")); diff != "" {
		t.Errorf("docs/cost.md has other figures than follow from its prices and the counts; -update writes these (-want +got):\n%s", diff)
	}
}

// table finds the first table below a heading: the text of its rows, and their cells.
func table(t *testing.T, text, heading string) (rows string, cells [][]string) {
	t.Helper()
	_, rest, found := strings.Cut(text, "\n## "+heading+"\n")
	_, rest, ruled := strings.Cut(rest, "|\n|---")
	_, rest, _ = strings.Cut(rest, "\n")
	rows, _, _ = strings.Cut(rest, "\n\n")
	if rows = strings.TrimSuffix(rows, "\n"); !found || !ruled || rows == "" {
		t.Fatalf("%s has no table below %q", document, heading)
	}
	for line := range strings.SplitSeq(rows, "\n") {
		row := strings.Split(strings.Trim(line, "|"), "|")
		for i := range row {
			row[i] = strings.TrimSpace(row[i])
		}
		cells = append(cells, row)
	}
	return rows, cells
}

func lines(rows [][]string) string {
	var all []string
	for _, r := range rows {
		all = append(all, "| "+strings.Join(r, " | ")+" |")
	}
	return strings.Join(all, "\n")
}

func (f figures) answer() string {
	items := f.bill(cold)
	return fmt.Sprintf("**apim-dr itself costs about $%s a month for one service, $%s for ten and $%s for a hundred; each standby that waits for a failover is a second API Management "+
		"instance of the same tier, $%s a month for one unit of Standard, and outweighs all of that.**", number(total(items, 1)), number(total(items, 10)), number(total(items, 100)), number(f.of("API Management Standard")))
}

// instances are the rows of what API Management itself costs, by tier.
func (f figures) instances() (rows [][]string) {
	for _, tier := range []string{"Developer", "Basic", "Standard", "Premium"} {
		price := f.of("API Management " + tier)
		row := []string{tier, "0"}
		for _, n := range fleetSizes {
			row = append(row, usd(n*price))
		}
		rows = append(rows, append(row, usd(price)))
	}
	return rows
}

// running are the rows of what apim-dr itself costs.
func (f figures) running() (rows [][]string) {
	row := func(name string, cost func(n float64) float64) {
		cells := []string{name}
		for _, n := range fleetSizes {
			cells = append(cells, usd(cost(n)))
		}
		rows = append(rows, cells)
	}
	items := f.bill(cold)
	for _, i := range items {
		row(i.name, i.cost)
	}
	row("**together**", func(n float64) float64 { return total(items, n) })
	row("warm standbys: more by", func(n float64) float64 { return total(f.bill(warm), n) - total(items, n) })
	row("`network=private`: more by", func(float64) float64 { return f.private() })
	week := f
	week.values = maps.Clone(f.values)
	week.values["days kept"] -= 30 - 7
	row("`retention` that keeps a week: less by", func(n float64) float64 { return total(items, n) - total(week.bill(cold), n) })
	return rows
}

// amounts are the rows of what is billed in a month.
func (f figures) amounts() (rows [][]string) {
	for _, r := range []struct {
		name string
		of   func(n float64, a amounts) float64
	}{
		{"executions", func(_ float64, a amounts) float64 { return a.sum("execution") }},
		{"bus operations", func(_ float64, a amounts) float64 { return a.sum("bus") + f.of("empty receives") }},
		{"requests to Resource Manager", func(_ float64, a amounts) float64 { return a.sum("arm") }},
		{"blob transactions", func(n float64, a amounts) float64 {
			return a.sum("state", "backups") - a.sum("state delete", "backups delete") + f.written(n) + f.of("leases of the host")
		}},
		{"of these, reads", func(_ float64, a amounts) float64 { return a.sum("state read", "backups read") }},
		{"MB of logs", func(n float64, a amounts) float64 { return f.logged(n, a) * 1000 }},
	} {
		cells := []string{r.name}
		for _, n := range fleetSizes {
			cells = append(cells, number(r.of(n, f.month(n, cold))))
		}
		rows = append(rows, cells)
	}
	return rows
}

// counted are the rows of the counts, as formulas.
func counted() (rows [][]string) {
	for _, r := range []struct {
		name string
		c    counts
	}{
		{"a night: timer and tick", perNight},
		{"a backup, without polls", perBackup},
		{"a poll", perPoll},
		{"a backup whose service has a secondary: more by", perStandby},
		{"a warm sync, without polls", perSync},
		{"a night of drills: timer and tick", perDrills},
		{"a drill, without polls", perDrill},
		{"a pruning that deletes nothing", perPruning},
		{"for each service", perPruned},
		{"for each recovery point but one", perPoint},
		{"a subscriber, for each result", perSubscriber},
		{"a pass of the watchdog", perPass},
		{"for each schedule: of a plan, the drills, the pruning", passPlan},
		{"for each service", passService},
		{"for each secondary", passSecondary},
		{"for each drill instance of a service", passDrill},
		{"for each service that is not protected", passUnguarded},
	} {
		c := func(kinds ...string) string {
			n := 0
			for _, k := range kinds {
				n += r.c.sum(k)
			}
			return strconv.Itoa(n)
		}
		rows = append(rows, []string{r.name, c("execution"), c("bus"), c("arm"), c("state write", "backups write"), c("state list", "backups list"), c("state read", "backups read"), c("state other", "backups other"), c("log")})
	}
	return rows
}
