package dr

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) // a Sunday

// aged is a good recovery point so many days old at noon, named after them.
func aged(days float64) RecoveryPoint {
	at := noon.Add(-time.Duration(days * 24 * float64(time.Hour)))
	return RecoveryPoint{ID: fmt.Sprint(days), State: Good, CreatedAt: at, ExpiresAt: at.Add(BackupLife)}
}

func agedBut(days float64, but func(*RecoveryPoint)) RecoveryPoint {
	p := aged(days)
	but(&p)
	return p
}

func gone(list []Decision) string {
	var ids []string
	for _, d := range list {
		if d.Goes {
			ids = append(ids, d.Point.ID)
		}
	}
	return strings.Join(ids, " ")
}

func TestRetentionKeepsWhatItSays(t *testing.T) {
	days := func(list ...float64) (points []RecoveryPoint) {
		for _, d := range list {
			points = append(points, aged(d))
		}
		return points
	}
	safety := func(p *RecoveryPoint) { p.Safety = true }
	unverified := func(p *RecoveryPoint) { p.State = Unverified }
	deleting := func(p *RecoveryPoint) { p.State = Deleting }
	retained := func(p *RecoveryPoint) { p.Retained = "immutable" }
	for name, row := range map[string]struct {
		policy Retention
		stock  Stock
		gone   string
	}{
		"the last, of whichever day":                 {Retention{Last: 2}, Stock{Points: days(1, 1.1, 1.2, 2)}, "1.2 2"},
		"the newest of each day":                     {Retention{Daily: 2}, Stock{Points: days(1, 1.1, 2, 2.1, 3)}, "1.1 2.1 3"},
		"days without a backup do not count":         {Retention{Daily: 2}, Stock{Points: days(1, 9, 20)}, "20"},
		"the newest of each week, which ends Sunday": {Retention{Weekly: 2}, Stock{Points: days(0, 1, 6, 7, 8, 14)}, "1 6 8 14"},
		"rules add up":                               {Retention{Last: 1, Weekly: 2}, Stock{Points: days(0, 1, 7, 8)}, "1 8"},
		"what has expired goes":                      {Retention{Last: 9}, Stock{Points: days(1, 30, 31)}, "30 31"},
		"without a policy only what has expired":     {Retention{}, Stock{Points: days(1, 2, 29.9, 30)}, "30"},
		"the newest good one stays, also expired":    {Retention{Last: 1}, Stock{Points: days(40, 41)}, "41"},
		"unverified ones stay until they expire, and count for nothing": {Retention{Last: 1},
			Stock{Points: []RecoveryPoint{agedBut(0, unverified), aged(1), agedBut(2, unverified), agedBut(31, unverified)}}, "31"},
		"so do safety backups":              {Retention{Last: 1}, Stock{Points: []RecoveryPoint{agedBut(0, safety), aged(1), agedBut(2, safety), agedBut(31, safety)}}, "31"},
		"a deletion that has begun goes on": {Retention{Last: 9}, Stock{Points: []RecoveryPoint{aged(1), agedBut(2, deleting)}}, "2"},
		"one on its way out is no newest":   {Retention{Last: 1}, Stock{Points: []RecoveryPoint{agedBut(1, deleting), aged(2)}}, "1"},
		"what storage retains is tried again when it has expired": {Retention{Last: 1},
			Stock{Points: []RecoveryPoint{aged(1), agedBut(2, retained), agedBut(31, retained)}}, "31"},
		"what is in use stays":    {Retention{Last: 1}, Stock{Points: days(1, 2, 31), InUse: map[string][]string{"2": {"op"}, "31": {"op"}}}, ""},
		"what is stood on stays":  {Retention{Last: 1}, Stock{Points: days(1, 2, 31), Stands: map[string]string{"31": "it was restored"}}, "2"},
		"nothing goes for a stop": {Retention{Last: 1}, Stock{Points: []RecoveryPoint{aged(1), aged(2), aged(31), agedBut(3, deleting)}, Stop: "held"}, ""},
	} {
		got := row.policy.Decide(row.stock, noon)
		if gone(got) != row.gone {
			t.Errorf("%s: %q goes, want %q (%+v)", name, gone(got), row.gone, got)
		}
		for _, d := range got {
			if len(d.Why) == 0 || slices.Contains(d.Why, "") {
				t.Errorf("%s: nothing says why of %s", name, d.Point.ID)
			}
		}
	}
}

func TestARetentionDecisionNamesItsRules(t *testing.T) {
	got := Retention{Last: 1, Daily: 1, Weekly: 1}.Decide(Stock{Points: []RecoveryPoint{aged(0)}}, noon)
	if want := "it is the newest good one, last 1, daily 2026-03-01, weekly 2026-W09"; strings.Join(got[0].Why, ", ") != want {
		t.Errorf("%q, want %q", got[0].Why, want)
	}
}

// Whatever is in the catalog: see Retention.Decide.
func TestRetentionNeverLetsGoWhatMustStay(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		policy := Retention{random.IntN(4), random.IntN(4), random.IntN(3)}
		s := Stock{Stands: map[string]string{}, InUse: map[string][]string{}}
		var newest *RecoveryPoint
		for i := range random.IntN(12) {
			p := aged(float64(random.IntN(40*24)) / 24)
			p.ID = fmt.Sprint(i)
			p.State = []PointState{Good, Good, Unverified, Deleting}[random.IntN(4)]
			p.Safety = random.IntN(6) == 0
			switch random.IntN(8) {
			case 0:
				s.Stands[p.ID] = "stands"
			case 1:
				s.InUse[p.ID] = []string{"op"}
			}
			s.Points = append(s.Points, p)
			if p.State == Good && !p.Safety && (newest == nil || p.CreatedAt.After(newest.CreatedAt)) {
				newest = &p
			}
		}
		kept := 0
		for i, d := range policy.Decide(s, noon) {
			id := d.Point.ID
			if id != s.Points[i].ID {
				t.Fatal("not in the order of the points")
			}
			if !d.Goes && d.Point.State == Good && !d.Point.Safety && d.Point.ExpiresAt.After(noon) {
				kept++
			}
			if d.Goes && (newest != nil && newest.ID == id || s.Stands[id] != "" || len(s.InUse[id]) > 0) {
				t.Fatalf("%+v goes, of %+v", d, s)
			}
		}
		live := 0
		for _, p := range s.Points {
			if p.State == Good && !p.Safety && p.ExpiresAt.After(noon) {
				live++
			}
		}
		if want := min(live, policy.Last); kept < want {
			t.Fatalf("%d are kept of %d that live, by %+v", kept, live, policy)
		}
	}
}
