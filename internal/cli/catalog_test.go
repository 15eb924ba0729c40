package cli

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apim-dr/internal/config"
	"apim-dr/internal/dr"
	"apim-dr/internal/store"
)

func TestTheCatalogIsRebuiltFromTheBackups(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		out, err, status := r.run("catalog", "rebuild")
		if status != OK {
			t.Fatalf("status %d\n%s", status, err)
		}
		has(t, out, "STORAGE  CONTAINER                      RECOVERY POINTS  PAIRS  UNREADABLE\nnorth    contosodrbackups/apim-backups  2                0      0\n")
		if points, err := r.setup.Engine.Store.Points(t.Context(), "contoso-eu"); err != nil || len(points) != 2 {
			t.Errorf("%v, %v", points, err)
		}
	})
}

func TestWhatCannotBeReadForTheCatalogIsNamed(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.setup.Storages = append(r.setup.Storages, Storage{"west", dr.Storage{Account: "contosodrwest", Container: "apim-backups"}})
		blob := dr.NewID(dr.KindBackup, t0, "x") + "-s0-a1.apimdr.json"
		if _, err := r.vault.Backups(nightly).Create(t.Context(), blob, store.Content{Body: []byte("{")}); err != nil {
			t.Fatal(err)
		}
		out, err, status := r.run("catalog", "rebuild", "-o", "json")
		var got struct {
			Storages []struct {
				Name, Error    string
				RecoveryPoints int
				Unreadable     []string
			}
		}
		if e := json.Unmarshal([]byte(out), &got); e != nil || status != Usage || len(got.Storages) != 2 {
			t.Fatalf("status %d, %v\n%s", status, e, out)
		}
		if n, w := got.Storages[0], got.Storages[1]; n.RecoveryPoints != 2 || len(n.Unreadable) != 1 || n.Error != "" || w.Error == "" {
			t.Errorf("%+v", got)
		}
		has(t, err, "north: not read: "+blob, "west: the rest was not read", "Not everything could be read")
		for name, says := range map[string]string{"west": "west: the rest was not read", "north": "north: not read: " + blob} { // each alone is enough
			if _, err, status := r.run("catalog", "rebuild", "--storage", name); status != Usage || !strings.Contains(err, says) {
				t.Errorf("%s: status %d: %s", name, status, err)
			}
		}
		if _, err, status := r.run("catalog", "rebuild", "--storage", "south"); status != Usage || !strings.Contains(err, "accepted: north, west") {
			t.Errorf("status %d: %s", status, err)
		}
	})
}

func TestFlagsMakeAFleet(t *testing.T) {
	const id = "00000000-0000-0000-0000-0000000000c1"
	for access, want := range map[string]config.Storage{
		"systemAssigned":        {Access: config.SystemAssigned},
		"userAssigned:" + id:    {Access: config.UserAssigned, ClientID: id},
		"storageKey:BACKUP_KEY": {Access: config.StorageKey, KeyVariable: "BACKUP_KEY"},
	} {
		bubble(t, func(t *testing.T, r *rig) {
			args := []string{"failover", "--direct", "--primary-id", primaryID, "--target-id", targetID, "--storage", "contosodrbackups/apim-backups", "--access", access, "--dry-run"}
			if _, err, status := r.run(args...); status != OK { // the primary's name is in its id
				t.Fatal(err)
			}
			c, err := config.LoadDirect(r.environ, nil)
			if err != nil {
				t.Fatal(err)
			}
			want.Name, want.Account, want.Container = "backups", "contosodrbackups", "apim-backups"
			if diff := cmp.Diff(map[string]config.Storage{"backups": want}, c.Fleet.Storages); diff != "" {
				t.Error(diff)
			}
			if s := c.Fleet.Services; len(s) != 1 || s[0].ID != primaryID || len(s[0].Secondaries) != 1 || s[0].Secondaries[0].ID != targetID {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestTheFleetComesFromOnePlace(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		if _, err, status := r.failover("--dry-run", "--fleet", "/fleets/contoso.json"); status != OK {
			t.Fatal(err)
		}
		if fleets := slices.DeleteFunc(r.environ, func(l string) bool { return !strings.HasPrefix(l, "FLEET") }); !slices.Equal(fleets, []string{"FLEET_FILE=/fleets/contoso.json"}) {
			t.Errorf("%q", fleets)
		}
		if _, err, status := r.failover("--fleet", "x", "--access", "systemAssigned"); status != Usage || !strings.Contains(err, "one or the other") {
			t.Errorf("status %d: %s", status, err)
		}
		if _, err, status := r.failover("--access", "systemAssigned"); status != Usage || !strings.Contains(err, "needs all of") {
			t.Errorf("status %d: %s", status, err)
		}
	})
	f := fleetFlags{primaryID: primaryID}
	has(t, f.explain(errors.New("FLEET.services[0].id: wrong")).Error(), "wrong", "--primary-id is FLEET.services[0].id")
}
