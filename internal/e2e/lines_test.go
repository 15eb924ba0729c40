package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
)

// documented holds all that the app has logged in these tests against the table of docs/telemetry.md: each line is one JSON object, with fields that stand
// there, each once and of the type that it has there.
func documented() (code int) {
	fail := func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "--- FAIL: "+format+"\n", args...)
		code = 1
	}
	types, err := fieldTypes()
	if err != nil {
		fail("%v", err)
		return code
	}
	seen := map[string]bool{}
	written := lines.sofar() // the app is still at work
	for _, line := range written {
		fields, err := members(line)
		if err != nil {
			fail("a line is %v: %s", err, line)
			return code
		}
		for name, value := range fields {
			seen[name] = true
			if is, ok := isOf[types[name]]; !ok || !is(value) {
				fail("%s is %q in docs/telemetry.md, and %T here: %s", name, types[name], value, line)
				return code
			}
		}
		for _, always := range []string{"time", "level", "msg"} {
			if fields[always] == nil {
				fail("a line without %s: %s", always, line)
			}
		}
		if fields["invocation"] != nil && (fields["function"] == nil || fields["trace"] == nil) && fields["msg"] != "request refused" {
			fail("a line of an invocation without its function or its trace: %s", line)
		}
	}
	if len(seen) < 50 {
		fail("%d fields in %d lines", len(seen), len(written))
	}
	return code
}

// fieldTypes is the table under Fields.
func fieldTypes() (map[string]string, error) {
	b, err := os.ReadFile("../../docs/telemetry.md")
	if err != nil {
		return nil, err
	}
	_, text, _ := strings.Cut(string(b), "\n## Fields\n")
	text, _, _ = strings.Cut(text, "\n## ")
	types := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (\\w+) \\|").FindAllStringSubmatch(text, -1) {
		types[row[1]] = row[2]
	}
	return types, nil
}

// isOf tells whether a value is of a type of the table.
var isOf = map[string]func(any) bool{
	"string":  func(v any) bool { _, ok := v.(string); return ok },
	"number":  func(v any) bool { _, ok := v.(float64); return ok },
	"boolean": func(v any) bool { _, ok := v.(bool); return ok },
	"time": func(v any) bool {
		text, _ := v.(string)
		_, err := time.Parse(time.RFC3339Nano, text)
		return err == nil
	},
	"list": func(v any) bool {
		list, ok := v.([]any)
		return ok && !slices.ContainsFunc(list, func(v any) bool { _, ok := v.(string); return !ok })
	},
}

// members are those of the one object that a line is. None may stand there twice.
func members(line string) (map[string]any, error) {
	fields := map[string]any{}
	dec := json.NewDecoder(bytes.NewReader([]byte(line)))
	if begin, err := dec.Token(); err != nil || begin != json.Delim('{') {
		return nil, fmt.Errorf("no JSON object: %v", err)
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, err
		}
		var value any
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		if _, twice := fields[name.(string)]; twice {
			return nil, fmt.Errorf("one with %s twice", name)
		}
		fields[name.(string)] = value
	}
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	if dec.More() {
		return nil, fmt.Errorf("more than one object")
	}
	return fields, nil
}
