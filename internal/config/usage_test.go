package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestUsageIsExportedWhenAskedForOfEveryServiceAndItsSecondaries(t *testing.T) {
	const services = `"services": [`
	another := `{"id": "` + group + `contoso-fr", "region": "francecentral", "plan": "nightly", "secondaries": [{"id": "` + group + `contoso-jp", "region": "japaneast"}]`
	for _, tc := range []struct {
		name, usage, of string
		reports, want   string
	}{
		{"not asked for", "", "", "", ""},
		{"all", `"usage": {}, `, "", "byApi byTime byOperation byProduct bySubscription byGeo byUser", "contoso-fr contoso-jp contoso-eu contoso-us"},
		{"some", `"usage": {"reports": ["byGeo", "byApi"]}, `, `, "usage": true`, "byGeo byApi", "contoso-fr contoso-jp contoso-eu contoso-us"},
		{"requests", `"usage": {"byRequest": true}, `, "", "byApi byTime byOperation byProduct bySubscription byGeo byUser byRequest", "contoso-fr contoso-jp contoso-eu contoso-us"},
		{"not one", `"usage": {}, `, `, "usage": false`, "byApi byTime byOperation byProduct bySubscription byGeo byUser", "contoso-eu contoso-us"},
	} {
		c := load(t, map[string]string{"FLEET": strings.Replace(fleet, services, tc.usage+services+another+tc.of+"},", 1)})
		var names []string
		for _, i := range c.Fleet.UsageInstances() {
			names = append(names, i.Name)
		}
		if got := strings.Trim(fmt.Sprint(c.Fleet.Usage), "[]"); got != tc.reports || strings.Join(names, " ") != tc.want {
			t.Errorf("%s: reports %s of %v", tc.name, got, names)
		}
		if c.UsageContainer != "usage" || c.UsageTurn.String() != "2s" {
			t.Errorf("%s, %s", c.UsageContainer, c.UsageTurn)
		}
	}
	one := strings.Replace(fleet, `"allowColocated": true`, `"allowColocated": true, "usage": false`, 1)
	c := load(t, map[string]string{"FLEET": strings.Replace(one, services, `"usage": {}, `+services, 1)})
	if list := c.Fleet.UsageInstances(); len(list) != 1 || list[0].Name != "contoso-eu" {
		t.Errorf("a service that is left out comes back as a secondary: %v", list)
	}
}
