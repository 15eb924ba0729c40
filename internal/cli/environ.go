package cli

import (
	"slices"
	"strings"
)

// value is that of an environment variable.
func value(environ []string, name string) string {
	for _, line := range environ {
		if n, v, _ := strings.Cut(line, "="); n == name {
			return v
		}
	}
	return ""
}

// without is the environment without some variables, in whatever case they are written.
func without(environ []string, names ...string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(line string) bool {
		name, _, _ := strings.Cut(line, "=")
		return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(name, n) })
	})
}
