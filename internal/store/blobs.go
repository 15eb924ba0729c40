package store

import (
	"context"
	"errors"
	"time"

	"apim-dr/internal/dr"
)

// What Blobs answers beside engine.ErrNotFound (the container is there, the blob is not).
var (
	// ErrCondition says that the blob exists already, or no longer has the ETag.
	ErrCondition = errors.New("the blob is not in the state that the write asked for")
	// ErrNoContainer says that the whole container is missing, so that nothing can be told of any blob in it.
	ErrNoContainer = errors.New("the container does not exist: create it, or correct its name in the settings")
)

// Blobs is the little that a Store needs of one container. Names are blob names, unescaped. ETags are opaque. Any error but those above and
// engine.ErrNotFound means that the container could not be reached or refused us.
type Blobs interface {
	// Get reads a blob, but no more than MaxRecord+1 bytes of it.
	Get(ctx context.Context, name string) (body []byte, etag string, err error)
	// Head tells size and ETag; an absent blob or container is no error.
	Head(ctx context.Context, name string) (dr.BlobView, error)
	// Create writes a blob that must not exist; ErrCondition.
	Create(ctx context.Context, name string, c Content) (etag string, err error)
	// Replace writes a blob that must still have etag; ErrCondition; a missing one may be engine.ErrNotFound. Metadata is dropped.
	Replace(ctx context.Context, name string, body []byte, etag string) (newETag string, err error)
	// SetMetadata replaces the metadata of a blob, whatever its ETag; engine.ErrNotFound.
	SetMetadata(ctx context.Context, name string, metadata map[string]string) error
	// Delete removes a blob that still has etag, or whatever it has when etag is empty; ErrCondition, engine.ErrNotFound. With an etag, a missing
	// one may be either.
	Delete(ctx context.Context, name, etag string) error
	// List returns up to limit blobs whose names begin with prefix, in the order of their names, from where next of an earlier call points
	// (empty: from the first). An empty next ends the listing; a page may hold fewer than limit, even none, before that.
	List(ctx context.Context, prefix, after string, limit int) (items []Item, next string, err error)
}

// Content is what a blob is created with.
type Content struct {
	Body     []byte
	Metadata map[string]string // lower-case keys, ASCII values, 8 KiB in all (Azure docs, "Setting and retrieving properties and metadata")
}

// Item is a blob as listed.
type Item struct {
	Name      string
	ETag      string // fit for Delete and Replace
	CreatedAt time.Time
	Metadata  map[string]string // lower-case keys
}

// MaxRecord is the size, in bytes, above which a record is neither written nor read.
const MaxRecord = 1 << 20

// each walks a whole listing.
func each(ctx context.Context, blobs Blobs, prefix string, do func(Item) error) error {
	return eachPage(ctx, blobs, prefix, func(items []Item) error {
		for _, item := range items {
			if err := do(item); err != nil {
				return err
			}
		}
		return nil
	})
}

// eachPage is each by the page.
func eachPage(ctx context.Context, blobs Blobs, prefix string, do func([]Item) error) error {
	const page = 200
	for after := ""; ; {
		items, next, err := blobs.List(ctx, prefix, after, page)
		if err != nil {
			return err
		}
		if err := do(items); err != nil {
			return err
		}
		if next == "" {
			return nil
		}
		after = next
	}
}
