package handlers

import (
	"net/http"
	"strings"
	"testing"

	"apim-dr/internal/engine"
)

func TestAQueryThatNobodyReadsIsRefused(t *testing.T) {
	for _, f := range (&App{}).Table() {
		if f.HTTP == nil {
			continue
		}
		method, path, _ := strings.Cut(f.Pattern, " ")
		path = strings.NewReplacer("{id}", restoreID, "{name}", "contoso-eu").Replace(path)
		for _, query := range []string{"?dryRun=true", "?code=k&Service=a", "?%zz", "?a;b", "?clientId=a&clientId=b"} {
			r := &recorder{op: restoring(), recovery: engine.Recovery{Operation: restoring()}}
			if w := r.with(method, path+query, `{"service":"a","primary":"a","active":"a","until":"2026-01-31T05:00:00Z","reason":"x"}`, nil); !isProblem(w, 400) || len(r.calls) > 0 {
				t.Errorf("%s%s: %d %s, calls %q", f.Name, query, w.Code, w.Body, r.calls)
			}
		}
	}
	// The host's own are no mistake, and do not come back.
	r := &recorder{op: restoring(), next: "on"}
	if w := r.with(http.MethodGet, "/api/operations?code=k&clientId=me&limit=1", "", nil); w.Code != 200 || strings.Contains(w.Body.String(), "code") || !strings.Contains(w.Body.String(), "nextLink") || strings.Contains(w.Body.String(), "clientId") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
