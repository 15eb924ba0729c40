package bus

import (
	"bytes"
	"os"
	"regexp"
	"testing"
	"time"

	"apim-dr/internal/dr"
)

const rpoSchema = "../../docs/events/rpo.schema.json"

// breach is what the watch makes of a service whose newest good recovery point was restored from another one's, too long ago.
func breach(t *testing.T, newest dr.PointRef) dr.Event {
	t.Helper()
	g := dr.Guard{RPO: 26 * time.Hour, Active: dr.Instance{Name: "contoso-us"}, State: dr.ServiceState{NewestGood: newest}}
	w, _ := dr.RPOWatch{From: night.Add(-27 * time.Hour)}.Next(g, night)
	if w.State != dr.RPOBreached {
		t.Fatalf("%+v", w)
	}
	return w.Event(dr.Instance{Name: "contoso-eu", ResourceID: resourceID}, "nightly")
}

func TestTheEventsOfTheRPOAreAsTheirSchemaSays(t *testing.T) {
	s := readSchema(t, rpoSchema)
	var whole []byte
	for _, newest := range []dr.PointRef{{}, {ID: "20261121-backup-0123456789abcdef0123-s0-a1", Service: "contoso-eu", CreatedAt: night.Add(-50 * time.Hour), AsOf: night.Add(-27 * time.Hour)}} {
		body, err := cloudEvent(breach(t, newest), source)
		if err != nil {
			t.Fatal(err)
		}
		if fault := s.fault(body); fault != nil {
			t.Errorf("%s\n%s", fault, body)
		}
		whole = body
	}
	for _, name := range s.unmet(s.root, "") {
		t.Errorf("the schema describes %s, which no event has", name)
	}
	for old, wrong := range map[string]string{`"state":"breached"`: `"state":"lost"`, `"rpoSeconds":93600`: `"rpoSeconds":"26h"`, `apimdr.rpo.breached`: `apimdr.rpo`, `"active":"contoso-us",`: ``} {
		if bad := bytes.Replace(whole, []byte(old), []byte(wrong), 1); bytes.Equal(bad, whole) || s.fault(bad) == nil {
			t.Errorf("%s passes, of %s", wrong, whole)
		}
	}
}

func TestTheExampleOfTheRPOIsAsTheSchemaSays(t *testing.T) {
	text, err := os.ReadFile("../../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	example := regexp.MustCompile("(?s)```json\n(\\{\n  \"specversion\": \"1.0\",\n  \"id\": \"[0-9]+-rpo-.*?)```").FindSubmatch(text)
	if example == nil {
		t.Fatal("docs/events.md has no such event")
	}
	if fault := readSchema(t, rpoSchema).fault(example[1]); fault != nil {
		t.Error(fault)
	}
}
