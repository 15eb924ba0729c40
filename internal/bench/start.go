package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"time"

	"apim-dr/internal/standin/devstack"
)

const starts = 40

// start is the time from the start of the process to the first answer, and what the process holds when it is idle.
func start(ctx context.Context, r rig) ([]row, error) {
	smallest := filepath.Join(r.dir, "smallest")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", smallest, "apim-dr/internal/bench/yardstick/server")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build of the smallest program: %w: %s", err, out)
	}
	calls, settings, err := unreachable()
	if err != nil {
		return nil, err
	}
	product := process{path: filepath.Join(r.app, "apim-dr"), dir: r.app, environ: settings, answers: http.StatusBadRequest}
	bare := process{path: smallest, answers: http.StatusOK}
	var ours, theirs []time.Duration
	var rss, least int
	for range starts { // by turns, so that whatever else the machine does falls on both
		took, held, err := product.first(ctx)
		if err != nil {
			return nil, err
		}
		ours, rss = append(ours, took), max(rss, held)
		if took, held, err = bare.first(ctx); err != nil {
			return nil, err
		}
		theirs, least = append(theirs, took), max(least, held)
	}
	return []row{
		atMost("start of the process to the first answer", float64(median(ours))/float64(median(theirs)), 1.3, "%.1f ms beside %.1f ms of the smallest net/http program", ms(median(ours)), ms(median(theirs))),
		atMost("memory at rest (RSS)", float64(rss)/(16<<10), 1, "%.1f MiB of the 16 MiB that it may have; the smallest program %.1f MiB", float64(rss)/1024, float64(least)/1024),
		atMost("connections made before the first invocation", float64(calls.Load()), 0, "%d in %d starts", calls.Load(), starts),
	}, nil
}

// unreachable are settings with which the app starts, and which lead to a listener that counts who connects.
func unreachable() (*atomic.Int64, []string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	var calls atomic.Int64
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			calls.Add(1)
			c.Close()
		}
	}()
	at, key := l.Addr().String(), base64.StdEncoding.EncodeToString(make([]byte, 64))
	fleet := `{"storages":{"main":{"account":"contosodrbackups","container":"apim-backups","access":"systemAssigned"}},"plans":{"nightly":{"storage":"main"}},` +
		`"services":[{"id":"` + devstack.ResourceID("contoso-eu") + `","plan":"nightly","secondaries":[{"id":"` + devstack.ResourceID("contoso-us") + `"}]}]}`
	return &calls, []string{
		"FLEET=" + fleet, "BACKUP_SCHEDULE=0 0 3 * * *", "WATCHDOG_SCHEDULE=0 */5 * * * *", "DRILL_SCHEDULE=0 0 5 1 * *", "USAGE_SCHEDULE=0 30 3 * * *",
		"SERVICEBUS=Endpoint=sb://" + at + ";SharedAccessKeyName=root;SharedAccessKey=" + key,
		"STATE_STORAGE=DefaultEndpointsProtocol=http;AccountName=contosodrstate;AccountKey=" + key + ";BlobEndpoint=http://" + at + "/contosodrstate",
		"BLOB_ENDPOINT=http://" + at + "/{account}", "ARM_ENDPOINT=http://" + at, "ARM_AUDIENCE=https://management.core.windows.net/",
		"CREDENTIAL=managedIdentity", "IDENTITY_ENDPOINT=http://" + at + "/msi/token", "IDENTITY_HEADER=none", "STAMP_REGION=northeurope",
	}, nil
}
