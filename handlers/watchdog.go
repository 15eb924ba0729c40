package handlers

import (
	"context"
	"errors"

	"apim-dr/internal/customhandler"
)

// watchdog wakes what fell silent, and tells what is not protected.
func (a *App) watchdog(ctx context.Context, _ customhandler.TimerInvocation) error {
	return errors.Join(a.Engine.Watch(ctx), a.Engine.Guard(ctx))
}
