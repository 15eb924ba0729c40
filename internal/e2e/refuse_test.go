package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/standin/arm"
	"apim-dr/internal/standin/devstack"
)

const month = 31 * 24 * time.Hour

// hang lets an instance answer nothing any more, until the test ends.
func hang(t *testing.T, f arm.Fault) {
	t.Helper()
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	f.Hold, f.Times = over, arm.Always
	stack.ARM.Inject(f)
}

func deleteBlob(t *testing.T, p dr.RecoveryPoint) {
	remove(t, stack.Backups, p.Storage.Container, p.ID)
}
func expire(t *testing.T, p dr.RecoveryPoint)      { age(t, p, month) }
func nothingElse(t *testing.T, _ dr.RecoveryPoint) {}

// What a check of the plan forbids is answered with 409 and the plan. The attempt is recorded as rejected, with one event, and the target stays as it is.
func TestWhatCannotWorkIsRefused(t *testing.T) {
	for service, tc := range map[string]struct {
		prepare     func(*testing.T, dr.RecoveryPoint)
		more        string // of the body
		check, code string // the first that fails
		says        []string
	}{
		"sku": {check: "sku", code: "SkuMismatch", says: []string{arm.SKUMismatch("Premium", "Developer").Message}},
		"expired": {
			prepare: expire, check: "expiry", code: "BackupExpired",
			says: []string{arm.BackupExpired().Message, " a backup can be restored for 30 days"},
		},
		"no-blob": {prepare: deleteBlob, check: "blob", code: "BackupBlobMissing", says: []string{"/apim-backups/", "is not there"}},
		"empty-blob": {
			prepare: func(t *testing.T, p dr.RecoveryPoint) {
				if _, err := stack.Backups.UploadBuffer(t.Context(), p.Storage.Container, p.ID, nil, nil); err != nil {
					t.Fatal(err)
				}
			},
			check: "blob", code: "BackupBlobMissing", says: []string{"is empty"},
		},
		"no-container": {
			prepare: func(t *testing.T, p dr.RecoveryPoint) {
				if _, err := stack.Backups.DeleteContainer(t.Context(), p.Storage.Container, nil); err != nil {
					t.Fatal(err)
				}
			},
			check: "container", code: "ContainerMissing", says: []string{"the container", "/contoso-own does not exist"},
		},
		"unknown-point": {
			more: `,"recoveryPoint":"20260101-backup-0123456789abcdef0123-s0-a1"`, check: "recoveryPoint", code: "RecoveryPointNotFound",
			says: []string{`unknown-point has no recovery point "20260101-backup-0123456789abcdef0123-s0-a1"`, "GET /api/recovery-points?service=unknown-point"},
		},
		"too-early": {
			more: `,"recoveryPoint":"2020-01-01T00:00:00Z"`, check: "recoveryPoint", code: "RecoveryPointNotFound",
			says: []string{"too-early has no good recovery point of 2020-01-01T00:00:00Z or before", "GET /api/recovery-points?service=too-early"},
		},
		"never-created": {check: "target", code: "TargetMissing", says: []string{
			"never-created-standby does not exist and is never created here",
			"az apim create --name never-created-standby --resource-group rg-never-created-standby --location eastus --sku-name Developer",
		}},
		"was-deleted": {check: "target", code: "TargetMissing", says: []string{
			"was-deleted-standby was deleted and can be brought back", "az rest --method put --url '" + devstack.ResourceID("was-deleted-standby") + "?api-version=",
			`"location":"eastus"`, `"restore":true`, `"sku":{"name":"Developer","capacity":1}`,
		}},
		// All findings together.
		"tier": {check: "tier", code: "SkuNotSupported", says: []string{
			"tier StandardV2 has no backup and restore", "2 workspaces", arm.SKUMismatch("StandardV2", "Developer").Message,
		}},
		"unwell": {check: "state", code: "TargetNotReady", says: []string{"unwell-standby is in state Failed"}},
		"hang-require": {
			prepare: func(t *testing.T, p dr.RecoveryPoint) { hang(t, arm.Fault{Service: p.Service}) },
			more:    `,"finalBackup":"require"`, check: "finalBackup", code: "FinalBackupImpossible",
			says: []string{"a final backup is required, but hang-require does not answer", `with finalBackup "never" the newest good recovery point is restored`},
		},
	} {
		t.Run(service, func(t *testing.T) {
			t.Parallel()
			if p := pointOf(t, service); tc.prepare != nil {
				tc.prepare(t, p)
			}
			p := ask[problem](t, "/api/failovers", failingOver(service, tc.more), http.StatusConflict)
			if f := p.Plan.found(tc.check); p.Title != "The plan does not pass its checks" || f.Result != dr.Fail || p.Instance != "/api/operations/"+p.Operation {
				t.Errorf("%+v", p)
			}
			op, e := ends(t, p.Operation, "rejected", tc.code)
			if op.Error.Source != "apim-dr" || op.Error.Message != p.Detail || op.Kind != "failover" || op.Service != standby(service) ||
				e.Data.Recovery.Source != service || e.Data.Reason != "test" {
				t.Errorf("%+v: %+v; the caller was told %q", op, op.Error, p.Detail)
			}
			for _, words := range tc.says {
				if !strings.Contains(op.Error.Message, words) {
					t.Errorf("%q does not say %q", op.Error.Message, words)
				}
			}
			untouched(t, standby(service))
			roles(t, service, service, false)
		})
	}
}

// An expired recovery point is refused to restores and drills just the same, and the service no longer counts as protected.
func TestAnExpiredRecoveryPointIsGoodForNothing(t *testing.T) {
	t.Parallel()
	const service = "old-point"
	age(t, pointOf(t, service), month)
	for route, body := range map[string]string{
		"/api/restores": `{"service":"old-point","confirm":"old-point"}`,
		"/api/drills":   `{"service":"old-point"}`,
	} {
		p := ask[problem](t, route, body, http.StatusConflict)
		op, _ := ends(t, p.Operation, "rejected", "BackupExpired")
		if !strings.HasPrefix(op.Error.Message, arm.BackupExpired().Message) {
			t.Errorf("%+v", op.Error)
		}
		untouched(t, op.Service)
	}
	if p := posture(t, service); p.Protected || len(p.Why) == 0 || p.Proven {
		t.Errorf("%+v", p)
	}
}

// A check that the caller overrides lets ARM speak: its words come through whole, and who let it pass is recorded.
func TestAnOverrideIsRecordedAndARMDecides(t *testing.T) {
	for service, tc := range map[string]struct {
		prepare func(*testing.T, dr.RecoveryPoint)
		check   string
		message string // ARM's, whole; %s is the recovery point
	}{
		"may-expired": {expire, "expiry", "Cannot restore: backup expired"},
		"may-sku":     {nothingElse, "sku", "Cannot restore: current SKU is 'Premium', backup SKU is 'Developer'"},
		"may-no-blob": {deleteBlob, "blob", "Cannot restore: backup '%s': Invalid parameter: The remote server returned an error: BlobNotFound\r\n" +
			"Parameter name: backupContainerName (value: [apim-backups])"},
	} {
		t.Run(service, func(t *testing.T) {
			t.Parallel()
			p := pointOf(t, service)
			tc.prepare(t, p)
			op, e := ends(t, begun(t, "/api/failovers", failingOver(service, `,"override":["`+tc.check+`"]`)).ID, "failed", "RestoreFailed")
			if op.Error.Source != "arm" || op.Error.Message != strings.Replace(tc.message, "%s", p.ID, 1) {
				t.Errorf("%+v", op.Error)
			}
			r := e.Data.Recovery
			if !slices.Equal(r.Overridden, []string{tc.check}) || e.Data.RequestedBy != "http" || e.Data.Reason != "test" || r.RTOSeconds != 0 || len(r.NextSteps) != 0 {
				t.Errorf("%+v %+v", e, r)
			}
			if f := op.Recovery.Plan.found(tc.check); f.Result != dr.Fail || !f.Overridden {
				t.Errorf("%+v", f)
			}
			if got := restores(standby(service)); len(got) != 1 || got[0].Error == nil || stack.ARM.Content(standby(service)) != content(standby(service)) {
				t.Errorf("%+v", got)
			}
			roles(t, service, service, false)
		})
	}
}

// What makes no sense, or is not confirmed, or is a dry run, leaves no record and no trace in ARM.
func TestNothingIsRecordedOf(t *testing.T) {
	t.Parallel()
	point := pointOf(t, "ask").ID
	before := recorded(t, "ask", "ask-standby", "lone")
	for name, tc := range map[string]struct {
		route, body string
		status      int
		says        string // title or detail; "" with the plan of a dry run
	}{
		"a failover's dry run":               {"failovers", failingOver("ask", `,"dryRun":true`), 200, ""},
		"a dry run that is not confirmed":    {"failovers", `{"primary":"ask","dryRun":true}`, 200, ""},
		"a restore's dry run":                {"restores", `{"service":"ask-standby","from":"ask","dryRun":true}`, 200, ""},
		"no confirm":                         {"failovers", `{"primary":"ask"}`, 409, `send the same with "confirm":"ask-standby"; nothing was begun`},
		"the wrong confirm":                  {"failovers", `{"primary":"ask","confirm":"ask"}`, 409, "Not confirmed"},
		"a restore without confirm":          {"restores", `{"service":"ask"}`, 409, `send the same with "confirm":"ask"`},
		"a restore, confirmed as its source": {"restores", `{"service":"ask-standby","from":"ask","confirm":"ask"}`, 409, `confirm names "ask", but ask-standby would be overwritten`},
		"source = target":                    {"failovers", `{"primary":"ask","target":"ask","confirm":"ask"}`, 400, "ask is the primary itself; accepted: ask-standby"},
		"source = target in capitals":        {"failovers", `{"primary":"ask","target":"ASK","confirm":"ask"}`, 400, "is the primary itself"},
		"no secondary":                       {"failovers", `{"primary":"lone","confirm":"lone"}`, 400, "lone has no secondaries in the fleet"},
		"another's secondary":                {"failovers", `{"primary":"ask","target":"sku-standby","confirm":"sku-standby"}`, 400, "forms no pair with ask; accepted: ask-standby"},
		"unknown primary":                    {"failovers", `{"primary":"contoso-asia","confirm":"ask"}`, 404, "contoso-asia"},
		"unknown service":                    {"restores", `{"service":"contoso-asia","confirm":"contoso-asia"}`, 404, "contoso-asia"},
		"no drill instance":                  {"drills", `{"service":"ask"}`, 400, "ask has no drillInstance in the fleet"},
		"a point of no shape":                {"restores", `{"service":"ask","confirm":"ask","recoveryPoint":"../locks/ask"}`, 400, "latest, the id of a recovery point, or a time"},
		"an override of nothing":             {"restores", `{"service":"ask","confirm":"ask","override":["roles"]}`, 400, "expiry"},
		"no such mode":                       {"failovers", failingOver("ask", `,"finalBackup":"perhaps"`), 400, "never, auto or require"},
		"a wait beyond notAfter":             {"failovers", failingOver("ask", `,"maxWait":"11h"`), 400, "within which a confirmed restore must begin"},
	} {
		got := ask[struct {
			problem
			DryRun bool
		}](t, "/api/"+tc.route, tc.body, tc.status)
		planned := tc.status == http.StatusOK || tc.status == http.StatusConflict
		if p := got.Plan; planned && (p == nil || p.RecoveryPoint == nil || p.RecoveryPoint.ID != point || len(p.Steps) < 2 || p.found("sku").Result != dr.Pass) {
			t.Errorf("%s: not the expected plan: %+v", name, p)
		}
		if got.DryRun != (tc.says == "") {
			t.Errorf("%s: %+v", name, got)
		}
		words := got.Title + " " + got.Detail
		for _, e := range got.Errors {
			words += " " + e.Detail
		}
		if !strings.Contains(words, tc.says) {
			t.Errorf("%s: %s", name, words)
		}
	}
	if after := recorded(t, "ask", "ask-standby", "lone"); after != before {
		t.Errorf("%d operations were recorded", after-before)
	}
	untouched(t, "ask")
	untouched(t, "ask-standby")
	untouched(t, "lone")
}
