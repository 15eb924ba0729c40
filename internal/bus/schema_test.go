package bus

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"apim-dr/internal/apicheck"
)

// schema is one of docs/events that knows which of the fields that it describes it has met. A field that it does not describe is a fault, too: what is sent
// shall be documented.
type schema struct {
	apicheck.Schema
	root map[string]any
	met  map[string]bool // by path
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
	if s.Schema, err = apicheck.ReadSchema(file); err != nil {
		t.Fatal(err)
	}
	return s
}

// fault tells what is wrong with a JSON document.
func (s *schema) fault(document []byte) error {
	var value any
	if err := json.Unmarshal(document, &value); err != nil {
		return err
	}
	s.meet(value, "")
	return s.Check(document)
}

func (s *schema) meet(value any, at string) {
	s.met[at] = true
	switch value := value.(type) {
	case map[string]any:
		for name, field := range value {
			s.meet(field, at+"/"+name)
		}
	case []any:
		for _, item := range value {
			s.meet(item, at+"[]")
		}
	}
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
