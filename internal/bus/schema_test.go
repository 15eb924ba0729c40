package bus

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// schema checks values against the part of JSON Schema 2020-12 that docs/events uses; a keyword that it does not know is a fault,
// so that nothing is taken for checked that is not. Stricter than the standard, a field that the schema does not describe is a fault,
// too: what is sent shall be documented.
type schema struct {
	root map[string]any
	met  map[string]bool // paths of the fields that were seen
	part bool            // it describes a part of the fields: others are no fault
}

func readSchema(t *testing.T, file string) *schema {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := &schema{met: map[string]bool{}}
	if err := json.Unmarshal(text, &s.root); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return s
}

// faults lists what is wrong with a JSON document.
func (s *schema) faults(document []byte) []string {
	var value any
	if err := json.Unmarshal(document, &value); err != nil {
		return []string{err.Error()}
	}
	return s.check(s.root, value, "")
}

func (s *schema) check(rule map[string]any, value any, at string) (faults []string) {
	fault := func(format string, args ...any) {
		faults = append(faults, at+": "+fmt.Sprintf(format, args...))
	}
	s.met[at] = true
	object, _ := value.(map[string]any)
	text, _ := value.(string)
	number, _ := value.(float64)
	for keyword, want := range rule {
		switch keyword {
		case "$schema", "$defs", "title", "description", "then", "else":
		case "if":
			branch := map[bool]string{true: "then", false: "else"}[len(s.probe(want.(map[string]any), value)) == 0]
			if next, ok := rule[branch].(map[string]any); ok {
				faults = append(faults, s.check(next, value, at)...)
			}
		case "$ref":
			name := strings.TrimPrefix(want.(string), "#/$defs/")
			faults = append(faults, s.check(s.root["$defs"].(map[string]any)[name].(map[string]any), value, at)...)
		case "type":
			if got := typeOf(value); got != want && (want != "number" || got != "integer") {
				fault("is %s, not %s", got, want)
			}
		case "const":
			if value != want {
				fault("is %v, not %v", value, want)
			}
		case "enum":
			if !slices.Contains(want.([]any), value) {
				fault("%v is none of %v", value, want)
			}
		case "pattern":
			if !regexp.MustCompile(want.(string)).MatchString(text) {
				fault("%q does not match %s", text, want)
			}
		case "minLength":
			if float64(len(text)) < want.(float64) {
				fault("%q is too short", text)
			}
		case "minimum":
			if number < want.(float64) {
				fault("%v is less than %v", number, want)
			}
		case "format":
			if _, err := time.Parse(time.RFC3339Nano, text); want != "date-time" || err != nil {
				fault("%q is not of the format %v", text, want)
			}
		case "required":
			for _, name := range want.([]any) {
				if _, ok := object[name.(string)]; !ok {
					fault("%v is missing", name)
				}
			}
		case "properties":
			for name, field := range object {
				if inner, ok := want.(map[string]any)[name].(map[string]any); ok {
					faults = append(faults, s.check(inner, field, at+"/"+name)...)
				} else if !s.part {
					fault("%s is not in the schema", name)
				}
			}
		case "items":
			list, _ := value.([]any)
			for _, item := range list {
				faults = append(faults, s.check(want.(map[string]any), item, at+"[]")...)
			}
		default:
			fault("this test does not know the keyword %s", keyword)
		}
	}
	return faults
}

// probe is check for a condition: it may speak of some fields only, and what it meets counts for nothing.
func (s *schema) probe(rule map[string]any, value any) []string {
	p := schema{root: s.root, met: map[string]bool{}, part: true}
	return p.check(rule, value, "")
}

// unmet lists the described fields that no checked document had.
func (s *schema) unmet(rule map[string]any, at string) (names []string) {
	if !s.met[at] {
		return []string{at}
	}
	if ref, ok := rule["$ref"].(string); ok {
		rule = s.root["$defs"].(map[string]any)[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
	}
	properties, _ := rule["properties"].(map[string]any)
	for name, inner := range properties {
		names = append(names, s.unmet(inner.(map[string]any), at+"/"+name)...)
	}
	if items, ok := rule["items"].(map[string]any); ok {
		names = append(names, s.unmet(items, at+"[]")...)
	}
	return names
}

func typeOf(value any) string {
	switch v := value.(type) {
	case map[string]any:
		return "object"
	case []any:
		return "array"
	case string:
		return "string"
	case bool:
		return "boolean"
	case float64:
		if v == math.Trunc(v) {
			return "integer"
		}
		return "number"
	}
	return "null"
}
