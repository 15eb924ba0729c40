package live_test

import (
	"fmt"
	"runtime"
	"testing"

	"apim-dr/internal/standin/live"
)

// suite is a test that notes how it was failed.
type suite struct {
	testing.TB
	failed string
}

func (s *suite) Helper() {}

func (s *suite) Fatalf(format string, args ...any) {
	s.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestALiveRunIsAskedForWholeOrFails(t *testing.T) {
	for _, tt := range []struct {
		on, set string
		want    bool
		failed  string
	}{
		{on: "", set: "x"}, {on: "0", set: "x"}, {on: ""},
		{on: "1", set: "x", want: true},
		{on: "1", failed: "AZURE_LIVE=1, but not set:\nAZURE_LIVE_A: a name\nAZURE_LIVE_B: a key\n(docs/live.md)"},
		{on: "true", set: "x", failed: `AZURE_LIVE is "true"; accepted: 1 for Azure, 0 or nothing for what stands in for it here`},
	} {
		t.Setenv("AZURE_LIVE", tt.on)
		t.Setenv("AZURE_LIVE_A", tt.set)
		t.Setenv("AZURE_LIVE_B", tt.set)
		s, got, done := &suite{TB: t}, false, make(chan struct{})
		go func() {
			defer close(done)
			got = live.On(s, map[string]string{"AZURE_LIVE_B": "a key", "AZURE_LIVE_A": "a name"})
		}()
		<-done
		if got != tt.want || s.failed != tt.failed {
			t.Errorf("AZURE_LIVE=%s, others %q: %v, %q", tt.on, tt.set, got, s.failed)
		}
	}
}
