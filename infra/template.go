// Package infra reads the compiled template. The stand-ins take the roles and the queues from it, so that what is not deployed does not work here either.
package infra

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"
)

//go:embed main.json
var template []byte

// Role is a custom role of the app.
type Role string

// The roles, by the variables of modules/roles.bicep that name them.
const (
	Operator Role = "operator" // of each instance
	Reader   Role = "reader"   // of each subscription
)

// Queue is a queue or a topic, as modules/servicebus.bicep declares it.
type Queue struct {
	Name             string
	LockDuration     time.Duration // of a queue
	MaxDeliveryCount int
	DuplicateWindow  time.Duration
}

// nested is a template, or one within it.
type nested struct {
	Variables map[string]json.RawMessage
	Resources json.RawMessage // an object by symbolic names, or a list
}

type resource struct {
	Type, Name string
	Properties json.RawMessage // an object, or an expression that makes one
}

// Actions are what a role lets its holder do. It panics when the template has no such role.
func Actions(role Role) []string {
	var actions []string
	walk(template, func(_ *nested, r resource) {
		if r.Type != "Microsoft.Authorization/roleDefinitions" || r.Name != fmt.Sprintf("[variables('%s')]", role) {
			return
		}
		var definition struct {
			Permissions []struct{ Actions []string }
		}
		must(json.Unmarshal(r.Properties, &definition))
		for _, p := range definition.Permissions {
			actions = append(actions, p.Actions...)
		}
	})
	if len(actions) == 0 {
		panic(fmt.Sprintf("infra/main.json has no role %s", role))
	}
	return actions
}

// Queues are the queues of the namespace, Topics its topics. They panic when the template has none.
func Queues() []Queue { return declared("queues") }

// Topics are those that the app publishes to.
func Topics() []Queue { return declared("topics") }

func declared(variable string) (all []Queue) {
	walk(template, func(t *nested, r resource) {
		if r.Type != "Microsoft.ServiceBus/namespaces" {
			return
		}
		var list []struct {
			Name, LockDuration, DuplicateDetectionHistoryTimeWindow string
			MaxDeliveryCount                                        int
		}
		must(json.Unmarshal(t.Variables[variable], &list))
		for _, q := range list {
			all = append(all, Queue{q.Name, minutes(q.LockDuration), q.MaxDeliveryCount, minutes(q.DuplicateDetectionHistoryTimeWindow)})
		}
	})
	if len(all) == 0 {
		panic("infra/main.json has no " + variable)
	}
	return all
}

var minuteShape = regexp.MustCompile(`^PT(\d+)M$`)

// minutes reads an ISO 8601 duration of whole minutes, which is all that the template has; "" is none.
func minutes(s string) time.Duration {
	if s == "" {
		return 0
	}
	m := minuteShape.FindStringSubmatch(s)
	if m == nil {
		panic(fmt.Sprintf("infra/main.json: duration %q; accepted: minutes, such as PT5M", s))
	}
	d, err := time.ParseDuration(m[1] + "m")
	must(err)
	return d
}

// walk visits the resources of a template and of those within it.
func walk(text []byte, visit func(*nested, resource)) {
	var t nested
	must(json.Unmarshal(text, &t))
	var resources []resource
	if byName := map[string]resource{}; json.Unmarshal(t.Resources, &byName) == nil {
		resources = slices.Collect(maps.Values(byName))
	} else {
		must(json.Unmarshal(t.Resources, &resources))
	}
	for _, r := range resources {
		visit(&t, r)
		if r.Type == "Microsoft.Resources/deployments" {
			var module struct{ Template json.RawMessage }
			must(json.Unmarshal(r.Properties, &module))
			walk(module.Template, visit)
		}
	}
}

func must(err error) {
	if err != nil {
		panic(fmt.Sprintf("infra/main.json: %v", err))
	}
}
