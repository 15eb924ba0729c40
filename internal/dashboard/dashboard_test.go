package dashboard

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func get(t *testing.T, login Login, header http.Header) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/api/dashboard", nil)
	for name, values := range header {
		r.Header[name] = values
	}
	w := httptest.NewRecorder()
	Handler(login)(w, r)
	return w
}

func TestThePageRunsNothingButItsOwnScript(t *testing.T) {
	w := get(t, Key, nil)
	body, h := w.Body.String(), w.Header()
	if w.Code != http.StatusOK || h.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("%d %v", w.Code, h)
	}
	policy := h.Get("Content-Security-Policy")
	for tag, directive := range map[string]string{"script": "script-src", "style": "style-src"} {
		all := regexp.MustCompile(`(?s)<`+tag+`[^>]*>(.*?)</`+tag+`>`).FindAllStringSubmatch(body, -1)
		if len(all) != 1 || !strings.Contains(policy, directive+" 'sha256-"+digest(all[0][1])+"';") {
			t.Errorf("%d times %s in the page, the policy is %s", len(all), tag, policy)
		}
	}
	for _, want := range []string{"default-src 'none';", "connect-src 'self';", "form-action 'none';", "frame-ancestors 'none';", "base-uri 'none';", "require-trusted-types-for 'script';"} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy lacks %s: %s", want, policy)
		}
	}
	if strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") || strings.Contains(policy, "http") {
		t.Error(policy)
	}
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache", "Cross-Origin-Opener-Policy": "same-origin"} {
		if h.Get(name) != want {
			t.Errorf("%s: %q", name, h.Get(name))
		}
	}
}

// Behind a route prefix, without the network of anybody else, and with texts that stay texts.
func TestThePageAsksNobodyElseAndWritesNoMarkup(t *testing.T) {
	for _, pattern := range []string{`(?i)innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\b|new Function|srcdoc`, `@import|url\(`} {
		if found := regexp.MustCompile(pattern).FindString(script + style); found != "" {
			t.Errorf("there is %q", found)
		}
	}
	body := get(t, Key, nil).Body.String()
	for _, address := range regexp.MustCompile(`https?://[^'"\s]*|(?:href|src|action)="[^"]*"`).FindAllString(body, -1) {
		if address != "http://www.w3.org/2000/svg" && address != `href="/.auth/login/aad"` && !strings.HasPrefix(address, `href="data:image/svg+xml,`) {
			t.Errorf("the page names %s", address)
		}
	}
	if strings.Contains(body, "{{") {
		t.Error("a placeholder is left")
	}
}

func TestThePageIsSentAgainOnlyWhenItIsAnotherOne(t *testing.T) {
	tag := get(t, Key, nil).Header().Get("ETag")
	if w := get(t, Key, http.Header{"If-None-Match": {tag}}); w.Code != http.StatusNotModified || w.Body.Len() > 0 || w.Header().Get("Content-Security-Policy") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if w := get(t, Entra, http.Header{"If-None-Match": {tag}}); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `data-login="entra"`) {
		t.Errorf("%d", w.Code)
	}
}
