// Command openfunctions takes the function key away from the HTTP functions of a staged folder, for an app behind built-in authentication:
// `openfunctions FOLDER`. The program does not start with such a folder unless AUTH=entra.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: openfunctions FOLDER")
		os.Exit(2)
	}
	files, err := filepath.Glob(filepath.Join(os.Args[1], "*", "function.json"))
	for _, file := range files {
		if err == nil {
			err = open(file)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "openfunctions:", err)
		os.Exit(1)
	}
}

func open(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var f struct {
		Bindings []map[string]any `json:"bindings"` // all that these files hold
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for _, b := range f.Bindings {
		if b["type"] == "httpTrigger" {
			b["authLevel"] = "anonymous"
		}
	}
	if text, err = json.MarshalIndent(f, "", "  "); err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}
