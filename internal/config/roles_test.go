package config

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// service is one line of a small language: "a > b* c ! d" is the service a with the warm secondary b, the cold c and the drill instance d.
func serviceFrom(line string) map[string]any {
	line, drill, _ := strings.Cut(line, " ! ")
	name, seconds, _ := strings.Cut(line, " > ")
	s := map[string]any{"id": group + name, "plan": "p"}
	if drill != "" {
		s["drillInstance"] = group + drill
	}
	var list []any
	for _, second := range strings.Fields(seconds) {
		name, warm := strings.CutSuffix(second, "*")
		list = append(list, map[string]any{"id": group + name, "mode": map[bool]string{true: "warm", false: "cold"}[warm]})
	}
	if list != nil {
		s["secondaries"] = list
	}
	return s
}

func fleetOf(lines ...string) string {
	var services []any
	for _, line := range lines {
		services = append(services, serviceFrom(line))
	}
	text, err := json.Marshal(map[string]any{"services": services, "plans": map[string]any{"p": map[string]any{"storage": "s"}},
		"storages": map[string]any{"s": map[string]any{"account": "contosodrbackups", "container": "apim-backups", "access": "systemAssigned"}}})
	if err != nil {
		panic(err)
	}
	return string(text)
}

func TestRolesThatGoTogether(t *testing.T) {
	for name, services := range map[string][]string{
		"a pair either way":               {"a > b", "b > a"},
		"a pair, one way warm":            {"a > b*", "b > a"},
		"a pair, the other way warm":      {"a > b", "b > a*"},
		"a secondary that is no service":  {"a > b c"},
		"one drill instance for two":      {"a ! d", "b ! d"},
		"the same instance in other case": {"a > B*", "b"},
	} {
		t.Run(name, func(t *testing.T) { load(t, map[string]string{"FLEET": fleetOf(services...)}) })
	}
}

func TestRolesThatWouldOverwriteAnInstanceAreRefused(t *testing.T) {
	const alone = "; accepted: an instance that serves drills alone"
	other := func(i int, name string, j int) string {
		return fmt.Sprintf(`FLEET.services[%d].secondaries[0].id: holds %q, a secondary of services[%d] too, so that a failover of one would overwrite the other's; `+
			`accepted: the secondary of one service`, i, name, j)
	}
	for name, row := range map[string]struct{ services, want []string }{
		"a name twice":                {[]string{"contoso-a", "Contoso-A"}, []string{`FLEET.services[1].id: holds the name "Contoso-A", as services[0] does (case does not count); accepted: each service once`}},
		"its own secondary":           {[]string{"a > A*"}, []string{`FLEET.services[0].secondaries[0].id: holds "A", the service itself; accepted: another instance`}},
		"a secondary twice":           {[]string{"a > b B"}, []string{`FLEET.services[0].secondaries[1].id: holds "B" a second time; accepted: each secondary once`}},
		"its own drill":               {[]string{"a ! A"}, []string{`FLEET.services[0].drillInstance: holds "A", the service itself` + alone}},
		"a drill on a primary":        {[]string{"a ! b", "b > c"}, []string{`FLEET.services[0].drillInstance: holds "b", which is services[1] and backed up` + alone}},
		"a drill on a service":        {[]string{"a ! D", "d"}, []string{`FLEET.services[0].drillInstance: holds "D", which is services[1] and backed up` + alone}},
		"a drill on a secondary":      {[]string{"a ! c", "b > C"}, []string{`FLEET.services[0].drillInstance: holds "c", a secondary of services[1]` + alone}},
		"a drill on an own secondary": {[]string{"a > b ! b"}, []string{`FLEET.services[0].drillInstance: holds "b", a secondary of services[0]` + alone}},
		"warm for two":                {[]string{"a > x*", "b > X*"}, []string{other(0, "x", 1), other(1, "X", 0)}},
		"warm for one, cold for two":  {[]string{"a > x", "b > x*"}, []string{other(0, "x", 1), other(1, "x", 0)}},
		"cold for two":                {[]string{"a > x", "b > X"}, []string{other(0, "x", 1), other(1, "X", 0)}},
		"cold for three":              {[]string{"a > x", "b > x", "x", "c > x"}, []string{other(0, "x", 1), other(1, "x", 0), other(3, "x", 0)}},
		"two warm to each other":      {[]string{"a > b*", "b > a*"}, []string{`FLEET.services[0].secondaries[0].mode: holds "warm" and closes a circle of warm standbys: a → b → a; accepted: no circle`}},
		"a circle beside the way": {[]string{"a > b*", "b > c*", "c > b*"}, []string{other(0, "b", 2),
			`FLEET.services[1].secondaries[0].mode: holds "warm" and closes a circle of warm standbys: b → c → b; accepted: no circle`, other(2, "b", 0)}},
		"three in a circle": {[]string{"x", "b > c*", "c > a*", "a > b*"},
			[]string{`FLEET.services[1].secondaries[0].id: holds "c", which is services[2] and has a secondary of its own, so that a failover would overwrite what it serves; accepted: an instance that stands by and nothing else`,
				`FLEET.services[2].secondaries[0].id: holds "a", which is services[3] and has a secondary of its own, so that a failover would overwrite what it serves; accepted: an instance that stands by and nothing else`,
				`FLEET.services[3].secondaries[0].id: holds "b", which is services[1] and has a secondary of its own, so that a failover would overwrite what it serves; accepted: an instance that stands by and nothing else`}},
		"a chain": {[]string{"a > b", "b > c", "c"}, []string{`FLEET.services[0].secondaries[0].id: holds "b", which is services[1] and has a secondary of its own, so that a failover would overwrite what it serves; accepted: an instance that stands by and nothing else`}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(row.want, mistakesOf(t, settingsWith(map[string]string{"FLEET": fleetOf(row.services...)}))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestANameStandsForOneInstance(t *testing.T) {
	elsewhere := strings.Replace(group, "/contoso/", "/other/", 1)
	text := strings.Replace(fleetOf("a > b", "b"), group+"b", elsewhere+"b", 1)
	got := mistakesOf(t, settingsWith(map[string]string{"FLEET": text}))
	if len(got) != 1 || !strings.HasPrefix(got[0], "FLEET.services[1].id: holds the name \"b\", which stands for another instance") {
		t.Errorf("got %q", got)
	}
}

func TestAnIDInAnyCaseIsKeptInTheUsualOne(t *testing.T) {
	text := strings.NewReplacer("resourceGroups", "resourcegroups", "Microsoft.ApiManagement", "microsoft.apimanagement").Replace(fleetOf("Contoso-EU > b"))
	c := load(t, map[string]string{"FLEET": text})
	if got := c.Fleet.Services[0]; got.ID != group+"Contoso-EU" || got.Name != "Contoso-EU" {
		t.Errorf("got %+v", got.Instance)
	}
}

func TestIDs(t *testing.T) {
	for id, good := range map[string]bool{
		group + "a":                           true,
		group + "a" + strings.Repeat("b", 49): true,
		group + "a" + strings.Repeat("b", 50): false,
		group + "1a":                          false,
		group + "a-":                          false,
		group + "a/":                          false,
		group + "a/../b":                      false,
		group + "a\n":                         false,
		"https://management.azure.com" + group + "a":                       false,
		strings.Replace(group, "0001", "001", 1) + "a":                     false,
		strings.Replace(group, "/contoso/", "/contoso(1)._-x/", 1) + "a":   true,
		strings.Replace(group, "/contoso/", "/contoso./", 1) + "a":         false,
		strings.Replace(group, "ApiManagement", "ApiManagementX", 1) + "a": false,
	} {
		if got := instance(id).Name != ""; got != good {
			t.Errorf("%q: accepted %v, want %v", id, got, good)
		}
	}
}
