package handlers

import (
	"context"

	"apim-dr/internal/customhandler"
	"apim-dr/internal/dr"
)

// backupSchedule is the nightly timer: a tick message for each plan that is due. The message's handler creates the backups.
func (a *App) backupSchedule(ctx context.Context, _ customhandler.TimerInvocation) error {
	return a.Engine.SendTicks(ctx, dr.KindBackup)
}
