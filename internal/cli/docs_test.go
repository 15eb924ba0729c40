package cli

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"
	"time"
)

const page = "../../docs/break-glass.md"

var update = flag.Bool("update", false, "write what is printed into docs/break-glass.md")

// The document is read in the middle of the night: what it shows is what is printed.
func TestTheDocumentShowsWhatIsPrinted(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
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
	const fence = "\n```\n"
	before, rest, _ := strings.Cut(string(text), fence)
	shown, after, _ := strings.Cut(rest, fence)
	if printed = strings.TrimSpace(printed); *update {
		err = os.WriteFile(page, []byte(before+fence+printed+fence+after), 0o644)
	} else if shown != printed {
		t.Errorf("docs/break-glass.md lacks (go test ./internal/cli -run Document -update)\n%s", printed)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(statuses, "\n")[1:] {
		if _, means, _ := strings.Cut(strings.TrimSpace(line), "  "); !strings.Contains(string(text), means) {
			t.Errorf("docs/break-glass.md does not tell of the exit status %s", line)
		}
	}
}
