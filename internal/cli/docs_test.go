package cli

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"
)

// The document is read in the middle of the night: what it shows is what is printed.
func TestTheDocumentShowsWhatIsPrinted(t *testing.T) {
	text, err := os.ReadFile("../../docs/break-glass.md")
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
	if !strings.Contains(string(text), "\n"+strings.TrimSpace(printed)+"\n") {
		t.Errorf("docs/break-glass.md lacks\n%s", printed)
	}
	for _, line := range strings.Split(statuses, "\n")[1:] {
		if _, means, _ := strings.Cut(strings.TrimSpace(line), "  "); !strings.Contains(string(text), means) {
			t.Errorf("docs/break-glass.md does not tell of the exit status %s", line)
		}
	}
}
