package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"apim-dr/internal/engine"
	"apim-dr/internal/standin/devstack"
	"apim-dr/internal/standin/servicebus"
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
	before := sends(stack, "results")
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

// sends is how many messages were sent to an entity so far.
func sends(stack *devstack.Stack, entity string) int {
	return stack.Bus.Requests()[servicebus.Request{Entity: entity, Kind: "send"}]
}

// sent waits until so many messages were sent to an entity.
func sent(ctx context.Context, stack *devstack.Stack, entity string, n int) error {
	return until(ctx, fmt.Sprintf("%d messages to %s", n, entity), func() (bool, error) { return sends(stack, entity) >= n, nil })
}

// settled waits until no message is left: then the last invocation has done what comes after its event, too.
func settled(ctx context.Context, stack *devstack.Stack) error {
	return until(ctx, "empty queues", func() (bool, error) {
		left := 0
		for _, queue := range []engine.Queue{engine.Operations, engine.Polls} {
			active, scheduled, dead, err := stack.Bus.Count(string(queue))
			if err == nil && dead > 0 {
				err = fmt.Errorf("%d dead letters in %s", dead, queue)
			}
			if err != nil {
				return false, err
			}
			left += active + scheduled
		}
		return left == 0, nil
	})
}

// until waits for two minutes at most.
func until(ctx context.Context, what string, holds func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := holds(); ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		}
	}
}
