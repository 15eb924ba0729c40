package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"apim-dr/internal/usage"
)

// The shape of the fleet's JSON; tags as in settings. Fields without omitempty must be there.
type (
	fleetJSON struct {
		Storages map[string]storageJSON `json:"storages"`
		Plans    map[string]planJSON    `json:"plans"`
		Services []serviceJSON          `json:"services"`
		Usage    *usageJSON             `json:"usage,omitempty"`
	}
	usageJSON struct {
		Reports   []usage.Report `json:"reports,omitempty" is:"report"`
		ByRequest bool           `json:"byRequest,omitempty"`
	}
	storageJSON struct {
		Account     string `json:"account" is:"account"`
		Container   string `json:"container" is:"container"`
		Access      Access `json:"access" is:"access"`
		ClientID    string `json:"clientId,omitempty" is:"guid" secret:"true"`
		KeyVariable string `json:"keyVariable,omitempty" is:"variable" secret:"true"` // a key is easily pasted here
		Region      string `json:"region,omitempty" is:"region"`
	}
	planJSON struct {
		Schedule     string         `json:"schedule,omitempty" is:"schedule"`
		Storage      string         `json:"storage" is:"name"`
		RPO          string         `json:"rpo,omitempty" is:"duration" default:"26h"`
		ProvenWithin string         `json:"provenWithin,omitempty" is:"duration" default:"840h"`
		Retention    *retentionJSON `json:"retention,omitempty"`
		Deadline     string         `json:"deadline,omitempty" is:"duration" default:"12h"`
		Spread       string         `json:"spread,omitempty" is:"duration"`
		NotDuring    []windowJSON   `json:"notDuring,omitempty"`
	}
	retentionJSON struct {
		KeepLast   int `json:"keepLast,omitempty"`
		KeepDaily  int `json:"keepDaily,omitempty"`
		KeepWeekly int `json:"keepWeekly,omitempty"`
	}
	windowJSON struct {
		From string   `json:"from" is:"clock"`
		To   string   `json:"to" is:"clock"`
		Days []string `json:"days,omitempty" is:"weekday"`
	}
	serviceJSON struct {
		ID             string          `json:"id" is:"instance"`
		Region         string          `json:"region,omitempty" is:"region"`
		Plan           string          `json:"plan" is:"name"`
		Secondaries    []secondaryJSON `json:"secondaries,omitempty"`
		DrillInstance  string          `json:"drillInstance,omitempty" is:"instance"`
		AllowColocated bool            `json:"allowColocated,omitempty"`
		Usage          *bool           `json:"usage,omitempty"`
	}
	secondaryJSON struct {
		ID     string `json:"id" is:"instance"`
		Region string `json:"region,omitempty" is:"region"`
		Mode   Mode   `json:"mode,omitempty" is:"mode" default:"cold"`
	}
)

// decodeFleet reads strictly and to the end: encoding/json alone would stop at the first unknown field, name no path, and let a duplicate
// win in silence.
func decodeFleet(root string, text []byte, m *mistakes) (fleet fleetJSON) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if !utf8.Valid(text) {
		m.add(root, "is not UTF-8; accepted: JSON in UTF-8")
		return fleet
	}
	var whole json.RawMessage
	if err := json.Unmarshal(text, &whole); err != nil {
		at := len(text)
		if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
			at = min(int(syntax.Offset), at)
		}
		line, column := 1+bytes.Count(text[:at], []byte("\n")), at-bytes.LastIndexByte(text[:at], '\n')-1
		m.add(root, "is not JSON, line %d, column %d: %v", line, column, err)
		return fleet
	}
	decoder{m}.fill(root, whole, reflect.ValueOf(&fleet).Elem(), "")
	return fleet
}

type decoder struct{ m *mistakes }

// fill sets v, tagged so, from raw, which is valid JSON, and tells every part of it that does not fit.
func (d decoder) fill(at string, raw json.RawMessage, v reflect.Value, tag reflect.StructTag) {
	kind := raw[0] // of { [ " t f n, or a number's
	switch {
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.fill(at, raw, v.Elem(), tag)
	case v.Kind() == reflect.Struct && kind == '{':
		d.object(at, raw, v)
	case v.Kind() == reflect.Map && kind == '{':
		d.named(at, raw, v)
	case v.Kind() == reflect.Slice && kind == '[':
		var list []json.RawMessage
		_ = json.Unmarshal(raw, &list)
		v.Set(reflect.MakeSlice(v.Type(), len(list), len(list)))
		for i, one := range list {
			d.fill(at+"["+strconv.Itoa(i)+"]", one, v.Index(i), tag)
		}
	case v.Kind() == reflect.String && kind == '"':
		var text string
		_ = json.Unmarshal(raw, &text)
		if err := rules[tag.Get("is")](text); err != nil {
			d.m.add(at, "holds %s; %v", show(text, tag), err)
			return
		}
		v.SetString(text)
	case (v.Kind() == reflect.Int || v.Kind() == reflect.Bool) && kind != 'n' && json.Unmarshal(raw, v.Addr().Interface()) == nil:
	default:
		d.m.add(at, "holds %s; %s", described(raw), wanted(v.Type(), tag))
	}
}

// members calls each for the members of an object, once a name.
func (d decoder) members(at string, raw json.RawMessage, each func(name, at string, value json.RawMessage)) {
	seen := map[string]bool{}
	read := json.NewDecoder(bytes.NewReader(raw))
	_, _ = read.Token() // no errors here and below: the whole text was found valid
	for read.More() {
		token, _ := read.Token()
		name, _ := token.(string)
		var value json.RawMessage
		_ = read.Decode(&value)
		if below := child(at, name); seen[name] {
			d.m.add(below, "given twice; accepted: once")
		} else {
			seen[name] = true
			each(name, below, value)
		}
	}
}

var secretName = regexp.MustCompile(`(?i)key|secret|sas|connection|password|token`)

func (d decoder) object(at string, raw json.RawMessage, v reflect.Value) {
	missing, names := map[string]reflect.StructField{}, []string{}
	for _, f := range reflect.VisibleFields(v.Type()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		missing[name] = f
		names = append(names, name)
		if standard := f.Tag.Get("default"); standard != "" {
			v.FieldByIndex(f.Index).SetString(standard)
		}
	}
	d.members(at, raw, func(name, at string, value json.RawMessage) {
		f, known := missing[name]
		delete(missing, name)
		switch {
		case known:
			d.fill(at, value, v.FieldByIndex(f.Index), f.Tag)
		case secretName.MatchString(name):
			d.m.add(at, "a secret has no place in the fleet; put it into an environment variable and name that in keyVariable")
		default:
			d.m.add(at, "unknown field; accepted: %s", strings.Join(names, ", "))
		}
	})
	for _, name := range names {
		if f, ok := missing[name]; ok && !strings.HasSuffix(f.Tag.Get("json"), ",omitempty") {
			d.m.add(child(at, name), "not set; %s", wanted(f.Type, f.Tag))
		}
	}
}

func (d decoder) named(at string, raw json.RawMessage, v reflect.Value) {
	v.Set(reflect.MakeMap(v.Type()))
	d.members(at, raw, func(name, at string, value json.RawMessage) {
		if err := rules["name"](name); err != nil {
			d.m.aside(at, "is a wrong name; %v", err) // what is below it is checked all the same
		}
		one := reflect.New(v.Type().Elem()).Elem()
		d.fill(at, value, one, "")
		v.SetMapIndex(reflect.ValueOf(name), one)
	})
}

func child(at, name string) string {
	if rules["name"](name) == nil {
		return at + "." + name
	}
	return at + "[" + held(name) + "]"
}

func described(raw json.RawMessage) string {
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a text"
	default: // a number, true, false, null
		return held(string(raw))
	}
}

// wanted says what a place takes.
func wanted(t reflect.Type, tag reflect.StructTag) string {
	switch t.Kind() {
	case reflect.String:
		return rules[tag.Get("is")]("").Error()
	case reflect.Slice:
		return "accepted: a list"
	case reflect.Int:
		return "accepted: a whole number"
	case reflect.Bool:
		return "accepted: true | false"
	default:
		return "accepted: an object"
	}
}
