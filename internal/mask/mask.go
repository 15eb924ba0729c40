// Package mask takes secrets out of texts that others wrote: a service, a proxy or a library may quote what it was sent, whole, cut short or escaped.
package mask

import (
	"encoding/base64"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Redacted stands in the place of a secret.
const Redacted = "[redacted]"

const (
	shortest = 8  // bytes; what is shorter is no secret, and would blank out words
	piece    = 12 // bytes; so many of a secret in a row give it away
	recent   = 16 // tokens that are remembered: those of three services, and their successors
)

// shapes are secrets that nobody told us: storage account keys (64 bytes in base64), bearer tokens, the signature of a shared access signature or of a
// request signed with an account's key, and a function key in a URL. A backslash in that is the key's only before u or /: before another letter it escapes
// what follows the key, such as a quote in a line of JSON.
var shapes = regexp.MustCompile(`[A-Za-z0-9+/]{86}==|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*|` +
	`\b(?i:sig)=[A-Za-z0-9%+/=_-]{16,}|\bSharedKey(?:Lite)? [a-z0-9]+:[A-Za-z0-9+/]{16,}=*|[?&](?i:code)=(?:[^&\s"'<>\\]|\\+[u/])+`)

// Mask knows secrets. It is safe for concurrent use.
type Mask struct {
	mu     sync.RWMutex
	known  pieces   // for the life of the program
	tokens []pieces // the newest last
}

// New returns a Mask that knows these secrets: keys and passwords themselves, not the connection strings around them.
func New(secrets ...string) *Mask {
	m := &Mask{known: pieces{}}
	for _, s := range secrets {
		m.known.add(s)
	}
	return m
}

// Learn adds a token, each time that it is handed out. The oldest ones are forgotten: they have expired.
func (m *Mask) Learn(token string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(token) < piece || m.has(token[len(token)-piece:]) {
		return
	}
	p := pieces{}
	p.add(token)
	m.tokens = append(m.tokens[max(0, len(m.tokens)-recent+1):], p)
}

// Text is text without secrets.
func (m *Mask) Text(text string) string {
	text = shapes.ReplaceAllString(text, Redacted)
	m.mu.RLock()
	defer m.mu.RUnlock()
	var out strings.Builder
	told := 0 // so much of text is in out
	for i := 0; i < len(text); {
		n := m.at(text[i:])
		if n == 0 {
			i++
			continue
		}
		end := i + n
		for end < len(text) && m.has(text[end+1-n:end+1]) { // the next piece begins one byte later
			end++
		}
		out.WriteString(text[told:i] + Redacted)
		i, told = end, end
	}
	out.WriteString(text[told:])
	return out.String()
}

// at is the length of the known piece that text begins with; 0: none.
func (m *Mask) at(text string) int {
	for n := min(piece, len(text)); n >= shortest; n-- {
		if m.has(text[:n]) {
			return n
		}
	}
	return 0
}

func (m *Mask) has(part string) bool {
	return m.known[part] || slices.ContainsFunc(m.tokens, func(p pieces) bool { return p[part] })
}

// Error is err, with a text without secrets.
func (m *Mask) Error(err error) error {
	if err == nil {
		return nil
	}
	if text := m.Text(err.Error()); text != err.Error() {
		return masked{err, text}
	}
	return err
}

type masked struct {
	error
	text string
}

func (m masked) Error() string { return m.text }
func (m masked) Unwrap() error { return m.error }

// Writer returns a writer that passes on to w what is written, without secrets. Each Write must hold whole lines.
func (m *Mask) Writer(w io.Writer) io.Writer { return writer{m, w} }

type writer struct {
	mask *Mask
	to   io.Writer
}

func (w writer) Write(p []byte) (int, error) {
	if _, err := io.WriteString(w.to, w.mask.Text(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// pieces are all runs of piece bytes in a secret, in every form in which it is quoted; of a shorter secret, the whole.
type pieces map[string]bool

// escapes write a byte in a URL, in JSON and in HTML.
var escapes = []string{"%%%02X", "%%%02x", `\u%04X`, `\u%04x`, "&#x%X;", "&#x%x;", "&#%d;", `\%c`}

func (p pieces) add(secret string) {
	if len(secret) < shortest {
		return
	}
	p.cut(secret)
	for _, escape := range escapes {
		for _, plain := range []string{"-._~", ""} { // what is left as it is beside letters and digits
			var form strings.Builder
			for _, b := range []byte(secret) {
				if strings.IndexByte(plain, b) >= 0 || b >= '0' && b <= '9' || b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z' {
					form.WriteByte(b)
				} else {
					fmt.Fprintf(&form, escape, b)
				}
			}
			p.cut(form.String())
		}
	}
	for i := range 3 { // base64 of a text with the secret in it depends on where the secret begins
		part := []byte(secret[i:])
		part = part[:len(part)/3*3]
		p.cut(base64.StdEncoding.EncodeToString(part))
		p.cut(base64.URLEncoding.EncodeToString(part))
	}
}

func (p pieces) cut(text string) {
	n := min(piece, len(text))
	for i := 0; i+n <= len(text); i++ {
		p[text[i:i+n]] = true
	}
}
