package handlers

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"apim-dr/internal/customhandler"
)

// The page is for anybody: so it holds nothing, and lets the app do nothing (there is no engine here).
func TestThePageIsServedToAnybodyAndAsksForNothing(t *testing.T) {
	for _, entra := range []bool{false, true} {
		a := &App{Entra: entra, Log: slog.New(slog.DiscardHandler)}
		router := customhandler.NewRouter(customhandler.Options{Log: a.Log})
		a.Register(router)
		call := func(method, target string) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			router.ServeHTTP(w, httptest.NewRequest(method, target, nil))
			return w
		}
		login := map[bool]string{false: `data-login="key"`, true: `data-login="entra"`}[entra]
		if w := call(http.MethodGet, "/api/dashboard"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), login) {
			t.Errorf("entra %t: %d %.200s", entra, w.Code, w.Body)
		}
		for target, status := range map[string]int{"GET /api/dashboard?key=x": http.StatusBadRequest, "POST /api/dashboard": http.StatusMethodNotAllowed, "GET /api/dashboard/": http.StatusNotFound} {
			method, path, _ := strings.Cut(target, " ")
			if w := call(method, path); w.Code != status {
				t.Errorf("%s: %d, want %d", target, w.Code, status)
			}
		}
	}
}
