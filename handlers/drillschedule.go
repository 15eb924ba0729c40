package handlers

import (
	"context"

	"apim-dr/internal/customhandler"
)

// drillSchedule is the timer of drills. What is due the engine knows, so it does what backupSchedule does.
func (a *App) drillSchedule(ctx context.Context, t customhandler.TimerInvocation) error {
	return a.backupSchedule(ctx, t)
}
