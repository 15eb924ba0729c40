package dr

import (
	"testing"
	"time"
)

func TestChangesThatCount(t *testing.T) {
	for what, want := range map[string]bool{
		"Microsoft.ApiManagement.APIUpdated":                                      true,
		"Microsoft.ApiManagement/service/policies/write":                          true,
		"Microsoft.ApiManagement/service/apis/delete":                             true,
		"Microsoft.ApiManagement/service/applynetworkconfigurationupdates/action": true,
		"Microsoft.ApiManagement/service/backup/action":                           false,
		"MICROSOFT.APIMANAGEMENT/SERVICE/RESTORE/ACTION":                          false,
		"Microsoft.ApiManagement/service/namedValues/listValue/action":            false,
		"Microsoft.ApiManagement/service/getssotoken/action":                      false,
		"Microsoft.ApiManagement/service/users/token/action":                      false,
		"Microsoft.ApiManagement/service/users/generateSsoUrl/action":             false,
		"Microsoft.ApiManagement/service/gateways/generateToken/action":           false,
		"Microsoft.ApiManagement/service/performConnectivityCheck/action":         false,
		"Microsoft.ApiManagement/service/tenant/regeneratePrimaryKey/action":      true,
		"Microsoft.ApiManagement/service/portalRevisions/write":                   true,
	} {
		if got := (Change{What: what}).Counts(); got != want {
			t.Errorf("%s counts: %v", what, got)
		}
	}
}

func TestABackupIsDueWhenItIsQuietAndAtTheLatestAnHourAfterTheFirst(t *testing.T) {
	const quiet, longest = 10 * time.Minute, time.Hour
	minutes := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }
	var p Pending
	for _, n := range []int{0, 5} {
		p = p.With(Change{At: minutes(n), What: "w"}, minutes(n))
	}
	if due := p.Due(quiet, longest); !due.Equal(minutes(15)) {
		t.Errorf("due at %s", due)
	}
	for n := 10; n < 60; n += 5 {
		p = p.With(Change{At: minutes(n)}, minutes(n))
	}
	if due := p.Due(quiet, longest); !due.Equal(minutes(60)) || p.Events != 12 {
		t.Errorf("due at %s after %d", due, p.Events)
	}
}

func TestAChangeIsDatedByItsReporterButNotInTheFuture(t *testing.T) {
	p := Pending{}.With(Change{At: noon.Add(-time.Hour)}, noon).With(Change{At: noon.Add(time.Hour)}, noon.Add(time.Minute)).With(Change{At: noon.Add(-2 * time.Hour)}, noon.Add(2*time.Minute)).With(Change{}, noon.Add(3*time.Minute))
	if !p.From.Equal(noon.Add(-2*time.Hour)) || !p.To.Equal(noon.Add(3*time.Minute)) || !p.FirstAt.Equal(noon) || !p.LastAt.Equal(noon.Add(3*time.Minute)) {
		t.Errorf("%+v", p)
	}
	for name, row := range map[string]struct {
		from, to time.Duration
		want     bool
	}{"before": {-4, -3, false}, "at its beginning": {-4, -2, true}, "after": {1, 2, false}, "around": {-5, 5, true}} {
		if got := p.Within(noon.Add(row.from*time.Hour), noon.Add(row.to*time.Hour)); got != row.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if (Pending{From: noon, To: noon}).Within(noon, noon) {
		t.Error("nothing is within")
	}
}

func TestWhatIsLeftOfChangesWhenABackupIsCreated(t *testing.T) {
	at := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }
	seen := Pending{V: 1, Service: "a", Restoring: "r", Meanwhile: 2}.With(Change{At: at(0)}, at(0))
	later := seen.With(Change{At: at(1)}, at(1))
	rest := Pending{V: 1, Service: "a", Restoring: "r", Meanwhile: 2}
	moved := later
	moved.FirstAt = at(1)
	for name, row := range map[string]struct {
		now, want Pending
		created   time.Time
	}{
		"all of it is in the backup":        {seen, rest, at(10)},
		"what came meanwhile needs another": {later, moved, at(10)},
		"nor is in one created before":      {seen.With(Change{At: at(0)}, at(0)), Pending{}, at(-1)},
		"another took it already":           {moved, moved, at(10)},
	} {
		got := row.now.Taken(seen, row.created)
		if row.want == (Pending{}) {
			row.want = row.now
		}
		if got != row.want {
			t.Errorf("%s: %+v, want %+v", name, got, row.want)
		}
	}
	if got := later.Covered(at(2)); got != later { // clocks differ
		t.Errorf("%+v", got)
	}
	if got := later.Covered(at(4)); got != rest {
		t.Errorf("%+v", got)
	}
	if !(Pending{V: 1, Service: "a"}).Empty() || rest.Empty() || seen.Empty() {
		t.Error("empty")
	}
}
