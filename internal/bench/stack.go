package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"apim-dr/internal/standin/devstack"
)

// names are those of the instances of a fleet.
func names(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("contoso-%04d", i))
	}
	return list
}

// quiet are settings of a stack in which nothing begins by itself.
var quiet = map[string]string{"WATCHDOG_SCHEDULE": "0 0 0 1 1 *", "LOG_LEVEL": "warn"}

// backUp asks for a backup of each instance, and waits for all events.
func backUp(ctx context.Context, stack *devstack.Stack, instances []string) error {
	before := len(stack.Bus.Sent("results"))
	var wg sync.WaitGroup
	errs := make([]error, len(instances))
	free := make(chan struct{}, atOnce)
	for i, name := range instances {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			errs[i] = ask(ctx, stack, "/api/backups", fmt.Sprintf(`{"service":%q}`, name))
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return sent(ctx, stack, "results", before+len(instances))
}

func ask(ctx context.Context, stack *devstack.Stack, route, body string) error {
	resp, err := stack.Post(ctx, route, body, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusAccepted {
		err = fmt.Errorf("%s %s: %s: %s", route, body, resp.Status, text)
	}
	return err
}

// sent waits until so many messages were sent to an entity.
func sent(ctx context.Context, stack *devstack.Stack, entity string, n int) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for tick := time.NewTicker(2 * time.Millisecond); ; {
		if got := len(stack.Bus.Sent(entity)); got >= n {
			tick.Stop()
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d messages were sent to %s: %w", len(stack.Bus.Sent(entity)), n, entity, ctx.Err())
		}
	}
}
