package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"apim-dr/internal/dr"
)

// bubble runs a test with a clock of its own.
func bubble(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newRig(t)) })
}

func TestADirectFailoverNeedsOnlyTheBackupsAndTellsHowItEnded(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.dead["contoso-eu"] = true
		out, err, status := r.failover("--confirm", "contoso-us", "--reason", "region down")
		point := dr.NewID(dr.KindBackup, t0.Add(-8*time.Hour), "b") + "-s0-a1"
		if status != OK {
			t.Fatalf("status %d\n%s%s", status, out, err)
		}
		has(t, err, "neither its locks nor its operations are seen", "stop the Function App", "warning: a warning of the configuration",
			"contosodrbackups/apim-backups: 2 recovery points", "ARM is at work", "The roles are recorded beside the backups: contoso-us is the active instance")
		has(t, out, "contoso-us, which is OVERWRITTEN with recovery point "+point, "SUCCEEDED: contoso-us holds recovery point "+point,
			"recovery time (RTO)    15m10s", "age of the data (RPO)  8h at the call", "https://contoso-us.azure-api.net answers 200", "point the DNS name api.contoso.com")
		if want := restoreURL + ` {"storageAccount":"contosodrbackups","containerName":"apim-backups","backupName":"` + point + `","accessType":"AccessKey","accessKey":"` + theKey + `"}`; len(r.bodies) != 1 || r.bodies[0] != want {
			t.Errorf("sent %q", r.bodies)
		}
		if p, err := r.role(); err != nil || p.Active != "contoso-us" || !p.Suspended {
			t.Errorf("%+v, %v", p, err)
		}
	})
}

func TestASecondFailoverFindsTheRolesOfTheFirst(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		if _, err, status := r.failover("--confirm", "contoso-us"); status != OK {
			t.Fatal(err)
		}
		fresh := newRig(t) // another process: nothing in memory
		fresh.vault, fresh.setup.Engine.Vault = r.vault, r.vault.Vault
		if _, err, status := fresh.failover("--confirm", "contoso-us"); status != Refused || len(fresh.bodies) > 0 {
			t.Errorf("status %d, sent %q", status, fresh.bodies)
		} else {
			has(t, err, "contoso-us is the active instance")
		}
	})
}

func TestTheExitStatusTellsHowItEnded(t *testing.T) {
	down := errors.New("out of reach")
	for name, tc := range map[string]struct {
		change func(*rig)
		args   []string
		want   int
		says   []string
	}{
		"succeeded":                  {nil, []string{"--confirm", "contoso-us"}, OK, []string{"SUCCEEDED"}},
		"dry run":                    {nil, []string{"--dry-run"}, OK, []string{"Steps", "restore recovery point", "Afterwards"}},
		"dry run that does not pass": {func(r *rig) { r.state["contoso-us"] = "Failed" }, []string{"--dry-run"}, Refused, []string{"FAIL", "is in state Failed", "Refused"}},
		"plan does not pass":         {func(r *rig) { r.state["contoso-us"] = "Failed" }, []string{"--confirm", "contoso-us"}, Refused, []string{"is in state Failed", "Nothing was done"}},
		"overridden":                 {func(r *rig) { r.state["contoso-us"] = "Failed" }, []string{"--dry-run", "--override", "state,sku"}, OK, []string{"overridden  state"}},
		"not confirmed":              {nil, nil, Refused, []string{"Pass --confirm contoso-us"}},
		"wrongly confirmed":          {func(r *rig) { r.person, r.in = true, "contoso-us\n" }, []string{"--confirm", "contoso-eu"}, Refused, []string{"Pass --confirm contoso-us"}},
		"ARM refuses":                {func(r *rig) { r.refuses = "no such backup" }, []string{"--confirm", "contoso-us"}, Failed, []string{"FAILED", "InvalidParameters: no such backup"}},
		"ARM fails":                  {func(r *rig) { r.fails = "the restore failed" }, []string{"--confirm", "contoso-us"}, Failed, []string{"FAILED", "RestoreFailed: the restore failed"}},
		"nobody can tell":            {func(r *rig) { r.takes = 13 * time.Hour }, []string{"--confirm", "contoso-us"}, Unknown, []string{"UNKNOWN", "nobody knows whether contoso-us was overwritten. A stamp that returns leaves both instances alone"}},
		"busy for too long": {func(r *rig) { r.ends = t0.Add(time.Hour) }, []string{"--confirm", "contoso-us"}, Refused,
			[]string{"contoso-us is Updating; the restore waits until it is Succeeded", "queued     restore of contoso-us: the service is Updating", "REJECTED: contoso-us was not overwritten", "NotStartedInTime"}},
		"unknown instance": {nil, []string{"--primary", "contoso-asia"}, Usage, []string{`"contoso-asia"; it has contoso-eu`}},
		"unknown instance, no login": {func(r *rig) {
			r.setup.Login = func(context.Context) error { t.Error("a login was waited for"); return down }
		}, []string{"--primary", "contoso-asia"}, Usage,
			[]string{`"contoso-asia"; it has contoso-eu`}},
		"wrong point":        {nil, []string{"--recovery-point", "yesterday"}, Usage, []string{"accepted: latest, the id"}},
		"wrong check":        {nil, []string{"--override", "roles"}, Usage, []string{"cannot be overridden"}},
		"wrong output":       {nil, []string{"-o", "yaml"}, Usage, []string{`--output "yaml"; accepted: table, json`}},
		"wrong final backup": {nil, []string{"--final-backup", "perhaps"}, Usage, []string{"accepted: never, auto, require"}},
		"wrong flag":         {nil, []string{"--force"}, Usage, []string{"unknown flag"}},
		"no login":           {func(r *rig) { r.setup.Login = func(context.Context) error { return down } }, []string{"--confirm", "contoso-us"}, Usage, []string{"out of reach"}},
		"backups out of reach": {func(r *rig) { r.vault.Fail(func(string, string) error { return down }) }, []string{"--confirm", "contoso-us"}, Usage,
			[]string{"cannot be read, so that nobody knows which is the newest", "Storage Blob Data Contributor"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				if tc.change != nil {
					tc.change(r)
				}
				out, err, status := r.failover(tc.args...)
				if status != tc.want {
					t.Errorf("status %d, want %d", status, tc.want)
				}
				has(t, out+err, tc.says...)
				if tc.want != Unknown && strings.Contains(err, "ROLES WERE NOT RECORDED") { // the target is not active: there is nothing to record
					t.Errorf("a stamp is told to fear the wrong roles:\n%s", err)
				}
				if begun := len(r.bodies) > 0; begun != (strings.Contains(out, "SUCCEEDED: ") || strings.Contains(out, "FAILED: ") || strings.Contains(out, "UNKNOWN: ")) {
					t.Errorf("sent %q, printed\n%s", r.bodies, out)
				}
			})
		})
	}
}

func TestAPersonIsAskedForTheName(t *testing.T) {
	for typed, want := range map[string]int{"contoso-us\n": OK, "Contoso-US": OK, "contoso-eu\n": Refused, "": Refused, "yes\n": Refused} {
		bubble(t, func(t *testing.T, r *rig) {
			r.person, r.in = true, typed
			_, err, status := r.failover()
			if status != want || (len(r.bodies) > 0) != (want == OK) {
				t.Errorf("%q: status %d, sent %q", typed, status, r.bodies)
			}
			has(t, err, "contoso-us is overwritten. Type its name to go on: ")
		})
	}
	bubble(t, func(t *testing.T, r *rig) {
		r.person, r.in = true, "contoso-us\n"
		if out, err, status := r.failover("-o", "json"); status != Refused || strings.Contains(err, "Type") || !json.Valid([]byte(out)) {
			t.Errorf("a program was asked: status %d\n%s%s", status, out, err)
		}
	})
	bubble(t, func(t *testing.T, r *rig) {
		r.person, r.in, r.state["contoso-us"] = true, "contoso-us\n", "Failed"
		if _, err, status := r.failover(); status != Refused || strings.Contains(err, "Type") {
			t.Errorf("asked for what is refused: status %d\n%s", status, err)
		}
	})
}

func TestCtrlCAtTheQuestionEndsIt(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		in, never := io.Pipe()
		defer never.Close()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		f := Options{In: in, Err: io.Discard}
		if began := time.Now(); f.ask(ctx, "contoso-us") || time.Since(began) != time.Minute {
			t.Error("it took that for a yes")
		}
	})
}

func TestCtrlCTellsThatARMGoesOnAndHowToFollowIt(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx, cancel := context.WithCancel(t.Context())
		r.ctx = ctx
		time.AfterFunc(90*time.Second, cancel)
		_, err, status := r.failover("--confirm", "contoso-us")
		if status != Unknown || time.Since(t0) != 90*time.Second {
			t.Errorf("status %d after %s", status, time.Since(t0))
		}
		synctest.Wait()
		if said := r.aside.Load(); said == nil || !strings.Contains(*said, "stopping after the step at work; Ctrl-C again ends at once") {
			t.Error("it was not said that a step is not cut short")
		}
		has(t, err, "The restore of contoso-us goes on at ARM", "az rest --method get --url '"+aLocation+"'", "az apim show --ids '"+targetID+"'",
			"!!! THE ROLES WERE NOT RECORDED", `POST /api/services/contoso-eu/rearm {"active":"contoso-us","suspended":true}`)

		again := newRig(t) // the killed command, started again: ARM is still at work
		again.vault, again.setup.Engine.Vault, again.ends = r.vault, r.vault.Vault, r.ends
		out, err, status := again.failover("--confirm", "contoso-us")
		if status != OK || len(again.bodies) != 1 {
			t.Errorf("status %d, sent %q", status, again.bodies)
		}
		has(t, out+err, "warn  state", "contoso-us is Updating; the restore waits until it is Succeeded", "queued     restore of contoso-us: the service is Updating", "contoso-us is the active instance")
	})
}

func TestCtrlCBeforeARMWasAskedLeavesNothingBehind(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx, cancel := context.WithCancel(t.Context())
		r.ctx, r.ends = ctx, t0.Add(20*time.Minute) // something else is at work
		time.AfterFunc(5*time.Minute, cancel)
		out, err, status := r.failover("--confirm", "contoso-us", "-o", "json")
		if status != Refused || len(r.bodies) > 0 {
			t.Errorf("status %d, sent %q", status, r.bodies)
		}
		has(t, err, "before ARM was asked to overwrite contoso-us")
		has(t, out, `"stopped": "Stopped (context canceled) before ARM was asked`)
	})
}

func TestAFinalBackupThatIsNotWaitedForIsToldOf(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.takes = 20 * time.Minute
		ctx, cancel := context.WithCancel(t.Context())
		r.ctx = ctx
		time.AfterFunc(5*time.Minute, cancel)
		_, err, status := r.failover("--confirm", "contoso-us", "--final-backup", "require")
		if status != Refused {
			t.Errorf("status %d", status)
		}
		has(t, err, "The final backup goes on and is not followed", strings.Replace(aLocation, "contoso-us", "contoso-eu", 1), "before ARM was asked to overwrite contoso-us")
	})
}

func TestAFinalBackupIsTakenAndRestored(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.takes = 4 * time.Minute
		out, err, status := r.failover("--confirm", "contoso-us", "--final-backup", "auto")
		if status != OK || len(r.bodies) != 2 {
			t.Fatalf("status %d, sent %q\n%s", status, r.bodies, err)
		}
		has(t, out, "age of the data (RPO)  0s", "which is OVERWRITTEN with a final backup of contoso-eu; the newest until then is recovery point "+dr.NewID(dr.KindBackup, t0.Add(-8*time.Hour), "b")+"-s0-a1")
		has(t, err, "backup of contoso-eu: ARM is at work")
	})
}

func TestRolesThatCannotBeWrittenAreToldLoudly(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.vault.Fail(func(op, key string) error {
			if strings.HasPrefix(op, "before") && strings.Contains(key, "roles/") {
				return errors.New("403 AuthorizationPermissionMismatch")
			}
			return nil
		})
		out, err, status := r.failover("--confirm", "contoso-us", "-o", "json")
		if status != OK { // production is up
			t.Errorf("status %d", status)
		}
		has(t, err, "!!! THE ROLES WERE NOT RECORDED beside the backups", "AuthorizationPermissionMismatch", "takes contoso-eu for the active instance and may overwrite contoso-us",
			`POST /api/services/contoso-eu/rearm {"active":"contoso-us","suspended":true}`)
		has(t, out, `"rolesKept": false`)
	})
}

func TestJSONIsOneDocument(t *testing.T) {
	type doc struct {
		DryRun    bool
		Plan      dr.Plan
		Refusal   string
		Result    *dr.Result
		RolesKept bool
	}
	read := func(t *testing.T, text string) (d doc) {
		t.Helper()
		if err := json.Unmarshal([]byte(text), &d); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		return d
	}
	bubble(t, func(t *testing.T, r *rig) {
		out, _, _ := r.failover("--dry-run", "-o", "json")
		if d := read(t, out); !d.DryRun || d.Plan.Target.Name != "contoso-us" || d.Refusal != "" || d.Result != nil {
			t.Errorf("%+v", d)
		}
		out, _, _ = r.failover("-o", "json")
		if d := read(t, out); d.DryRun || !strings.Contains(d.Refusal, "--confirm contoso-us") {
			t.Errorf("%+v", d)
		}
		out, _, _ = r.failover("-o", "json", "--confirm", "contoso-us", "--reason", "region down")
		if d := read(t, out); d.Result == nil || d.Result.Outcome != dr.Succeeded || d.Result.Trigger != dr.TriggerCLI || d.Result.RequestedBy != "ann" || d.Result.Reason != "region down" || !d.RolesKept {
			t.Errorf("%+v", d)
		}
	})
}

func TestAStorageOfTheOtherSideThatIsOutOfReachIsAWarning(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		other := dr.Storage{Account: "contosodrwest", Container: "apim-backups"}
		f := &r.setup.Engine.Fleet
		f.Plans = append(f.Plans, f.Plans[0])
		f.Plans[1].Name, f.Plans[1].Storage = "west", other
		f.Services = append(f.Services, f.Services[0])
		f.Services[1].Name, f.Services[1].ResourceID, f.Services[1].Plan, f.Services[1].Secondaries = "contoso-us", targetID, "west", nil
		_, err, status := r.failover("--confirm", "contoso-us")
		if status != OK {
			t.Errorf("status %d", status)
		}
		has(t, err, "warning: contosodrwest/apim-backups: the rest was not read")
	})
}

func TestWhatOthersWroteDoesNotSteerTheTerminal(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.refuses = "no\x1b[2Jsuch\rbackup\u202e"
		out, err, _ := r.failover("--confirm", "contoso-us")
		if all := out + err; strings.ContainsAny(all, "\x1b\r\u202e") {
			t.Errorf("%q", all)
		}
		has(t, out, "no[2Jsuchbackup")
	})
}
