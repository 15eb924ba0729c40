package handlers

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The table of docs/telemetry.md has each gauge with the words of its HELP, in the order of the answer.
func TestTheDocumentHasTheGaugesOfTheCode(t *testing.T) {
	b, err := os.ReadFile("../docs/telemetry.md")
	if err != nil {
		t.Fatal(err)
	}
	want := [][2]string{{inFlightMetric, inFlightHelp}}
	for _, m := range metrics {
		want = append(want, [2]string{m.name, m.help})
	}
	told := regexp.MustCompile("(?m)^\\| `(apimdr_[a-z_]+)` \\| (.*) \\|$").FindAllStringSubmatch(string(b), -1)
	for i := range max(len(want), len(told)) {
		switch {
		case i >= len(told):
			t.Errorf("docs/telemetry.md lacks %s", want[i][0])
		case i >= len(want) || told[i][1] != want[i][0] || told[i][2] != want[i][1]:
			t.Fatalf("docs/telemetry.md has %q, the code %q", told[i][1:], want[min(i, len(want)-1)])
		}
	}
	for _, name := range regexp.MustCompile(`apimdr_[a-z_]+`).FindAllString(string(b), -1) { // those of the examples, too
		if !strings.Contains(string(b), "| `"+name+"` |") {
			t.Errorf("docs/telemetry.md speaks of %s, which does not exist", name)
		}
	}
}
