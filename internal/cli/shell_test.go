package cli

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"apim-dr/internal/apim"
	"apim-dr/internal/dr"
)

// recorder is a program that writes down what it was called with: NUL after each argument.
const recorder = `#!/bin/sh
printf '%s\0' "$(basename "$0")" "$@" >>"$CALLS"
printf '\n' >>"$CALLS"
case "$*" in
*provisioningState*) [ -e "$CALLS.seen" ] && echo Succeeded || echo Updating; : >"$CALLS.seen" ;;
*gatewayUrl*) echo https://contoso-us.azure-api.net ;;
esac
`

// execute runs a script with az, curl and sleep replaced and returns their calls.
func execute(t *testing.T, script string, environ ...string) (calls [][]string, err error) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"az", "curl", "sleep"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(recorder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	check := exec.CommandContext(t.Context(), "sh", "-n")
	check.Stdin = strings.NewReader(script)
	if out, err := check.CombinedOutput(); err != nil {
		t.Fatalf("no shell script: %v %s\n%s", err, out, script)
	}
	file := filepath.Join(dir, "calls")
	run := exec.CommandContext(t.Context(), "sh")
	run.Stdin = strings.NewReader(script)
	run.Env = append([]string{"PATH=" + dir + ":" + os.Getenv("PATH"), "CALLS=" + file}, environ...)
	out, err := run.CombinedOutput()
	if err != nil {
		err = errors.New(string(out))
	}
	text, _ := os.ReadFile(file) // nothing was called
	for line := range strings.SplitSeq(string(text), "\x00\n") {
		if line != "" {
			calls = append(calls, strings.Split(line, "\x00"))
		}
	}
	return calls, err
}

func TestThePrintedCommandsDoWhatTheProductDoes(t *testing.T) {
	var script, sent string
	bubble(t, func(t *testing.T, r *rig) {
		var status int
		if script, _, status = r.failover("--print-commands"); status != OK || len(r.bodies) > 0 {
			t.Fatalf("status %d, sent %q", status, r.bodies)
		}
		if _, _, status = r.failover("--confirm", "contoso-us"); status != OK {
			t.Fatal(status)
		}
		sent = r.bodies[0]
	})
	calls, err := execute(t, script, "BACKUP_KEY="+theKey)
	if err != nil {
		t.Fatal(err)
	}
	url, body, _ := strings.Cut(sent, " ")
	show := []string{"az", "apim", "show", "--ids", targetID, "--query", "provisioningState", "--output", "tsv"}
	want := [][]string{
		{"az", "account", "show", "--output", "none"},
		{"az", "rest", "--method", "post", "--url", url, "--headers", "Content-Type=application/json", "--body", body},
		{"sleep", "60"}, show, {"sleep", "60"}, show,
		{"az", "monitor", "activity-log", "list", "--resource-id", targetID, "--offset", "6h", "--query", "[?contains(operationName.value, 'restore')].[eventTimestamp, status.value]", "--output", "table"},
		{"az", "apim", "show", "--ids", targetID, "--query", "gatewayUrl", "--output", "tsv"},
		{"curl", "--silent", "--show-error", "--max-time", "10", "--output", "/dev/null", "--write-out", `%{http_code}\n`, "https://contoso-us.azure-api.net/status-0123456789abcdef"},
	}
	if !slices.EqualFunc(calls, want, slices.Equal) {
		t.Errorf("called %q\nwant   %q", calls, want)
	}
	has(t, script, `"accessKey":"'"$BACKUP_KEY"'"`, "# warn content: contoso-us gets the users", "# - add the hostname api.contoso.com", `rearm {"active":"contoso-us","suspended":true}`)
	if calls, err := execute(t, script); err == nil || len(calls) > 1 {
		t.Errorf("without the key: %v, called %q", err, calls)
	}
}

func TestThePrintedCommandsNeedNoPlanNorAccess(t *testing.T) {
	down := errors.New("out\nof 'reach' $(touch pwned)")
	id := dr.NewID(dr.KindBackup, t0, "c") + "-s0-a1"
	for name, tc := range map[string]struct {
		change func(*rig)
		args   []string
		status int
		says   string
	}{
		"a check fails":               {func(r *rig) { r.state["contoso-us"] = "Failed" }, nil, OK, "# FAIL state: contoso-us is in state Failed"},
		"nothing can be read":         {func(r *rig) { r.vault.Fail(func(string, string) error { return down }) }, []string{"--recovery-point", id}, OK, "# of 'reach' $(touch pwned)"},
		"no login":                    {func(r *rig) { r.setup.Login = func(context.Context) error { return down } }, nil, OK, "# not looked at: out\n# of 'reach'"},
		"nothing is known to restore": {func(r *rig) { r.vault.Fail(func(string, string) error { return down }) }, nil, Refused, "az storage blob list --auth-mode login --account-name contosodrbackups"},
		"with a final backup":         {func(*rig) {}, []string{"--final-backup", "auto"}, Usage, "leave out --final-backup"},
	} {
		t.Run(name, func(t *testing.T) {
			var out string
			bubble(t, func(t *testing.T, r *rig) {
				tc.change(r)
				var err string
				var status int
				if out, err, status = r.failover(append([]string{"--print-commands"}, tc.args...)...); status != tc.status {
					t.Errorf("status %d", status)
				}
				has(t, out+err, tc.says)
			})
			if tc.status != OK {
				return
			}
			calls, err := execute(t, out, "BACKUP_KEY="+theKey)
			if err != nil || len(calls) != 9 {
				t.Errorf("%v, called %q", err, calls)
			}
			if name == "nothing can be read" {
				has(t, out, `"backupName":"`+id+`"`, "its id is taken as it was given")
			}
		})
	}
}

func TestNothingThatIsPrintedLeavesItsWordOrItsComment(t *testing.T) {
	for _, text := range []string{"it's", "$(touch x)", "`touch x`", `a"b\`, "a\nb", "!x", "'", ""} {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", "printf %s "+quote(text)).Output()
		if err != nil || string(out) != text {
			t.Errorf("%q became %q (%v)", text, out, err)
		}
		var b strings.Builder
		comment(&b, text)
		if out, err := exec.CommandContext(t.Context(), "sh", "-c", b.String()).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("the comment %q did %q (%v)", b.String(), out, err)
		}
	}
}

// Each way of access becomes the body that ARM takes, and only a key a variable.
func TestTheBodyOfEachAccess(t *testing.T) {
	for want, r := range map[string]Request{
		`'{"accessType":"SystemAssignedManagedIdentity"}'`: {Body: `{"accessType":"` + string(apim.SystemAssigned) + `"}`},
		`'{"accessKey":"'"$KEY"'"}'`:                       {Body: `{"accessKey":"$KEY"}`, Variable: "KEY"},
		`'{"containerName":"it'\''s"}'`:                    {Body: `{"containerName":"it's"}`},
	} {
		if got := r.body(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
