package config

import "strings"

// idle are the fields of the fleet that this version reads and checks, but does not act on. A field leaves the list, and the sentence in
// docs/configuration.md, when something acts on it.
var idle = []struct {
	path string
	set  func(Fleet) bool // whether the fleet relies on the field, so that a warning is due
	but  string           // what happens instead
}{
	{path: "plans.*.retention", set: anyPlan(func(p Plan) bool { return p.Retention != Retention{} }), but: "nothing is deleted"},
}

func anyPlan(is func(Plan) bool) func(Fleet) bool {
	return func(f Fleet) bool {
		for _, p := range f.Plans {
			if is(p) {
				return true
			}
		}
		return false
	}
}

// idleFields warns, once, of all idle fields that the fleet relies on.
func (b *builder) idleFields(fleet Fleet) {
	var set []string
	for _, field := range idle {
		if field.set(fleet) {
			set = append(set, field.path+" ("+field.but+")")
		}
	}
	if len(set) > 0 {
		b.warnings = append(b.warnings, b.root+": this version reads and checks, but does not act on yet: "+strings.Join(set, ", "))
	}
}
