package main

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestWhatIsPackedUnpacksAndTheSameContentGivesTheSameBytes(t *testing.T) {
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
	if err := os.Chtimes(filepath.Join(from, "apim-dr"), time.Now(), time.Now().Add(-48*time.Hour)); err != nil {
		t.Fatal(err)
	}
	again := filepath.Join(t.TempDir(), "b.zip")
	if err := pack(from, again); err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := os.ReadFile(again); err != nil || !bytes.Equal(first, second) {
		t.Errorf("the same content gives other bytes: %v", err)
	}
	z, err := zip.NewReader(bytes.NewReader(first), int64(len(first)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range z.File {
		if f.Modified.Year() != 1980 { // two packages of one second would be the same with the time of packing, too
			t.Errorf("%s is of %s", f.Name, f.Modified)
		}
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

func TestOnlyWhatAPackageIsMadeOfIsPacked(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		".env":                     func(path string) error { return os.WriteFile(path, []byte("KEY=secret"), 0o600) },
		"local.settings.json":      func(path string) error { return os.WriteFile(path, []byte("{}"), 0o600) },
		"Watchdog/.function.json":  func(path string) error { return os.WriteFile(path, []byte("{}"), 0o600) },
		"Watchdog/function.json~":  func(path string) error { return os.WriteFile(path, []byte("{}"), 0o600) },
		"Watchdog/elsewhere.json":  func(path string) error { return os.Symlink("/etc/hostname", path) },
		"Watchdog/key.pem":         func(path string) error { return os.WriteFile(path, []byte("secret"), 0o600) },
		"Watchdog/apim-dr":         func(path string) error { return os.WriteFile(path, []byte("x"), 0o700) },
		".git/config.json":         func(path string) error { return os.WriteFile(path, []byte("{}"), 0o600) },
		"Watchdog/.azure/env.json": func(path string) error { return os.WriteFile(path, []byte("{}"), 0o600) },
	} {
		from, file := t.TempDir(), filepath.Join(t.TempDir(), "a.zip")
		path := filepath.Join(from, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := make(path); err != nil {
			t.Fatal(err)
		}
		if err := pack(from, file); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(file); err == nil {
			t.Errorf("%s: a package is left that is not whole", name)
		}
	}
}

// Other tools put folders into a zip as well.
func TestAZipWithFoldersUnpacks(t *testing.T) {
	file, to := filepath.Join(t.TempDir(), "a.zip"), t.TempDir()
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(out)
	for _, name := range []string{"Watchdog/", "Watchdog/function.json"} {
		if _, err := z.Create(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	out.Close()
	if err := unpack(file, to); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(to, "Watchdog", "function.json")); err != nil {
		t.Error(err)
	}
}
