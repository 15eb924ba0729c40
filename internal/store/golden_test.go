package store_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/store"
	"apim-dr/internal/store/memstore"
)

var update = flag.Bool("update", false, "write the golden files anew")

// at is a time of the golden records, minutes after the tick.
func at(minutes int) time.Time {
	return time.Date(2026, 11, 2, 3, minutes, 0, 0, time.UTC)
}

// phased is one backup as it is stored in a phase, with all that the phases before have left.
func phased(phase dr.Phase) dr.Operation {
	resource := "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/contoso/providers/Microsoft.ApiManagement/service/contoso-eu"
	op := dr.Operation{
		V: dr.Version, Rev: 1, Writer: "nonce-1", ID: dr.TickID(dr.KindBackup, "nightly", "contoso-eu", at(0)), Kind: dr.KindBackup,
		Service: "contoso-eu", Plan: "nightly", Trigger: dr.TriggerTimer, Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		CreatedAt: at(0), NotAfter: at(720), Phase: phase, Waiting: "the service is busy: Updating",
		Legs: []dr.Leg{{Verb: dr.VerbBackup, Service: "contoso-eu", ResourceID: resource, Storage: storage, Within: dr.Duration(12 * time.Hour)}},
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
	leg.Location = "https://management.azure.com" + resource + "//operationresults/Y29udG9zbw==?api-version=2024-05-01&t=1"
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

// goldens are the records by the file that holds their stored form, and what was stored.
func goldens(t *testing.T) map[string][]byte {
	s := memstore.New(func() time.Time { return at(0) })
	s.Backups(storage)
	stored := map[string][]byte{}
	take := func(file, name string) {
		body, _, err := s.State.Get(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		stored[file] = body
	}
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
	no(s.PutPoint(t.Context(), p))
	take("recovery-point", "recovery-points/contoso-eu/"+p.ID+".json")
	no(s.MergeService(t.Context(), "contoso-eu", func(s dr.ServiceState) (dr.ServiceState, bool) { return s.After(op, "contoso-eu") }))
	take("service", "services/contoso-eu")
	_, err := s.Lock(t.Context(), "contoso-eu", op.ID, "n1")
	no(err)
	take("lock", "locks/contoso-eu")
	no(s.MoveTick(t.Context(), "nightly", at(0)))
	take("tick", "ticks/nightly")
	_, err = s.Remember(t.Context(), "cafe", engine.Claim{Operation: op.ID, BodyHash: "f00d"})
	no(err)
	take("claim", "idem/cafe")
	no(s.Mark(t.Context(), dr.Wake{V: dr.Version, ID: op.ID, Epoch: 1, N: 2, Try: 3, Attempt: 1, Location: "https://management.azure.com//x?a=1&b=2", Lease: at(12)}))
	items, _, err := s.State.List(t.Context(), "active/", "", 1)
	no(err)
	stored["marker-metadata"], err = json.Marshal(items[0].Metadata)
	no(err)
	return stored
}

func TestStoredShapesAreThoseOfTheGoldenFiles(t *testing.T) {
	stored := goldens(t)
	for file, body := range stored {
		path := filepath.Join("testdata", file+".golden.json")
		var got bytes.Buffer
		if err := json.Indent(&got, body, "", "  "); err != nil {
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
	files, err := filepath.Glob(filepath.Join("testdata", "*"))
	if err != nil || len(files) != len(stored) {
		t.Errorf("%d files for %d records: %v, %v", len(files), len(stored), files, err)
	}
}

func TestWhatAListingLeavesOutIsLogged(t *testing.T) {
	var out bytes.Buffer
	blobs := memstore.New(func() time.Time { return at(0) }).State
	s := store.Over(blobs, store.Options{Log: slog.New(slog.NewTextHandler(&out, nil))})
	for _, name := range []string{"operations/20261102/" + id + ".json", "active/junk", "locks/contoso-eu"} {
		if _, err := blobs.Create(t.Context(), name, store.Content{Body: []byte("{")}); err != nil {
			t.Fatal(err)
		}
	}
	_, _, ops := s.ListOperations(t.Context(), "20261102", "", 10)
	_, markers := s.Markers(t.Context())
	_, locks := s.Locks(t.Context())
	if ops != nil || markers != nil || locks != nil {
		t.Fatal(ops, markers, locks)
	}
	for _, want := range []string{"operation=" + id, "blob=active/junk", "blob=locks/contoso-eu"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no line with %s in\n%s", want, out.String())
		}
	}
}

func TestGoldenRecordsAreReadBack(t *testing.T) {
	s := memstore.New(func() time.Time { return at(0) })
	for _, phase := range []dr.Phase{dr.Queued, dr.Starting, dr.Running, dr.Verifying, dr.Done} {
		body, err := os.ReadFile(filepath.Join("testdata", "operation-"+string(phase)+".golden.json"))
		if err != nil {
			t.Fatal(err)
		}
		want := phased(phase)
		name := "operations/20261102/" + want.ID + ".json"
		if _, _, err := s.State.Get(t.Context(), name); err == nil {
			if err := s.State.Delete(t.Context(), name, ""); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.State.Create(t.Context(), name, store.Content{Body: body}); err != nil {
			t.Fatal(err)
		}
		got, _, err := s.Operation(t.Context(), want.ID)
		if err != nil {
			t.Fatal(err)
		}
		a, _ := json.Marshal(got)
		b, _ := json.Marshal(want)
		if !bytes.Equal(a, b) {
			t.Errorf("%s was read as\n%s\nwant\n%s", phase, a, b)
		}
	}
}
