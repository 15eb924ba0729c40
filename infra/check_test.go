package infra_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A command that cannot format or lint has checked nothing; one is found by a path from where make was called, too.
func TestTheCheckFailsWithItsCommand(t *testing.T) {
	for name, row := range map[string]struct{ fails, at, says string }{
		"format":           {"format --pattern **/*.bicep ", "abs", "format failed"},
		"lint":             {"lint ", "abs", "broken"},
		"by relative path": {"build ", "rel", "building"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			script := "#!/bin/sh\ncase \"$* \" in '" + row.fails + "'*) echo " + row.says + "; exit 1;; esac\n[ \"$1\" != build ] || { echo building; exit 1; }\n"
			if err := os.WriteFile(filepath.Join(dir, "bicep"), []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
			here, err := os.Getwd()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("bash", filepath.Join(here, "check.sh"))
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "BICEP_REQUIRED=1", "BICEP="+map[string]string{"abs": filepath.Join(dir, "bicep"), "rel": "./bicep"}[row.at])
			text, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(text), row.says) || name != "by relative path" && strings.Contains(string(text), "building") {
				t.Errorf("%v: %s", err, text)
			}
		})
	}
}
