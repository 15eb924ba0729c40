package trace

import (
	"strings"
	"testing"
)

const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// The grammar of W3C Trace Context, sections 3.2.2 to 3.2.4.
func TestAMalformedTraceparentIsNotPassedOn(t *testing.T) {
	for s, want := range map[string]string{
		parent:                               parent,
		parent[:53] + "00":                   parent[:53] + "00",
		parent[:53] + "ff":                   parent[:53] + "ff", // unknown flags are the sender's
		"cc" + parent[2:]:                    parent,
		"cc" + parent[2:53] + "02":           parent[:53] + "00",
		"cc" + parent[2:53] + "03":           parent,
		"cc" + parent[2:] + "-what-comes":    parent,
		"cc" + parent[2:] + "-\r\nx-evil: 1": "",
		"cc" + parent[2:] + "more":           "",
		"ff" + parent[2:]:                    "",
		parent + "-more":                     "", // version 00 ends here
		strings.ToUpper(parent):              "",
		parent[:54]:                          "",
		parent[1:]:                           "",
		" " + parent:                         "",
		parent + "\n":                        "",
		strings.ReplaceAll(parent, "-", "_"): "",
		strings.Replace(parent, "4", "g", 1): "",
		"":                                   "",
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01": "",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01": "",
	} {
		id := ""
		if want != "" {
			id = "4bf92f3577b34da6a3ce929d0e0e4736"
		}
		if got := Parent(s); got != want || ID(s) != id {
			t.Errorf("%q: got %q with the id %q", s, got, ID(s))
		}
	}
}

// FuzzParent: what is passed on is 55 characters of lower-case letters, digits and dashes, and is passed on again as it is.
func FuzzParent(f *testing.F) {
	f.Add("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	f.Add("00-00000000000000000000000000000000-b7ad6b7169203331-01")
	f.Add("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	f.Add("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x\r\ny")
	f.Fuzz(func(t *testing.T, s string) {
		p := Parent(s)
		if p != "" && (len(p) != 55 || strings.Trim(p, "0123456789abcdef-") != "" || !strings.HasPrefix(p, "00-") || Parent(p) != p || !strings.Contains(s, ID(s))) {
			t.Errorf("%q is passed on for %q", p, s)
		}
	})
}
