package cli

// columns are those of the terminal that shows all that is printed; zero: it is none, or one that cannot go back in a line.
func (o Options) columns() int {
	if value(o.Environ, "TERM") == "dumb" {
		return 0
	}
	return o.Width()
}

// paint colours a word on a terminal. Each cell of a column has to be painted, so that all have the same length beside what is seen.
func (o Options) paint(text, colour string) string {
	if o.columns() == 0 || value(o.Environ, "NO_COLOR") != "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[39m"
}

// The colours have codes of the same length.
const plain, red, green, yellow = "39", "31", "32", "33"
