package record

import (
	"encoding/json"
	"strings"
	"testing"
)

// Whatever stands around a name or a key, in whatever place of an answer, neither is told.
func FuzzNoNameIsToldWhateverStandsAroundIt(f *testing.F) {
	f.Add("The client '", "' has no authorization", "code")
	f.Add(azure+instance+"/", "?sig=", "location")
	f.Add("\u0130\u2126", "%2F..//", "nextLink")
	f.Add(`{"value":[`, `]}`, "type")
	f.Fuzz(func(t *testing.T, before, after, key string) {
		r := recorder()
		for _, secret := range []string{account, service, storageKey, subscription} {
			text := before + secret + after
			body, err := json.Marshal(map[string]any{key: text, "id": text, "etag": text, "value": []any{text, map[string]any{key: text}},
				"error": map[string]any{"code": text, "message": text, key: map[string]any{text: text}}, "properties": map[string]any{text: text, "provisioningState": text}})
			if err != nil {
				t.Skip()
			}
			h := map[string][]string{"Location": {text}, "Retry-After": {text}, "Etag": {text}, "X-Ms-Failure-Cause": {text}}
			kept, err := json.Marshal([]any{r.names.body(body), r.names.body([]byte(text)), r.names.url(text), r.names.path(text), r.names.headers(h), r.names.request(body)})
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(strings.ToLower(string(kept)), strings.ToLower(secret)) {
				t.Errorf("%s", kept)
			}
		}
	})
}
