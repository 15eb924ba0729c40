package cli

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	page       = "../../docs/break-glass.md"
	verifyPage = "../../docs/verify.md"
)

var update = flag.Bool("update", false, "write what is printed into docs/break-glass.md and docs/verify.md")

// The document is read in the middle of the night: what it shows is what is printed.
func TestTheDocumentShowsWhatIsPrinted(t *testing.T) {
	var printed string
	bubble(t, func(t *testing.T, r *rig) {
		r.takes = 150 * time.Second
		r.setup.Warnings = nil
		var all bytes.Buffer
		r.together = &all
		if _, _, status := r.failover("--confirm", "contoso-us"); status != OK {
			t.Errorf("status %d", status)
		}
		printed = all.String()
	})
	shows(t, page, printed, statuses)
}

func TestTheDocumentOfTheFirstRunShowsWhatIsPrinted(t *testing.T) {
	var printed string
	bubble(t, func(t *testing.T, r *rig) {
		r.takes = 150 * time.Second
		r.setup.Warnings = nil
		var all bytes.Buffer
		r.together = &all
		dir := t.TempDir()
		if _, _, status := r.verified("--drill", "contoso-drill", "--record", filepath.Join(dir, "contoso.json")); status != OK {
			t.Errorf("status %d", status)
		}
		printed = strings.ReplaceAll(all.String(), dir+string(filepath.Separator), "")
	})
	shows(t, verifyPage, printed, verifyStatuses)
}

// shows holds the block of a document that is no code, and its exit statuses, against what is printed.
func shows(t *testing.T, page, printed, statuses string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	const open, fence = "\n\n```\n", "\n```\n"
	before, rest, _ := strings.Cut(string(text), open)
	shown, after, _ := strings.Cut(rest, fence)
	if printed = strings.TrimSpace(printed); *update {
		err = os.WriteFile(page, []byte(before+open+printed+fence+after), 0o644)
	} else if shown != printed {
		t.Errorf("%s lacks (go test ./internal/cli -run Document -update)\n%s", page, printed)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(statuses, "\n")[1:] {
		if _, means, _ := strings.Cut(strings.TrimSpace(line), "  "); !strings.Contains(string(text), means) {
			t.Errorf("%s does not tell of the exit status %s", page, line)
		}
	}
}
