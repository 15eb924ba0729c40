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

// Schema is one JSON Schema. As in answers, no object may have a member that it does not name.
type Schema struct{ compiled *jsonschema.Schema }

// ReadSchema reads one from a file.
func ReadSchema(file string) (Schema, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return Schema{}, err
	}
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		return Schema{}, fmt.Errorf("%s: %w", file, err)
	}
	closed(schema)
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource(where, schema); err != nil {
		return Schema{}, fmt.Errorf("%s: %w", file, err)
	}
	compiled, err := compiler.Compile(where)
	return Schema{compiled}, err
}

// Check tells what of a document is not as described.
func (s Schema) Check(document []byte) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		return err
	}
	return s.compiled.Validate(value)
}

// Events holds events against the schemas of docs/events.
type Events struct{ result, rpo, usage Schema }

// NewEvents reads the schemas in a folder.
func NewEvents(dir string) (*Events, error) {
	e := &Events{}
	for name, into := range map[string]*Schema{"result": &e.result, "rpo": &e.rpo, "usage": &e.usage} {
		var err error
		if *into, err = ReadSchema(filepath.Join(dir, name+".schema.json")); err != nil {
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
	if err := schema.Check(body); err != nil {
		return fmt.Errorf("event %s of type %s: %w", head.ID, head.Type, err)
	}
	return nil
}
