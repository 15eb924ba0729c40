// Package dashboard is the status page: markup, style and script in one answer, and no data. The script asks GET /api/status for those.
package dashboard

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"net/http"
	"strings"
	"time"
)

var (
	//go:embed dashboard.html
	markup string
	//go:embed dashboard.css
	style string
	//go:embed dashboard.js
	script string
)

// Login is how a person gets at the data.
type Login string

// The logins.
const (
	Key   Login = "key"   // the page asks for a function key
	Entra Login = "entra" // built-in authentication has a session, or a page to begin one at
)

// Handler serves the page. Relative addresses alone stand in it, so that it works below any route prefix.
func Handler(login Login) http.HandlerFunc {
	page := []byte(strings.NewReplacer("{{login}}", string(login), "{{style}}", style, "{{script}}", script).Replace(markup))
	policy, tag := policy(), `"`+digest(string(page))+`"`
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", policy)
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-cache") // kept, and asked about each time
		h.Set("ETag", tag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(page))
	}
}

// policy lets nothing run but the page's own script, nothing leave for another origin, and no text become markup (trusted types).
func policy() string {
	return strings.Join([]string{
		"default-src 'none'", "script-src 'sha256-" + digest(script) + "'", "style-src 'sha256-" + digest(style) + "'", "connect-src 'self'", "img-src data:",
		"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'",
	}, "; ")
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.StdEncoding.EncodeToString(sum[:])
}
