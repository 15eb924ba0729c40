package store_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/store"
	"apim-dr/internal/store/memstore"
	"apim-dr/internal/store/storetest"
	"apim-dr/internal/usage"
)

var update = flag.Bool("update", false, "write the golden files anew")

// at is a time of the golden records, minutes after the tick.
func at(minutes int) time.Time {
	return time.Date(2026, 11, 2, 3, minutes, 0, 0, time.UTC)
}

func resource(name string) string {
	return "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/contoso/providers/Microsoft.ApiManagement/service/" + name
}

// phased is one backup as it is stored in a phase, with all that the phases before have left.
func phased(phase dr.Phase) dr.Operation {
	id := resource("contoso-eu")
	op := dr.Operation{
		V: dr.Version, Rev: 1, Writer: "nonce-1", ID: dr.TickID(dr.KindBackup, "nightly", "contoso-eu", at(0)), Kind: dr.KindBackup,
		Service: "contoso-eu", Plan: "nightly", Trigger: dr.TriggerTimer, Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		CreatedAt: at(0), NotAfter: at(720), Phase: phase, Waiting: "the service is busy: Updating",
		Legs: []dr.Leg{{Verb: dr.VerbBackup, Service: "contoso-eu", ResourceID: id, Storage: storage, Within: dr.Duration(12 * time.Hour)}},
	}
	leg := op.Leg()
	if phase == dr.Queued {
		return op
	}
	op.Rev, op.Writer, op.Waiting = 2, "nonce-2", ""
	leg.Attempt, leg.Claim, leg.Deadline = 1, dr.Claim{Nonce: "nonce-2", From: at(1), Until: at(2)}, at(721)
	leg.Before = dr.ServiceView{ETag: `"AAAAAAAA"`, State: "Succeeded", SKU: "Developer", Capacity: 1, Region: "West Europe", MinVersion: "2021-08-01"}
	if phase == dr.Starting {
		return op
	}
	op.Rev, leg.PostedAt = 3, at(1)
	leg.Location = "https://management.azure.com" + id + "//operationresults/Y29udG9zbw==?api-version=2024-05-01&t=1"
	if phase == dr.Running {
		op.Epoch, op.Strikes, leg.Blind, leg.BlindSince = 1, 1, 2, at(5)
		return op
	}
	op.Rev, op.Epoch, leg.ArmAnswer, leg.ArmEndedAt = 4, 1, "200 Succeeded", at(20)
	op.Evidence = []dr.Note{{At: at(5), Text: "ARM does not show the operation: AuthorizationFailed: …"}}
	if phase == dr.Verifying {
		return op
	}
	op.Rev, op.Outcome, op.EndedAt = 5, dr.Failed, at(26)
	op.Error = &dr.Error{Source: "apim-dr", Code: "BlobMissing", Message: "ARM called the backup finished, but its blob is <absent> & gone", Status: 200}
	leg.Outcome, leg.Error, leg.EndedAt = op.Outcome, op.Error, op.EndedAt
	return op
}

// failedOver is a failover that succeeded, with all that an operation that restores can hold.
func failedOver() dr.Operation {
	source := dr.Instance{Name: "contoso-eu", ResourceID: resource("contoso-eu"), Region: "westeurope"}
	target := dr.Instance{Name: "contoso-us", ResourceID: resource("contoso-us"), Region: "eastus"}
	id := dr.TickID(dr.KindBackup, "hourly", "contoso-eu", at(0))
	bound := dr.RecoveryPoint{
		V: dr.Version, ID: id + "-s0-a1", State: dr.Good, Service: source.Name, ResourceID: source.ResourceID, Operation: id, Plan: "hourly",
		CreatedAt: at(1), EndedAt: at(20), ExpiresAt: at(1).Add(dr.BackupLife), Storage: dr.Storage{Account: "contosodr", Container: "backups", Region: "westeurope"},
		Bytes: 4096, BlobETag: `"0x8D"`, SKU: "Premium", Capacity: 2, Region: "West Europe", Safety: true, Colocated: true,
		Settings: &dr.Settings{
			GatewayURL: "https://contoso-eu.azure-api.net", Regional: []string{"https://contoso-eu-westeurope-01.regional.azure-api.net"},
			HostNames:    []dr.HostName{{Type: "Proxy", Name: "api.contoso.com", Custom: true, Certificate: "KeyVault"}},
			Certificates: []string{"Root/0123456789ABCDEF"}, Network: "External", Subnet: "/subscriptions/…/subnets/apim", SystemIdentity: true,
			UserIdentities: map[string]string{"/subscriptions/…/userassignedidentities/dr": "00000000-0000-0000-0000-000000000002"},
			Protocols:      map[string]string{"tls10": "False"}, Locations: []string{"North Europe"},
		},
	}
	intent := dr.Intent{
		Kind: dr.KindFailover, Source: source, Target: target, Point: dr.Latest, Safety: true, Final: dr.FinalAuto, MaxWait: dr.Duration(time.Hour),
		Auto: true, Overrides: []string{"expiry"},
	}
	brief := bound
	brief.Settings = nil
	return dr.Operation{
		V: dr.Version, Rev: 9, Writer: "nonce-9", ID: dr.NewID(dr.KindFailover, at(0), "golden"), Kind: dr.KindFailover, Service: target.Name,
		Trigger: dr.TriggerHTTP, RequestedBy: "ann@contoso.com", Reason: "region down", Ticket: "INC-1", CreatedAt: at(30), NotAfter: at(90), Phase: dr.Done, Step: 1, Yields: 1,
		Legs: []dr.Leg{
			{Verb: dr.VerbBackup, Service: target.Name, ResourceID: target.ResourceID, Storage: storage, Within: dr.Duration(time.Hour), Safety: true,
				Outcome: dr.Rejected, Error: dr.Failure("NotStartedInTime", "busy"), EndedAt: at(35)},
			{Verb: dr.VerbRestore, Service: target.Name, ResourceID: target.ResourceID, Storage: bound.Storage, Within: dr.Duration(12 * time.Hour), Point: bound.ID,
				Adopted: id, PostedAt: at(36), Outcome: dr.Succeeded, EndedAt: at(60),
				Gateways: []dr.Gateway{{URL: "https://contoso-us.azure-api.net", Status: 200}, {URL: "https://10.0.0.4", Error: "no answer"}}},
		},
		Recovery: &dr.Recovery{
			Intent: intent, Bound: &bound, Pair: dr.PairName(source.Name, target.Name), Role: dr.Switch, Urgent: true,
			Final: dr.Final{Operation: id, Until: at(90), Outcome: dr.Failed, Reason: "contoso-eu does not answer"},
			Plan: &dr.Plan{
				Kind: dr.KindFailover, Source: source, Target: target, Point: &brief, DataAge: dr.Duration(29 * time.Minute), Steps: []string{"restore"},
				Checks:     []dr.Finding{{Name: "expiry", Result: dr.Fail, Detail: "expired", Overridden: true}, {Name: "blob", Result: dr.Pass}},
				NotCovered: []string{"network"}, NextSteps: []string{"point the DNS name"}, MadeAt: at(30),
			},
		},
		Outcome: dr.Succeeded, EndedAt: at(60),
	}
}

// exports is what is remembered of the exports of an instance, with all that it can hold.
func exports() usage.State {
	why := usage.Why{Status: 400, Code: "MethodNotAllowedInPricingTier", Message: "Method not allowed in StandardV2 pricing tier"}
	return usage.State{
		V: dr.Version, Service: "Contoso-EU",
		Reports: map[usage.Report]usage.Mark{"byApi": {Through: "2026-11-01"}, "byUser": {Through: "2026-10-20", Missing: &usage.Absent{Since: at(-1440), Asked: at(30), Why: why}}},
		Run: usage.Run{At: at(30), Days: []usage.Day{"2026-10-31", "2026-11-01"}, Files: []usage.Count{{Report: "byApi", Days: 2, Rows: 7, Bytes: 900}},
			Failed: []usage.Failure{{Report: "byGeo", Day: "2026-11-01", Why: usage.Why{Message: "503"}}}, Told: true},
	}
}

func TestTheGoldenRecordOfExportsIsReadBack(t *testing.T) {
	body, err := os.ReadFile(filepath.Join("testdata", "usage.golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	s := memstore.New(func() time.Time { return at(0) })
	if _, err := s.State.Create(t.Context(), "usage/contoso-eu", store.Content{Body: body}); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Usage(t.Context(), "contoso-eu"); err != nil || !reflect.DeepEqual(got, exports()) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{`{"v":1,"service":"fabrikam"}`, `{"v":1,"service":"contoso-us","reports":{"../x":{}}}`, `{"v":1,"service":"contoso-us","reports":{"byApi":{"through":"2026-02-30"}}}`, `{"v":1,"service":"contoso-us","run":{"days":[""]}}`} {
		_ = s.State.Delete(t.Context(), "usage/contoso-us", "")
		if _, err := s.State.Create(t.Context(), "usage/contoso-us", store.Content{Body: []byte(bad)}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Usage(t.Context(), "contoso-us"); !errors.Is(err, engine.ErrUnreadable) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// golden is a record as it is stored.
type golden struct {
	name    string // of its blob
	beside  bool   // the backups, not among the records
	body    []byte
	content store.Content // the blob
}

// goldens are the records by the file that holds their stored form. Of a marker that is its metadata.
func goldens(t *testing.T) map[string]golden {
	s := memstore.New(func() time.Time { return at(0) })
	backups := s.Backups(storage)
	stored := map[string]golden{}
	takeFrom := func(c *memstore.Container, file, name string) {
		body, _, err := c.Get(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		stored[file] = golden{name, c == backups, body, store.Content{Body: body}}
	}
	take := func(file, name string) { takeFrom(s.State, file, name) }
	no := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	var etag string
	for _, phase := range []dr.Phase{dr.Queued, dr.Starting, dr.Running, dr.Verifying, dr.Done} {
		op, err := phased(phase), error(nil)
		if etag == "" {
			etag, err = s.CreateOperation(t.Context(), op)
		} else {
			etag, err = s.SaveOperation(t.Context(), op, etag)
		}
		no(err)
		take("operation-"+string(phase), "operations/20261102/"+op.ID+".json")
	}
	op := phased(dr.Done)
	op.Outcome, op.Legs[0].Outcome, op.Legs[0].Blob = dr.Succeeded, dr.Succeeded, dr.BlobView{Exists: true, Bytes: 4096, ETag: `"0x8D"`}
	p := dr.Points(op)[0]
	p.UsedBy = []string{op.ID}
	no(storetest.PutPoint(t.Context(), s, p))
	take("recovery-point", "recovery-points/contoso-eu/"+p.ID+".json")
	takeFrom(backups, "recovery-point-beside", p.ID+".apimdr.json")
	no(s.MergeService(t.Context(), "contoso-eu", func(s dr.ServiceState) (dr.ServiceState, bool) { return s.After(op, "contoso-eu") }))
	take("service", "services/contoso-eu")
	_, err := s.Lock(t.Context(), "contoso-eu", op.ID, "n1")
	no(err)
	take("lock", "locks/contoso-eu")
	failover := failedOver()
	_, err = s.CreateOperation(t.Context(), failover)
	no(err)
	take("operation-failover", "operations/20261102/"+failover.ID+".json")
	no(s.Reserve(t.Context(), "contoso-eu", op.ID, failover.ID))
	take("lock-reserved", "locks/contoso-eu")
	drilled := failover
	drilled.ID, drilled.Kind, drilled.Service = dr.NewID(dr.KindDrill, at(0), "golden"), dr.KindDrill, "contoso-lab"
	no(storetest.PutPoint(t.Context(), s, *failover.Recovery.Bound))
	take("recovery-point-settings", "recovery-points/contoso-eu/"+failover.Recovery.Bound.ID+".json")
	no(s.MergeService(t.Context(), "contoso-us", func(s dr.ServiceState) (dr.ServiceState, bool) {
		s.Hold = dr.Hold{Until: at(600), Reason: "a release", By: "ann@contoso.com", At: at(95)}
		return s.After(failover, "contoso-us")
	}))
	take("service-restored", "services/contoso-us")
	no(s.MergeService(t.Context(), "contoso-eu", func(s dr.ServiceState) (dr.ServiceState, bool) { return s.After(drilled, "contoso-eu") }))
	take("service-proven", "services/contoso-eu")
	no(s.MergePair(t.Context(), failover.Recovery.Pair, func(dr.Pair) (dr.Pair, bool) {
		p := dr.NewPair("contoso-eu", "contoso-us")
		p.BusyBy, p.Suspended, p.WasSuspended = failover.ID, true, true
		p, _ = p.After(failover)
		p.Standby, p.StandbyAt = dr.PointRef{ID: "x-s0-a1", Service: "contoso-us", CreatedAt: at(41)}, at(50)
		return p, true
	}))
	take("pair", "pairs/contoso-eu~7Econtoso-us")
	kept, err := s.Pair(t.Context(), failover.Recovery.Pair)
	no(err)
	no(s.Vault.KeepRole(t.Context(), storage, kept))
	takeFrom(backups, "role", "roles/contoso-eu~7Econtoso-us.apimdr.json")
	no(s.MoveTick(t.Context(), "nightly", at(0)))
	take("tick", "ticks/nightly")
	_, err = s.MergeUsage(t.Context(), "Contoso-EU", func(usage.State) (usage.State, bool) { return exports(), true })
	no(err)
	take("usage", "usage/contoso-eu")
	_, err = s.Remember(t.Context(), "cafe", engine.Claim{Operation: op.ID, BodyHash: "f00d"})
	no(err)
	take("claim", "idem/cafe")
	no(s.Mark(t.Context(), dr.Wake{V: dr.Version, ID: op.ID, Epoch: 1, N: 2, Try: 3, Attempt: 1, Location: "https://management.azure.com//x?a=1&b=2", Lease: at(12)}))
	items, _, err := s.State.List(t.Context(), "active/", "", 1)
	no(err)
	metadata, err := json.Marshal(items[0].Metadata)
	no(err)
	stored["marker-metadata"] = golden{items[0].Name, false, metadata, store.Content{Body: []byte("{}"), Metadata: items[0].Metadata}}
	for file, content := range map[string]string{"quarantine": "nonsense <1>", "quarantine-binary": "\xff\x00"} {
		no(s.Quarantine(t.Context(), []byte(content), "not a message of apim-dr"))
		take(file, quarantineBlob(content))
	}
	return stored
}

func TestStoredShapesAreThoseOfTheGoldenFiles(t *testing.T) {
	stored := goldens(t)
	for file, record := range stored {
		path := filepath.Join("testdata", file+".golden.json")
		var got bytes.Buffer
		if err := json.Indent(&got, record.body, "", "  "); err != nil {
			t.Fatal(err)
		}
		got.WriteByte('\n')
		if *update {
			if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s: what is stored has changed shape; if that is meant, run go test -update\n%s", path, got.Bytes())
		}
	}
	files, err := filepath.Glob(filepath.Join("testdata", "*.golden.json"))
	if err != nil || len(files) != len(stored) {
		t.Errorf("%d files for %d records: %v, %v", len(files), len(stored), files, err)
	}
}

func quarantineBlob(content string) string {
	return fmt.Sprintf("quarantine/%x", sha256.Sum256([]byte(content)))
}

// After a roll back the records of the version that was rolled back are there. Whatever is done then, they stay as they are, and whoever needs one hears why.
func TestWhatANewerVersionWroteIsLeftAlone(t *testing.T) {
	op, failover := phased(dr.Queued), failedOver()
	p := *failover.Recovery.Bound
	w := dr.Wake{V: dr.Version, ID: op.ID, Lease: at(12)}
	for file, record := range goldens(t) {
		s := memstore.New(func() time.Time { return at(0) })
		in := s.Backups(storage)
		if !record.beside {
			in = s.State
		}
		newer := record.content
		newer.Body = bytes.Replace(newer.Body, []byte(`"v":1`), []byte(`"v":2,"new":{"shape":[]}`), 1)
		if file != "marker-metadata" && bytes.Equal(newer.Body, record.content.Body) {
			t.Errorf("%s has no version", file)
		}
		if _, err := in.Create(t.Context(), record.name, newer); err != nil {
			t.Fatal(err)
		}
		id := strings.TrimSuffix(filepath.Base(record.name), ".json")
		point := strings.TrimSuffix(id, ".apimdr")
		var errs []error
		did := func(_ any, err error) { errs = append(errs, err) }
		_, _, err := s.Operation(t.Context(), id)
		did(nil, err)
		for _, created := range []dr.Operation{op, failover} {
			did(s.CreateOperation(t.Context(), created))
		}
		did(s.Lock(t.Context(), "contoso-eu", op.ID, "n9"))
		did(s.TakeOver(t.Context(), "contoso-eu", op.ID, failover.ID, "n9"))
		did(nil, s.Reserve(t.Context(), "contoso-eu", op.ID, failover.ID))
		did(nil, s.Yield(t.Context(), "contoso-eu", op.ID, "n1"))
		did(nil, s.Unlock(t.Context(), "contoso-eu", op.ID))
		did(nil, storetest.PutPoint(t.Context(), s, p))
		did(nil, s.Pin(t.Context(), "contoso-eu", point, op.ID))
		did(nil, s.Unpin(t.Context(), "contoso-eu", point, op.ID))
		for _, service := range []string{"contoso-eu", "contoso-us"} {
			did(nil, s.MergeService(t.Context(), service, func(s dr.ServiceState) (dr.ServiceState, bool) { return s, true }))
		}
		pair := dr.NewPair("contoso-eu", "contoso-us")
		did(nil, s.MergePair(t.Context(), pair.Name, func(dr.Pair) (dr.Pair, bool) { return pair, true }))
		did(nil, s.Vault.KeepRole(t.Context(), storage, pair))
		did(nil, s.Vault.Beside(t.Context(), storage, func(dr.RecoveryPoint) error { return nil }, func(_ string, why error) { errs = append(errs, why) }))
		did(nil, s.MoveTick(t.Context(), "nightly", at(60)))
		did(s.Usage(t.Context(), "contoso-eu"))
		did(s.MergeUsage(t.Context(), "contoso-eu", func(usage.State) (usage.State, bool) { return exports(), true }))
		did(s.Remember(t.Context(), "cafe", engine.Claim{Operation: op.ID, BodyHash: "f00d"}))
		for _, content := range []string{"nonsense <1>", "\xff\x00"} {
			did(nil, s.Quarantine(t.Context(), []byte(content), "another reason"))
		}
		if file != "marker-metadata" { // of that the newest beat stays, whoever's: it is read with every record
			did(nil, s.Mark(t.Context(), w))
		}
		after, _, err := in.Get(t.Context(), record.name)
		if err != nil || !bytes.Equal(after, newer.Body) {
			t.Errorf("%s became %s, %v", file, after, err)
		}
		if told := errors.Is(errors.Join(errs...), engine.ErrNewer); told == (strings.HasPrefix(file, "quarantine") || file == "marker-metadata") { // which nobody reads
			t.Errorf("%s: %v", file, errors.Join(errs...))
		}
	}
}

func TestWhatAListingLeavesOutIsLogged(t *testing.T) {
	var out bytes.Buffer
	blobs := memstore.New(func() time.Time { return at(0) }).State
	s := store.Over(blobs, store.Options{Log: slog.New(slog.NewTextHandler(&out, nil))})
	for _, name := range []string{"operations/20261102/" + id + ".json", "active/junk", "locks/contoso-eu", "recovery-points/contoso-eu/" + id + "-s0-a1.json"} {
		if _, err := blobs.Create(t.Context(), name, store.Content{Body: []byte("{")}); err != nil {
			t.Fatal(err)
		}
	}
	_, _, ops := s.ListOperations(t.Context(), "20261102", "", 10)
	_, markers := s.Markers(t.Context())
	_, locks := s.Locks(t.Context())
	_, points := s.Points(t.Context(), "contoso-eu")
	if ops != nil || markers != nil || locks != nil || points != nil {
		t.Fatal(ops, markers, locks, points)
	}
	for _, want := range []string{"operation=" + id, "blob=active/junk", "blob=locks/contoso-eu", "recoveryPoint=" + id + "-s0-a1"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no line with %s in\n%s", want, out.String())
		}
	}
}

func TestGoldenRecordsAreReadBack(t *testing.T) {
	records := map[string]dr.Operation{"failover": failedOver()}
	for _, phase := range []dr.Phase{dr.Queued, dr.Starting, dr.Running, dr.Verifying, dr.Done} {
		records[string(phase)] = phased(phase)
	}
	for file, want := range records {
		body, err := os.ReadFile(filepath.Join("testdata", "operation-"+file+".golden.json"))
		if err != nil {
			t.Fatal(err)
		}
		s := memstore.New(func() time.Time { return at(0) })
		if _, err := s.State.Create(t.Context(), "operations/20261102/"+want.ID+".json", store.Content{Body: body}); err != nil {
			t.Fatal(err)
		}
		got, _, err := s.Operation(t.Context(), want.ID)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			a, _ := json.Marshal(got)
			b, _ := json.Marshal(want)
			t.Errorf("%s was read as\n%s\nwant\n%s", file, a, b)
		}
	}
}

func TestAVaultIsToldNoRegion(t *testing.T) {
	v := store.VaultOver(func(s dr.Storage) (store.Blobs, error) {
		if s != storage {
			t.Errorf("opened %+v", s)
		}
		return store.Memory(time.Now), nil
	})
	at := storage
	at.Region = "westeurope"
	if _, err := v.Head(t.Context(), at, "blob"); err != nil {
		t.Error(err)
	}
}
