package config

import (
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"apim-dr/internal/mask"
)

// Mistake is one thing wrong with the configuration.
type Mistake struct {
	Where string // a setting or a path into the fleet, for example FLEET.services[2].plan
	Text  string // what it held, never a secret, and what is accepted
}

// Error is every mistake of a configuration at once, one line each.
type Error struct {
	Mistakes []Mistake
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the configuration cannot be used (mistakes: %d)", len(e.Mistakes))
	for _, m := range e.Mistakes {
		fmt.Fprintf(&b, "\n  %s: %s", m.Where, m.Text)
	}
	return b.String()
}

// mistakes collects. The first word about a place counts: whatever follows from it would only hide it.
type mistakes struct {
	list []Mistake
	told map[string]bool
}

func (m *mistakes) add(where, format string, args ...any) {
	for at := where; at != ""; at = at[:max(strings.LastIndexAny(at, ".["), 0)] {
		if m.told[at] {
			return
		}
	}
	if m.told == nil {
		m.told = map[string]bool{}
	}
	m.told[where] = true
	m.aside(where, format, args...)
}

// aside tells a mistake that stands for itself: it hides nothing that is wrong at the same place.
func (m *mistakes) aside(where, format string, args ...any) {
	m.list = append(m.list, Mistake{Where: where, Text: fmt.Sprintf(format, args...)})
}

// err is all mistakes without the secrets, of which one may have been pasted into a setting that is shown.
func (m *mistakes) err(secrets []string) error {
	if len(m.list) == 0 {
		return nil
	}
	known := mask.New(secrets...)
	for i, one := range m.list {
		m.list[i] = Mistake{Where: known.Text(one.Where), Text: known.Text(one.Text)}
	}
	return &Error{Mistakes: m.list}
}

// held tells what a place holds. Connection strings, SAS and storage keys hold "=", URLs with user info "@", and nothing that is
// accepted where a text may be shown does: so a secret pasted into the wrong place stays out of the message.
func held(text string) string {
	if strings.ContainsAny(text, "=@") || len(text) > 300 {
		return hidden(text)
	}
	return fmt.Sprintf("%q", text)
}

func hidden(text string) string {
	return fmt.Sprintf("(set, %d characters)", utf8.RuneCountInString(text))
}

// show tells what a field with that tag holds.
func show(text string, tag reflect.StructTag) string {
	if tag.Get("secret") != "" {
		return hidden(text)
	}
	return held(text)
}
