package store

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// memory is a container that lives as long as the process.
type memory struct {
	now func() time.Time

	mu     sync.Mutex
	serial int                              // of the last ETag
	dirs   map[string]map[string]memoryBlob // by what goes before the last slash: a listing is of a few of them, however many there are
}

type memoryBlob struct {
	body     []byte
	metadata map[string]string
	etag     string
	created  time.Time
}

// Memory returns Blobs in memory, for a store that need not outlive the process. It is empty and safe for concurrent use; now dates the blobs. No call
// waits, so that none is cut short by its context.
func Memory(now func() time.Time) Blobs {
	return &memory{now: now, dirs: map[string]map[string]memoryBlob{}}
}

// find returns a blob; for use under the lock.
func (m *memory) find(name string) (memoryBlob, bool) {
	b, ok := m.dirs[path.Dir(name)][name]
	return b, ok
}

// locked runs do under the lock.
func (m *memory) locked(op, name string, do func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := do(); err != nil {
		return &Error{Op: op, Blob: name, Kind: err, Err: err}
	}
	return nil
}

func (m *memory) Get(_ context.Context, name string) (body []byte, etag string, err error) {
	err = m.locked("read", name, func() error {
		b, ok := m.find(name)
		if !ok {
			return engine.ErrNotFound
		}
		body, etag = slices.Clone(b.body[:min(len(b.body), MaxRecord+1)]), b.etag
		return nil
	})
	return body, etag, err
}

func (m *memory) Head(_ context.Context, name string) (view dr.BlobView, err error) {
	err = m.locked("look at", name, func() error {
		if b, ok := m.find(name); ok {
			view = dr.BlobView{Exists: true, Bytes: int64(len(b.body)), ETag: b.etag}
		}
		return nil
	})
	return view, err
}

func (m *memory) Create(_ context.Context, name string, c Content) (etag string, err error) {
	err = m.locked("create", name, func() error {
		if _, ok := m.find(name); ok {
			return ErrCondition
		}
		etag = m.put(name, memoryBlob{body: c.Body, metadata: c.Metadata, created: m.now()})
		return nil
	})
	return etag, err
}

func (m *memory) Replace(_ context.Context, name string, body []byte, etag string) (newETag string, err error) {
	err = m.locked("replace", name, func() error {
		b, ok := m.find(name)
		if !ok || b.etag != etag {
			return ErrCondition
		}
		newETag = m.put(name, memoryBlob{body: body, created: b.created})
		return nil
	})
	return newETag, err
}

func (m *memory) SetMetadata(_ context.Context, name string, metadata map[string]string) error {
	return m.locked("move", name, func() error {
		b, ok := m.find(name)
		if !ok {
			return engine.ErrNotFound
		}
		b.metadata = metadata
		m.put(name, b)
		return nil
	})
}

func (m *memory) Delete(_ context.Context, name, etag string) error {
	return m.locked("delete", name, func() error {
		b, ok := m.find(name)
		switch {
		case etag != "" && etag != b.etag: // storage refuses the condition where there is no blob, too
			return ErrCondition
		case !ok:
			return engine.ErrNotFound
		}
		dir := path.Dir(name)
		if delete(m.dirs[dir], name); len(m.dirs[dir]) == 0 {
			delete(m.dirs, dir)
		}
		return nil
	})
}

func (m *memory) List(_ context.Context, prefix, after string, limit int) (items []Item, next string, err error) {
	err = m.locked("list", prefix, func() error {
		var names []string
		for dir, blobs := range m.dirs {
			if dir += "/"; dir != "./" && !strings.HasPrefix(dir, prefix) && !strings.HasPrefix(prefix, dir) {
				continue
			}
			for name := range blobs {
				if strings.HasPrefix(name, prefix) && name > after {
					names = append(names, name)
				}
			}
		}
		slices.Sort(names)
		for _, name := range names {
			if len(items) == limit {
				next = items[limit-1].Name
				return nil
			}
			b, _ := m.find(name)
			items = append(items, Item{Name: name, ETag: b.etag, CreatedAt: b.created, Metadata: maps.Clone(b.metadata)})
		}
		return nil
	})
	return items, next, err
}

// put keeps a blob under a new ETag. The caller's slices and maps may change later.
func (m *memory) put(name string, b memoryBlob) string {
	m.serial++
	b.etag = fmt.Sprintf("%q", fmt.Sprintf("0x%X", m.serial))
	b.body, b.metadata = bytes.Clone(b.body), maps.Clone(b.metadata)
	dir := path.Dir(name)
	if m.dirs[dir] == nil {
		m.dirs[dir] = map[string]memoryBlob{}
	}
	m.dirs[dir][name] = b
	return b.etag
}
