package main

import (
	"archive/zip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhatIsPackedUnpacks(t *testing.T) {
	from, to, file := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "a.zip")
	if err := os.MkdirAll(filepath.Join(from, "Watchdog"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"apim-dr": 0o755, "Watchdog/function.json": 0o600} {
		if err := os.WriteFile(filepath.Join(from, name), []byte(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := pack(from, file); err != nil {
		t.Fatal(err)
	}
	if err := unpack(file, to); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"apim-dr": 0o755, "Watchdog/function.json": 0o644} {
		text, err := os.ReadFile(filepath.Join(to, name))
		if err != nil || string(text) != name {
			t.Errorf("%s: %q %v", name, text, err)
		}
		if info, err := os.Stat(filepath.Join(to, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v %v", name, info.Mode(), err)
		}
	}
}

func TestAPathThatLeadsOutIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.zip")
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(out)
	if _, err := z.Create("../x"); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	out.Close()
	if err := unpack(file, t.TempDir()); err == nil || !strings.Contains(err.Error(), "../x") {
		t.Errorf("%v", err)
	}
}
