package cli

import (
	"context"
	"fmt"
	"strings"

	"apim-dr/internal/direct"
	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// roles tells whether a stamp that returns will know the new active instance.
func (f *failover) roles(roles *direct.Roles, r dr.Result) (kept bool) {
	switch {
	case roles.Kept != nil && roles.Err == nil && r.Outcome == dr.Unknown:
		fmt.Fprintf(f.Err, "\nRecorded beside the backups: nobody knows whether %[1]s was overwritten. A stamp that returns leaves both instances alone.\n"+
			"When you know which one serves production, tell it: POST /api/services/%[2]s/rearm {\"active\":\"…\",\"suspended\":true}\n", r.Service, r.Recovery.Source)
		return true
	case roles.Kept != nil && roles.Err == nil:
		fmt.Fprintf(f.Err, "\nThe roles are recorded beside the backups: %s is the active instance of %s.\n", roles.Kept.Active, roles.Kept.Name)
		return true
	case r.Outcome == dr.Rejected, r.Outcome == dr.Failed:
		return false
	}
	why := "nobody knows whether " + r.Service + " was overwritten"
	if roles.Err != nil {
		why = roles.Err.Error()
	}
	f.unrecorded(r.Recovery.Source, r.Service, why)
	return false
}

func (f *failover) unrecorded(primary, target, why string) {
	fmt.Fprintf(f.Err, `
!!! THE ROLES WERE NOT RECORDED beside the backups: %s
!!! A stamp that returns takes %s for the active instance and may overwrite %s. Let its timers rest (AzureWebJobs.BackupSchedule.Disabled
!!! and AzureWebJobs.DrillSchedule.Disabled = true) until it knows better: POST /api/services/%[2]s/rearm {"active":%[4]q,"suspended":true}
`, clean(why), primary, target, target)
}

// leftOver tells of a final backup that is not waited for any longer.
func (f *failover) leftOver(ctx context.Context, e *engine.Engine, bus *direct.Bus, op dr.Operation) {
	for _, w := range bus.Left() {
		if w.ID != dr.FinalID(op) {
			continue
		}
		if backup, _, err := e.Store.Operation(context.WithoutCancel(ctx), w.ID); err == nil && atARM(backup) {
			fmt.Fprintf(f.Err, "\nThe final backup goes on and is not followed; nobody will record it.\n%s", look(backup))
		}
	}
}

// stopped ends a command that does not follow its operation to the end.
func (f *failover) stopped(op dr.Operation, plan dr.Plan, why error) error {
	if !atARM(op) {
		err := end(Refused, "Stopped (%v) before ARM was asked to overwrite %s: it is as it was.", why, op.Service)
		return f.ends(document{Plan: plan, Stopped: err.Error()}, err)
	}
	leg := op.Leg()
	text := fmt.Sprintf("Stopped (%v). The %s of %s goes on at ARM, which nothing here can end.\n%s", why, leg.Verb, leg.Service, look(op))
	f.unrecorded(op.Source(), op.Service, "the command was stopped")
	text += "Started again, the command waits until the instance is free, restores once more and records the roles."
	return f.ends(document{Plan: plan, Stopped: text}, end(Unknown, "\n%s", text))
}

// atARM tells whether ARM may be at work on the leg at work.
func atARM(op dr.Operation) bool { return op.Phase != dr.Queued && op.Phase != dr.Done }

// look tells how to follow by hand what ARM is at work on.
func look(op dr.Operation) string {
	leg := op.Leg()
	var b strings.Builder
	if leg.Location != "" {
		fmt.Fprintf(&b, "  how it ends:    az rest --method get --url %s\n", quote(leg.Location))
	}
	fmt.Fprintf(&b, "  the instance:   az apim show --ids %s --query provisioningState --output tsv\n", quote(leg.ResourceID))
	return b.String()
}
