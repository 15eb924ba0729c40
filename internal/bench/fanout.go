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

const fleetSize = 1000

// fanOut is a night of a thousand services from the timer to the last message, beside a loop that sends the same messages.
func fanOut(ctx context.Context, r rig) ([]row, error) {
	settings, err := fleetFile(r.dir, names(fleetSize))
	if err != nil {
		return nil, err
	}
	stack, err := devstack.Start(ctx, devstack.Options{App: r.app, Services: names(fleetSize), BackupDuration: time.Hour, RetryAfter: time.Minute, Settings: settings})
	if err != nil {
		return nil, err
	}
	defer stack.Close()
	operations := string(engine.Operations)
	before := len(stack.Bus.Sent(operations))
	began := time.Now()
	if err := stack.Host.Invoke(ctx, "BackupSchedule"); err != nil {
		return nil, err
	}
	if err := sent(ctx, stack, operations, before+1+fleetSize); err != nil { // the tick, and a wake for each service
		return nil, err
	}
	ours := time.Since(began)
	bare, err := newBare(ctx, stack)
	if err != nil {
		return nil, err
	}
	defer bare.close()
	var bodies [][]byte
	for _, s := range stack.Bus.Sent(operations)[before+1:][:fleetSize] {
		bodies = append(bodies, s.Body)
	}
	began = time.Now()
	if err := yardstick.FanOut(ctx, bare.lanes[0].Queue, bodies, time.Now().Add(time.Hour)); err != nil {
		return nil, err
	}
	theirs := time.Since(began)
	if n := len(bare.bus.Sent(lane(0))); n != fleetSize {
		return nil, fmt.Errorf("the loop has sent %d messages", n)
	}
	for i, body := range bodies { // what makes a killed fan-out harmless: a record and a marker before each message
		for _, kind := range []string{"record", "marker"} {
			if _, err := bare.lanes[0].Blobs.NewBlockBlobClient(fmt.Sprint(kind, "/", i)).UploadBuffer(ctx, body, nil); err != nil {
				return nil, err
			}
		}
	}
	withBlobs := time.Since(began)
	return []row{
		atMost("fan-out of 1,000 services", ours.Seconds()/theirs.Seconds(), 1.5, "%.2f s, with a record and a marker for each, beside %.2f s of a loop that sends the same messages", ours.Seconds(), theirs.Seconds()),
		atMost("fan-out, beside a loop that writes as many blobs", ours.Seconds()/withBlobs.Seconds(), 1.5, "%.2f s beside %.2f s", ours.Seconds(), withBlobs.Seconds()),
		atMost("fan-out of 1,000 services, of 5 s", ours.Seconds()/5, 1, "%.2f s", ours.Seconds()),
	}, nil
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
