package main

import (
	"context"
	"fmt"
	"strings"
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
	arm, err := newInstant()
	if err != nil {
		return nil, err
	}
	defer arm.Close()
	var sides [2]*local
	for i, n := range []int{little, much} {
		if sides[i], err = newLocal(ctx, arm.url, 64); err != nil {
			return nil, err
		}
		if err := sides[i].end(ctx, n); err != nil {
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
				w := side.wake(side.ids[(n*32+k)%len(side.ids)])
				began = time.Now()
				if err := side.engine.Knock(ctx, w); err != nil {
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

// end puts records of so many ended operations into storage, of the days before today, beside those in flight and under names like theirs.
func (l *local) end(ctx context.Context, n int) error {
	layout, err := l.layout(ctx)
	if err != nil {
		return err
	}
	body := []byte(`{"v":1}`) // nobody reads them: that is the claim
	now := time.Now()
	for i := range n {
		id := dr.NewID(dr.KindBackup, now.AddDate(0, 0, -1-i%1000), fmt.Sprint("ended ", i))
		if _, err := l.blobs.Create(ctx, strings.NewReplacer("{id}", id, "{day}", dr.Day(id)).Replace(layout), store.Content{Body: body}); err != nil {
			return err
		}
	}
	return nil
}

// layout is how the store names the record of an operation, with {id} and {day}.
func (l *local) layout(ctx context.Context) (string, error) {
	items, _, err := l.blobs.List(ctx, "operations/", "", len(l.ids))
	if err != nil {
		return "", err
	}
	id := l.ids[0]
	for _, item := range items {
		if strings.Contains(item.Name, id) {
			return strings.NewReplacer(id, "{id}", dr.Day(id), "{day}").Replace(item.Name), nil
		}
	}
	return "", fmt.Errorf("the record of %s is not among the %d below operations/: the layout of the store has changed", id, len(items))
}
