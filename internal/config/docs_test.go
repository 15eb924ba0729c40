package config

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

func settingFields() []reflect.StructField { return reflect.VisibleFields(reflect.TypeFor[settings]()) }

func settingNames() (names []string) {
	for _, f := range settingFields() {
		names = append(names, f.Tag.Get("envconfig"))
	}
	return names
}

// walk calls each for every field of the fleet's JSON, with its path as the document writes it.
func walk(t reflect.Type, at string, each func(path string, f reflect.StructField)) {
	switch t.Kind() {
	case reflect.Pointer:
		walk(t.Elem(), at, each)
	case reflect.Map:
		walk(t.Elem(), at+".*", each)
	case reflect.Slice:
		walk(t.Elem(), at+"[]", each)
	case reflect.Struct:
		for _, f := range reflect.VisibleFields(t) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			path := strings.TrimPrefix(at+"."+name, ".")
			each(path, f)
			walk(f.Type, path, each)
		}
	}
}

func fleetFields() (paths []string) {
	walk(reflect.TypeFor[fleetJSON](), "", func(path string, f reflect.StructField) {
		if strings.ContainsAny(path, ".[") {
			paths = append(paths, path)
		}
	})
	return paths
}

var row = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| ([^|]*) \\| (.+) \\|$")

func TestTheDocumentHasEveryFieldWithItsDefaultAndNoOther(t *testing.T) {
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]string{}
	for _, m := range row.FindAllStringSubmatch(strings.ReplaceAll(string(text), "| |", "|  |"), -1) {
		if _, twice := told[m[1]]; twice {
			t.Errorf("%s stands there twice", m[1])
		}
		told[m[1]] = strings.Trim(m[2], " `")
	}
	expect := func(name, standard string) {
		got, ok := told[name]
		if !ok {
			t.Errorf("docs/configuration.md lacks %s", name)
		} else if got != standard {
			t.Errorf("docs/configuration.md: %s has the default %q, want %q", name, got, standard)
		}
		delete(told, name)
	}
	for _, f := range settingFields() {
		expect(f.Tag.Get("envconfig"), f.Tag.Get("default"))
	}
	walk(reflect.TypeFor[fleetJSON](), "", func(path string, f reflect.StructField) {
		standard := f.Tag.Get("default")
		if standard == "" && strings.HasSuffix(f.Tag.Get("json"), ",omitempty") {
			standard = "optional"
		}
		if strings.ContainsAny(path, ".[") {
			expect(path, standard)
		}
	})
	for name := range told {
		t.Errorf("docs/configuration.md tells of %s, which does not exist", name)
	}
}

func TestTheFleetInTheDocumentLoads(t *testing.T) {
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "```json\n")
	example, _, _ := strings.Cut(after, "```")
	if c := load(t, map[string]string{"FLEET": example}); len(c.Warnings) != 0 {
		t.Errorf("warnings %q, want none", c.Warnings)
	}
}

func TestTheLocalExampleLoads(t *testing.T) {
	text, err := os.ReadFile("../../local.settings.json.example")
	if err != nil {
		t.Fatal(err)
	}
	var example struct {
		IsEncrypted bool
		Values      map[string]string
	}
	if err := json.Unmarshal(text, &example); err != nil {
		t.Fatal(err)
	}
	environ := []string{"FUNCTIONS_CUSTOMHANDLER_PORT=7080"}
	for name, value := range example.Values {
		environ = append(environ, name+"="+value)
	}
	c, err := Load(environ, noFiles)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Fleet.Services) != 2 || len(c.Warnings) != 0 {
		t.Errorf("%d services, warnings %q", len(c.Fleet.Services), c.Warnings)
	}
	for _, name := range []string{"BACKUP_SCHEDULE", "WATCHDOG_SCHEDULE", "DRILL_SCHEDULE", "USAGE_SCHEDULE", "AzureWebJobsStorage", "FUNCTIONS_WORKER_RUNTIME"} {
		if example.Values[name] == "" {
			t.Errorf("the example lacks %s, which the Functions host reads", name)
		}
	}
}

func TestEveryFieldNamesARuleAndEveryRuleIsUsed(t *testing.T) {
	used := map[string]bool{"storageKey": true} // for the variables that the fleet names
	check := func(name string, f reflect.StructField) {
		rule := f.Tag.Get("is")
		used[rule] = true
		kind := f.Type.Kind()
		if kind == reflect.Slice {
			kind = f.Type.Elem().Kind()
		}
		if kind == reflect.String && rules[rule] == nil {
			t.Errorf("%s has no rule (%q)", name, rule)
		}
		if standard := f.Tag.Get("default"); standard != "" && rules[rule](standard) != nil {
			t.Errorf("%s: its default breaks its rule", name)
		}
	}
	for _, f := range settingFields() {
		check(f.Name, f)
	}
	walk(reflect.TypeFor[fleetJSON](), "", check)
	for name, rule := range rules {
		if !used[name] {
			t.Errorf("rule %s is not used", name)
		}
		if rule("") == nil {
			t.Errorf("rule %s accepts nothing at all", name)
		}
	}
}
