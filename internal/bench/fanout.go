package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"

	"apim-dr/internal/bench/yardstick"
	"apim-dr/internal/engine"
	"apim-dr/internal/standin/devstack"
)

const (
	fleetSize = 1000
	nights    = 3
)

// fanOut is a night of a thousand services from the timer to the last message, beside a loop that sends the same messages. Each night has a stack of its
// own: an instance that is being backed up is left out of the next.
func fanOut(ctx context.Context, r rig) ([]row, error) {
	settings, err := fleetFile(r.dir, names(fleetSize))
	if err != nil {
		return nil, err
	}
	var ours, loops, loopsWithBlobs []time.Duration
	for range nights {
		night, loop, withBlobs, err := fanOutOnce(ctx, r, settings)
		if err != nil {
			return nil, err
		}
		ours, loops, loopsWithBlobs = append(ours, night), append(loops, loop), append(loopsWithBlobs, withBlobs)
	}
	night, loop, withBlobs := median(ours).Seconds(), median(loops).Seconds(), median(loopsWithBlobs).Seconds()
	return []row{
		atMost("fan-out of 1,000 services", night/loop, 1.5, "%.2f s, with a record and a marker for each, beside %.2f s of a loop that sends the same messages", night, loop),
		atMost("fan-out, beside a loop that writes as many blobs", night/withBlobs, 1.5, "%.2f s beside %.2f s", night, withBlobs),
		atMost("fan-out of 1,000 services, of 5 s", night/5, 1, "%.2f s", night),
	}, nil
}

// fanOutOnce is one night, the loop that sends its messages again, and that loop when it writes two blobs for each, too.
func fanOutOnce(ctx context.Context, r rig, settings map[string]string) (night, loop, withBlobs time.Duration, err error) {
	stack, err := devstack.Start(ctx, devstack.Options{App: r.app, Services: names(fleetSize), BackupDuration: time.Hour, RetryAfter: time.Minute, Settings: settings})
	if err != nil {
		return 0, 0, 0, err
	}
	defer stack.Close()
	operations := string(engine.Operations)
	before := sends(stack, operations)
	began := time.Now()
	if err := stack.Host.Invoke(ctx, "BackupSchedule"); err != nil {
		return 0, 0, 0, err
	}
	if err := sent(ctx, stack, operations, before+1+fleetSize); err != nil { // the tick, and a wake for each service
		return 0, 0, 0, err
	}
	night = time.Since(began)
	var bodies [][]byte
	for _, s := range stack.Bus.Sent(operations)[before+1:][:fleetSize] {
		bodies = append(bodies, s.Body)
	}
	bare, err := newBare(ctx, stack)
	if err != nil {
		return 0, 0, 0, err
	}
	defer bare.close()
	began = time.Now()
	if err := yardstick.FanOut(ctx, bare.lanes[0].Queue, bodies, began.Add(time.Hour)); err != nil {
		return 0, 0, 0, err
	}
	loop = time.Since(began)
	for i, body := range bodies { // what makes a killed fan-out harmless: a record and a marker before each message
		for _, kind := range []string{"record", "marker"} {
			if _, err := bare.lanes[0].Blobs.NewBlockBlobClient(fmt.Sprint(kind, "/", i)).UploadBuffer(ctx, body, nil); err != nil {
				return 0, 0, 0, err
			}
		}
	}
	withBlobs = time.Since(began)
	if n := len(bare.bus.Sent(lane(0))); n != fleetSize {
		return 0, 0, 0, fmt.Errorf("the loop has sent %d messages, not %d", n, fleetSize)
	}
	return night, loop, withBlobs, nil
}

// fleetFile has the fleet in a file: so many instances are too long for an environment variable.
func fleetFile(dir string, instances []string) (map[string]string, error) {
	var services []map[string]string
	for _, name := range instances {
		services = append(services, map[string]string{"id": devstack.ResourceID(name), "plan": "nightly"})
	}
	b, err := json.Marshal(map[string]any{
		"storages": map[string]any{"main": map[string]string{"account": "contosodrbackups", "container": devstack.BackupContainer, "access": "storageKey", "keyVariable": "BACKUP_STORAGE_KEY"}},
		"plans":    map[string]any{"nightly": map[string]string{"storage": "main"}},
		"services": services,
	})
	if err != nil {
		return nil, err
	}
	settings := maps.Clone(quiet)
	settings["FLEET"], settings["FLEET_FILE"] = "", filepath.Join(dir, "fleet.json")
	return settings, os.WriteFile(settings["FLEET_FILE"], b, 0o600)
}
