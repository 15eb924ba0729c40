package handlers

import (
	"context"

	"apim-dr/internal/customhandler"
)

// usageExport is the daily timer: a message for each instance whose use is exported, for its turn.
func (a *App) usageExport(ctx context.Context, _ customhandler.TimerInvocation) error {
	return a.Usage.Start(ctx)
}
