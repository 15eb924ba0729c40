package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// toJSON writes v in one line. Locations and ARM's words stay readable: '&' and '<' are not escaped.
func toJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// record is toJSON for what must be read again: nothing is written that would be too big to read.
func record(name string, v any) ([]byte, error) {
	body, err := toJSON(v)
	if err == nil && len(body) > MaxRecord {
		err = fmt.Errorf("the record has %d bytes, at most %d are allowed", len(body), MaxRecord)
	}
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", name, err)
	}
	return body, nil
}

// present begins each record of the present version.
var present = fmt.Appendf(nil, `{"v":%d,`, dr.Version)

// load reads a record; engine.ErrNotFound, ErrUnreadable (also when check objects), ErrNewer. Fields that are not known are left out.
func load[T any](ctx context.Context, blobs Blobs, name string, check func(T) error) (v T, etag string, err error) {
	var none T
	body, etag, err := blobs.Get(ctx, name)
	if err != nil {
		return none, "", err
	}
	if len(body) > MaxRecord {
		return none, "", unreadable(name, fmt.Errorf("it has more than %d bytes", MaxRecord))
	}
	if !bytes.HasPrefix(body, present) { // a newer shape need not fit T
		var version struct{ V int }
		if err := json.Unmarshal(body, &version); err != nil {
			return none, "", unreadable(name, err)
		}
		if version.V > dr.Version {
			return none, "", fmt.Errorf("%w: %s has version %d, this program knows %d", engine.ErrNewer, name, version.V, dr.Version)
		}
	}
	if err := json.Unmarshal(body, &v); err != nil {
		return none, "", unreadable(name, err)
	}
	if err := check(v); err != nil {
		return none, "", unreadable(name, err)
	}
	return v, etag, nil
}

// illegible tells whether a record was reached, but cannot be made use of.
func illegible(err error) bool {
	return errors.Is(err, engine.ErrUnreadable) || errors.Is(err, engine.ErrNewer)
}

// readers is how many records of a list are read at once: a page of them then takes seconds even far from its region.
const readers = 8

// loadAll reads records and keeps their order. One that is gone is left out; so is one that is illegible, which is told to bad.
func loadAll[T any](ctx context.Context, blobs Blobs, names []string, check func(name string, v T) error, bad func(name string, why error)) ([]T, error) {
	all, errs := make([]T, len(names)), make([]error, len(names))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	for i, name := range names {
		group.Go(func() error {
			all[i], _, errs[i] = load(ctx, blobs, name, func(v T) error { return check(name, v) })
			if illegible(errs[i]) || errors.Is(errs[i], engine.ErrNotFound) {
				return nil
			}
			return errs[i]
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var legible []T
	for i, err := range errs {
		switch {
		case err == nil:
			legible = append(legible, all[i])
		case illegible(err):
			bad(names[i], err)
		}
	}
	return legible, nil
}

func unreadable(name string, why error) error {
	return fmt.Errorf("%w: %s: %w", engine.ErrUnreadable, name, why)
}

// update loads a record (zero when there is none), lets next make the new one and writes that if the record is still the same; otherwise
// again. Nothing is written when next changes nothing.
func update[T any](ctx context.Context, blobs Blobs, name string, check func(T) error, next func(T) (T, bool)) error {
	return rewrite(ctx, blobs, name, check, func(v T) (T, outcome) {
		v, changed := next(v)
		if changed {
			return v, write
		}
		return v, leave
	})
}

// outcome is what is to become of a record.
type outcome int

const (
	leave outcome = iota
	write
	remove
)

// rewrite is update for a record that may also be removed.
func rewrite[T any](ctx context.Context, blobs Blobs, name string, check func(T) error, next func(T) (T, outcome)) error {
	for range tries {
		v, etag, err := load(ctx, blobs, name, check)
		if err != nil && !errors.Is(err, engine.ErrNotFound) {
			return err
		}
		v, then := next(v)
		if then == leave || then == remove && etag == "" {
			return nil
		}
		var body []byte
		if then == remove {
			err = blobs.Delete(ctx, name, etag)
		} else if body, err = record(name, v); err == nil {
			_, err = put(ctx, blobs, name, body, etag)
		}
		if !lost(err) {
			return err
		}
	}
	return errTries(name)
}

// put replaces the blob that has etag; without one it creates a blob that must not exist. See lost.
func put(ctx context.Context, blobs Blobs, name string, body []byte, etag string) (newETag string, err error) {
	if etag == "" {
		return blobs.Create(ctx, name, Content{Body: body})
	}
	return blobs.Replace(ctx, name, body, etag)
}

// lost tells whether a conditional write met another state than the one it had read.
func lost(err error) bool { return errors.Is(err, ErrCondition) || errors.Is(err, engine.ErrNotFound) }

// tries bounds the repetitions of a read and conditional write that lost to another writer. In each round one writer wins, so that this many
// writers at a time are all served: three instances of the app with 16 messages for each of two cores, which Event Grid's burst of changes of one service fills.
const tries = 100

// errTries is what is left when all tries were lost.
func errTries(name string) error {
	return fmt.Errorf("%w: %s, %d times in a row", engine.ErrConflict, name, tries)
}

// createOnce creates a blob; one that is there stays as it is.
func createOnce(ctx context.Context, blobs Blobs, name string, c Content) error {
	_, err := blobs.Create(ctx, name, c)
	if errors.Is(err, ErrCondition) {
		return nil
	}
	return err
}
