package funchost

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"apim-dr/internal/dr"
)

// Types of bindings.
const (
	timerTrigger = "timerTrigger"
	httpTrigger  = "httpTrigger"
	busTrigger   = "serviceBusTrigger"
)

// binding is one entry of function.json.
type binding struct {
	Type, Direction, Name, DataType                                 string
	Schedule                                                        string
	RunOnStartup                                                    bool
	UseMonitor                                                      *bool
	AuthLevel                                                       string
	Methods                                                         []string
	Route                                                           *string
	QueueName, TopicName, SubscriptionName, Connection, Cardinality string
	IsSessionsEnabled                                               bool
	AutoCompleteMessages                                            *bool
}

// function is one folder: its trigger, and what that resolved to.
type function struct {
	name     string
	trigger  binding
	output   binding // http; without a type when there is none
	schedule dr.Schedule
	params   []string // of the route
	bus      busSource
}

// busSource is where a Service Bus trigger listens: a queue, or a topic's subscription.
type busSource struct {
	connection, queue, topic, subscription string
	deadLetters                            bool
}

// The host's own rule for names.
var functionName = regexp.MustCompile(`^(?i)[a-z][a-z0-9_-]{0,127}$`)

// readFunctions takes the direct children that hold a function.json. The real host does not see one that lies deeper or beside host.json.
func (a *app) readFunctions() {
	for _, misplaced := range []string{"function.json", "*/*/function.json"} {
		paths, _ := filepath.Glob(filepath.Join(a.root, misplaced)) // the pattern is well-formed
		for _, path := range paths {
			where, _ := filepath.Rel(a.root, path)
			a.add(where, "a function's folder must be a direct child of the folder that holds host.json")
		}
	}
	paths, _ := filepath.Glob(filepath.Join(a.root, "*/function.json"))
	for _, path := range paths {
		f := &function{name: filepath.Base(filepath.Dir(path))}
		where := f.name + "/function.json"
		if !functionName.MatchString(f.name) || strings.EqualFold(f.name, "host") {
			a.add(where, "%q cannot be a function's name: a letter, then up to 127 letters, digits, _ or -, and not host", f.name)
		} else if a.readFunction(f, path, where) {
			a.functions = append(a.functions, f)
		}
	}
	if len(paths) == 0 {
		a.add("staged folder", "no function found in %s", a.root)
	}
}

// readFunction reports whether the function is to be served.
func (a *app) readFunction(f *function, path, where string) (enabled bool) {
	var file struct {
		Disabled bool
		Retry    json.RawMessage
		Bindings []binding
	}
	if err := readJSON(path, &file); err != nil {
		a.add(where, "%w", err)
		return false
	}
	if file.Disabled || strings.EqualFold(a.settings["AzureWebJobs."+f.name+".Disabled"], "true") {
		return false
	}
	if file.Retry != nil {
		a.add(where, "retry policies are not supported by this stand-in")
	}
	for _, b := range file.Bindings {
		switch {
		case b.Name == "":
			a.add(where, "a binding of type %q has no name", b.Type)
		case b.Type == "http" && b.Direction == "out" && f.output.Type == "":
			f.output = b
		case !slices.Contains([]string{timerTrigger, httpTrigger, busTrigger}, b.Type):
			a.add(where, "binding %q of type %q, direction %q, is not supported by this stand-in", b.Name, b.Type, b.Direction)
		case b.Direction != "in":
			a.add(where, `the direction of %q is %q; it must be "in"`, b.Name, b.Direction)
		case f.trigger.Type != "":
			a.add(where, "a function has one trigger; %q is the second", b.Name)
		default:
			f.trigger = b
			a.readTrigger(f, where)
		}
	}
	if f.trigger.Type == "" || f.output.Type != "" && f.trigger.Type != httpTrigger {
		a.add(where, "a function needs a trigger, and an http output an httpTrigger")
	}
	return true
}

func (a *app) readTrigger(f *function, where string) {
	t := &f.trigger
	var err error
	switch t.Type {
	case timerTrigger:
		f.schedule, err = dr.ParseSchedule(a.expand(t.Schedule, where))
	case httpTrigger:
		err = a.readRoute(f)
	case busTrigger:
		a.readBusTrigger(f, where)
	}
	if err != nil {
		a.add(where, "%w", err)
	}
}

var routeParam = regexp.MustCompile(`^\{(\*?)([A-Za-z_]\w*)(\??)\}$`)

// readRoute turns the route template into patterns of http.ServeMux.
func (a *app) readRoute(f *function) (err error) {
	t := &f.trigger
	switch t.AuthLevel = strings.ToLower(t.AuthLevel); t.AuthLevel {
	case "":
		t.AuthLevel = "function"
	case "anonymous", "function", "admin":
	default:
		return fmt.Errorf("authLevel is %q; accepted: anonymous, function, admin", t.AuthLevel)
	}
	template, prefix := f.name, "api"
	if t.Route != nil {
		template = *t.Route
	}
	if p := a.host.Extensions.HTTP.RoutePrefix; p != nil {
		prefix = *p
	}
	paths := []string{""}
	for part := range strings.FieldsFuncSeq(prefix+"/"+template, func(r rune) bool { return r == '/' }) {
		m := routeParam.FindStringSubmatch(part)
		switch {
		case len(paths) > 1 || m == nil && strings.ContainsAny(part, "{}"):
			return fmt.Errorf("route %q: accepted parameters are {name}, and as the last segment {name?} or {*name}", template)
		case m == nil:
			paths[0] += "/" + part
			continue
		case m[1] != "": // a catch-all matches the path before it as well
			paths = []string{paths[0], paths[0] + "/{" + m[2] + "...}"}
		case m[3] != "":
			paths = []string{paths[0], paths[0] + "/{" + m[2] + "}"}
		default:
			paths[0] += "/{" + m[2] + "}"
		}
		f.params = append(f.params, m[2])
	}
	// ServeMux panics on patterns that nothing tells apart.
	defer func() {
		if conflict := recover(); conflict != nil {
			err = errors.New(strings.Split(fmt.Sprint(conflict), "\n")[0])
		}
	}()
	methods := t.Methods
	if len(methods) == 0 {
		methods = []string{""}
	}
	for _, method := range methods {
		for _, path := range paths {
			if path != "" {
				a.routes.HandleFunc(strings.TrimSpace(strings.ToUpper(method)+" "+path), func(w http.ResponseWriter, r *http.Request) { a.onRequest(w, r, f) })
			}
		}
	}
	return nil
}

func (a *app) readBusTrigger(f *function, where string) {
	t := &f.trigger
	if t.IsSessionsEnabled || strings.EqualFold(t.Cardinality, "many") || t.AutoCompleteMessages != nil && !*t.AutoCompleteMessages {
		a.add(where, "sessions, cardinality many and autoCompleteMessages false are not supported by this stand-in")
	}
	if !slices.Contains([]string{"", "binary", "string"}, strings.ToLower(t.DataType)) {
		a.add(where, "dataType is %q; accepted: binary, string or none", t.DataType)
	}
	entity := func(name string) string {
		name = a.expand(name, where)
		const suffix = "/$deadletterqueue"
		if n := len(name) - len(suffix); n > 0 && strings.EqualFold(name[n:], suffix) {
			f.bus.deadLetters = true
			name = name[:n]
		}
		return name
	}
	f.bus.queue, f.bus.topic, f.bus.subscription = entity(t.QueueName), a.expand(t.TopicName, where), entity(t.SubscriptionName)
	if (f.bus.queue == "") == (f.bus.topic == "") || (f.bus.topic == "") != (f.bus.subscription == "") {
		a.add(where, "a serviceBusTrigger needs queueName, or topicName with subscriptionName")
	}
	// The host looks a connection up by its name, then with AzureWebJobs before it.
	name := t.Connection
	if name == "" {
		name = "AzureWebJobsServiceBus"
	}
	if f.bus.connection = a.settings[name]; f.bus.connection == "" {
		f.bus.connection = a.settings["AzureWebJobs"+name]
	}
	_, identity := a.settings[name+"__fullyQualifiedNamespace"]
	switch {
	case f.bus.connection != "":
	case identity:
		a.add(where, "%s__fullyQualifiedNamespace asks for an identity, which works only in Azure: set %s to a connection string", name, name)
	default:
		a.add(where, "the setting %s (a Service Bus connection string) is missing", name)
	}
}
