package cli

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
)

// clean keeps what others have written, such as ARM's words or a record beside a backup, from steering the terminal.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && !unicode.IsGraphic(r) {
			return -1
		}
		return r
	}, text)
}

// oneLine is clean text on one line.
func oneLine(text string) string { return strings.ReplaceAll(clean(text), "\n", " ") }

// lines are clean texts, each on one line.
func lines(texts []string) []string {
	out := make([]string, len(texts))
	for i, t := range texts {
		out[i] = oneLine(t)
	}
	return out
}

// short is a text as the app takes it of a caller.
func short(text string) string {
	runes := []rune(strings.Join(strings.Fields(clean(text)), " "))
	return string(runes[:min(len(runes), 100)])
}

// escaped is JSON in which nothing steers the terminal, and which reads as the same.
func escaped(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '\n' || unicode.IsGraphic(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

func join(list []string) string { return strings.Join(list, ", ") }

func utc(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func clock(t time.Time) string { return t.UTC().Format("15:04:05Z") }

func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(time.Second)
}

// lasting is a duration as people say it, in two units at most.
func lasting(d time.Duration) string {
	d = max(d, 0)
	days, hours, minutes, secs := d/(24*time.Hour), d/time.Hour%24, d/time.Minute%60, d/time.Second%60
	switch {
	case days > 2:
		return pairOf(days, "d", hours, "h")
	case d >= time.Hour:
		return pairOf(d/time.Hour, "h", minutes, "m")
	case d >= time.Minute:
		return pairOf(minutes, "m", secs, "s")
	}
	return fmt.Sprintf("%ds", secs)
}

func pairOf(a time.Duration, unit string, b time.Duration, smaller string) string {
	if b == 0 {
		return fmt.Sprintf("%d%s", a, unit)
	}
	return fmt.Sprintf("%d%s%d%s", a, unit, b, smaller)
}

func size(bytes int64) string {
	const unit = 1024
	if bytes < unit {
		return fmt.Sprintf("%d B", bytes)
	}
	n, units := float64(bytes)/unit, []string{"KiB", "MiB", "GiB"}
	for n >= unit && len(units) > 1 {
		n, units = n/unit, units[1:]
	}
	return fmt.Sprintf("%.1f %s", n, units[0])
}
