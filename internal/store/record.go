package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

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

// load reads a record; engine.ErrNotFound, ErrUnreadable (also when check objects), ErrNewer. Fields that are not known are left out.
func load[T any](ctx context.Context, s *Store, name string, check func(T) error) (v T, etag string, err error) {
	var none T
	body, etag, err := s.blobs.Get(ctx, name)
	if err != nil {
		return none, "", err
	}
	var version struct{ V int } // first: a newer shape need not fit T
	switch err := json.Unmarshal(body, &version); {
	case len(body) > MaxRecord:
		return none, "", unreadable(name, fmt.Errorf("it has more than %d bytes", MaxRecord))
	case err != nil:
		return none, "", unreadable(name, err)
	case version.V > dr.Version:
		return none, "", fmt.Errorf("%w: %s has version %d, this program knows %d", engine.ErrNewer, name, version.V, dr.Version)
	}
	if err := json.Unmarshal(body, &v); err != nil {
		return none, "", unreadable(name, err)
	}
	if err := check(v); err != nil {
		return none, "", unreadable(name, err)
	}
	return v, etag, nil
}

func unreadable(name string, why error) error {
	return fmt.Errorf("%w: %s: %w", engine.ErrUnreadable, name, why)
}

// update loads a record (zero when there is none), lets next make the new one and writes that if the record is still the same; otherwise
// again. Nothing is written when next changes nothing.
func update[T any](ctx context.Context, s *Store, name string, check func(T) error, next func(T) (T, bool)) error {
	for range tries {
		v, etag, err := load(ctx, s, name, check)
		if err != nil && !errors.Is(err, engine.ErrNotFound) {
			return err
		}
		v, changed := next(v)
		if !changed {
			return nil
		}
		body, err := record(name, v)
		if err != nil {
			return err
		}
		if etag == "" {
			_, err = s.blobs.Create(ctx, name, Content{Body: body})
		} else {
			_, err = s.blobs.Replace(ctx, name, body, etag)
		}
		if !lost(err) {
			return err
		}
	}
	return errTries(name)
}

// lost tells whether a conditional write met another state than the one it had read.
func lost(err error) bool { return errors.Is(err, ErrCondition) || errors.Is(err, engine.ErrNotFound) }

// tries bounds the repetitions of a read and conditional write that lost to another writer. In each round one writer wins, so that this many
// can meet at one record.
const tries = 20

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
