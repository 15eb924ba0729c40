package main

import (
	"fmt"
	"html"
	"os"
	"runtime"
	"strings"
)

const (
	tableBegins = "<!-- what make bench wrote -->\n"
	tableEnds   = "<!-- until here -->\n"
)

// document puts the table into a page, between its marks, and the picture beside it.
func document(page, picture string, rows []row) error {
	b, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(b), tableBegins)
	_, after, ended := strings.Cut(rest, tableEnds)
	if !found || !ended {
		return fmt.Errorf("%s lacks the lines %q and %q", page, strings.TrimSpace(tableBegins), strings.TrimSpace(tableEnds))
	}
	var t strings.Builder
	fmt.Fprintf(&t, "%s, %d cores, %s.\n\n| | ratio | goal | | |\n|---|---|---|---|---|\n", runtime.GOOS+"/"+runtime.GOARCH, runtime.NumCPU(), runtime.Version())
	for _, r := range rows {
		fmt.Fprintf(&t, "| %s | %.2f | %s | %s | %s |\n", r.Name, r.Ratio, r.Goal, mark(r), r.detail)
	}
	if err := os.WriteFile(page, []byte(before+tableBegins+t.String()+tableEnds+after), 0o644); err != nil {
		return err
	}
	return os.WriteFile(picture, []byte(draw(rows)), 0o644)
}

func mark(r row) string {
	if r.OK {
		return "ok"
	}
	return "**missed**"
}

// draw shows each ratio against its goal, which is the line: what is left of it is better.
func draw(rows []row) string {
	const left, scale, height, most = 340, 180, 24, 2.2
	var s strings.Builder
	total := height*len(rows) + 34
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13" role="img" aria-label="ratios against their goals">`+"\n", left+int(most*scale)+60, total)
	fmt.Fprintf(&s, `<rect width="100%%" height="100%%" fill="#fff"/>`+"\n")
	for i, r := range rows {
		part, y := r.part, 10+i*height
		color := map[bool]string{true: "#2e7d4f", false: "#b3261e"}[r.OK]
		fmt.Fprintf(&s, `<text x="%d" y="%d" text-anchor="end" fill="#222">%s</text>`+"\n", left-8, y+15, html.EscapeString(r.Name))
		fmt.Fprintf(&s, `<rect x="%d" y="%d" width="%.0f" height="14" fill="%s"/>`+"\n", left, y+4, max(1, min(part, most)*scale), color)
		if part > most {
			fmt.Fprintf(&s, `<text x="%.0f" y="%d" fill="#222">%.0f×</text>`+"\n", left+most*scale+6, y+15, part)
		}
	}
	fmt.Fprintf(&s, `<line x1="%d" y1="6" x2="%[1]d" y2="%[2]d" stroke="#222"/><text x="%[1]d" y="%[3]d" text-anchor="middle" fill="#222">the goal</text>`+"\n</svg>\n", left+scale, total-22, total-8)
	return s.String()
}
