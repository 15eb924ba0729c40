package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"apim-dr/internal/bench/yardstick"
)

const (
	pollers = 8  // connections of the host
	rounds  = 12 // by turns
	round   = time.Second
)

// polls is how many invocations of PollOperation are answered in a second, each with one GET to a Resource Manager that answers at once.
func polls(ctx context.Context, _ rig) ([]row, error) {
	arm, err := newInstant()
	if err != nil {
		return nil, err
	}
	defer arm.Close()
	product, err := newLocal(ctx, arm.url, 64)
	if err != nil {
		return nil, err
	}
	sides := []http.Handler{product.handler, yardstick.Poll(&http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: pollers}})}
	var took [2][]time.Duration
	for n := range 1 + rounds {
		for k := range sides {
			i := (n + k) % len(sides) // each begins every other round
			asked := arm.asked.Load()
			all, err := load(ctx, sides[i], product)
			if err != nil {
				return nil, err
			}
			if gets := arm.asked.Load() - asked; gets != int64(len(all)) {
				return nil, fmt.Errorf("%d polls made %d requests to Resource Manager: each has to make one", len(all), gets)
			}
			if n > 0 { // the first is for warming up
				took[i] = append(took[i], all...)
			}
		}
	}
	ours, theirs := took[0], took[1]
	slices.Sort(ours)
	slices.Sort(theirs)
	p99 := func(all []time.Duration) time.Duration { return all[len(all)*99/100] }
	perSecond := func(all []time.Duration) float64 { return float64(len(all)) / (rounds * round.Seconds()) }
	return []row{
		atLeast("polls a second", perSecond(ours)/perSecond(theirs), 0.8, "%.0f beside %.0f of a bare handler with the same GET, %d at a time", perSecond(ours), perSecond(theirs), pollers),
		atMost("99th percentile of a poll", float64(p99(ours))/float64(p99(theirs)), 1.5, "%.2f ms beside %.2f ms", ms(p99(ours)), ms(p99(theirs))),
	}, nil
}

// load invokes a handler for one round, and returns how long each invocation took.
func load(ctx context.Context, h http.Handler, product *local) ([]time.Duration, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server := &http.Server{Handler: h}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: pollers}}
	url := "http://" + l.Addr().String() + "/PollOperation"
	var mu sync.Mutex
	var all []time.Duration
	var errs []error
	var wg sync.WaitGroup
	end := time.Now().Add(round)
	for i := range pollers {
		wg.Go(func() {
			var mine []time.Duration
			var err error
			for n := i; err == nil && time.Now().Before(end); n += pollers {
				var body []byte
				if body, err = product.invocation(product.ids[n%len(product.ids)]); err == nil {
					began := time.Now()
					err = invoke(ctx, client, url, body)
					mine = append(mine, time.Since(began))
				}
			}
			mu.Lock()
			defer mu.Unlock()
			all, errs = append(all, mine...), append(errs, err)
		})
	}
	wg.Wait()
	return all, errors.Join(errs...)
}

func invoke(ctx context.Context, client *http.Client, url string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, text)
	}
	return err
}
