// Package live tells the suites of the adapters whether they are to meet Azure (docs/live.md) or what stands in for it.
package live

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// On tells whether a suite is to run against Azure: with AZURE_LIVE=1. needs are the environment variables that this takes, each with what it
// holds; a missing one fails the test, since a run that quietly met the stand-in instead would be taken for a proof.
func On(t testing.TB, needs map[string]string) bool {
	t.Helper()
	switch on := os.Getenv("AZURE_LIVE"); on {
	case "", "0":
		return false
	case "1":
	default:
		t.Fatalf("AZURE_LIVE is %q; accepted: 1 for Azure, 0 or nothing for what stands in for it here", on)
	}
	var missing []string
	for name, what := range needs {
		if os.Getenv(name) == "" {
			missing = append(missing, fmt.Sprintf("%s: %s", name, what))
		}
	}
	if slices.Sort(missing); missing != nil {
		t.Fatalf("AZURE_LIVE=1, but not set:\n%s\n(docs/live.md)", strings.Join(missing, "\n"))
	}
	return true
}
