package infra

import (
	_ "embed"
	"encoding/json"
	"slices"
)

//go:embed alerts.json
var alerts []byte

// Alert is what modules/alerts.bicep makes a query of.
type Alert struct {
	Name, Window string
	Severity     int                 // 0: critical, to 4: verbose
	Messages     []string            // one of them is the line's msg
	Where        map[string][]string // fields of the line, and what they are to be
	By           []string            // fields that tell one alert from another
	Missing      bool                // it is raised by there being no such line
}

// Alerts are those of a stamp.
func Alerts() []Alert {
	var list []Alert
	must(json.Unmarshal(alerts, &list))
	return list
}

// Finds tells whether the query finds a line of the app, as the host hands it on.
func (a Alert) Finds(line string) bool {
	fields := map[string]any{}
	if json.Unmarshal([]byte(line), &fields) != nil {
		return false
	}
	is := func(field string, accepted []string) bool {
		text, ok := fields[field].(string)
		return ok && slices.Contains(accepted, text)
	}
	for field, accepted := range a.Where {
		if !is(field, accepted) {
			return false
		}
	}
	for _, field := range a.By {
		if _, ok := fields[field].(string); !ok {
			return false
		}
	}
	return is("msg", a.Messages)
}
