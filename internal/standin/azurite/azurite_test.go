package azurite_test

import (
	"context"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"

	"apim-dr/internal/standin/azurite"
)

const account, key = "contosodr", "Y29udG9zbw=="

func start(t *testing.T, o azurite.Options) (*azurite.Server, *azblob.Client) {
	t.Helper()
	o.Accounts = account + ":" + key
	s, err := azurite.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	client, err := azblob.NewClientFromConnectionString(s.ConnectionString(account, key), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s, client
}

func TestWhatItHeldWhenItWasStoppedIsThereAgain(t *testing.T) {
	dir := t.TempDir()
	s, client := start(t, azurite.Options{Dir: dir})
	if _, err := client.CreateContainer(t.Context(), "kept", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := client.UploadBuffer(t.Context(), "kept", "blob", []byte("x"), nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if conn, err := net.Dial("tcp", s.Addr()); err == nil {
		conn.Close()
		t.Error("it still listens")
	}
	_, client = start(t, azurite.Options{Dir: dir})
	got, err := client.DownloadStream(t.Context(), "kept", "blob", nil)
	if err != nil {
		t.Fatal(err)
	}
	got.Body.Close()
}

func TestOnlyTheNamedAccountsAreThere(t *testing.T) {
	s, client := start(t, azurite.Options{})
	if _, err := client.CreateContainer(t.Context(), "own", nil); err != nil {
		t.Error(err)
	}
	for access, code := range map[string]bloberror.Code{
		s.ConnectionString(account, azurite.Key): bloberror.AuthorizationFailure, s.ConnectionString(azurite.Account, azurite.Key): bloberror.ResourceNotFound,
	} {
		stranger, err := azblob.NewClientFromConnectionString(access, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stranger.CreateContainer(t.Context(), "foreign", nil); !bloberror.HasCode(err, code) {
			t.Errorf("%v, not %s", err, code)
		}
	}
}

func TestItTellsWhyItDidNotStartAndEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s, err := azurite.Start(ctx, azurite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, at, _ := net.SplitHostPort(s.Addr())
	port, _ := strconv.Atoi(at)
	if second, err := azurite.Start(t.Context(), azurite.Options{Port: port}); err == nil {
		second.Close()
		t.Error("two at one port")
	} else if !strings.Contains(err.Error(), "it said: ") || !strings.Contains(err.Error(), at) {
		t.Errorf("%v does not tell that port %s is taken", err, at)
	}
	cancel()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", s.Addr())
		if err != nil {
			break
		}
		if conn.Close(); time.Now().After(deadline) {
			t.Fatal("it outlives its context")
		}
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil { // once more does no harm
		t.Error(err)
	}
}
