package store_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/store"
	"apim-dr/internal/store/storetest"
)

// wire is a transport that answers every request.
type wire func(*http.Request) (*http.Response, error)

func (w wire) Do(r *http.Request) (*http.Response, error) { return w(r) }

// canary is a key: no error may show it.
const canary = "Y2FuYXJ5LWNhbmFyeS1jYW5hcnk="

const account = "DefaultEndpointsProtocol=https;AccountName=contosodr;AccountKey=" + canary + ";EndpointSuffix=core.windows.net"

func over(t *testing.T, w wire) (*store.Store, *store.Vault) {
	t.Helper()
	client, err := store.FromConnectionString(account, store.ClientOptions(w))
	if err != nil {
		t.Fatal(err)
	}
	vault := store.NewVault(func(string) (*service.Client, error) { return client, nil })
	return store.New(client.NewContainerClient("apim-dr"), store.Options{Vault: vault}), vault
}

// answer is what Blob storage says with a code.
func answer(r *http.Request, status int, code, body string) *http.Response {
	h := http.Header{"X-Ms-Request-Id": {"request-1"}, "Content-Type": {"application/xml"}}
	if code != "" {
		h.Set("x-ms-error-code", code)
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), Request: r}
}

var id = dr.NewID(dr.KindBackup, time.Date(2026, 11, 2, 3, 0, 0, 0, time.UTC), "test")

// operation is the smallest record.
var operation = dr.Operation{V: dr.Version, Rev: 1, Writer: "me", ID: id, Kind: dr.KindBackup, Phase: dr.Queued, Legs: []dr.Leg{{Verb: dr.VerbBackup}}}

var storage = dr.Storage{Account: "contosodr", Container: "backups"}

func TestACallEndsWithin15SecondsWhateverTheNetworkDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, w := range map[string]wire{
			"silence": func(r *http.Request) (*http.Response, error) {
				<-r.Context().Done()
				return nil, r.Context().Err()
			},
			"busy for a minute": func(r *http.Request) (*http.Response, error) {
				resp := answer(r, http.StatusServiceUnavailable, "ServerBusy", "")
				resp.Header.Set("Retry-After", "60")
				return resp, nil
			},
			"a body that never ends": func(r *http.Request) (*http.Response, error) {
				resp := answer(r, http.StatusOK, "", "")
				resp.Body = endless{r.Context()}
				return resp, nil
			},
		} {
			s, _ := over(t, w)
			begun := time.Now()
			if _, _, err := s.Operation(t.Context(), id); err == nil || errors.Is(err, engine.ErrNotFound) || errors.Is(err, engine.ErrUnreadable) {
				t.Errorf("%s: error is %v", name, err)
			}
			if took := time.Since(begun); took > 15*time.Second {
				t.Errorf("%s took %s", name, took)
			}
		}
	})
}

// endless is the body of an answer that stops in the middle.
type endless struct{ ctx context.Context }

func (e endless) Read([]byte) (int, error) { <-e.ctx.Done(); return 0, e.ctx.Err() }
func (e endless) Close() error             { return nil }

func TestACallEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := over(t, func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		if _, err := s.CreateOperation(ctx, operation); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error is %v", err)
		}
		if took := time.Since(begun); took != time.Second {
			t.Errorf("took %s", took)
		}
	})
}

func TestABusyStorageIsTriedThreeTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries atomic.Int32
		s, _ := over(t, func(r *http.Request) (*http.Response, error) {
			tries.Add(1)
			return answer(r, http.StatusServiceUnavailable, "ServerBusy", ""), nil
		})
		if err := s.Unmark(t.Context(), id); err == nil {
			t.Error("no error")
		}
		if n := tries.Load(); n != 3 {
			t.Errorf("%d tries", n)
		}
	})
}

func TestTrouble(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		code   string
	}{
		"a missing container is no missing record": {http.StatusNotFound, "ContainerNotFound"},
		"an unknown 404 is no missing record":      {http.StatusNotFound, "ResourceNotFound"},
		"a dying container is no conflict":         {http.StatusConflict, "ContainerBeingDeleted"},
		"a leased blob is no conflict":             {http.StatusPreconditionFailed, "LeaseIdMissing"},
		"a refusal is no answer":                   {http.StatusForbidden, "AuthenticationFailed"},
	} {
		t.Run(name, func(t *testing.T) {
			s, vault := over(t, func(r *http.Request) (*http.Response, error) {
				return answer(r, c.status, c.code, "<Error>the string to sign was secret-body</Error>"), nil
			})
			_, _, read := s.Operation(t.Context(), id)
			_, create := s.CreateOperation(t.Context(), operation)
			_, save := s.SaveOperation(t.Context(), operation, `"1"`)
			_, lock := s.Lock(t.Context(), "contoso-eu", id, "n1")
			_, tick := s.LastTick(t.Context(), "nightly")
			_, list := s.Markers(t.Context())
			_, holder := s.Holder(t.Context(), "contoso-eu")
			_, point := s.Point(t.Context(), "contoso-eu", id+"-s0-a1")
			_, points := s.Points(t.Context(), "contoso-eu")
			_, pair := s.Pair(t.Context(), "contoso-eu~contoso-us")
			_, recall := s.Recall(t.Context(), "cafe")
			w := dr.Wake{V: 1, ID: id}
			errs := []error{
				holder, point, points, pair, recall, s.Reserve(t.Context(), "contoso-eu", id, dr.NewID(dr.KindBackup, time.Time{}, "next")),
				s.Pin(t.Context(), "contoso-eu", id+"-s0-a1", id), s.Unpin(t.Context(), "contoso-eu", id+"-s0-a1", id),
				s.MergePair(t.Context(), "contoso-eu~contoso-us", func(p dr.Pair) (dr.Pair, bool) { return p, true }),
				vault.Beside(t.Context(), storage, nil, nil), vault.KeepRole(t.Context(), storage, dr.NewPair("contoso-eu", "contoso-us")),
				read, create, save, lock, tick, list, s.Mark(t.Context(), w), s.Beat(t.Context(), w), s.Unmark(t.Context(), id),
				s.UnmarkIf(t.Context(), engine.Marker{Wake: w, ETag: `"1"`}), s.Unlock(t.Context(), "contoso-eu", id),
				s.MoveTick(t.Context(), "nightly", time.Unix(1, 0)), s.Quarantine(t.Context(), nil, ""),
				storetest.PutPoint(t.Context(), s, dr.RecoveryPoint{V: 1, ID: id + "-s0-a1", State: dr.Good, Operation: id, Service: "x", Storage: storage}),
			}
			if c.code != "ContainerNotFound" { // which is an answer to a vault
				_, head := vault.Head(t.Context(), storage, "blob")
				_, exists := vault.Exists(t.Context(), storage)
				_, roles := vault.Roles(t.Context(), storage)
				_, role := vault.Role(t.Context(), storage, "contoso-eu~contoso-us")
				errs = append(errs, head, exists, roles, role)
			}
			for i, err := range errs {
				for _, verdict := range []error{engine.ErrNotFound, engine.ErrExists, engine.ErrConflict, engine.ErrUnreadable, engine.ErrNewer} {
					if errors.Is(err, verdict) {
						t.Errorf("call %d: error is %v", i, err)
					}
				}
				if err == nil {
					t.Errorf("call %d: no error", i)
					continue
				}
				if e := new(store.Error); !errors.As(err, &e) || e.Op == "" || e.Blob == "" && !strings.Contains(err.Error(), "contosodr/backups: blob storage: list: ") {
					t.Errorf("call %d: error is a %T", i, err)
				}
				if strings.Contains(err.Error(), "secret-body") || strings.Contains(err.Error(), canary) {
					t.Errorf("call %d tells too much: %v", i, err)
				}
				if c.status == http.StatusForbidden && !strings.Contains(err.Error(), "HTTP 403 AuthenticationFailed (request request-1)") {
					t.Errorf("call %d tells too little: %v", i, err)
				}
			}
		})
	}
}

func TestABackupStorageOutOfReachFailsHeadAndTheWritingOfAPoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, vault := over(t, func(r *http.Request) (*http.Response, error) {
			if strings.HasPrefix(r.URL.Path, "/backups/") {
				return nil, errors.New("no route to host")
			}
			return answer(r, http.StatusCreated, "", ""), nil
		})
		if _, err := vault.Head(t.Context(), storage, "blob"); err == nil {
			t.Error("head: no error")
		}
		p := dr.RecoveryPoint{V: 1, ID: id + "-s0-a1", State: dr.Good, Operation: id, Service: "contoso-eu", Storage: storage}
		if err := storetest.PutPoint(t.Context(), s, p); err == nil || !strings.Contains(err.Error(), "no route to host") {
			t.Errorf("error is %v", err)
		}
	})
}

func TestListedETagsHaveTheQuotesThatAConditionNeeds(t *testing.T) {
	var match string
	s, _ := over(t, func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodDelete {
			match = r.Header["If-Match"][0]
			return answer(r, http.StatusAccepted, "", ""), nil
		}
		return answer(r, http.StatusOK, "", `<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="https://contosodr.blob.core.windows.net/" ContainerName="apim-dr"><Prefix>active/</Prefix><MaxResults>200</MaxResults><Blobs><Blob><Name>active/`+id+
			`</Name><Properties><Creation-Time>Mon, 02 Nov 2026 03:00:00 GMT</Creation-Time><Last-Modified>Mon, 02 Nov 2026 03:00:00 GMT</Last-Modified><Etag>0x8CBFF45D8A29A19</Etag><Content-Length>2</Content-Length><BlobType>BlockBlob</BlobType></Properties><Metadata><Wake>x</Wake></Metadata></Blob></Blobs><NextMarker /></EnumerationResults>`), nil
	})
	markers, err := s.Markers(t.Context())
	if err != nil || len(markers) != 1 {
		t.Fatal(markers, err)
	}
	if !markers[0].CreatedAt.Equal(time.Date(2026, 11, 2, 3, 0, 0, 0, time.UTC)) {
		t.Errorf("created %s", markers[0].CreatedAt)
	}
	if err := s.UnmarkIf(t.Context(), markers[0]); err != nil || match != `"0x8CBFF45D8A29A19"` {
		t.Errorf("If-Match: %s, %v", match, err)
	}
}

func TestACursorThatStorageRefusesIsErrCursor(t *testing.T) {
	s, _ := over(t, func(r *http.Request) (*http.Response, error) {
		return answer(r, http.StatusBadRequest, "OutOfRangeInput", ""), nil
	})
	if _, _, err := s.ListOperations(t.Context(), "20261102", "made up", 10); !errors.Is(err, engine.ErrCursor) {
		t.Errorf("error is %v", err)
	}
	if _, _, err := s.ListOperations(t.Context(), "20261102", "", 10); err == nil || errors.Is(err, engine.ErrCursor) {
		t.Errorf("without a cursor: %v", err)
	}
}

func TestConnectionStringsAndEndpointsThatCouldLeakAreRefusedWithoutRepeatingThem(t *testing.T) {
	for _, text := range []string{
		"", canary, "AccountName=contosodr;AccountKey=" + canary + "!", "AccountName=contosodr;" + canary,
		"BlobEndpoint=https://contosodr.blob.core.windows.net/;SharedAccessSignature=sv=2024&sig=" + canary,
		"AccountName=contosodr;AccountKey=" + canary + ";BlobEndpoint=https://x/?sig=" + canary,
		"AccountName=contosodr;AccountKey=" + canary + ";BlobEndpoint=https://x/AccountKey=" + canary,
	} {
		if _, err := store.FromConnectionString(text, store.ClientOptions(nil)); err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%q: error is %v", text, err)
		}
	}
	if _, err := store.FromKey("https://contosodr.blob.core.windows.net", "contosodr", canary+"!", store.ClientOptions(nil)); err == nil || strings.Contains(err.Error(), canary) {
		t.Errorf("a key that is none: error is %v", err)
	}
	for _, text := range []string{"", "contosodr", "ftp://x", "https://x/?sig=" + canary, "https://u:" + canary + "@x/", "https://x/#" + canary} {
		if _, err := store.FromEndpoint(text, nil, store.ClientOptions(nil)); err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%q: error is %v", text, err)
		}
	}
}

func TestWhatStorageKeepsByPolicyOrLegalHoldIsImmutable(t *testing.T) {
	for code, immutable := range map[string]bool{"BlobImmutableDueToPolicy": true, "BlobImmutableDueToLegalHold": true, "LeaseIdMissing": false, "SnapshotsPresent": false} {
		_, vault := over(t, func(r *http.Request) (*http.Response, error) { return answer(r, http.StatusConflict, code, ""), nil })
		if err := vault.Remove(t.Context(), storage, id+"-s0-a1"); err == nil || errors.Is(err, engine.ErrImmutable) != immutable {
			t.Errorf("%s: %v", code, err)
		}
	}
}
