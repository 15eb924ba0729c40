package config

import (
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apim-dr/internal/dr"
)

// inRegions is a fleet with one service and its storage, in these regions, and more fields of the service.
func inRegions(service, storage, more string) string {
	return strings.NewReplacer(`"plan":`, `"region":"`+service+`"`+more+`,"plan":`, `"account":`, `"region":"`+storage+`","account":`).Replace(fleetOf("a"))
}

func TestWhatWouldBeLostWithItsServiceIsRefusedUnlessAccepted(t *testing.T) {
	const ends = "; the loss of that region takes both; accepted: another region for what recovers the service, or allowColocated: true"
	for name, row := range map[string]struct {
		set     map[string]string
		storage string
		want    string
	}{
		"storage":      {nil, "West Europe", "the backup storage contosodrbackups lies in westeurope, as a does"},
		"stamp":        {map[string]string{"STAMP_REGION": "West Europe", "SERVICEBUS_REGION": "northeurope", "STATE_REGION": "northeurope"}, "northeurope", "this stamp lies in westeurope, as a does"},
		"app's region": {map[string]string{"REGION_NAME": "West Europe", "SERVICEBUS_REGION": "northeurope", "STATE_REGION": "northeurope"}, "northeurope", "this stamp lies in westeurope, as a does"},
		"bus":          {map[string]string{"SERVICEBUS_REGION": "westeurope"}, "northeurope", "its Service Bus lies in westeurope, as a does"},
		"state":        {map[string]string{"STATE_REGION": "westeurope"}, "northeurope", "its state storage lies in westeurope, as a does"},
		"the rest lies where the stamp does": {map[string]string{"STAMP_REGION": "westeurope"}, "northeurope",
			"this stamp lies in westeurope, as a does, its Service Bus lies in westeurope, as a does, its state storage lies in westeurope, as a does"},
	} {
		t.Run(name, func(t *testing.T) {
			environ := func(more string) map[string]string {
				set := map[string]string{"FLEET": inRegions("westeurope", row.storage, more)}
				maps.Copy(set, row.set)
				return set
			}
			want := []string{"FLEET.services[0].region: " + row.want + ends}
			if diff := cmp.Diff(want, mistakesOf(t, settingsWith(environ("")))); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(want, load(t, environ(`,"allowColocated":true`)).Warnings); diff != "" {
				t.Errorf("accepted: %s", diff)
			}
		})
	}
}

func TestUnknownRegionsAreNoMistake(t *testing.T) {
	for name, set := range map[string]map[string]string{
		"the service's": {"FLEET": strings.Replace(fleetOf("a"), `"account":`, `"region":"westeurope","account":`, 1), "STAMP_REGION": "westeurope"},
		"all others'":   {"FLEET": strings.Replace(fleetOf("a"), `"plan":`, `"region":"westeurope","plan":`, 1)},
	} {
		if c := load(t, set); len(c.Warnings) != 0 {
			t.Errorf("%s: warnings %q", name, c.Warnings)
		}
	}
}

func TestSurvivalNamesWhatLiesWhere(t *testing.T) {
	for name, row := range map[string]struct {
		set  map[string]string
		want dr.Survival
	}{
		"elsewhere": {map[string]string{"STAMP_REGION": "northeurope"}, dr.Survival{Survives: dr.Yes}},
		"not known": {nil, dr.Survival{Survives: dr.NotKnown, Reasons: []string{"the region of this stamp is not known", "the region of its Service Bus is not known",
			"the region of its state storage is not known"}}},
		"lost": {map[string]string{"STAMP_REGION": "eastus", "SERVICEBUS_REGION": "northeurope", "STATE_REGION": "northeurope"},
			dr.Survival{Survives: dr.Not, Reasons: []string{"this stamp lies in eastus, as contoso-us does"}}},
	} {
		c := load(t, row.set)
		if diff := cmp.Diff(row.want, c.Survival(c.Fleet.Services[1])); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestARegionToldOnceHoldsForTheInstanceEverywhere(t *testing.T) {
	for name, row := range map[string][2]string{
		"told of the service":   {`"eastus", "mode"`, `"East US", "mode"`},
		"told of the secondary": {`"region": "France Central", `, ""},
	} {
		text := strings.Replace(fleet, `{"id": "`+group+`contoso-eu"}`, `{"id": "`+group+`contoso-eu", "region": "francecentral"}`, 1)
		s := load(t, map[string]string{"FLEET": strings.Replace(text, row[0], row[1], 1)}).Fleet.Services
		for _, in := range []Instance{s[0].Instance, s[1].Secondaries[0].Instance} {
			if in.Region != "francecentral" {
				t.Errorf("%s: %s lies in %q", name, in.Name, in.Region)
			}
		}
		for _, in := range []Instance{s[1].Instance, s[0].Secondaries[0].Instance} {
			if in.Region != "eastus" {
				t.Errorf("%s: %s lies in %q", name, in.Name, in.Region)
			}
		}
	}
}

func TestSecondariesThatAllLieWithTheirPrimaryAreAWarning(t *testing.T) {
	const warning = "FLEET.services[0].secondaries: all lie in westeurope, as a does, so that none is left when that region is lost"
	for more, want := range map[string]string{
		`{"id":"` + group + `b","region":"westeurope"}`: warning,
		`{"id":"` + group + `b"}`:                       "",
		`{"id":"` + group + `b","region":"westeurope"},{"id":"` + group + `c","region":"northeurope"}`: "",
	} {
		text := strings.Replace(fleetOf("a"), `"plan":`, `"region":"westeurope","secondaries":[`+more+`],"plan":`, 1)
		if got := strings.Join(load(t, map[string]string{"FLEET": text}).Warnings, "\n"); got != want {
			t.Errorf("%s: got %q, want %q", more, got, want)
		}
	}
}

func TestProofsAreOnlyMissedWhereDrillsRun(t *testing.T) {
	for line, warnings := range map[string]int{"a": 0, "a ! d": 1} {
		text := strings.Replace(fleetOf(line), `"storage":"s"`, `"storage":"s","provenWithin":"24h"`, 1)
		if got := load(t, map[string]string{"FLEET": text}).Warnings; len(got) != warnings {
			t.Errorf("%s: warnings %q", line, got)
		}
	}
	if got := load(t, map[string]string{"FLEET": fleetOf("a ! d")}).Warnings; len(got) != 0 {
		t.Errorf("the defaults do not go together: %q", got)
	}
}
