package cli

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// moment is what a meter shows.
type moment struct {
	key         string // changes with what is worth a line of its own
	phase, what string
	since, now  time.Time
	usual       time.Duration // of what began at since; zero: not known
	begun       bool          // ARM is at work since then
	done        bool
}

// meter shows how far something is: on a terminal as one line that is drawn again in place, elsewhere as a line with its time whenever the key changes. A library
// for bars would be 0.5 MB and four modules for one line, whose length (a guess that may be exceeded) and phases are our own.
type meter struct {
	w     io.Writer
	width func() int // columns of the terminal; zero: it is none
	now   func() time.Time
	key   string
	drawn int // columns of the line that stands there
}

func (a *app) meter() *meter {
	width := a.columns
	if a.output == "json" {
		width = func() int { return 0 }
	}
	return &meter{w: a.Err, width: width, now: a.Now}
}

func (m *meter) show(s moment) {
	width := m.width()
	if width == 0 {
		if s.key != m.key {
			m.key = s.key
			fmt.Fprintf(m.w, "%s  %s\n", m.now().UTC().Format(time.RFC3339), oneLine(strings.TrimSpace(fmt.Sprintf("%-9s  %s", s.phase, s.what))))
		}
		return
	}
	line := s.line(width - 1) // a full line would wrap
	columns := utf8.RuneCountInString(line)
	fmt.Fprintf(m.w, "\r%s%s", line, strings.Repeat(" ", min(max(m.drawn-columns, 0), width-1-columns)))
	m.drawn = columns
}

// end leaves the line as it is.
func (m *meter) end() {
	if m.drawn > 0 {
		fmt.Fprintln(m.w)
		m.drawn = 0
	}
}

const (
	shortestBar = 10
	longestBar  = 40
)

// line is the moment in width columns at most.
func (s moment) line(width int) string {
	tail := s.elapsed().String()
	switch {
	case s.done || s.usual == 0 || !s.begun:
	case s.elapsed() > s.usual:
		tail += ", usually " + s.usual.String()
	default:
		tail += " of about " + s.usual.String()
	}
	head := oneLine(fmt.Sprintf("%-9s  %s", s.phase, s.what))
	room := width - utf8.RuneCountInString(head) - utf8.RuneCountInString(tail) - 4
	if room >= shortestBar {
		return head + "  " + s.bar(min(room, longestBar)) + "  " + tail
	}
	runes := []rune(head)
	if most := max(width-utf8.RuneCountInString(tail)-2, 0); len(runes) > most {
		runes = append(runes[:max(most-1, 0)], '…')
	}
	runes = []rune(string(runes) + "  " + tail)
	return string(runes[:min(len(runes), max(width, 0))])
}

// elapsed is to the second, after hours too: one sees that it moves.
func (s moment) elapsed() time.Duration {
	return max(s.now.Sub(s.since), 0).Truncate(time.Second)
}

// bar fills within the usual time. Where that is not known, something moves to and fro.
func (s moment) bar(columns int) string {
	inner := columns - 2
	switch {
	case s.done:
		return "[" + strings.Repeat("=", inner) + "]"
	case s.begun && s.usual > 0:
		full := min(int(int64(inner)*int64(s.elapsed())/int64(s.usual)), inner-1)
		return "[" + strings.Repeat("=", full) + ">" + strings.Repeat(" ", inner-1-full) + "]"
	}
	const mark = "<=>"
	way := inner - len(mark)
	at := int(s.elapsed()/time.Second) % (2 * way)
	if at > way {
		at = 2*way - at
	}
	return "[" + strings.Repeat(" ", at) + mark + strings.Repeat(" ", way-at) + "]"
}
