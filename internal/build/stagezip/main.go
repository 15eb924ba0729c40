// Command stagezip packs a staged folder into a zip that can be deployed: `stagezip FOLDER FILE`. The same content gives the same bytes, and the
// executable bit is kept. `stagezip -unpack FILE FOLDER` is the way back.
package main

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	var err error
	switch args := os.Args[1:]; {
	case len(args) == 2:
		err = pack(args[0], args[1])
	case len(args) == 3 && args[0] == "-unpack":
		err = unpack(args[1], args[2])
	default:
		fmt.Fprintln(os.Stderr, "usage: stagezip FOLDER FILE | stagezip -unpack FILE FOLDER")
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "stagezip:", err)
		os.Exit(1)
	}
}

func pack(folder, file string) (err error) {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, out.Close()); err != nil {
			_ = os.Remove(file) // or it would be deployed
		}
	}()
	z := zip.NewWriter(out)
	// WalkDir goes in lexical order, and every entry has the same time: the bytes depend on the content alone.
	err = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		if name = filepath.ToSlash(name); !belongs(name, d) {
			return fmt.Errorf("%s does not belong into a package, which holds apim-dr and .json files; remove it from the folder that it was copied from", name)
		}
		return add(z, name, path)
	})
	if err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	info, err := out.Stat()
	if err != nil {
		return err
	}
	fmt.Printf("%s: %.1f MB\n", file, float64(info.Size())/1e6)
	return nil
}

// belongs tells what a package is made of: the program, function.json, host.json, perhaps a fleet. Secrets lie in what else lies in such folders, and
// behind links.
func belongs(name string, d fs.DirEntry) bool {
	hidden := strings.HasPrefix(name, ".") || strings.Contains(name, "/.")
	data := path.Ext(name) == ".json" && !strings.HasPrefix(strings.ToLower(path.Base(name)), "local.settings.")
	return d.Type().IsRegular() && !hidden && (data || name == "apim-dr")
}

func add(z *zip.Writer, name, path string) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	h := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
	h.SetMode(0o644)
	if info.Mode()&0o100 != 0 {
		h.SetMode(0o755)
	}
	w, err := z.CreateHeader(h)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, in)
	return err
}

func unpack(file, folder string) error {
	z, err := zip.OpenReader(file)
	if err != nil {
		return err
	}
	defer z.Close()
	for _, f := range z.File {
		if err := extract(f, folder); err != nil {
			return err
		}
	}
	return nil
}

func extract(f *zip.File, folder string) error {
	if !filepath.IsLocal(f.Name) {
		return fmt.Errorf("%q leads out of the folder", f.Name)
	}
	path := filepath.Join(folder, filepath.FromSlash(f.Name))
	if f.FileInfo().IsDir() {
		return os.MkdirAll(path, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	in, err := f.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, f.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
