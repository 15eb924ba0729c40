package walkthrough

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"apim-dr/internal/apicheck"
	"apim-dr/internal/standin/arm"
	"apim-dr/internal/standin/devstack"
)

// reader is somebody at a shell with the local stack.
type reader struct {
	t     *testing.T
	stack *devstack.Stack
	home  string // with bin/, where a curl stands that tells what it got
}

// seen is one call that a block made.
type seen struct{ status, method, url string }

func TestEveryCommandOfTheDocumentsWorks(t *testing.T) {
	for _, tool := range []string{"bash", "curl", "jq"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is missing, which the documents use: install it", tool)
		}
	}
	r := &reader{t: t, home: t.TempDir()}
	app := filepath.Join(r.home, "app")
	if err := devstack.Stage(app); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	story := devstack.NewStory(&log)
	var err error
	r.stack, err = devstack.Start(t.Context(), devstack.Options{
		App: app, Instances: devstack.DemoFleet(), Output: story.Output, Log: slog.New(slog.DiscardHandler),
		Settings: map[string]string{"TIMING_RESTORE_WITHIN": "30m", "TIMING_MAX_WAIT": "60s"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer r.stack.Close()
	if _, err := r.stack.Demo(t.Context(), story, io.Discard, 90*time.Second); err != nil {
		t.Fatal(err, "\n", log.String())
	}
	r.examples()
	r.furnish(app)
	commands := 0
	for _, file := range documents(t) {
		carried := "" // variables and functions that an earlier block of the document has set
		for _, b := range blocks(t, file) {
			n, script := r.run(b, carried)
			commands += n
			carried = script
		}
	}
	schemas, err := apicheck.NewEvents(filepath.Join(root, "docs", "events"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range r.stack.Bus.Sent("results") { // of the demo, and of all that the documents begin
		if err := schemas.Check(e.Body); err != nil {
			t.Error(err)
		}
	}
	if commands < 30 {
		t.Errorf("%d commands were run", commands)
	}
	if t.Failed() {
		t.Log(log.String())
	}
}

// The wrapper tells on descriptor 9 what a call came to, and waits for the end of an operation that it began: a reader does, too.
const curl = `#!/usr/bin/env bash
set -uo pipefail
told=$(mktemp)
%[1]s "$@" -w "%%{stderr}\n%%{http_code} %%{method} %%{url_effective} %%header{location}\n" 2>"$told"
rc=$?
tail -n 1 "$told" >>%[2]s/calls
head -n -2 "$told" >&2
read -r status _ _ location < <(tail -n 1 "$told")
rm -f "$told"
case "$location" in */operations/*)
	echo "${location##*/}" >%[2]s/operation
	if [ "$status" = 202 ] && [ ! -e %[2]s/hurry ]; then
		for _ in $(seq 300); do
			%[1]s -s "%[3]s$location" -H 'x-functions-key: %[4]s' | jq -e '.phase == "done"' >/dev/null && break
			sleep 0.2
		done
	fi ;;
esac
exit $rc
`

// furnish puts what a reader has into the reader's folder: the program, the templates, and curl.
func (r *reader) furnish(app string) {
	r.t.Helper()
	system, err := exec.LookPath("curl")
	if err != nil {
		r.t.Fatal(err)
	}
	bin := filepath.Join(r.home, "bin")
	for _, dir := range []string{bin, filepath.Join(r.home, "infra")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			r.t.Fatal(err)
		}
	}
	r.write("bin/curl", fmt.Sprintf(curl, system, r.home, r.stack.Host.URL(), devstack.FunctionKey), 0o755)
	r.write("bin/point", fmt.Sprintf("#!/bin/sh\n%s -s '%s/api/recovery-points?service=contoso-eu' -H 'x-functions-key: %s' | jq -r '.recoveryPoints[0].id'\n", system, r.stack.Host.URL(), devstack.FunctionKey), 0o755)
	for _, at := range []string{"apim-dr", "bin/apim-dr"} {
		if err := os.Symlink(filepath.Join(app, "apim-dr"), filepath.Join(r.home, at)); err != nil {
			r.t.Fatal(err)
		}
	}
	templates, err := filepath.Glob(filepath.Join(root, "infra", "*.bicepparam"))
	if err != nil || len(templates) == 0 {
		r.t.Fatal(templates, err)
	}
	for _, f := range templates {
		b, err := os.ReadFile(f)
		if err != nil {
			r.t.Fatal(err)
		}
		r.write("infra/"+filepath.Base(f), string(b), 0o644)
	}
}

func (r *reader) write(name, text string, mode os.FileMode) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.home, name), []byte(text), mode); err != nil {
		r.t.Fatal(err)
	}
}

// asked is what the filters of the runbook read, by the comment behind each.
var asked = map[string]string{
	"# a dry run":    `curl -s -X POST $api/failovers -H "$key" -H "$json" -d '{"primary":"contoso-eu","dryRun":true}' | `,
	"# an operation": `curl -s $api/operations/ID -H "$key" | `,
	"# status":       `curl -s $api/status -H "$key" | `,
}

// run runs what is to be run of a block, and returns how many commands that were, and what the document's later blocks begin with.
func (r *reader) run(b block, carried string) (commands int, carry string) {
	var script, set []string
	for _, line := range b.lines {
		plain := strings.TrimSpace(line)
		switch {
		case plain == "" || strings.HasPrefix(plain, "#"):
			continue
		case left(line) >= 0 || regexp.MustCompile(`^make `).MatchString(plain): // of make, the other test
			continue
		case strings.HasPrefix(plain, "jq "):
			for comment, from := range asked {
				if strings.HasSuffix(plain, comment) {
					line = from + plain
				}
			}
		case regexp.MustCompile(`^(export )?[A-Za-z_]+=\S|^[a-z]+\(\) `).MatchString(plain):
			set = append(set, line)
		}
		script = append(script, line)
		commands++
	}
	text := strings.Join(script, "\n")
	if len(script) == 0 {
		return 0, carried
	}
	r.t.Run(fmt.Sprintf("%s:%d", b.file, b.line), func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		r.write("calls", "", 0o644)
		if strings.Contains(text, "/abandon ") {
			r.hurry(true)
			defer r.hurry(false)
			text = `curl -s -o began -X POST $api/drills -H "$key" -H "$json" -d '{"service":"contoso-eu"}'` + "\n" + text
		}
		cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", r.here(carried+"\n"+text))
		cmd.Dir = r.home
		cmd.Env = append(os.Environ(), "PATH="+filepath.Join(r.home, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%v\n%s\n--- said\n%s", err, text, out)
		}
		calls := r.calls()
		if strings.Contains(text, "curl ") && len(calls) == 0 {
			t.Errorf("no call was made by\n%s\n--- said\n%s", text, out)
		}
		for _, c := range calls {
			if c.status >= "400" || c.status < "200" {
				t.Errorf("%s %s was answered %s\n%s", c.method, c.url, c.status, out)
			}
		}
	})
	return commands, carried + "\n" + strings.Join(set, "\n")
}

// here puts what a reader puts in place of what the documents leave open.
func (r *reader) here(text string) string {
	here, err := filepath.Abs(root)
	if err != nil {
		r.t.Fatal(err)
	}
	return strings.NewReplacer(
		"go build -o apim-dr .", "go build -C "+here+" -o "+r.home+"/apim-dr .",
		"http://127.0.0.1:7071", r.stack.Host.URL(), "https://APP.azurewebsites.net", r.stack.Host.URL(), "x-functions-key: KEY", "x-functions-key: "+devstack.FunctionKey,
		"APIMDR_KEY=KEY", "APIMDR_KEY="+devstack.FunctionKey, "apim-dr operations ID", "apim-dr operations $(apim-dr operations -o json | jq -r .operations[0].id)", "not-covered ID", "not-covered $(point)",
		"operations/ID", `operations/$(cat operation)`, "recovery-points/ID", `recovery-points/$(point)`, "2026-01-31T14:00:00Z", time.Now().UTC().Format(time.RFC3339),
	).Replace(text)
}

// hurry lets calls return while their operations are at work, which then take a minute.
func (r *reader) hurry(on bool) {
	r.t.Helper()
	takes := 2 * time.Second
	if on {
		takes = time.Minute
		r.write("hurry", "", 0o644)
	} else if err := os.Remove(filepath.Join(r.home, "hurry")); err != nil {
		r.t.Error(err)
	}
	r.stack.ARM.Change(func(c *arm.Config) { c.BackupDuration, c.RestoreDuration = takes, takes })
}

func (r *reader) calls() (list []seen) {
	b, err := os.ReadFile(filepath.Join(r.home, "calls"))
	if err != nil {
		r.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) >= 3 {
			list = append(list, seen{f[0], f[1], f[2]})
		}
	}
	return list
}
