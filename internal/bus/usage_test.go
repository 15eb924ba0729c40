package bus

import (
	"bytes"
	"os"
	"regexp"
	"testing"
	"time"

	"apim-dr/internal/usage"
)

// exportedNight is an event with all that it can hold.
func exportedNight() usage.Event {
	why := usage.Why{Status: 400, Code: "MethodNotAllowedInPricingTier", Message: "Method not allowed in StandardV2 pricing tier"}
	return usage.Event{ID: "usage:contoso-eu:20261123T033000Z:result", Subject: resourceID, Time: night.Add(90 * time.Minute), Data: usage.Result{
		Service: "contoso-eu", ResourceID: resourceID, Run: night.Add(90 * time.Minute), Days: []usage.Day{"2026-11-21", "2026-11-22"},
		Reports: []usage.Count{{Report: "byApi", Days: 2, Rows: 84, Bytes: 5120}}, Rows: 84, Bytes: 5120,
		Missing: []usage.Missing{{Report: "byGeo", Since: night, Why: why}},
		Failed:  []usage.Failure{{Report: "byUser", Day: "2026-11-21", Why: usage.Why{Status: 403, Code: "AuthorizationFailed", Message: "no"}}},
	}}
}

func TestTheEventOfUsageIsAsItsSchemaSays(t *testing.T) {
	s := readSchema(t, "../../docs/events/usage.schema.json")
	body, err := exportedEvent(exportedNight(), source)
	if err != nil {
		t.Fatal(err)
	}
	if fault := s.fault(body); fault != nil {
		t.Errorf("%s\n%s", fault, body)
	}
	for _, name := range s.unmet(s.root, "") {
		t.Errorf("the schema describes %s, which no event has", name)
	}
	for old, wrong := range map[string]string{`"rows":84`: `"rows":"84"`, `"days":["2026-11-21"`: `"days":["21/11/2026"`, `"report":"byApi"`: `"report":"byMoon"`, `"type":"apimdr.usage.exported"`: `"type":"apimdr.usage"`} {
		if bad := bytes.Replace(body, []byte(old), []byte(wrong), 1); bytes.Equal(bad, body) || s.fault(bad) == nil {
			t.Errorf("%s passes", wrong)
		}
	}
}

// The document's example is what the code makes.
func TestTheExampleOfUsageIsAsTheSchemaSays(t *testing.T) {
	text, err := os.ReadFile("../../docs/usage.md")
	if err != nil {
		t.Fatal(err)
	}
	example := regexp.MustCompile("(?s)```json\n(\\{\n  \"specversion\".*?)```").FindSubmatch(text)
	if example == nil {
		t.Fatal("docs/usage.md has no event")
	}
	if fault := readSchema(t, "../../docs/events/usage.schema.json").fault(example[1]); fault != nil {
		t.Error(fault)
	}
}

func TestWhatWasGivenUpIsAFailureToSubscribers(t *testing.T) {
	e := exportedNight()
	if p := e.Properties(); p["outcome"] != "failed" || p["type"] != "apimdr.usage.exported" || p["kind"] != "usage" || p["service"] != "contoso-eu" {
		t.Errorf("%v", p)
	}
	e.Data.Failed = nil
	if p := e.Properties(); p["outcome"] != "succeeded" {
		t.Errorf("%v", p)
	}
}
