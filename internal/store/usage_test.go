package store_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"apim-dr/internal/store"
	"apim-dr/internal/usage"
)

// files is a container of the emulator for the files of usage.
func files(t *testing.T) (*store.Files, *container.Client) {
	t.Helper()
	c := connect(t, byString).NewContainerClient(atHome.newContainer())
	if _, err := c.Create(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return store.NewFiles(c), c
}

func content(t *testing.T, c *container.Client, name string) string {
	t.Helper()
	resp, err := c.NewBlobClient(name).DownloadStream(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(sha256.Sum256(fmt.Append(nil, n))).Read(b)
	return b
}

func write(t *testing.T, d usage.Draft, b []byte) {
	t.Helper()
	for part := range bytes.Lines(b) { // of all sizes
		if n, err := d.Write(part); err != nil || n != len(part) {
			t.Fatal(n, err)
		}
	}
}

func TestAFileIsSeenWithItsFactsWhenItIsCommittedAndNotBefore(t *testing.T) {
	f, c := files(t)
	const name = "contoso-eu/byApi/2026/11/25.ndjson.gz"
	if facts, version, err := f.Look(t.Context(), name); facts != nil || version != "" || err != nil {
		t.Errorf("%v, %q, %v", facts, version, err)
	}
	for _, size := range []int{0, 1, 1 << 20, 3<<20 + 5} {
		old, before, err := f.Look(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		d := f.Begin(t.Context(), name)
		write(t, d, noise(size))
		if now, version, err := f.Look(t.Context(), name); err != nil || version != before || len(now) != len(old) {
			t.Errorf("it is seen before its end: %v, %q, %v", now, version, err)
		}
		version, err := d.Commit(map[string]string{"rows": fmt.Sprint(size), "sha256": "cafe"})
		if err != nil || version == before {
			t.Fatalf("%q, %v", version, err)
		}
		facts, seen, err := f.Look(t.Context(), name)
		if err != nil || seen != version || facts["rows"] != fmt.Sprint(size) || facts["sha256"] != "cafe" || content(t, c, name) != string(noise(size)) {
			t.Errorf("%v, %q, %v", facts, seen, err)
		}
	}
}

// One of two drafts of a file that are written at once may fail; what is there is one of them, whole.
func TestDraftsOfOneFileDoNotMix(t *testing.T) {
	f, c := files(t)
	sizes := []int{2<<20 + 1, 2<<20 + 2}
	var drafts []usage.Draft
	for _, size := range sizes {
		d := f.Begin(t.Context(), "x")
		write(t, d, noise(size))
		drafts = append(drafts, d)
	}
	var wg sync.WaitGroup
	errs := make([]error, len(drafts))
	for i, d := range drafts {
		wg.Go(func() { _, errs[i] = d.Commit(map[string]string{"rows": fmt.Sprint(sizes[i])}) })
	}
	wg.Wait()
	facts, _, err := f.Look(t.Context(), "x")
	if err != nil || errs[0] != nil && errs[1] != nil {
		t.Fatal(err, errs)
	}
	for _, size := range sizes {
		if facts["rows"] == fmt.Sprint(size) && content(t, c, "x") == string(noise(size)) {
			return
		}
	}
	t.Errorf("the file is neither of them: %v", facts)
}

func TestSmallFilesAreReplacedAndRemoved(t *testing.T) {
	f, c := files(t)
	for _, body := range []string{"one", "two"} {
		if err := f.Put(t.Context(), "a/b.json", []byte(body)); err != nil || content(t, c, "a/b.json") != body {
			t.Error(err)
		}
	}
	for range 2 {
		if err := f.Remove(t.Context(), "a/b.json"); err != nil {
			t.Error(err)
		}
	}
	if _, version, err := f.Look(t.Context(), "a/b.json"); version != "" || err != nil {
		t.Errorf("%q, %v", version, err)
	}
	if _, err := c.Delete(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	_, _, look := f.Look(t.Context(), "a")
	_, commit := f.Begin(t.Context(), "a").Commit(nil)
	for _, err := range []error{look, commit, f.Put(t.Context(), "a", nil), f.Remove(t.Context(), "a")} {
		if err == nil || !strings.Contains(err.Error(), "the container does not exist") {
			t.Errorf("%v", err)
		}
	}
}
