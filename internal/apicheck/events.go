package apicheck

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Events holds events against the schemas of docs/events.
type Events struct{ result, rpo, usage *jsonschema.Schema }

// NewEvents reads the schemas in a folder. As with answers, no event may have a member that its schema does not name.
func NewEvents(dir string) (*Events, error) {
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	e := &Events{}
	for name, into := range map[string]**jsonschema.Schema{"result": &e.result, "rpo": &e.rpo, "usage": &e.usage} {
		b, err := os.ReadFile(filepath.Join(dir, name+".schema.json"))
		if err != nil {
			return nil, err
		}
		schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			return nil, err
		}
		closed(schema)
		url := "https://apim-dr.example/events/" + name
		if err := compiler.AddResource(url, schema); err != nil {
			return nil, err
		}
		if *into, err = compiler.Compile(url); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// Check tells what of an event is not as described.
func (e *Events) Check(body []byte) error {
	var head struct{ ID, Type string }
	if err := json.Unmarshal(body, &head); err != nil {
		return err
	}
	schema := e.result
	switch {
	case strings.HasPrefix(head.Type, "apimdr.rpo."):
		schema = e.rpo
	case strings.HasPrefix(head.Type, "apimdr.usage."):
		schema = e.usage
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return err
	}
	if err := schema.Validate(value); err != nil {
		return fmt.Errorf("event %s of type %s: %w", head.ID, head.Type, err)
	}
	return nil
}
