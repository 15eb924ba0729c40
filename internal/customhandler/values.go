package customhandler

import (
	"encoding/json"
	"time"
)

// The host serialises most metadata twice: a string arrives as "\"m-1\"", a number as "1". The readers here take a value encoded
// once or twice, and leave the zero value where it is missing or of the wrong type: that is why they ignore json's errors.

// read tells whether raw holds what v is for. Most metadata is not there: json would make an error of it.
func read(raw []byte, v any) bool { return len(raw) > 0 && json.Unmarshal(raw, v) == nil }

// str reads the first JSON string among raws, encoded once or twice.
func str(raws ...json.RawMessage) string {
	for _, raw := range raws {
		var outer, inner string
		read(raw, &outer)
		if read([]byte(outer), &inner) {
			return inner
		}
		if outer != "" {
			return outer
		}
	}
	return ""
}

// text reads a string as str does, and anything else as its JSON.
func text(raw json.RawMessage) string {
	if len(raw) > 0 && raw[0] == '"' {
		return str(raw)
	}
	return string(raw)
}

// scalar reads a number or a bool, bare or within one or two strings.
func scalar[T int | int64 | bool](raw json.RawMessage) (v T) {
	read([]byte(text(raw)), &v)
	return v
}

// instant reads the first .NET time among raws. One without a zone is UTC, as the host writes its *Utc times; .NET's MinValue
// (year 1) means "never" and gives the zero time.
func instant(raws ...json.RawMessage) time.Time {
	for _, raw := range raws {
		text := str(raw)
		for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05"} { // both also take a fraction of a second
			if t, err := time.Parse(layout, text); err == nil && t.Year() > 1 {
				return t.UTC()
			}
		}
	}
	return time.Time{}
}

// object reads a JSON object, bare or within one or two strings.
func object(raw json.RawMessage) (m map[string]json.RawMessage) {
	if !read(raw, &m) {
		read([]byte(str(raw)), &m)
	}
	return m
}
