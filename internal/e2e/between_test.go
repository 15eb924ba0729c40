package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"apim-dr/internal/dr"
	"apim-dr/internal/standin/arm"
	"apim-dr/internal/standin/devstack"
)

// The side that is left answers nothing any more: a failover goes on without it, unless its last backup is required (see TestWhatCannotWorkIsRefused).
func TestAHangingPrimaryHoldsNothingUp(t *testing.T) {
	for service, tc := range map[string]struct {
		fault arm.Fault // that hangs
		more  string
		note  string // why there is no final backup
	}{
		"hang-never":      {arm.Fault{}, "", ""},
		"hang-auto":       {arm.Fault{}, `,"finalBackup":"auto"`, "no final backup is taken: hang-auto does not answer"},
		"hang-auto-later": {arm.Fault{Verb: arm.Backup}, `,"finalBackup":"auto","maxWait":"2s"`, "not done within 2s"}, // it answered the plan
	} {
		t.Run(service, func(t *testing.T) {
			t.Parallel()
			point := pointOf(t, service)
			tc.fault.Service = service
			hang(t, tc.fault)
			op, e := ends(t, begun(t, "/api/failovers", failingOver(service, tc.more)).ID, "succeeded", "")
			overwritten(t, standby(service), point.ID, content(service))
			roles(t, service, standby(service), true)
			if r := e.Data.Recovery; !strings.HasPrefix(r.FinalBackupNote, tc.note) || (r.FinalBackupNote == "") != (tc.note == "") || r.RecoveryPoint != point.ID {
				t.Errorf("%+v", r)
			}
			if began := op.Recovery.FinalBackupOperation != ""; began != (tc.fault.Verb == arm.Backup) {
				t.Errorf("final backup %q", op.Recovery.FinalBackupOperation)
			}
		})
	}
}

// A primary that answers is backed up once more, and that is what its standby gets.
func TestAFailoverRestoresTheFinalBackup(t *testing.T) {
	t.Parallel()
	before := pointOf(t, "final-auto")
	op, e := ends(t, begun(t, "/api/failovers", failingOver("final-auto", `,"finalBackup":"auto"`)).ID, "succeeded", "")
	final, _ := told(t, op.Recovery.FinalBackupOperation)
	point := final.Legs[0].RecoveryPoint
	if final.Outcome != "succeeded" || final.Service != "final-auto" || final.Trigger != "failover" || point == before.ID || e.Data.Recovery.FinalBackupNote != "" {
		t.Errorf("%+v %+v", final, e)
	}
	overwritten(t, "final-auto-standby", point, content("final-auto"))
}

func TestWithoutTheRequiredFinalBackupNothingIsRestored(t *testing.T) {
	t.Parallel()
	pointOf(t, "final-bad")
	stack.ARM.FailNext("final-bad", arm.Backup, &arm.Error{Status: 400, Code: "BackupFailed", Message: "Cannot backup: no space"})
	op, _ := ends(t, begun(t, "/api/failovers", failingOver("final-bad", `,"finalBackup":"require"`)).ID, "rejected", "FinalBackupNotGood")
	if !strings.Contains(op.Error.Message, "BackupFailed: Cannot backup: no space") || !strings.HasSuffix(op.Error.Message, "final-bad-standby was not touched") {
		t.Errorf("%+v", op.Error)
	}
	if final, _ := told(t, op.Recovery.FinalBackupOperation); final.Outcome != "failed" {
		t.Errorf("%+v", final)
	}
	untouched(t, "final-bad-standby")
	roles(t, "final-bad", "final-bad", false)
}

// A target that somebody else works on is waited for.
func TestABusyTarget(t *testing.T) {
	t.Run("is waited for", func(t *testing.T) {
		t.Parallel()
		point := pointOf(t, "busy")
		free := stack.ARM.Occupy("busy-standby")
		op := begun(t, "/api/failovers", failingOver("busy", ""))
		if f := op.Recovery.Plan.found("state"); f.Result != dr.Warn || f.Detail != "busy-standby is Updating; the restore waits until it is Succeeded" {
			t.Errorf("%+v", f)
		}
		waits(t, op.ID, "the service is Updating")
		untouched(t, "busy-standby")
		free()
		ends(t, op.ID, "succeeded", "")
		overwritten(t, "busy-standby", point.ID, content("busy"))
	})
	t.Run("may become so between look and POST", func(t *testing.T) {
		t.Parallel()
		point := pointOf(t, "locked")
		stack.ARM.Inject(arm.Fault{Verb: arm.Restore, Service: "locked-standby", Times: 2, Status: http.StatusConflict, Code: "ServiceLocked"})
		op, _ := ends(t, begun(t, "/api/failovers", failingOver("locked", "")).ID, "succeeded", "")
		if op.Legs[0].Attempt != 3 {
			t.Errorf("%+v", op.Legs)
		}
		overwritten(t, "locked-standby", point.ID, content("locked"))
	})
	t.Run("is not waited for past notAfter", func(t *testing.T) {
		t.Parallel()
		pointOf(t, "stuck")
		t.Cleanup(stack.ARM.Occupy("stuck-standby"))
		op, _ := ends(t, begun(t, "/api/failovers", failingOver("stuck", "")).ID, "rejected", "NotStartedInTime")
		if !strings.HasPrefix(op.Error.Message, "not begun by ") || !strings.HasSuffix(op.Error.Message, "; it waited because the service is Updating") {
			t.Errorf("%+v", op.Error)
		}
		untouched(t, "stuck-standby")
		roles(t, "stuck", "stuck", false)
	})
}

// What the plan has seen is looked at again under the lock.
func TestARecoveryPointGoesBetweenPlanAndRun(t *testing.T) {
	for service, tc := range map[string]struct {
		prune      func(*testing.T, dr.RecoveryPoint)
		code, says string
	}{
		"pruned": {func(t *testing.T, p dr.RecoveryPoint) {
			deleteBlob(t, p)
			remove(t, stack.Backups, p.Storage.Container, beside(p))
			remove(t, stack.State, devstack.StateContainer, recordOf(p))
		}, "RecoveryPointNotFound", "pruned has no recovery point %q"},
		"pruning": {func(t *testing.T, p dr.RecoveryPoint) {
			rewrite(t, stack.State, devstack.StateContainer, recordOf(p), func(p *dr.RecoveryPoint) { p.State = dr.Deleting })
		}, "RecoveryPointNotFound", "recovery point %s is being deleted"},
		"pruned-blob": {deleteBlob, "BackupBlobMissing", "/%s is not there"},
	} {
		t.Run(service, func(t *testing.T) {
			t.Parallel()
			point := pointOf(t, service)
			free := stack.ARM.Occupy(standby(service))
			op := begun(t, "/api/failovers", failingOver(service, ""))
			waits(t, op.ID, "the service is Updating")
			tc.prune(t, point)
			free()
			op, _ = ends(t, op.ID, "rejected", tc.code)
			if !strings.HasPrefix(op.Error.Message, "things have changed since the plan of ") || !strings.Contains(op.Error.Message, fmt.Sprintf(tc.says, point.ID)) {
				t.Errorf("%+v", op.Error)
			}
			untouched(t, standby(service))
			roles(t, service, service, false)
		})
	}
}

// An operation that is given up frees its lock and says that ARM may go on. Nothing automatic touches the pair until somebody has re-armed it.
func TestAbandoning(t *testing.T) {
	t.Run("what ARM has begun", func(t *testing.T) {
		t.Parallel()
		const service = "abandon"
		point := pointOf(t, service)
		goOn := make(chan struct{})
		stack.ARM.Inject(arm.Fault{Verb: arm.Poll, Service: standby(service), Times: arm.Always, Hold: goOn})
		op := begun(t, "/api/failovers", failingOver(service, ""))
		enters(t, op.ID, "running")
		if p := ask[problem](t, "/api/services/abandon/rearm", `{"active":"abandon"}`, http.StatusConflict); !strings.Contains(p.Detail, "operation "+op.ID+" is failing over the pair") {
			t.Errorf("%+v", p)
		}
		ask[operation](t, "/api/operations/"+op.ID+"/abandon", `{"reason":"the region is back"}`, http.StatusOK)
		op, _ = ends(t, op.ID, "unknown", "Abandoned") // with the lock freed while ARM is still asked
		if want := "abandoned by http: ARM may still be at work on abandon-standby; look at it before anything else is started there (the region is back)"; op.Error.Message != want {
			t.Errorf("%+v", op.Error)
		}
		roles(t, service, service, true)
		if p := ask[problem](t, "/api/operations/"+op.ID+"/abandon", `{"reason":"test"}`, http.StatusConflict); p.Title != "The operation has ended already" {
			t.Errorf("%+v", p)
		}
		close(goOn)
		waitFor(t, "ARM's restore has ended", func() bool { return !restores(standby(service))[0].Ended.IsZero() })
		overwritten(t, standby(service), point.ID, content(service))

		done := ask[struct{ Pairs []dr.Pair }](t, "/api/services/abandon/rearm", `{"active":"abandon","reason":"looked at"}`, http.StatusOK)
		if len(done.Pairs) != 1 || done.Pairs[0].Active != service || done.Pairs[0].Suspended || done.Pairs[0].By != "http" {
			t.Errorf("%+v", done)
		}
		roles(t, service, service, false)
		eventOnce(t, op)
	})
	t.Run("what only waits", func(t *testing.T) {
		t.Parallel()
		const service = "abandon-early"
		pointOf(t, service)
		t.Cleanup(stack.ARM.Occupy(standby(service)))
		op := begun(t, "/api/failovers", failingOver(service, ""))
		waits(t, op.ID, "the service is Updating")
		ask[operation](t, "/api/operations/"+op.ID+"/abandon", `{"reason":"test"}`, http.StatusOK)
		op, _ = ends(t, op.ID, "rejected", "Abandoned")
		if op.Error.Message != "abandoned by http before ARM had taken on the restore of "+standby(service)+" (test)" {
			t.Errorf("%+v", op.Error)
		}
		untouched(t, standby(service))
		roles(t, service, service, false)
	})
	for route, status := range map[string]int{
		"/api/operations/20260101-failover-00000000000000000000/abandon": http.StatusNotFound,
		"/api/operations/nonsense/abandon":                               http.StatusNotFound,
		"/api/services/contoso-asia/rearm":                               http.StatusNotFound,
	} {
		body := `{"reason":"test"}`
		if strings.HasSuffix(route, "rearm") {
			body = `{"active":"contoso-asia"}`
		}
		ask[problem](t, route, body, status)
	}
}
