package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/usage"
)

var (
	_ usage.States = (*Store)(nil)
	_ usage.Files  = (*Files)(nil)
)

// Usage implements usage.States.
func (s *Store) Usage(ctx context.Context, service string) (usage.State, error) {
	name, err := serviceName(usageDir, service)
	if err != nil {
		return usage.State{}, err
	}
	state, _, err := load(ctx, s.blobs, name, usageOf(service))
	if errors.Is(err, engine.ErrNotFound) {
		err = nil
	}
	return state, err
}

// MergeUsage implements usage.States. Version and name are filled in.
func (s *Store) MergeUsage(ctx context.Context, service string, merge func(usage.State) (usage.State, bool)) (usage.State, error) {
	name, err := serviceName(usageDir, service)
	if err != nil {
		return usage.State{}, err
	}
	var kept usage.State
	err = update(ctx, s.blobs, name, usageOf(service), func(state usage.State) (usage.State, bool) {
		next, changed := merge(state)
		if changed {
			next.V, next.Service = dr.Version, service
		}
		kept = next
		return next, changed
	})
	return kept, err
}

func usageOf(service string) func(usage.State) error {
	return func(state usage.State) error {
		if !strings.EqualFold(state.Service, service) {
			return fmt.Errorf("it holds service %q", state.Service)
		}
		return state.Check()
	}
}

// Files implements usage.Files in a container of its own: what lies there is for others to read.
type Files struct{ client *container.Client }

// NewFiles returns the files in a container. It makes no call. The container must exist.
func NewFiles(client *container.Client) *Files { return &Files{client: client} }

// blockSize is how much of a file is in memory, in bytes. A file may have 50,000 blocks (Azure docs, "Scalability targets for Blob storage").
const blockSize = 1 << 20

// Begin implements usage.Files: blocks that nobody commits are not seen, and are gone after a week. Their names differ from draft to draft, so that
// two of one file do not mix.
func (f *Files) Begin(ctx context.Context, name string) usage.Draft {
	return &blocks{ctx: ctx, client: f.client.NewBlockBlobClient(name), name: name, prefix: rand.Text()}
}

type blocks struct {
	ctx          context.Context
	client       *blockblob.Client
	name, prefix string
	ids          []string
	buffer       []byte
}

func (b *blocks) Write(p []byte) (n int, err error) {
	if b.buffer == nil {
		b.buffer = make([]byte, 0, blockSize)
	}
	for len(p) > 0 {
		part := p[:min(len(p), blockSize-len(b.buffer))]
		b.buffer = append(b.buffer, part...)
		n, p = n+len(part), p[len(part):]
		if len(b.buffer) == blockSize {
			if err := b.stage(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

func (b *blocks) stage() error {
	id := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s%05d", b.prefix, len(b.ids)))
	if _, err := b.client.StageBlock(b.ctx, id, streaming.NopCloser(bytes.NewReader(b.buffer)), nil); err != nil {
		return failed("write", b.name, err)
	}
	b.ids, b.buffer = append(b.ids, id), b.buffer[:0]
	return nil
}

// Commit implements usage.Draft.
func (b *blocks) Commit(facts map[string]string) (version string, err error) {
	if len(b.buffer) > 0 {
		if err := b.stage(); err != nil {
			return "", err
		}
	}
	resp, err := b.client.CommitBlockList(b.ctx, b.ids, &blockblob.CommitBlockListOptions{
		Metadata: pointers(facts), HTTPHeaders: &blob.HTTPHeaders{BlobContentType: to.Ptr("application/gzip")},
	})
	if err != nil {
		return "", failed("write", b.name, err)
	}
	return etagOf(resp.ETag), nil
}

// Look implements usage.Files.
func (f *Files) Look(ctx context.Context, name string) (map[string]string, string, error) {
	resp, err := f.client.NewBlobClient(name).GetProperties(ctx, nil)
	if err != nil {
		if err = failed("look at", name, err); errors.Is(err, engine.ErrNotFound) {
			err = nil
		}
		return nil, "", err
	}
	facts := map[string]string{}
	for k, v := range resp.Metadata { // net/http has made canonical names of them
		if v != nil {
			facts[strings.ToLower(k)] = *v
		}
	}
	return facts, etagOf(resp.ETag), nil
}

// Put implements usage.Files.
func (f *Files) Put(ctx context.Context, name string, body []byte) error {
	_, err := f.client.NewBlockBlobClient(name).Upload(ctx, streaming.NopCloser(bytes.NewReader(body)), &blockblob.UploadOptions{
		HTTPHeaders: &blob.HTTPHeaders{BlobContentType: to.Ptr("application/json")},
	})
	if err != nil {
		return failed("write", name, err)
	}
	return nil
}

// Remove implements usage.Files.
func (f *Files) Remove(ctx context.Context, name string) error {
	_, err := f.client.NewBlobClient(name).Delete(ctx, nil)
	if err != nil {
		if err = failed("delete", name, err); errors.Is(err, engine.ErrNotFound) {
			return nil
		}
	}
	return err
}
