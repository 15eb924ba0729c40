package trace

import (
	"regexp"
	"strings"
)

// shape is version-traceid-parentid-flags of W3C Trace Context, 3.2; versions after 00 may go on.
var shape = regexp.MustCompile(`^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$`)

// Parent is s if that is a traceparent of W3C Trace Context, else "". One of a later version becomes one of version 00, as its section 3.2.4 wants it: of its
// flags that says whether the trace is sampled is kept, and what may follow them is left out.
func Parent(s string) string {
	m := shape.FindStringSubmatch(s)
	switch {
	case m == nil, m[1] == "ff", strings.Trim(m[2], "0") == "", strings.Trim(m[3], "0") == "":
		return ""
	case m[1] == "00" && m[5] == "":
		return s
	case m[1] == "00":
		return ""
	case strings.ContainsAny(m[4][1:], "13579bdf"):
		return "00-" + m[2] + "-" + m[3] + "-01"
	}
	return "00-" + m[2] + "-" + m[3] + "-00"
}

// ID is the trace id of a traceparent, 32 hex digits, which all hops of a trace have in common; "" if it is none.
func ID(traceparent string) string {
	if p := Parent(traceparent); p != "" {
		return p[3:35]
	}
	return ""
}
