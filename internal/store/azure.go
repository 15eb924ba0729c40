package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// azureBlobs is a container of Blob storage. How long a call may take is the client's affair; see ClientOptions.
type azureBlobs struct{ client *container.Client }

// AzureBlobs returns Blobs in an Azure container. It makes no call.
func AzureBlobs(client *container.Client) Blobs { return azureBlobs{client} }

func (a azureBlobs) Get(ctx context.Context, name string) ([]byte, string, error) {
	resp, err := a.client.NewBlobClient(name).DownloadStream(ctx, nil)
	if err != nil {
		return nil, "", failed("read", name, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxRecord+1))
	if err != nil {
		return nil, "", failed("read", name, err)
	}
	return body, etagOf(resp.ETag), nil
}

func (a azureBlobs) Head(ctx context.Context, name string) (dr.BlobView, error) {
	resp, err := a.client.NewBlobClient(name).GetProperties(ctx, nil)
	if err != nil {
		err = failed("look at", name, err)
		if errors.Is(err, engine.ErrNotFound) || errors.Is(err, ErrNoContainer) {
			return dr.BlobView{}, nil
		}
		return dr.BlobView{}, err
	}
	view := dr.BlobView{Exists: true, ETag: etagOf(resp.ETag)}
	if resp.ContentLength != nil {
		view.Bytes = *resp.ContentLength
	}
	return view, nil
}

func (a azureBlobs) Create(ctx context.Context, name string, c Content) (string, error) {
	return a.put(ctx, "create", name, c, &blob.ModifiedAccessConditions{IfNoneMatch: to.Ptr(azcore.ETagAny)})
}

func (a azureBlobs) Replace(ctx context.Context, name string, body []byte, etag string) (string, error) {
	return a.put(ctx, "replace", name, Content{Body: body}, &blob.ModifiedAccessConditions{IfMatch: to.Ptr(azcore.ETag(etag))})
}

func (a azureBlobs) put(ctx context.Context, op, name string, c Content, when *blob.ModifiedAccessConditions) (string, error) {
	resp, err := a.client.NewBlockBlobClient(name).Upload(ctx, streaming.NopCloser(bytes.NewReader(c.Body)), &blockblob.UploadOptions{
		Metadata:         pointers(c.Metadata),
		HTTPHeaders:      &blob.HTTPHeaders{BlobContentType: to.Ptr("application/json")},
		AccessConditions: &blob.AccessConditions{ModifiedAccessConditions: when},
	})
	if err != nil {
		return "", failed(op, name, err)
	}
	return etagOf(resp.ETag), nil
}

func (a azureBlobs) SetMetadata(ctx context.Context, name string, metadata map[string]string) error {
	_, err := a.client.NewBlobClient(name).SetMetadata(ctx, pointers(metadata), &blob.SetMetadataOptions{
		AccessConditions: &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfMatch: to.Ptr(azcore.ETagAny)}},
	})
	if err == nil {
		return nil
	}
	err = failed("move", name, err)
	if e := new(Error); errors.As(err, &e) && e.Kind == ErrCondition { // If-Match: * fails where there is nothing
		e.Kind = engine.ErrNotFound
	}
	return err
}

func (a azureBlobs) Delete(ctx context.Context, name, etag string) error {
	o := &blob.DeleteOptions{}
	if etag != "" {
		o.AccessConditions = &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfMatch: to.Ptr(azcore.ETag(etag))}}
	}
	if _, err := a.client.NewBlobClient(name).Delete(ctx, o); err != nil {
		return failed("delete", name, err)
	}
	return nil
}

func (a azureBlobs) List(ctx context.Context, prefix, after string, limit int) ([]Item, string, error) {
	o := &container.ListBlobsFlatOptions{
		Prefix: to.Ptr(prefix), MaxResults: to.Ptr(int32(limit)), Include: container.ListBlobsInclude{Metadata: true},
	}
	if after != "" {
		o.Marker = to.Ptr(after)
	}
	page, err := a.client.NewListBlobsFlatPager(o).NextPage(ctx)
	if err != nil {
		err = failed("list", prefix, err)
		var answer *azcore.ResponseError
		if e := new(Error); after != "" && errors.As(err, &answer) && answer.StatusCode == http.StatusBadRequest && errors.As(err, &e) {
			e.Kind = engine.ErrCursor
		}
		return nil, "", err
	}
	items := make([]Item, 0, len(page.Segment.BlobItems))
	for _, b := range page.Segment.BlobItems {
		item := Item{Name: *b.Name, Metadata: map[string]string{}}
		if b.Properties != nil {
			item.ETag = etagOf(b.Properties.ETag)
			if b.Properties.CreationTime != nil {
				item.CreatedAt = b.Properties.CreationTime.UTC()
			}
		}
		for k, v := range b.Metadata {
			if v != nil {
				item.Metadata[strings.ToLower(k)] = *v
			}
		}
		items = append(items, item)
	}
	if page.NextMarker == nil {
		return items, "", nil
	}
	return items, *page.NextMarker, nil
}

// etagOf adds the quotes that a condition needs and that a listing leaves out.
func etagOf(e *azcore.ETag) string {
	if e == nil || *e == "" {
		return ""
	}
	if text := string(*e); strings.HasPrefix(text, `"`) || strings.HasPrefix(text, "W/") {
		return text
	}
	return `"` + string(*e) + `"`
}

func pointers(m map[string]string) map[string]*string {
	if len(m) == 0 {
		return nil
	}
	out := make(map[string]*string, len(m))
	for k, v := range m {
		out[k] = to.Ptr(v)
	}
	return out
}
