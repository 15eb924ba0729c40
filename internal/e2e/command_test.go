package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/creack/pty"

	"apim-dr/internal/standin/arm"
	"apim-dr/internal/standin/devstack"
)

// command is the built binary as a person runs it against the stack.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env = []string{"APIMDR_URL=" + stack.Host.URL(), "APIMDR_KEY=" + devstack.FunctionKey, "TERM=xterm"}
	return cmd
}

// piped runs it without a terminal.
func piped(t *testing.T, args ...string) (out, err string, status int) {
	t.Helper()
	cmd := command(t, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if all := stdout.String() + stderr.String(); strings.ContainsAny(all, "\r\x1b") {
		t.Errorf("%q: control characters in a pipe: %q", args, all)
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

const terminalWidth = 90

// atTerminal runs it in a pseudo terminal. Whenever what was seen since the last answer has a prompt, the answer is typed.
func atTerminal(t *testing.T, cmd *exec.Cmd, dialogue ...[2]string) (seen string, status int) {
	t.Helper()
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 40, Cols: terminalWidth})
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	var all strings.Builder
	answered := 0
	for b := make([]byte, 4096); ; {
		n, err := terminal.Read(b)
		all.Write(b[:n])
		if len(dialogue) > 0 && strings.Contains(all.String()[answered:], dialogue[0][0]) {
			if _, err := io.WriteString(terminal, dialogue[0][1]); err != nil {
				t.Fatal(err)
			}
			answered, dialogue = all.Len(), dialogue[1:]
		}
		if err != nil { // EIO: the process has ended
			break
		}
	}
	if err := cmd.Wait(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if len(dialogue) > 0 {
		t.Errorf("%q was never seen in\n%s", dialogue[0][0], all.String())
	}
	return all.String(), cmd.ProcessState.ExitCode()
}

func TestAFailoverFromTheCommandLineShowsABarThatMoves(t *testing.T) {
	t.Parallel()
	const primary = "at-terminal"
	point := ended(t, startBackup(t, primary).ID).Legs[0].RecoveryPoint
	seen, status := atTerminal(t, command(t, "failover", primary, "--reason", "an exercise", "--wait"), [2]string{"Type its name to go on: ", standby(primary) + "\n"})
	if status != 0 || stack.ARM.Content(standby(primary)) != content(primary) {
		t.Errorf("status %d, %s holds %q\n%s", status, standby(primary), stack.ARM.Content(standby(primary)), seen)
	}
	for _, want := range []string{standby(primary) + ", which is OVERWRITTEN with recovery point " + point, "Checks", "SUCCEEDED: " + standby(primary) + " holds recovery point " + point} {
		if !strings.Contains(seen, want) {
			t.Errorf("no %q in\n%s", want, seen)
		}
	}
	_, bar, _ := strings.Cut(seen, "Type its name")
	var drawn []string
	for _, line := range strings.Split(strings.ReplaceAll(bar, "\r\n", "\n"), "\r") {
		line, _, _ = strings.Cut(line, "\n")
		if strings.Contains(line, "[") {
			drawn = append(drawn, line)
		}
		if len(line) >= terminalWidth {
			t.Errorf("%q wraps", line)
		}
	}
	if slices.Sort(drawn); len(slices.Compact(drawn)) < 4 { // it is looked at after 5 seconds, and drawn each second
		t.Errorf("drawn: %q", drawn)
	}

	// What is begun goes on without the command.
	seen, status = atTerminal(t, command(t, "backup", primary, "--wait"), [2]string{"queued", "\x03"})
	_, id, _ := strings.Cut(seen, "apim-dr operations ")
	id, _, _ = strings.Cut(id, " ")
	if status != 4 || !strings.Contains(seen, "The backup of "+primary+" goes on without this command") || ended(t, id).Outcome != "succeeded" {
		t.Errorf("status %d\n%s", status, seen)
	}
}

func TestInAPipeTheCommandLineSpeaksJSONAndItsStatusTellsTheOutcome(t *testing.T) {
	t.Parallel()
	for primary, tc := range map[string]struct {
		status          int
		outcome, active string
	}{"in-pipe": {0, "succeeded", standby("in-pipe")}, "in-pipe-bad": {3, "failed", "in-pipe-bad"}} {
		t.Run(tc.outcome, func(t *testing.T) {
			t.Parallel()
			ended(t, startBackup(t, primary).ID)
			if _, err, status := piped(t, "failover", primary, "--wait"); status != 2 || !strings.Contains(err, "Pass --confirm "+standby(primary)) {
				t.Errorf("not confirmed: status %d\n%s", status, err)
			}
			if tc.outcome == "failed" {
				stack.ARM.FailNext(standby(primary), arm.Restore, &arm.Error{Status: 400, Code: "RestoreFailed", Message: "no"})
			}
			out, err, status := piped(t, "failover", primary, "--confirm", standby(primary), "--wait", "--output", "json")
			var op operation
			if decoded := json.Unmarshal([]byte(out), &op); decoded != nil || status != tc.status || op.Outcome != tc.outcome || op.Kind != "failover" || !strings.HasPrefix(op.RequestedBy, "http: ") {
				t.Errorf("status %d, %v\n%s%s", status, decoded, out, err)
			}
			if !strings.Contains(err, "Z  queued     restore of "+standby(primary)+"\n") {
				t.Errorf("no line with its time in\n%s", err)
			}
			out, err, status = piped(t, "status", primary, "--output", "json")
			var p struct{ Active string }
			if decoded := json.Unmarshal([]byte(out), &p); decoded != nil || status != 0 || p.Active != tc.active {
				t.Errorf("status %d, %v\n%s%s", status, decoded, out, err)
			}
		})
	}
	cmd := command(t, "status")
	cmd.Env = append(cmd.Env, "APIMDR_KEY=wrong")
	if text, err := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(text), "APIMDR_KEY is not a key of GetStatus") {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestAPersonWhoStartsItWithoutArgumentsIsToldOfHelp(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), binary)
	cmd.Env = []string{}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "FLEET") || !strings.Contains(string(out), "apim-dr --help") {
		t.Errorf("%v\n%s", err, out)
	}
}
