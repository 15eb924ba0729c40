package bus

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"

	"apim-dr/internal/dr"
)

const (
	source      = "/apim-dr/contoso-north"
	traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	resourceID  = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/contoso/providers/Microsoft.ApiManagement/service/contoso-eu"
)

// ended runs a backup through the machine: the answers are given to the actions that it asks for, ten minutes apart.
func ended(t *testing.T, trigger dr.Trigger, answers ...dr.Answer) dr.Operation {
	t.Helper()
	now, timing := night, dr.DefaultTiming()
	op := dr.Operation{
		V: dr.Version, ID: wake().ID, Kind: dr.KindBackup, Service: "contoso-eu", Trigger: trigger, Traceparent: traceparent,
		CreatedAt: now, NotAfter: now.Add(timing.StartWithin), Phase: dr.Queued,
		Legs: []dr.Leg{{
			Verb: dr.VerbBackup, Service: "contoso-eu", ResourceID: resourceID, Within: dr.Duration(12 * time.Hour),
			Storage: dr.Storage{Account: "contosodr", Container: "apim-backups"},
		}},
	}
	if trigger == dr.TriggerTimer {
		op.Plan = "nightly"
	} else {
		op.RequestedBy, op.Reason, op.Ticket = "operations@contoso.example", "before the migration", "CHG-42"
	}
	op, do := dr.Step(timing, op, dr.Input{Nonce: "nonce"}, now)
	for _, a := range answers {
		now = now.Add(10 * time.Minute)
		if do.Do == dr.Sleep || do.Do == dr.Yield {
			op, do = dr.Step(timing, op, dr.Input{Nonce: "nonce"}, now)
		}
		op, do = dr.Step(timing, op, dr.Input{To: do.Do, Answer: a, Nonce: "nonce"}, now)
	}
	if do.Do != dr.Finish || op.Outcome == "" {
		t.Fatalf("the answers do not lead to an end, but to %s in %s", do.Do, op.Phase)
	}
	return op
}

// endings are operations with every outcome.
func endings(t *testing.T) map[dr.Outcome]dr.Operation {
	ok := dr.Answer{Verdict: dr.OK}
	ready := dr.Answer{Verdict: dr.OK, Service: dr.ServiceView{ETag: "AAAA1", State: "Succeeded", SKU: "Premium", Capacity: 2, Region: "North Europe"}}
	taken := dr.Answer{Verdict: dr.Still, Location: "https://management.azure.com/operationresults/1"}
	seen := dr.Answer{Verdict: dr.OK, Service: ready.Service, Blob: dr.BlobView{Exists: true, Bytes: 48_318_382, ETag: "0x8DD0A1B2C3D4E5F"}}
	failed := dr.Answer{Verdict: dr.No, Error: &dr.Error{Source: "arm", Code: "ActivationFailed", Message: "the container is not there", Status: 400}}
	dark := dr.Answer{Verdict: dr.Later, Reason: "storage does not answer"}
	hidden := dr.Answer{Verdict: dr.Refused, Error: &dr.Error{Source: "arm", Code: "AuthorizationFailed", Message: "no", Status: 403}}
	changed := ended(t, dr.TriggerTimer, ok, ready, taken, hidden, ok, seen)
	changed.Leg().Changed = true
	return map[dr.Outcome]dr.Operation{
		dr.Succeeded: changed,
		dr.Failed:    ended(t, dr.TriggerHTTP, ok, ready, taken, failed),
		dr.Rejected:  ended(t, dr.TriggerTimer, ok, failed),
		dr.Unknown:   ended(t, dr.TriggerHTTP, ok, ready, taken, ok, dark, dark, dark),
	}
}

// resultSchema is the one that docs/events.md promises for every event.
const resultSchema = "../../docs/events/result.schema.json"

func TestEveryKindAndOutcomeIsAsTheSchemaSays(t *testing.T) {
	s, seen := readSchema(t, resultSchema), map[string]bool{}
	for name, op := range everyEnding(t) {
		body, err := cloudEvent(dr.ResultEvent(op), source)
		if err != nil {
			t.Fatal(err)
		}
		seen[fmt.Sprintf("%s.%s", op.Kind, op.Outcome)] = true
		if fault := s.fault(body); fault != nil {
			t.Errorf("%s: %s\n%s", name, fault, body)
		}
	}
	for _, kind := range []dr.Kind{dr.KindBackup, dr.KindRestore, dr.KindFailover, dr.KindDrill} {
		for _, outcome := range []dr.Outcome{dr.Succeeded, dr.Failed, dr.Rejected, dr.Unknown} {
			if !seen[fmt.Sprintf("%s.%s", kind, outcome)] {
				t.Errorf("no %s that %s", kind, outcome)
			}
		}
	}
	for _, name := range s.unmet(s.root, "") {
		t.Errorf("the schema describes %s, which no event has", name)
	}
}

func TestTheSchemaRefusesWhatIsWrong(t *testing.T) {
	s := readSchema(t, resultSchema)
	for of, wrongs := range map[string]map[string]string{
		"backup failed": {
			`"outcome":"failed"`:                `"outcome":"lost"`,
			`"type":"apimdr.backup.failed"`:     `"type":"apimdr.backup"`,
			`"attempts":1`:                      `"attempts":-1`,
			`"status":400`:                      `"status":"400"`,
			`"kind":"backup",`:                  ``,
			`"kind":"backup"`:                   `"kind":"restore"`, // which tells what was restored
			`"createdAt":"2026-11-23T02:00:00Z`: `"createdAt":"23/11/2026`,
			`"service":"contoso-eu"`:            `"service":"contoso-eu","key":"x"`,
			`"specversion":"1.0"`:               `"specversion":"0.3"`,
		},
		"failover succeeded": {
			`"source":"contoso-eu",`: ``,
			`"rpoSeconds":`:          `"age":1,"rpoSeconds":`,
			`"result":"warn"`:        `"result":"fail"`,
			`"detail":`:              `"overridden":true,"detail":`,
			`"status":200`:           `"status":0`,
			`"finalBackup":"auto"`:   `"finalBackup":"perhaps"`,
			`"nextSteps":[`:          `"nextSteps":[1,`,
		},
		"restore succeeded": {
			`"safety":true`:       `"safety":false`,
			`"blobEtag":`:         `"usedBy":[],"blobEtag":`,
			`"region":"eastus"}`:  `"region":"eastus","key":"x"}`,
			`"recoveryPoints":[{`: `"recoveryPoints":[{"settings":{},`,
		},
	} {
		good, err := cloudEvent(dr.ResultEvent(everyEnding(t)[of]), source)
		if err != nil {
			t.Fatal(err)
		}
		for old, wrong := range wrongs {
			bad := bytes.Replace(good, []byte(old), []byte(wrong), 1)
			if bytes.Equal(bad, good) {
				t.Errorf("%s: %s is not in %s", of, old, good)
			} else if s.fault(bad) == nil {
				t.Errorf("%s: %s passes", of, wrong)
			}
		}
	}
}

// The first example is of a backup; the second is what the failover of these tests makes.
func TestTheExamplesInTheDocumentationAreEvents(t *testing.T) {
	text, err := os.ReadFile("../../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllSubmatch(text, -1)
	if len(examples) != 3 { // the third is that of the RPO
		t.Fatalf("%d examples, want 3", len(examples))
	}
	examples = examples[:2]
	for _, example := range examples {
		if fault := readSchema(t, resultSchema).fault(example[1]); fault != nil {
			t.Error(fault)
		}
	}
	made, err := cloudEvent(dr.ResultEvent(everyEnding(t)["failover succeeded"]), "/apim-dr/eastus")
	if err != nil {
		t.Fatal(err)
	}
	var want, got any
	if err := errors.Join(json.Unmarshal(made, &want), json.Unmarshal(examples[1][1], &got)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		var pretty bytes.Buffer
		if err := json.Indent(&pretty, made, "", "  "); err != nil {
			t.Fatal(err)
		}
		t.Errorf("docs/events.md shows another event (-want +got):\n%s\nThe event:\n%s", diff, pretty.Bytes())
	}
}

func TestAnEventIsReadableForTheCloudEventsSDK(t *testing.T) {
	op := endings(t)[dr.Succeeded]
	body, err := cloudEvent(dr.ResultEvent(op), source)
	if err != nil {
		t.Fatal(err)
	}
	var ce event.Event
	if err := json.Unmarshal(body, &ce); err != nil {
		t.Fatal(err)
	}
	var data dr.Result
	if err := ce.DataAs(&data); err != nil {
		t.Fatal(err)
	}
	if ce.ID() != op.ID+":result" || ce.Source() != source || ce.Type() != "apimdr.backup.succeeded" || ce.Subject() != resourceID || !ce.Time().Equal(op.EndedAt) ||
		ce.Extensions()["traceparent"] != traceparent || data.Operation != op.ID || len(data.RecoveryPoints) != 1 {
		t.Errorf("got %v", ce)
	}
}

// A record can be changed by whoever may write to the state storage.
func TestAMalformedTraceparentGoesIntoNoEventAndNoMessage(t *testing.T) {
	op := endings(t)[dr.Succeeded]
	op.Traceparent = strings.ToUpper(traceparent)
	body, err := cloudEvent(dr.ResultEvent(op), source)
	if err != nil || strings.Contains(string(body), "traceparent") {
		t.Errorf("%v, %s", err, body)
	}
	if p := traced(op.Traceparent); len(p) > 0 {
		t.Errorf("properties %v", p)
	}
}

func TestAnEventThatWouldBeTooLargeLosesEvidenceFirstAndSaysSo(t *testing.T) {
	op := endings(t)[dr.Failed]
	op.Error.Message = strings.Repeat("m", 20_000)
	op.Evidence = nil
	for i := range 40 {
		op.Evidence = append(op.Evidence, dr.Note{At: night.Add(time.Duration(i) * time.Minute), Text: fmt.Sprint(i, strings.Repeat("\x01", 990))})
	}
	e := decodeEvent(t, op)
	if n := e.Evidence; len(n) != 11 || !strings.HasPrefix(n[4].Text, "4") || !strings.HasPrefix(n[5].Text, "30 notes left out") || !strings.HasPrefix(n[6].Text, "35") || !strings.HasPrefix(n[10].Text, "39") {
		t.Errorf("evidence is %d notes", len(n))
	}
	if e.Error.Message != op.Error.Message {
		t.Error("the error was shortened though there was room for it")
	}
	if len(op.Evidence) != 40 || len(op.Evidence[0].Text) < 990 {
		t.Error("the record was changed")
	}
}

func TestNoRecordIsTooLargeForAnEvent(t *testing.T) {
	op := endings(t)[dr.Failed]
	huge := strings.Repeat("\x01é", 10_000) // each \x01 is 6 bytes in JSON
	op.Error.Message, op.Reason, op.RequestedBy = huge, huge, huge
	for i := range 10 { // so few that none is left out
		op.Evidence = append(op.Evidence, dr.Note{At: night.Add(time.Duration(i) * time.Minute), Text: huge})
	}
	e := decodeEvent(t, op)
	if e.Error.Code != op.Error.Code || !strings.HasSuffix(e.Error.Message, "has it whole)") || !strings.HasSuffix(e.Reason, "has it whole)") {
		t.Errorf("error %d bytes, reason %d bytes", len(e.Error.Message), len(e.Reason))
	}
	if len(op.Error.Message) != len(huge) || op.Evidence[0].Text != huge {
		t.Error("the record was changed")
	}
	op.Service = strings.Repeat("x", maxEvent) // nothing that may be left out
	if _, err := cloudEvent(dr.ResultEvent(op), source); err == nil || len(err.Error()) > 500 {
		t.Errorf("an event that is too large was made, or its error is: %.100v", err)
	}
}

// ARM's words stand in the findings of a plan, too, and names of hosts in its lists.
func TestAPlanThatIsTooLargeForAnEventIsShortenedAndSaysSo(t *testing.T) {
	op := everyEnding(t)["failover succeeded"]
	plan := *op.Recovery.Plan
	op.Recovery.Plan = &plan
	long := strings.Repeat("\x01", 60_000)
	plan.Checks = append(slices.Clone(plan.Checks), dr.Finding{Name: "target", Result: dr.Unseen, Detail: long}, dr.Finding{Name: "resourceGroup", Result: dr.Unseen, Detail: long})
	op.Recovery.Final.Reason = long
	r := decodeEvent(t, op).Recovery
	if n := len(r.Findings); n < 3 || !strings.HasSuffix(r.Findings[n-1].Detail, "has it whole)") || !strings.HasSuffix(r.FinalTold, "has it whole)") || len(r.NextSteps) != 4 || len(r.Gateways) != 2 {
		t.Errorf("%+v", r)
	}
	for i := range 100 {
		plan.NextSteps = append(plan.NextSteps, fmt.Sprint(i, long[:500]))
	}
	got := decodeEvent(t, op)
	if r = got.Recovery; r.Source != "contoso-eu" || len(r.NextSteps)+len(r.Findings)+len(r.NotCovered)+len(r.Gateways) > 0 || !strings.Contains(got.Evidence[len(got.Evidence)-1].Text, "left out") {
		t.Errorf("%+v %+v", r, got.Evidence)
	}
	if len(plan.Checks[len(plan.Checks)-1].Detail) != len(long) || len(op.Recovery.Final.Reason) != len(long) || len(plan.NextSteps) != 104 || len(op.Evidence) > 0 {
		t.Error("the record was changed")
	}
}

// decodeEvent makes the event twice, which must be the same bytes and small enough, and returns its data.
func decodeEvent(t *testing.T, op dr.Operation) (data dr.Result) {
	t.Helper()
	body, err := cloudEvent(dr.ResultEvent(op), source)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := cloudEvent(dr.ResultEvent(op), source); err != nil || !bytes.Equal(body, again) {
		t.Error("the same record makes two different events")
	}
	if len(body) > maxEvent {
		t.Errorf("%d bytes", len(body))
	}
	var ce event.Event
	if err := json.Unmarshal(body, &ce); err != nil {
		t.Fatal(err)
	}
	if err := ce.DataAs(&data); err != nil {
		t.Fatal(err)
	}
	return data
}
