package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheTableReplacesTheOneBefore(t *testing.T) {
	dir := t.TempDir()
	page, picture := filepath.Join(dir, "page.md"), filepath.Join(dir, "picture.svg")
	if err := os.WriteFile(page, []byte("before\n"+tableBegins+"old\n"+tableEnds+"after\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := document(page, picture, []row{atMost("a <thing>", 3, 1.5, "%d s", 3), atLeast("another", 0.9, 0.8, "fine")}); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	if !strings.HasPrefix(text, "before\n") || !strings.HasSuffix(text, "after\n") || strings.Contains(text, "old") ||
		!strings.Contains(text, "| a <thing> | 3.00 | ≤ 1.5 | **missed** | 3 s |\n| another | 0.90 | ≥ 0.8 | ok | fine |\n") {
		t.Error(text)
	}
	svg, err := os.ReadFile(picture)
	if err != nil || !strings.Contains(string(svg), "a &lt;thing&gt;") || strings.Count(string(svg), "<rect") != 3 {
		t.Errorf("%v %s", err, svg)
	}
	if err := document(picture, picture, nil); err == nil {
		t.Error("a page without marks is written to")
	}
}
