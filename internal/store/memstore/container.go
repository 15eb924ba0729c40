package memstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/store"
)

// Container is a container in memory.
type Container struct {
	owner *Store
	keys  string // what goes before a blob's name in the keys of the hook

	mu     sync.Mutex
	exists bool
	serial int // of the last ETag
	blobs  map[string]blob
	resend []func() // see LoseAnswer
}

type blob struct {
	body     []byte
	metadata map[string]string
	etag     string
	created  time.Time
}

var _ store.Blobs = (*Container)(nil)

// LoseAnswer lets the next write be done, its answer be lost, between be called and the write be repeated, as azcore does on a
// broken connection. The caller sees the answer to the repetition.
func (c *Container) LoseAnswer(between func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resend = append(c.resend, between)
}

// Names lists the names of all blobs.
func (c *Container) Names() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.blobs))
}

// Get implements store.Blobs.
func (c *Container) Get(ctx context.Context, name string) (body []byte, etag string, err error) {
	err = c.look(ctx, "read", name, func() error {
		b, ok := c.blobs[name]
		if !ok {
			return engine.ErrNotFound
		}
		body, etag = slices.Clone(b.body), b.etag
		return nil
	})
	return body, etag, err
}

// Head implements store.Blobs.
func (c *Container) Head(ctx context.Context, name string) (view dr.BlobView, err error) {
	err = c.look(ctx, "head", name, func() error {
		if b, ok := c.blobs[name]; ok {
			view = dr.BlobView{Exists: true, Bytes: int64(len(b.body)), ETag: b.etag}
		}
		return nil
	})
	if errors.Is(err, store.ErrNoContainer) {
		err = nil
	}
	return view, err
}

// Create implements store.Blobs.
func (c *Container) Create(ctx context.Context, name string, content store.Content) (etag string, err error) {
	err = c.write(ctx, "create", name, func() error {
		if _, ok := c.blobs[name]; ok {
			return store.ErrCondition
		}
		etag = c.put(name, blob{body: content.Body, metadata: content.Metadata, created: c.owner.now()})
		return nil
	})
	return etag, err
}

// Replace implements store.Blobs.
func (c *Container) Replace(ctx context.Context, name string, body []byte, etag string) (newETag string, err error) {
	err = c.write(ctx, "replace", name, func() error {
		b, ok := c.blobs[name]
		if !ok || b.etag != etag {
			return store.ErrCondition
		}
		newETag = c.put(name, blob{body: body, created: b.created})
		return nil
	})
	return newETag, err
}

// SetMetadata implements store.Blobs.
func (c *Container) SetMetadata(ctx context.Context, name string, metadata map[string]string) error {
	return c.write(ctx, "metadata", name, func() error {
		b, ok := c.blobs[name]
		if !ok {
			return engine.ErrNotFound
		}
		b.metadata = metadata
		c.put(name, b)
		return nil
	})
}

// Delete implements store.Blobs.
func (c *Container) Delete(ctx context.Context, name, etag string) error {
	return c.write(ctx, "delete", name, func() error {
		b, ok := c.blobs[name]
		switch {
		case etag != "" && etag != b.etag: // Azurite refuses the condition where there is no blob, too
			return store.ErrCondition
		case !ok:
			return engine.ErrNotFound
		}
		delete(c.blobs, name)
		return nil
	})
}

// List implements store.Blobs.
func (c *Container) List(ctx context.Context, prefix, after string, limit int) (items []store.Item, next string, err error) {
	err = c.look(ctx, "list", prefix, func() error {
		for _, name := range slices.Sorted(maps.Keys(c.blobs)) {
			if !strings.HasPrefix(name, prefix) || name <= after {
				continue
			}
			if len(items) == limit {
				next = items[limit-1].Name
				return nil
			}
			b := c.blobs[name]
			items = append(items, store.Item{Name: name, ETag: b.etag, CreatedAt: b.created, Metadata: maps.Clone(b.metadata)})
		}
		return nil
	})
	return items, next, err
}

// put keeps a blob under a new ETag. The caller's slices and maps may change later.
func (c *Container) put(name string, b blob) string {
	c.serial++
	b.etag = fmt.Sprintf("%q", fmt.Sprintf("0x%X", c.serial))
	b.body, b.metadata = bytes.Clone(b.body), maps.Clone(b.metadata)
	c.blobs[name] = b
	return b.etag
}

// look runs do under the lock.
func (c *Container) look(ctx context.Context, op, name string, do func() error) error {
	if err := ctx.Err(); err != nil {
		return &store.Error{Op: op, Blob: name, Err: err}
	}
	if err := c.owner.ask(op, c.keys+name); err != nil {
		return &store.Error{Op: op, Blob: name, Err: err}
	}
	return c.locked(op, name, do)
}

// write is look for a write: the hook is asked after it as well, whether it was refused or not.
func (c *Container) write(ctx context.Context, op, name string, do func() error) error {
	if err := ctx.Err(); err != nil {
		return &store.Error{Op: op, Blob: name, Err: err}
	}
	if err := c.owner.ask("before "+op, c.keys+name); err != nil {
		return &store.Error{Op: op, Blob: name, Err: err}
	}
	result := c.locked(op, name, do)
	if between, ok := c.lost(); ok {
		between()
		result = c.locked(op, name, do)
	}
	if err := c.owner.ask("after "+op, c.keys+name); err != nil {
		return &store.Error{Op: op, Blob: name, Err: err}
	}
	return result
}

func (c *Container) locked(op, name string, do func() error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := store.ErrNoContainer
	if c.exists {
		err = do()
	}
	if err != nil {
		return &store.Error{Op: op, Blob: name, Kind: err, Err: err}
	}
	return nil
}

func (c *Container) lost() (between func(), ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.resend) == 0 {
		return nil, false
	}
	between, c.resend = c.resend[0], c.resend[1:]
	if between == nil {
		between = func() {}
	}
	return between, true
}
