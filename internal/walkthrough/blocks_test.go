package walkthrough

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// block is a fenced piece of shell in a document.
type block struct {
	file  string
	line  int      // of its first command
	lines []string // each whole
}

// documents are all Markdown files of the project, the README first.
func documents(t *testing.T) []string {
	t.Helper()
	var files []string
	for _, pattern := range []string{"README.md", "*.md", "docs/*.md", "examples/*.md", "examples/*/*.md", "infra/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			if name, err := filepath.Rel(root, f); err == nil && !slices.Contains(files, name) {
				files = append(files, name)
			}
		}
	}
	return files
}

var fence = regexp.MustCompile("^ *```")

func blocks(t *testing.T, file string) (list []block) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	var open *block
	other := false // in a fence that is no shell
	for i, line := range strings.Split(string(b), "\n") {
		switch {
		case open != nil && fence.MatchString(line):
			list, open = append(list, *open), nil
		case open != nil && len(open.lines) > 0 && strings.HasSuffix(open.lines[len(open.lines)-1], "\\"): // goes on
			last := &open.lines[len(open.lines)-1]
			*last = strings.TrimSuffix(*last, "\\") + strings.TrimSpace(line)
		case open != nil:
			open.lines = append(open.lines, line)
		case !fence.MatchString(line):
		case other:
			other = false
		case regexp.MustCompile("^ *```(sh|bash|shell|console)$").MatchString(line):
			open = &block{file: file, line: i + 2}
		default:
			other = true
		}
	}
	if open != nil {
		t.Fatalf("%s: the block of line %d has no end", file, open.line)
	}
	return list
}

// elsewhere are the commands that this test does not run, with the reason or with what runs them. Nothing else is left out.
var elsewhere = []struct {
	what    *regexp.Regexp
	because string
}{
	{regexp.MustCompile(`\baz [a-z]`), "needs Azure"},
	{regexp.MustCompile(`^make (deploy|verify-azure|test-live)\b|&& make deploy\b`), "needs Azure"},
	{regexp.MustCompile(`^\./apim-dr verify `), "needs Azure; internal/cli runs it against stand-ins"},
	{regexp.MustCompile(`^(\./)?apim-dr (failover --direct|catalog rebuild) `), "internal/e2e runs it, without a stamp (breakglass_test.go)"},
	{regexp.MustCompile(`go run \./examples/`), "stays up; TestEveryCommandOfTheDocumentsWorks runs both for a while"},
	{regexp.MustCompile(`^make run\b`), "stays up; make demo runs the same and ends"},
}

// left tells which of elsewhere a line is; -1: none.
func left(line string) int {
	line = strings.TrimSpace(regexp.MustCompile(`(^| )#.*`).ReplaceAllString(line, "")) // without the comment
	for i, e := range elsewhere {
		if e.what.MatchString(line) {
			return i
		}
	}
	return -1
}

func TestNothingIsLeftOutInVain(t *testing.T) {
	used := make([]bool, len(elsewhere))
	for _, file := range documents(t) {
		for _, b := range blocks(t, file) {
			for _, line := range b.lines {
				if i := left(line); i >= 0 {
					used[i] = true
				}
			}
		}
	}
	for i, is := range used {
		if !is {
			t.Errorf("no document has %s", elsewhere[i].what)
		}
	}
}
