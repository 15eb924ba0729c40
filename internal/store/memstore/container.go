package memstore

import (
	"context"
	"errors"
	"math"
	"sync"

	"apim-dr/internal/dr"
	"apim-dr/internal/store"
)

// Container is a container in memory: the product's own, with the hooks around it.
type Container struct {
	owner *Store
	keys  string // what goes before a blob's name in the keys of the hook
	blobs store.Blobs

	mu     sync.Mutex
	exists bool
	resend []func() // see LoseAnswer
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
	items, _, _ := c.blobs.List(context.Background(), "", "", math.MaxInt) // memory does not fail to list
	var names []string
	for _, item := range items {
		names = append(names, item.Name)
	}
	return names
}

// Get implements store.Blobs.
func (c *Container) Get(ctx context.Context, name string) (body []byte, etag string, err error) {
	err = c.look(ctx, "read", name, func() (err error) {
		body, etag, err = c.blobs.Get(ctx, name)
		return err
	})
	return body, etag, err
}

// Head implements store.Blobs.
func (c *Container) Head(ctx context.Context, name string) (view dr.BlobView, err error) {
	err = c.look(ctx, "head", name, func() (err error) {
		view, err = c.blobs.Head(ctx, name)
		return err
	})
	if errors.Is(err, store.ErrNoContainer) {
		err = nil
	}
	return view, err
}

// Create implements store.Blobs.
func (c *Container) Create(ctx context.Context, name string, content store.Content) (etag string, err error) {
	err = c.write(ctx, "create", name, func() (err error) {
		etag, err = c.blobs.Create(ctx, name, content)
		return err
	})
	return etag, err
}

// Replace implements store.Blobs.
func (c *Container) Replace(ctx context.Context, name string, body []byte, etag string) (newETag string, err error) {
	err = c.write(ctx, "replace", name, func() (err error) {
		newETag, err = c.blobs.Replace(ctx, name, body, etag)
		return err
	})
	return newETag, err
}

// SetMetadata implements store.Blobs.
func (c *Container) SetMetadata(ctx context.Context, name string, metadata map[string]string) error {
	return c.write(ctx, "metadata", name, func() error { return c.blobs.SetMetadata(ctx, name, metadata) })
}

// Delete implements store.Blobs.
func (c *Container) Delete(ctx context.Context, name, etag string) error {
	return c.write(ctx, "delete", name, func() error { return c.blobs.Delete(ctx, name, etag) })
}

// List implements store.Blobs.
func (c *Container) List(ctx context.Context, prefix, after string, limit int) (items []store.Item, next string, err error) {
	err = c.look(ctx, "list", prefix, func() (err error) {
		items, next, err = c.blobs.List(ctx, prefix, after, limit)
		return err
	})
	return items, next, err
}

// look asks the hook, then runs do.
func (c *Container) look(ctx context.Context, op, name string, do func() error) error {
	if err := ctx.Err(); err != nil {
		return &store.Error{Op: op, Blob: name, Err: err}
	}
	if err := c.owner.ask(op, c.keys+name); err != nil {
		return &store.Error{Op: op, Blob: name, Err: err}
	}
	return c.there(op, name, do)
}

// write is look for a write: the hook is asked after it as well, whether it was refused or not.
func (c *Container) write(ctx context.Context, op, name string, do func() error) error {
	if err := ctx.Err(); err != nil {
		return &store.Error{Op: op, Blob: name, Err: err}
	}
	if err := c.owner.ask("before "+op, c.keys+name); err != nil {
		return &store.Error{Op: op, Blob: name, Err: err}
	}
	result := c.there(op, name, do)
	if between, ok := c.lost(); ok {
		between()
		result = c.there(op, name, do)
	}
	if err := c.owner.ask("after "+op, c.keys+name); err != nil {
		return &store.Error{Op: op, Blob: name, Err: err}
	}
	return result
}

// there runs do if the container exists.
func (c *Container) there(op, name string, do func() error) error {
	c.mu.Lock()
	exists := c.exists
	c.mu.Unlock()
	if !exists {
		return &store.Error{Op: op, Blob: name, Kind: store.ErrNoContainer, Err: store.ErrNoContainer}
	}
	return do()
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
