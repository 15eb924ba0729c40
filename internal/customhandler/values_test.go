package customhandler

import (
	"encoding/json"
	"testing"
)

func TestAStringIsReadOnceOrTwiceEncoded(t *testing.T) {
	for raw, want := range map[string]string{
		`"m-1"`: "m-1", `"\"m-1\""`: "m-1", `"\" m-1\""`: " m-1", `" \"m-1\" "`: "m-1", `"\"m-1"`: `"m-1`, `"1"`: "1",
		``: "", `null`: "", `"null"`: "", `7`: "", `{}`: "",
	} {
		if got := str(json.RawMessage(raw)); got != want {
			t.Errorf("%s is read as %q, want %q", raw, got, want)
		}
	}
}
