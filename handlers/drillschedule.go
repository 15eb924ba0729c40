package handlers

import (
	"context"

	"apim-dr/internal/customhandler"
	"apim-dr/internal/dr"
)

// drillSchedule is the timer of drills: a tick message if they are due. The message's handler creates the drills.
func (a *App) drillSchedule(ctx context.Context, _ customhandler.TimerInvocation) error {
	return a.Engine.SendTicks(ctx, dr.KindDrill)
}
