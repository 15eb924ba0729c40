package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/store"
)

const (
	little, much = 1_000, 1_000_000 // ended operations in the store
	passes       = 40
)

// history is what ended operations cost those in flight: a pass of the watchdog and a poll, with few and with many of them in storage. The storage is in
// memory and lists, as Azure does, what a prefix names and nothing else; a million blobs in Azurite would measure Azurite.
func history(ctx context.Context, _ rig) ([]row, error) {
	arm, url, err := instant()
	if err != nil {
		return nil, err
	}
	defer arm.Close()
	var sides [2]*local
	for i, n := range []int{little, much} {
		if sides[i], err = newLocal(ctx, url, 64); err != nil {
			return nil, err
		}
		if err := ended(ctx, sides[i].blobs, n); err != nil {
			return nil, err
		}
	}
	var watch, poll [2][]time.Duration
	for n := range passes {
		for i, side := range sides {
			began := time.Now()
			if err := side.engine.Watch(ctx); err != nil {
				return nil, err
			}
			if err := side.engine.Guard(ctx); err != nil {
				return nil, err
			}
			watch[i] = append(watch[i], time.Since(began))
			for k := range 32 {
				w, _ := side.bus.wakes.Load(side.ids[(n*32+k)%len(side.ids)])
				began = time.Now()
				if err := side.engine.Knock(ctx, w.(dr.Wake)); err != nil {
					return nil, err
				}
				poll[i] = append(poll[i], time.Since(began))
			}
		}
	}
	times := func(name string, of [2][]time.Duration) row {
		small, large := median(of[0]), median(of[1])
		return atMost(name, float64(large)/float64(small), 1.1, "%.3f ms with %d, %.3f ms with %d", ms(large), much, ms(small), little)
	}
	return []row{times("pass of the watchdog, a million ended operations", watch), times("poll, a million ended operations", poll)}, nil
}

// ended puts records of ended operations into storage, of the days before today, as the store lays them out.
func ended(ctx context.Context, blobs store.Blobs, n int) error {
	body := []byte(`{"v":1}`) // nobody reads them: that is the claim
	today := time.Now().UTC()
	for i := range n {
		day := today.AddDate(0, 0, -1-i%1000).Format("20060102")
		sum := sha256.Sum256(fmt.Append(nil, i))
		id := day + "-backup-" + hex.EncodeToString(sum[:10])
		if _, err := blobs.Create(ctx, "operations/"+day+"/"+id, store.Content{Body: body}); err != nil {
			return err
		}
	}
	return nil
}
