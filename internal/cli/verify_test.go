package cli

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"apim-dr/internal/apim"
	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/record"
	"apim-dr/internal/store"
)

const drillID = group + "drill" + provider + "contoso-drill"

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// recorded is the rig's setup as verify gets it.
func (r *rig) recorded(environ []string, _ *slog.Logger) (Setup, error) {
	r.environ = environ
	s, o := r.setup, r.options
	s.Recorder = record.New(record.Options{Next: roundTrip(r.Do), Endpoint: azure, Mask: o.Mask, Now: time.Now})
	s.Recorder.KnowID(primaryID, targetID, drillID)
	s.Recorder.Know(record.Account, nightly.Account)
	s.Recorder.Know(record.Container, nightly.Container)
	o.Transport = &http.Client{Transport: s.Recorder}
	arm, err := apim.New(o)
	if err != nil {
		return s, err
	}
	e := *s.Engine
	s.Fresh = func() engine.Store { return store.Over(store.Memory(time.Now), store.Options{Vault: r.vault.Vault}) }
	e.ARM, e.Store = arm, s.Fresh()
	s.Engine = &e
	s.Lacks = func(ctx context.Context, scope string) (list []Need, failure *dr.Error) {
		lacks, failure := arm.Lacks(ctx, scope)
		for _, n := range lacks {
			list = append(list, Need(n))
		}
		return list, failure
	}
	return s, nil
}

// verified runs verify for contoso-eu, which has a drill instance.
func (r *rig) verified(args ...string) (out, err string, status int) {
	r.setup.Engine.Fleet.Services[0].Drill = &dr.Instance{Name: "contoso-drill", ResourceID: drillID, Region: "northeurope"}
	return r.run(append([]string{"verify", "--service", "contoso-eu"}, args...)...)
}

func TestVerifyTakesABackupRestoresItAndTellsWhatItSaw(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		file := filepath.Join(t.TempDir(), "recording.json")
		out, err, status := r.verified("--drill", "contoso-drill", "--record", file)
		if status != OK || len(r.bodies) != 2 || !strings.HasPrefix(r.bodies[0], azure+primaryID+"/backup?") || !strings.HasPrefix(r.bodies[1], azure+drillID+"/restore?") {
			t.Fatalf("status %d, sent %q\n%s%s", status, r.bodies, out, err)
		}
		var posted struct{ BackupName string }
		if err := json.Unmarshal([]byte(r.bodies[0][strings.Index(r.bodies[0], "{"):]), &posted); err != nil || !strings.Contains(r.bodies[1], posted.BackupName) {
			t.Errorf("%v: restored something else than %s: %s", err, posted.BackupName, r.bodies[1])
		}
		has(t, out, "1. Permissions of your login\n   pass     contoso-eu: nothing is missing", "contoso-us: nothing", "contoso-drill: nothing", "subscription 00000000-0000-0000-0000-000000000001: nothing",
			"2. Storage\n   pass     contosodrbackups/apim-backups: 2 recovery points", "3. One backup\n   pass     contoso-eu: succeeded after 15m0s: recovery point "+posted.BackupName,
			"4. What it left\n   pass     blob: contosodrbackups/apim-backups/"+posted.BackupName+", 6 bytes", posted.BackupName+".apimdr.json, read from storage, names the same recovery point: good",
			"5. Drill into contoso-drill, which is overwritten", "15m0s from the POST to the verified end", "backup: the POST got 202 with an empty body, Retry-After 60",
			"of the form operationresults, double slash, without an Azure-AsyncOperation", "the instance showed Updating (15), Succeeded (1)", "restore: 15 polls, 14 got 202, 1 got 200 (Retry-After 60); 15m0s from the POST", "the operation's results could be read",
			"the last answer was 200 with the instance, provisioningState Succeeded", "permissions: 4 of the lists answered 200", "please open an issue")
		has(t, err, "neither its locks nor its operations are seen", "backup of contoso-eu: ARM is at work", "restore of contoso-drill: ARM is at work")
		text, failed := os.ReadFile(file)
		if failed != nil {
			t.Fatal(failed)
		}
		var list []record.Exchange
		if err := json.Unmarshal(text, &list); err != nil || len(list) < 60 {
			t.Errorf("%d exchanges, %v", len(list), err)
		}
		for _, name := range []string{"contoso", "rg-", theKey, posted.BackupName, "Y29udG9zbw", "apim-backups", "Bearer"} {
			if strings.Contains(string(text), name) {
				t.Errorf("the recording tells %s", name)
			}
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
	})
}

func TestHowVerifyEnds(t *testing.T) {
	down := errors.New("out of reach")
	const allBut = `{"actions":["*"],"notActions":["Microsoft.ApiManagement/service/BACKUP/action"]}`
	withDrill := []string{"--drill", "contoso-drill"}
	sidecars := func(op, key string) bool {
		return strings.HasPrefix(op, "before") && strings.HasSuffix(key, ".apimdr.json")
	}
	for name, tc := range map[string]struct {
		change func(*rig)
		args   []string
		want   int
		sent   int
		says   []string
	}{
		"well, without a drill":      {nil, nil, OK, 1, []string{"4. What it left"}},
		"the only one of the fleet":  {nil, []string{"--service", ""}, OK, 1, nil},
		"a permission is missing":    {func(r *rig) { r.lists = map[string]string{"contoso-eu": allBut} }, nil, Refused, 0, []string{"FAIL     contoso-eu: Microsoft.ApiManagement/service/backup/action is missing", "pass     contoso-us", "Nothing was begun", "roles.bicep"}},
		"of the drill instance":      {func(r *rig) { r.lists = map[string]string{"contoso-drill": `{"actions":["*/read"]}`} }, nil, Refused, 0, []string{"contoso-drill: Microsoft.ApiManagement/service/restore/action is missing"}},
		"given in another role":      {func(r *rig) { r.lists = map[string]string{"contoso-eu": allBut + `,{"actions":["*/action"]}`} }, nil, OK, 1, nil},
		"all the same":               {func(r *rig) { r.lists = map[string]string{"contoso-eu": allBut} }, []string{"--force"}, OK, 1, []string{"backup/action is missing"}},
		"one can do without":         {func(r *rig) { r.lists = map[string]string{"000000000001": `{"actions":["Microsoft.Web/*"]}`} }, nil, OK, 1, []string{"warn     subscription", "deletedservices/read is missing: an instance that is gone"}},
		"permissions are not shown":  {func(r *rig) { r.lists = map[string]string{"contoso-eu": "AuthorizationFailed"} }, nil, OK, 1, []string{"unknown  contoso-eu: they cannot be listed, so that what is missing shows below: AuthorizationFailed"}},
		"ARM refuses the backup":     {func(r *rig) { r.refuses = "no such account" }, withDrill, Failed, 1, []string{"FAIL     contoso-eu: failed", "InvalidParameters: no such account", "the POST got 400 with the error InvalidParameters: no such account"}},
		"ARM fails":                  {func(r *rig) { r.fails = "the backup failed" }, withDrill, Failed, 1, []string{"RestoreFailed: the backup failed", "the last answer was 400 with the error RestoreFailed"}},
		"nobody can tell":            {func(r *rig) { r.takes = 13 * time.Hour }, withDrill, Unknown, 1, []string{"unknown  contoso-eu: unknown after 12h", "4. What it left"}},
		"the plan refuses the drill": {func(r *rig) { r.state["contoso-drill"] = "Failed" }, withDrill, Refused, 1, []string{"FAIL     state:", "contoso-drill was not overwritten; the backup stands"}},
		"not the drill instance":     {nil, []string{"--drill", "contoso-us"}, Refused, 0, []string{"a drill overwrites contoso-drill", "Nothing was done"}},
		"unknown service":            {nil, []string{"--service", "contoso-asia"}, Usage, 0, []string{`--service "contoso-asia"; accepted: contoso-eu`}},
		"wrong output":               {nil, []string{"-o", "yaml"}, Usage, 0, []string{"accepted: table, json"}},
		"no login":                   {func(r *rig) { r.setup.Login = func(context.Context) error { return down } }, nil, Usage, 0, []string{"out of reach"}},
		"backups out of reach":       {func(r *rig) { r.vault.Fail(func(string, string) error { return down }) }, nil, Refused, 0, []string{"FAIL     contosodrbackups/apim-backups:", "Storage Blob Data Contributor", "Nothing was begun"}},
		"no container":               {func(r *rig) { r.setup.Engine.Fleet.Plans[0].Storage.Container = "other" }, nil, Refused, 0, []string{"the container does not exist: create it"}},
		"no sidecar": {func(r *rig) {
			r.vault.Fail(func(op, key string) error {
				if sidecars(op, key) {
					return down
				}
				return nil
			})
		}, withDrill, Failed, 1, []string{"FAIL     sidecar:", "is not as it should be"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				if tc.change != nil {
					tc.change(r)
				}
				file := filepath.Join(t.TempDir(), "recording.json")
				out, err, status := r.verified(append(tc.args, "--record", file)...)
				if status != tc.want || len(r.bodies) != tc.sent {
					t.Errorf("status %d, want %d; sent %q\n%s%s", status, tc.want, r.bodies, out, err)
				}
				has(t, out+err, tc.says...)
				text, failed := os.ReadFile(file)
				if asked := strings.Contains(out, "1. Permissions"); asked != (failed == nil) || asked && !json.Valid(text) {
					t.Errorf("the recording: %s, %v", text, failed)
				}
			})
		})
	}
}

func TestVerifyOverwritesNoFileAndNeedsADrillInstanceForADrill(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		file := filepath.Join(t.TempDir(), "recording.json")
		if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err, status := r.verified("--record", file)
		if text, _ := os.ReadFile(file); status != Usage || len(r.bodies) > 0 || string(text) != "mine" {
			t.Errorf("status %d, sent %q, the file has %q", status, r.bodies, text)
		}
		has(t, err, "is not overwritten; name a new one")
		if _, err, status := r.run("verify", "--drill", "contoso-drill"); status != OK { // the rig keeps its drill instance
			t.Error(err)
		}
		r.setup.Engine.Fleet.Services[0].Drill = nil
		_, err, status = r.run("verify", "--drill", "contoso-drill")
		if status != Usage {
			t.Errorf("status %d", status)
		}
		has(t, err, "contoso-eu has no drillInstance in the fleet")
	})
}

func TestABackupThatIsNotWhatItSaysIsToldOf(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.vault.Fail(func(op, key string) error { // somebody empties the blob once it was recorded
			if op == "after create" && strings.HasSuffix(key, ".apimdr.json") {
				name := strings.TrimSuffix(key[strings.LastIndex(key, "/")+1:], ".apimdr.json")
				_, etag, err := r.vault.Backups(nightly).Get(t.Context(), name)
				if err == nil {
					_, err = r.vault.Backups(nightly).Replace(t.Context(), name, nil, etag)
				}
				return err
			}
			return nil
		})
		out, _, status := r.verified()
		if status != Failed {
			t.Errorf("status %d\n%s", status, out)
		}
		has(t, out, "FAIL     blob:", "there true, 0 bytes")
	})
}

func TestASidecarOfSomethingElseIsToldOf(t *testing.T) {
	for name, change := range map[string][2]string{
		"another operation": {`"operation":"`, `"operation":"other-`},
		"another size":      {`"bytes":6`, `"bytes":7`},
		"another state":     {`"state":"good"`, `"state":"unverified"`},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.vault.Fail(func(op, key string) error {
					if op == "after create" && strings.HasSuffix(key, ".apimdr.json") {
						backups, file := r.vault.Backups(nightly), key[strings.LastIndex(key, "/")+1:]
						text, etag, err := backups.Get(t.Context(), file)
						if err == nil {
							_, err = backups.Replace(t.Context(), file, []byte(strings.Replace(string(text), change[0], change[1], 1)), etag)
						}
						return err
					}
					return nil
				})
				out, _, status := r.verified()
				if status != Failed {
					t.Errorf("status %d\n%s", status, out)
				}
				has(t, out, "FAIL     sidecar:")
			})
		})
	}
}

func TestVerifyThatIsStoppedTellsHowToFollowARM(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx, cancel := context.WithCancel(t.Context())
		r.ctx = ctx
		time.AfterFunc(90*time.Second, cancel)
		file := filepath.Join(t.TempDir(), "recording.json")
		_, err, status := r.verified("--record", file)
		if status != Unknown {
			t.Errorf("status %d", status)
		}
		has(t, err, "The backup of contoso-eu goes on at ARM", "az rest --method get --url '"+strings.Replace(aLocation, "contoso-us", "contoso-eu", 1)+"'")
		if text, err := os.ReadFile(file); err != nil || !json.Valid(text) {
			t.Errorf("%s, %v", text, err)
		}
	})
}

// A person who presses Ctrl-C learns what was begun, and is not told that something is wrong with what was just not looked at.
func TestWhereverVerifyIsStoppedItBlamesNothing(t *testing.T) {
	sidecar := func(op, key string) bool { return op == "after create" && strings.HasSuffix(key, ".apimdr.json") }
	for name, tc := range map[string]struct {
		stops func(r *rig, stop func())
		sent  int
		says  string
	}{
		"at the permissions": {func(r *rig, stop func()) { r.onList = stop }, 0, "Nothing was begun"},
		"at the storage":     {func(r *rig, stop func()) { r.vault.Fail(func(string, string) error { stop(); return nil }) }, 0, "Nothing was begun"},
		"when the backup has just ended": {func(r *rig, stop func()) {
			r.vault.Fail(func(op, key string) error {
				if sidecar(op, key) {
					stop()
				}
				return nil
			})
		}, 1, "The backup stands"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				ctx, cancel := context.WithCancel(t.Context())
				r.ctx = ctx
				tc.stops(r, cancel)
				out, err, status := r.verified("--drill", "contoso-drill")
				if status != Refused || len(r.bodies) != tc.sent || strings.Contains(out, "FAIL") {
					t.Errorf("status %d, sent %q", status, r.bodies)
				}
				has(t, err, "Stopped", tc.says)
				if strings.Contains(err, "Contributor") || strings.Contains(err, "not as it should be") {
					t.Error("it blames")
				}
				if t.Failed() {
					t.Log(out, err)
				}
			})
		})
	}
}

// The backup of an instance that was failed over from proves the permissions, and not that what serves can be recovered.
func TestVerifyTellsThatAnotherInstanceServes(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		pair := dr.NewPair("contoso-eu", "contoso-us")
		pair.Active = "contoso-us"
		if err := r.vault.Vault.KeepRole(t.Context(), nightly, pair); err != nil {
			t.Fatal(err)
		}
		out, _, status := r.verified()
		if status != OK || len(r.bodies) != 1 {
			t.Errorf("status %d, sent %q", status, r.bodies)
		}
		has(t, out, "warn     contoso-eu: contoso-us is the active instance of this pair; what is backed up here is the one that does not serve")
	})
}

// Who is killed leaves what was seen until then.
func TestTheRecordingIsWholeWhileVerifyRuns(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		file := filepath.Join(t.TempDir(), "recording.json")
		seen := -1
		r.onPost = func() {
			var list []record.Exchange
			text, err := os.ReadFile(file)
			if err = errors.Join(err, json.Unmarshal(text, &list)); err != nil {
				t.Errorf("%v: %s", err, text)
			}
			seen = len(list)
		}
		if _, err, status := r.verified("--record", file); status != OK || seen < 4 {
			t.Errorf("status %d, %d exchanges when the backup was asked for: %s", status, seen, err)
		}
	})
}

func TestVerifyAsJSONIsOneDocument(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		out, err, status := r.verified("--drill", "contoso-drill", "-o", "json")
		var d verified
		if failed := json.Unmarshal([]byte(out), &d); failed != nil || status != OK {
			t.Fatalf("%v, status %d\n%s%s", failed, status, out, err)
		}
		if d.Service != "contoso-eu" || len(d.Steps) != 5 || d.Backup == nil || d.Backup.Outcome != dr.Succeeded || d.Drill == nil || d.Drill.Kind != dr.KindDrill || d.RestoreFor != 900 || len(d.Findings) < 9 || d.Ended != "" {
			t.Errorf("%+v", d)
		}
		has(t, err, "3. One backup")
		r.lists = map[string]string{"contoso-eu": `{"actions":[]}`}
		out, _, status = r.verified("-o", "json")
		d = verified{}
		if failed := json.Unmarshal([]byte(out), &d); failed != nil || status != Refused || !strings.Contains(d.Ended, "lacks permissions") || d.Backup != nil || len(d.Steps) != 1 {
			t.Errorf("%v, status %d, %+v", failed, status, d)
		}
	})
}
