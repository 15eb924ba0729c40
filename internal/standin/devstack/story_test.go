package devstack

import (
	"bytes"
	"strings"
	"testing"
)

func TestAWarningIsToldWithItsReason(t *testing.T) {
	for line, want := range map[string]string{
		`{"level":"WARN","msg":"not protected","service":"a","why":["b","c"]}`: "a: not protected: b; c\n",
		`{"level":"ERROR","msg":"turn given up","error":"d"}`:                  "handler: turn given up: d\n",
		`{"level":"WARN","msg":"rpo breached","service":"a"}`:                  "a: rpo breached\n",
	} {
		var out bytes.Buffer
		NewStory(&out).Output("stdout", line)
		if !strings.HasSuffix(out.String(), want) {
			t.Errorf("%s is told as %q, want it to end with %q", line, out.String(), want)
		}
	}
}
