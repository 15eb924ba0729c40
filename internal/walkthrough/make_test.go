package walkthrough

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// What .ci/run does not make is left to a person: it takes long, or changes something.
var byHand = map[string]string{
	"model": "8 minutes; make test explores the same in small", "chaos": "10 minutes; make test does it for some seconds", "fuzz": "30 s for each of many targets; make test runs their seeds",
	"bench": "5 minutes, and a busy machine would lie",
	"run":   "stays up; make demo ends", "help": "prints", "clean": "removes",
	"deploy": "needs Azure", "verify-azure": "needs Azure", "test-live": "needs Azure", "package": "a part of package-test",
}

func TestEveryTargetOfMakeThatADocumentNamesExistsAndIsMadeByCI(t *testing.T) {
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	makefile, ci := read("Makefile"), read(".ci/run")
	named := regexp.MustCompile("(?m)(?:`|^ *|&& )make ([a-z-]+)")
	seen := 0
	for _, file := range documents(t) {
		if file == "CHANGELOG.md" {
			continue
		}
		for _, m := range named.FindAllStringSubmatch(read(file), -1) {
			seen++
			if !regexp.MustCompile(`(?m)^` + m[1] + `:`).MatchString(makefile) {
				t.Errorf("%s tells of make %s, which does not exist", file, m[1])
			}
			if byHand[m[1]] == "" && !regexp.MustCompile(`(?m)^make `+m[1]+`$`).MatchString(ci) {
				t.Errorf("%s tells of make %s, which .ci/run does not make", file, m[1])
			}
		}
	}
	if seen < 20 {
		t.Errorf("%d found", seen)
	}
}
