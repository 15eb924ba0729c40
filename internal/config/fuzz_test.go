package config

import (
	"strings"
	"testing"
)

// FuzzFleet: whatever the fleet holds, Load ends with a usable fleet or with mistakes of one line each, never both nor neither.
func FuzzFleet(f *testing.F) {
	for _, seed := range []string{fleet, "", "{}", "[]", "null", "0", `"x"`, `{"services":[null]}`, `{"storages":{"a":{}},"plans":{"a":null},"services":[{}]}`,
		`{"services":{"a":1,"a":2}}`, strings.Repeat("[", 20000), strings.Repeat(`{"services":[`, 50), fleetOf("a > b* c ! d", "b > c*", "c > a*"), "{\"\u2028\":\"\\ud800\"}",
		strings.NewReplacer(`"main"`, `"n\no"`, `"nightly"`, `"x.y["`).Replace(fleet)} {
		f.Add(seed)
	}
	env := newEnvironment(settingsWith(nil))
	f.Fuzz(func(t *testing.T, text string) {
		m := &mistakes{}
		s := settings{BackupSchedule: "0 0 3 * * *", DrillSchedule: "0 0 5 1 * *", APIVersion: "2024-05-01"}
		b := &builder{root: "FLEET", settings: s, env: env, m: m, keys: map[string]Secret{}}
		fleet := b.build(decodeFleet("FLEET", []byte(text), m))
		for _, one := range m.list {
			if !strings.HasPrefix(one.Where, "FLEET") && one.Where != "BACKUP_KEY" || strings.ContainsAny(one.Where+one.Text, "\n\r") {
				t.Errorf("mistake %q: %q", one.Where, one.Text)
			}
		}
		if len(m.list) > 0 {
			return
		}
		if len(fleet.Services) == 0 {
			t.Error("an empty fleet was accepted")
		}
		for _, one := range fleet.Services {
			plan := fleet.Plans[one.Plan]
			storage := fleet.Storages[plan.Storage]
			if one.ID == "" || plan.Name == "" || storage.Account == "" || plan.RPO <= 0 || plan.ProvenWithin <= 0 || plan.Deadline <= 0 || plan.Schedule.Next(measuredFrom).IsZero() {
				t.Errorf("accepted, but incomplete: %+v, %+v, %+v", one, plan, storage)
			}
		}
	})
}
