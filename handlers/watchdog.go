package handlers

import (
	"context"

	"apim-dr/internal/customhandler"
)

// watchdog wakes what fell silent.
func (a *App) watchdog(ctx context.Context, _ customhandler.TimerInvocation) error {
	return a.Engine.Watch(ctx)
}
