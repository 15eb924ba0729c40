package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"apim-dr/internal/client"
)

// called runs a test with a Function App.
func called(t *testing.T, f func(t *testing.T, r *rig, a *functionApp)) {
	t.Helper()
	bubble(t, func(t *testing.T, r *rig) { f(t, r, newApp(r)) })
}

func TestTheExitStatusTellsHowTheAppsWorkEnded(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*rig, *functionApp)
		args   string
		want   int
		begun  int
		says   []string
	}{
		"failover":            {nil, "failover contoso-eu --confirm contoso-us --wait", OK, 1, []string{"Failover of contoso-eu into contoso-us, which is OVERWRITTEN", "SUCCEEDED: contoso-us holds recovery point", "point the DNS name api.contoso.com"}},
		"accepted":            {nil, "failover contoso-eu --confirm contoso-us", OK, 1, []string{"was accepted. To follow it: apim-dr operations 20260131-failover-"}},
		"backup":              {nil, "backup contoso-eu --wait --reason why --ticket CHG-1", OK, 1, []string{"SUCCEEDED: contoso-eu is backed up as 20260131-backup-"}},
		"restore":             {func(r *rig, _ *functionApp) { r.takes = 5 * time.Minute }, "restore contoso-eu --confirm Contoso-EU --wait", OK, 1, []string{"Restore of contoso-eu, which is OVERWRITTEN", "SUCCEEDED: contoso-eu holds"}},
		"restore of another":  {nil, "restore contoso-us --from contoso-eu --safety-backup=false --confirm contoso-us --wait", OK, 1, []string{"Restore of contoso-eu into contoso-us"}},
		"drill":               {nil, "drill contoso-eu --wait", OK, 1, []string{"SUCCEEDED: contoso-drill holds"}},
		"dry run":             {nil, "failover contoso-eu --dry-run", OK, 0, []string{"Steps", "Afterwards", "point the DNS name"}},
		"dry run of a drill":  {nil, "drill contoso-eu --dry-run", OK, 0, []string{"Drill of contoso-eu into contoso-drill"}},
		"plan does not pass":  {state("contoso-us"), "failover contoso-eu --confirm contoso-us --wait", Refused, 0, []string{"FAIL", "is in state Failed", "Nothing was done"}},
		"drill is refused":    {state("contoso-drill"), "drill contoso-eu --wait", Refused, 0, []string{"409 The plan does not pass its checks", "contoso-drill is in state Failed", "recorded as operation 20260131-drill-"}},
		"overridden":          {state("contoso-us"), "failover contoso-eu --dry-run --override state", OK, 0, []string{"overridden  state"}},
		"not confirmed":       {nil, "failover contoso-eu", Refused, 0, []string{"Pass --confirm contoso-us"}},
		"not confirmed, json": {func(r *rig, _ *functionApp) { r.person, r.in = true, "contoso-us\n" }, "failover contoso-eu -o json", Refused, 0, []string{"Pass --confirm contoso-us", `"dryRun": true`}},
		"wrongly confirmed":   {nil, "restore contoso-eu --confirm contoso-us", Refused, 0, []string{"--confirm names contoso-us, but contoso-eu would be overwritten"}},
		"ARM fails":           {func(r *rig, _ *functionApp) { r.fails = "the\x1b[2J restore failed" }, "failover contoso-eu --confirm contoso-us --wait", Failed, 1, []string{"FAILED", "RestoreFailed: the[2J restore failed"}},
		"a backup fails":      {func(r *rig, _ *functionApp) { r.refuses = "no such container" }, "backup contoso-eu --wait", Failed, 1, []string{"FAILED: contoso-eu was not backed up.", "no such container"}},
		"nobody can tell":     {func(r *rig, _ *functionApp) { r.takes = 13 * time.Hour }, "failover contoso-eu --confirm contoso-us --wait", Unknown, 1, []string{"UNKNOWN"}},
		"rejected": {func(r *rig, _ *functionApp) { r.ends = t0.Add(time.Hour) }, "failover contoso-eu --confirm contoso-us --wait", Refused, 0,
			[]string{"REJECTED: contoso-us was not overwritten", "NotStartedInTime", "queued     restore of contoso-us: the service is Updating"}},
		"unknown instance":  {nil, "backup contoso-asia", Usage, 0, []string{"404 Unknown service", "it has contoso-eu"}},
		"unknown service":   {nil, "status contoso-asia", Usage, 0, []string{`"contoso-asia" is no service of the fleet; it has contoso-eu`}},
		"unknown operation": {nil, "operations 20260131-backup-3e23e8160039594a3389 --wait", Usage, 0, []string{"404 No such operation"}},
		"wrong fields":      {nil, "hold contoso-eu --for 2000h", Usage, 0, []string{"400 The request is not valid", "reason: is missing"}},
		"wrong point":       {nil, "failover contoso-eu --recovery-point yesterday", Usage, 0, []string{"400", "recoveryPoint: "}},
		"wrong output":      {nil, "status -o yaml", Usage, 0, []string{`--output "yaml"; accepted: table, json`}},
		"two names":         {nil, "failover contoso-eu --primary contoso-eu", Usage, 0, []string{"NAME together with --primary"}},
		"no name":           {nil, "failover", Usage, 0, []string{"--primary is not set"}},
		"flags of --direct": {nil, "failover contoso-eu --fleet fleet.json", Usage, 0, []string{"--fleet is for a failover with --direct"}},
		"flags of the app":  {nil, "failover --direct --primary contoso-eu --wait", Usage, 0, []string{"--wait is for a failover without --direct"}},
		"no until":          {nil, "hold contoso-eu --reason why", Usage, 0, []string{"one of --for, such as 2h, and --until, such as 2026-01-31T13:02:00Z"}},
		"wait for a list":   {nil, "operations --wait", Usage, 0, []string{"--wait needs the id"}},
		"settings": {func(r *rig, _ *functionApp) {
			r.app = func([]string) (client.Options, error) { return client.Options{}, errors.New("APIMDR_URL: not set") }
		}, "status", Usage, 0, []string{"APIMDR_URL: not set"}},
	} {
		t.Run(name, func(t *testing.T) {
			called(t, func(t *testing.T, r *rig, a *functionApp) {
				if tc.change != nil {
					tc.change(r, a)
				}
				out, err, status := r.run(strings.Fields(tc.args)...)
				if status != tc.want {
					t.Errorf("status %d, want %d\n%s%s", status, tc.want, out, err)
				}
				has(t, out+err, tc.says...)
				if n := a.begun(); n != tc.begun {
					t.Errorf("%d operations were begun, want %d", n, tc.begun)
				}
				if strings.ContainsAny(out+err, "\r\x1b") {
					t.Errorf("control characters: %q", out+err)
				}
			})
		})
	}
}

func state(name string) func(*rig, *functionApp) {
	return func(r *rig, _ *functionApp) { r.state[name] = "Failed" }
}

func TestAPersonIsAskedForTheNameOfWhatTheAppOverwrites(t *testing.T) {
	for typed, want := range map[string]int{"contoso-us\n": OK, "contoso-eu\n": Refused, "": Refused} {
		called(t, func(t *testing.T, r *rig, a *functionApp) {
			r.person, r.in = true, typed
			_, err, status := r.run("failover", "contoso-eu")
			if status != want || (a.begun() == 1) != (want == OK) {
				t.Errorf("%q: status %d, %d begun", typed, status, a.begun())
			}
			has(t, err, "contoso-us is overwritten. Type its name to go on: ")
		})
	}
}

func TestWhatWasShownIsWhatIsOverwritten(t *testing.T) {
	called(t, func(t *testing.T, r *rig, a *functionApp) {
		var last string
		a.before = func(req *http.Request) (*http.Response, error, bool) {
			body, _ := io.ReadAll(req.Body)
			req.Body, last = io.NopCloser(strings.NewReader(string(body))), string(body)
			return nil, nil, false
		}
		if _, err, status := r.run("failover", "contoso-eu", "--confirm", "Contoso-US", "--reason", "why", "--ticket", "INC-1", "--final-backup", "auto", "--max-wait", "5m"); status != OK {
			t.Errorf("status %d\n%s", status, err)
		}
		if want := `{"primary":"contoso-eu","target":"contoso-us","confirm":"contoso-us","recoveryPoint":"latest","finalBackup":"auto","maxWait":"5m","reason":"why","ticket":"INC-1","requestedBy":"ann"}`; last != want {
			t.Errorf("sent %s, want %s", last, want)
		}
	})
}

func TestWhatNobodyAnsweredIsOneOperation(t *testing.T) {
	called(t, func(t *testing.T, r *rig, a *functionApp) {
		first := true
		a.before = func(*http.Request) (*http.Response, error, bool) {
			if first {
				first = false
				return nil, io.ErrUnexpectedEOF, true // heard, and the answer lost
			}
			return nil, nil, false
		}
		out, err, status := r.run("backup", "contoso-eu", "--wait")
		if status != OK || a.begun() != 1 {
			t.Errorf("status %d, %d begun\n%s%s", status, a.begun(), out, err)
		}
		has(t, err, "unexpected EOF; asked again in 1s")
	})
}

func TestNoAnswerIsToldAsThat(t *testing.T) {
	html := func(status int, body string) func(*http.Request) (*http.Response, error, bool) {
		return func(*http.Request) (*http.Response, error, bool) {
			answer := answer(status, body)
			answer.Header.Set("Content-Type", "text/html")
			return answer, nil, false
		}
	}
	for name, tc := range map[string]struct {
		before func(*http.Request) (*http.Response, error, bool)
		args   string
		want   int
		says   []string
	}{
		"lost":            {func(*http.Request) (*http.Response, error, bool) { return nil, io.ErrUnexpectedEOF, false }, "backup contoso-eu", Unknown, []string{"Nobody knows whether it was begun", "apim-dr operations --in-flight"}},
		"lost, of a look": {func(*http.Request) (*http.Response, error, bool) { return nil, io.ErrUnexpectedEOF, false }, "status", Usage, []string{"No answer from https://contoso-dr.azurewebsites.net"}},
		"wrong key":       {func(*http.Request) (*http.Response, error, bool) { return answer(401, ""), nil, false }, "failover contoso-eu", Usage, []string{"401 Unauthorized", "APIMDR_KEY is not a key of StartFailover"}},
		"stopped app":     {html(403, "<title>Web App - Unavailable</title>"), "status", Usage, []string{"not apim-dr: 403", "Web App - Unavailable", "Is the app stopped"}},
		"another site":    {html(200, "<title>Hi\x1b[2J</title>"), "backup contoso-eu", Usage, []string{"not apim-dr: 200 text/html", "APIMDR_URL or --url names it"}},
	} {
		called(t, func(t *testing.T, r *rig, a *functionApp) {
			a.before = tc.before
			out, err, status := r.run(strings.Fields(tc.args)...)
			if status != tc.want || strings.Contains(out+err, "\x1b") {
				t.Errorf("%s: status %d\n%s%s", name, status, out, err)
			}
			has(t, err, tc.says...)
		})
	}
}

func TestATokenTellsWhoCallsAndNobodyElseDoes(t *testing.T) {
	called(t, func(t *testing.T, r *rig, a *functionApp) {
		var bodies []string
		a.before = func(req *http.Request) (*http.Response, error, bool) {
			body, _ := io.ReadAll(req.Body)
			bodies = append(bodies, string(body))
			return answer(401, ""), nil, false
		}
		_, _, _ = r.run("backup", "contoso-eu")
		key := r.app
		r.app = func(environ []string) (client.Options, error) {
			o, err := key(environ)
			o.Token = func(context.Context) (string, error) { return "a-token", nil }
			return o, err
		}
		_, err, status := r.run("backup", "contoso-eu")
		if status != Usage || len(bodies) != 2 || !strings.Contains(bodies[0], `"requestedBy":"ann"`) || strings.Contains(bodies[1], "requestedBy") {
			t.Errorf("status %d, sent %q", status, bodies)
		}
		has(t, err, "The token for APIMDR_AUDIENCE was not accepted")
	})
}

func TestCtrlCTellsThatTheAppGoesOnAndHowToFollowIt(t *testing.T) {
	called(t, func(t *testing.T, r *rig, a *functionApp) {
		ctx, cancel := context.WithCancel(t.Context())
		r.ctx = ctx
		time.AfterFunc(90*time.Second, cancel)
		_, err, status := r.run("backup", "contoso-eu", "--wait")
		if status != Unknown || time.Since(t0) != 90*time.Second {
			t.Errorf("status %d after %s", status, time.Since(t0))
		}
		has(t, err, "The backup of contoso-eu goes on without this command. To follow it: apim-dr operations 20260131-backup-")
		id := strings.Fields(err[strings.Index(err, "operations "):])[1]
		r.ctx = t.Context()
		out, err, status := r.run("operations", id, "--wait")
		if status != OK {
			t.Errorf("status %d\n%s", status, err)
		}
		has(t, out, "SUCCEEDED: contoso-eu is backed up")
	})
	called(t, func(t *testing.T, r *rig, a *functionApp) { // before anything was begun
		ctx, cancel := context.WithCancel(t.Context())
		r.ctx = ctx
		a.before = func(*http.Request) (*http.Response, error, bool) { cancel(); return nil, ctx.Err(), false }
		if _, err, status := r.run("failover", "contoso-eu", "--confirm", "contoso-us"); status != Refused || !strings.Contains(err, "Stopped: nothing was begun.") {
			t.Errorf("status %d\n%s", status, err)
		}
	})
}

func TestAnOutageOfTheAppDoesNotEndTheWaiting(t *testing.T) {
	for name, tc := range map[string]struct {
		lasts time.Duration
		want  int
	}{"short": {10 * time.Minute, OK}, "long": {2 * time.Hour, Unknown}} {
		called(t, func(t *testing.T, r *rig, a *functionApp) {
			a.before = func(req *http.Request) (*http.Response, error, bool) {
				if since := time.Since(t0); req.Method == http.MethodGet && since > time.Minute && since < time.Minute+tc.lasts {
					return answer(503, ""), nil, false
				}
				return nil, nil, false
			}
			_, err, status := r.run("backup", "contoso-eu", "--wait")
			if status != tc.want {
				t.Errorf("%s: status %d\n%s", name, status, err)
			}
			if tc.want == Unknown {
				has(t, err, "goes on without this command. To follow it: apim-dr operations")
			}
		})
	}
}

// The app says when to ask again.
func TestLooksAreNoMoreFrequentThanTheAppWants(t *testing.T) {
	called(t, func(t *testing.T, r *rig, a *functionApp) {
		var at []time.Time
		a.before = func(req *http.Request) (*http.Response, error, bool) {
			at = append(at, time.Now())
			return nil, nil, false
		}
		if _, _, status := r.run("backup", "contoso-eu", "--wait"); status != OK || len(at) < 5 {
			t.Fatalf("status %d, %d calls", status, len(at))
		}
		for i := 1; i < len(at); i++ {
			if at[i].Sub(at[i-1]) != 15*time.Second {
				t.Errorf("asked after %s", at[i].Sub(at[i-1]))
			}
		}
	})
}

func TestJSONIsOneDocumentAndLinesWithTimesStandBesideIt(t *testing.T) {
	called(t, func(t *testing.T, r *rig, _ *functionApp) {
		r.columns = 100 // even on a terminal
		out, err, status := r.run("failover", "contoso-eu", "--confirm", "contoso-us", "--wait", "-o", "json")
		var op struct {
			Phase, Outcome string
			Recovery       struct{ NextSteps []string }
		}
		if decoded := json.Unmarshal([]byte(out), &op); decoded != nil || status != OK || op.Outcome != "succeeded" || len(op.Recovery.NextSteps) == 0 {
			t.Errorf("status %d, %v\n%s", status, decoded, out)
		}
		if strings.ContainsAny(out+err, "\r\x1b") || strings.Count(err, "running") != 1 {
			t.Errorf("%q", err)
		}
		has(t, err, "2026-01-31T11:02:00Z  queued     restore of contoso-us\n2026-01-31T11:02:05Z  running    restore of contoso-us\n")
		for _, args := range []string{"status", "status contoso-eu", "operations", "operations --in-flight", "recovery-points contoso-eu", "release contoso-us", "hold contoso-us --for 1h --reason r", "drill nobody"} {
			if out, _, _ := r.run(append(strings.Fields(args), "-o", "json")...); !json.Valid([]byte(out)) {
				t.Errorf("%s: %q", args, out)
			}
		}
	})
}

func TestARefusalWhileWaitingIsOneDocument(t *testing.T) {
	called(t, func(t *testing.T, r *rig, a *functionApp) {
		a.before = func(req *http.Request) (*http.Response, error, bool) {
			if req.Method == http.MethodGet {
				return answer(404, `{"title":"No such operation"}`), nil, false
			}
			return nil, nil, false
		}
		out, err, status := r.run("backup", "contoso-eu", "--wait", "-o", "json")
		if status != Unknown || !json.Valid([]byte(out)) {
			t.Errorf("status %d\n%s", status, out)
		}
		has(t, err, "404 No such operation\nThe backup of contoso-eu goes on without this command.")
	})
}

func TestADocumentDoesNotSteerTheTerminal(t *testing.T) {
	for text, want := range map[string]string{"a\u202eb": `a\u202eb`, "a\u009b2J": `a\u009b2J`, "é\n": "é\n", "\U000e0001": `\udb40\udc01`} {
		got := escaped(text)
		var back string
		if got != want || json.Unmarshal([]byte(`"`+strings.ReplaceAll(got, "\n", `\n`)+`"`), &back) != nil || back != text {
			t.Errorf("%q became %q, which reads as %q", text, got, back)
		}
	}
}

func TestOnATerminalABarMoves(t *testing.T) {
	called(t, func(t *testing.T, r *rig, _ *functionApp) {
		if _, _, status := r.run("backup", "contoso-eu", "--wait"); status != OK { // so that it is known what is usual
			t.Fatal(status)
		}
		r.columns = 80
		out, err, status := r.run("backup", "contoso-eu", "--wait")
		if status != OK {
			t.Fatalf("status %d\n%s", status, err)
		}
		drawn := strings.Split(err, "\r")
		for _, line := range drawn {
			if line = strings.TrimSuffix(line, "\n"); len([]rune(line)) > 79 {
				t.Errorf("%d columns: %q", len([]rune(line)), line)
			}
		}
		distinct := slices.Compact(slices.Clone(drawn))
		if len(distinct) < 800 || strings.Contains(out, "\r") { // a quarter of an hour, each second
			t.Errorf("%d lines were drawn", len(distinct))
		}
		has(t, err, "  [===>", "running    backup of contoso-eu  [", "m0s of about 15m", "\rsucceeded  backup of contoso-eu  [====")
	})
}

func TestTheLineFitsTheTerminal(t *testing.T) {
	long := moment{phase: "queued", what: "restore of contoso-us: " + strings.Repeat("a reason ", 30), now: t0.Add(time.Minute), since: t0}
	for _, tc := range []struct {
		m    moment
		wide int
		want string
	}{
		{moment{phase: "running", what: "restore of contoso-us", since: t0, now: t0.Add(5 * time.Minute), usual: 10 * time.Minute, begun: true}, 70, "running    restore of contoso-us  [======>      ]  5m0s of about 10m0s"},
		{moment{phase: "running", what: "restore of contoso-us", since: t0, now: t0.Add(15 * time.Minute), usual: 10 * time.Minute, begun: true}, 70, "running    restore of contoso-us  [===========>]  15m0s, usually 10m0s"},
		{moment{phase: "running", what: "restore of contoso-us", since: t0, now: t0.Add(2 * time.Second), begun: true}, 60, "running    restore of contoso-us  [  <=>               ]  2s"},
		{moment{phase: "running", what: "restore of contoso-us", since: t0, now: t0.Add(-time.Hour)}, 38, "running    restore of contoso-us  0s"},
		{long, 40, "queued     restore of contoso-us:…  1m0s"},
		{long, 3, "…  "},
		{long, 0, ""},
	} {
		if got := tc.m.line(tc.wide); got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
}

func TestColoursAreForTerminalsThatShowThem(t *testing.T) {
	for name, tc := range map[string]struct {
		columns int
		environ []string
		want    bool
	}{"terminal": {100, nil, true}, "pipe": {0, nil, false}, "NO_COLOR": {100, []string{"NO_COLOR=1"}, false}, "dumb": {100, []string{"TERM=dumb"}, false}} {
		called(t, func(t *testing.T, r *rig, _ *functionApp) {
			r.columns, r.more = tc.columns, tc.environ
			out, _, _ := r.run("status")
			if strings.Contains(out, "\x1b[32myes\x1b[39m") != tc.want || strings.Contains(out, "\x1b") != tc.want {
				t.Errorf("%s: %q", name, out)
			}
		})
	}
}

func TestStatusTellsWhatIsNotProtectedAndWhatIsInFlight(t *testing.T) {
	called(t, func(t *testing.T, r *rig, a *functionApp) {
		if _, _, status := r.run("backup", "contoso-eu"); status != OK {
			t.Fatal(status)
		}
		time.Sleep(192 * time.Second)
		out, _, _ := r.run("status")
		has(t, out, "SERVICE     ACTIVE      PROTECTED  NEWEST GOOD  RPO", "contoso-eu  contoso-eu  yes        8h3m", "26h", "In flight", "backup of contoso-eu  running  3m12s")
		time.Sleep(27*time.Hour - time.Minute)
		out, _, _ = r.run("status", "Contoso-EU")
		has(t, out, "protected            NO", "more than the RPO of 26h0m0s", "not proven")
	})
}

func TestAHoldWaitsUntilNobodyIsAtWork(t *testing.T) {
	called(t, func(t *testing.T, r *rig, _ *functionApp) {
		if _, _, status := r.run("backup", "contoso-eu"); status != OK {
			t.Fatal(status)
		}
		time.Sleep(time.Minute)
		began := time.Now()
		out, err, status := r.run("hold", "contoso-eu", "--for", "1h", "--reason", "release 42", "--wait")
		if took := time.Since(began); status != OK || took < 10*time.Minute || took > 30*time.Minute {
			t.Errorf("status %d after %s\n%s", status, took, err)
		}
		has(t, out+err, "contoso-eu is held until", "release 42", "busy       contoso-eu: ", "free       contoso-eu")
		out, _, _ = r.run("hold", "contoso-eu", "--until", utc(time.Now().Add(time.Minute)), "--reason", "again")
		has(t, out, "It replaces the hold until")
		out, _, _ = r.run("release", "contoso-eu")
		has(t, out, "Ended: contoso-eu is held until")
		out, _, _ = r.run("release", "contoso-eu")
		has(t, out, "There was no hold of contoso-eu.")
	})
	called(t, func(t *testing.T, r *rig, _ *functionApp) { // for longer than the hold
		r.ends = t0.Add(time.Hour)
		if _, err, status := r.run("hold", "contoso-eu", "--for", "10m", "--reason", "r", "--wait"); status != Refused || !strings.Contains(err, "still busy") {
			t.Errorf("status %d\n%s", status, err)
		}
	})
}

func TestListsAreShownWhole(t *testing.T) {
	called(t, func(t *testing.T, r *rig, a *functionApp) {
		out, _, _ := r.run("recovery-points", "contoso-eu", "--prune-preview")
		has(t, out, "RECOVERY POINT", "8h", "6 B", "stays", "it is the newest good one")
		id := strings.Fields(strings.Split(out, "\n")[1])[0]
		out, _, _ = r.run("not-covered", id)
		has(t, out, id+" of contoso-eu", "Not brought by a restore", "api.contoso.com")
		var ids []string
		for range 3 {
			out, _, _ := r.run("drill", "contoso-eu")
			ids = append(ids, strings.TrimSpace(out))
			time.Sleep(time.Hour)
		}
		page := 0
		a.before = func(req *http.Request) (*http.Response, error, bool) { // one a page
			q := req.URL.Query()
			q.Set("limit", "1")
			req.URL.RawQuery = q.Encode()
			page++
			return nil, nil, false
		}
		out, _, _ = r.run("operations", "--day", "2026-01-31")
		if list := strings.Split(strings.TrimSpace(out), "\n"); len(list) != 4 || page < 3 || !strings.Contains(list[1], ids[2]) || !strings.Contains(list[3], ids[0]) {
			t.Errorf("%d pages\n%s", page, out)
		}
		a.before = nil
		out, _, _ = r.run("operations", ids[0])
		has(t, out, "operation     "+ids[0], "what          drill of contoso-drill", "requested by  http: ann", "SUCCEEDED")
		_, err, status := r.run("operations", "abandon", ids[0], "--reason", "why")
		if status != Refused {
			t.Error(status)
		}
		has(t, err, "409 The operation has ended already")
		out, _, _ = r.run("rearm", "contoso-eu", "--active", "contoso-us", "--suspended")
		has(t, out, "contoso-us is the active instance; the other one is left alone")
	})
}
