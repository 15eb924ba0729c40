package e2e

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"apim-dr/internal/dr"
	"apim-dr/internal/standin/devstack"
)

// followed waits until a warm standby was given a recovery point.
func followed(t *testing.T, name, point string) event {
	t.Helper()
	var id string
	waitFor(t, name+" is given "+point, func() bool {
		for _, s := range stack.Bus.Sent("results") {
			var e event
			if json.Unmarshal(s.Body, &e) == nil && e.Data.Service == name && e.Data.Trigger == "backup" && e.Data.Recovery.RecoveryPoint == point {
				id = e.Data.Operation
			}
		}
		return id != ""
	})
	_, e := ends(t, id, "succeeded", "")
	return e
}

// backedUp takes a backup and returns its recovery point. What follows from it was created when it returns.
func backedUp(t *testing.T, service string) string {
	t.Helper()
	op, _ := told(t, startBackup(t, service).ID)
	if op.Outcome != "succeeded" {
		t.Fatalf("%+v", op)
	}
	return op.Legs[0].RecoveryPoint
}

// The standby follows the active instance. After a failover nothing follows, whoever is backed up, until the pair is re-armed; then the other one does.
func TestTheWarmStandbyFollowsTheActiveInstance(t *testing.T) {
	t.Parallel()
	const p, s = "warm", "warm-standby"
	first := pointOf(t, p).ID
	followed(t, s, first)
	overwritten(t, s, first, content(p))
	if got := posture(t, p); got.Pairs[0].Standby.ID != first || !got.Pairs[0].Warm || got.SurvivesPrimaryLoss.Survives != dr.Yes {
		t.Errorf("%+v", got)
	}

	ends(t, begun(t, "/api/failovers", failingOver(p, "")).ID, "succeeded", "")
	roles(t, p, s, true)
	before := len(restores(s))
	backedUp(t, p)
	second := backedUp(t, s)
	if n := recorded(t, p); len(restores(s)) != before || len(restores(p)) != 0 || n != 2 { // the sync and the failover
		t.Errorf("restores into the active instance: %d before, now %d; into the other: %d; %d operations", before, len(restores(s)), len(restores(p)), n)
	}

	ask[problem](t, "/api/services/warm/rearm", `{"active":"ask"}`, http.StatusBadRequest)
	ask[struct{}](t, "/api/services/warm/rearm", `{"active":"warm-standby"}`, http.StatusOK)
	roles(t, p, s, false)
	third := backedUp(t, s)
	followed(t, p, third)
	overwritten(t, p, third, content(p))
	if len(restores(s)) != before || third == second {
		t.Errorf("%+v", restores(s))
	}
}

// What an operator's script reads.
func TestStatusAndRecoveryPointsHaveTheirShapes(t *testing.T) {
	t.Parallel()
	const service = "nightly-a"
	older := pointOf(t, service)
	newer := backedUp(t, service)
	if got := points(t, service); len(got) != 2 || got[0].ID != newer || got[1].ID != older.ID {
		t.Fatalf("not the newest first: %+v", got)
	}
	p := points(t, service)[0]
	size, err := stack.Backups.ServiceClient().NewContainerClient(devstack.BackupContainer).NewBlobClient(p.ID).GetProperties(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := dr.RecoveryPoint{
		V: 1, ID: newer, State: dr.Good, Service: service, ResourceID: devstack.ResourceID(service), Operation: newer[:len(newer)-len("-s0-a1")], Plan: "nightly",
		CreatedAt: p.CreatedAt, EndedAt: p.EndedAt, ExpiresAt: p.CreatedAt.Add(30 * 24 * time.Hour),
		Storage: dr.Storage{Account: "contosodrbackups", Container: devstack.BackupContainer, Region: "northeurope"},
		Bytes:   *size.ContentLength, BlobETag: p.BlobETag, SKU: "Developer", Capacity: 1, Region: "West Europe",
	}
	if diff := cmp.Diff(want, p); diff != "" { // without settings, which are long
		t.Error(diff)
	}
	for query, want := range map[string]struct {
		status int
		says   string
	}{
		"?service=ask-standby":  {http.StatusOK, `{"recoveryPoints":[]}`},
		"?service=contoso-asia": {http.StatusNotFound, "contoso-asia"}, // a typo must not read as "no backups"
		"":                      {http.StatusBadRequest, `"field":"service"`},
	} {
		if resp, body := get(t, "/api/recovery-points"+query); resp.StatusCode != want.status || !strings.Contains(string(body), want.says) {
			t.Errorf("%s: %s %s", query, resp.Status, body)
		}
	}

	got := posture(t, service)
	if !got.Protected || len(got.Why) != 0 || got.NewestGood.ID != newer || got.RPOSeconds != 26*3600 || got.LastEnded.Outcome != dr.Succeeded {
		t.Errorf("%+v", got)
	}
	if got.Active != service || got.SurvivesPrimaryLoss.Survives != dr.Yes || len(got.Pairs) != 0 || got.Proven || got.Unproven != "no drill instance is configured" {
		t.Errorf("%+v", got)
	}
	var status struct {
		Stamp    []dr.Place
		Services []struct{ Service string }
	}
	if _, body := get(t, "/api/status"); json.Unmarshal(body, &status) != nil || len(status.Stamp) != 3 || status.Stamp[0].Region != "northeurope" {
		t.Errorf("%s", body)
	}
	for _, i := range fleet {
		if listed := slices.ContainsFunc(status.Services, func(s struct{ Service string }) bool { return s.Service == i.Name }); listed == i.Unlisted && i.Tags == nil { // tagged ones come and go
			t.Errorf("%s: listed %t", i.Name, listed)
		}
	}
}
