package cli

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

const (
	page       = "../../docs/break-glass.md"
	verifyPage = "../../docs/verify.md"
	appPage    = "../../docs/cli.md"
)

var update = flag.Bool("update", false, "write what is printed into docs/break-glass.md, docs/verify.md and docs/cli.md")

// The document is read in the middle of the night: what it shows is what is printed.
func TestTheDocumentOfTheDirectFailoverShowsWhatIsPrinted(t *testing.T) {
	var printed string
	bubble(t, func(t *testing.T, r *rig) {
		r.takes = 150 * time.Second
		r.setup.Warnings = nil
		var all bytes.Buffer
		r.together = &all
		if _, _, status := r.failover("--confirm", "contoso-us"); status != OK {
			t.Errorf("status %d", status)
		}
		printed = all.String()
	})
	shows(t, page, printed, directStatuses)
}

func TestTheDocumentOfTheFirstRunShowsWhatIsPrinted(t *testing.T) {
	var printed string
	bubble(t, func(t *testing.T, r *rig) {
		r.takes = 150 * time.Second
		r.setup.Warnings = nil
		var all bytes.Buffer
		r.together = &all
		dir := t.TempDir()
		if _, _, status := r.verified("--drill", "contoso-drill", "--record", filepath.Join(dir, "contoso.json")); status != OK {
			t.Errorf("status %d", status)
		}
		printed = strings.ReplaceAll(all.String(), dir+string(filepath.Separator), "")
	})
	shows(t, verifyPage, printed, verifyStatuses)
}

// shows holds the block of a document that is no code, and its exit statuses, against what is printed.
func shows(t *testing.T, page, printed, statuses string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	const open, fence = "\n\n```\n", "\n```\n"
	before, rest, _ := strings.Cut(string(text), open)
	shown, after, _ := strings.Cut(rest, fence)
	if printed = strings.TrimSpace(printed); *update {
		err = os.WriteFile(page, []byte(before+open+printed+fence+after), 0o644)
	} else if shown != printed {
		t.Errorf("%s lacks (go test ./internal/cli -run Document -update)\n%s", page, printed)
	}
	if err != nil {
		t.Fatal(err)
	}
	tellsStatuses(t, page, string(text), statuses)
}

func tellsStatuses(t *testing.T, page, text, statuses string) {
	t.Helper()
	for _, line := range strings.Split(statuses, "\n")[1:] {
		if _, means, _ := strings.Cut(strings.TrimSpace(line), "  "); !strings.Contains(text, means) {
			t.Errorf("%s does not tell of the exit status %s", page, line)
		}
	}
}

// shown is a command with the block after it that is no code.
var shown = regexp.MustCompile("(?s)\n```sh\n([^`]*)\n```\n\n```\n(.*?)```\n")

func TestTheDocumentOfTheCommandLineShowsWhatIsPrinted(t *testing.T) {
	text, err := os.ReadFile(appPage)
	if err != nil {
		t.Fatal(err)
	}
	printed := 0
	called(t, func(t *testing.T, r *rig, a *functionApp) {
		r.takes, a.way = 150*time.Second, 300*time.Millisecond
		id := func(args ...string) string { // in the second line of a list
			out, _, _ := r.run(args...)
			return regexp.MustCompile(`\d{8}-[a-z]+-\w+(-s\d-a\d)?`).FindString(out)
		}
		text = shown.ReplaceAllFunc(text, func(block []byte) []byte {
			m := shown.FindSubmatch(block)
			args := words(t, string(m[1]))[1:]
			switch strings.Join(args, " ") {
			case "operations ID":
				args[1] = id("operations")
			case "not-covered ID":
				args[1] = id("recovery-points", "contoso-eu")
			}
			var all bytes.Buffer
			r.together = &all
			_, _, status := r.run(args...)
			r.together = nil
			if status != OK {
				t.Errorf("%s: status %d\n%s", m[1], status, all.String())
			}
			printed++
			return fmt.Appendf(nil, "\n```sh\n%s\n```\n\n```\n%s\n```\n", m[1], strings.TrimSpace(all.String()))
		})
	})
	if printed < 10 {
		t.Errorf("%d commands are shown with what they print", printed)
	}
	now, _ := os.ReadFile(appPage)
	if *update {
		err = os.WriteFile(appPage, text, 0o644)
	} else if string(now) != string(text) {
		t.Errorf("%s lacks (go test ./internal/cli -run Document -update)\n%s", appPage, text)
	}
	if err != nil {
		t.Fatal(err)
	}
	tellsStatuses(t, appPage, string(text), appStatuses)
	bar := moment{phase: "running", what: "backup of contoso-eu", since: t0, now: t0.Add(114 * time.Second), usual: 150 * time.Second, begun: true}
	has(t, string(text), "\n"+bar.line(82)+"\n")
}

// Each command in the documents is one that is understood, with its flags.
func TestTheCommandsOfTheDocumentsAreUnderstood(t *testing.T) {
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	inText, block, inBlock := regexp.MustCompile("`(?:\\./)?apim-dr ([a-z][^`]*)`"), regexp.MustCompile("(?s)```sh\n(.*?)```"), regexp.MustCompile(`(?m)^ *(?:\./)?apim-dr ([a-z][^|\n]*)`)
	for _, file := range append(files, "../../README.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		commands := inText.FindAllSubmatch(text, -1)
		for _, b := range block.FindAllSubmatch(text, -1) {
			commands = append(commands, inBlock.FindAllSubmatch(b[1], -1)...)
		}
		for _, m := range commands {
			args := words(t, string(m[1]))
			cmd, rest, err := Options{}.root().Find(args)
			if err == nil {
				err = cmd.ParseFlags(rest)
			}
			if errors.Is(err, pflag.ErrHelp) || err != nil && strings.HasPrefix(err.Error(), "flag needs an argument") { // a sentence about a flag
				err = nil
			}
			if err != nil || cmd.Name() == "apim-dr" {
				t.Errorf("%s: apim-dr %s: %v", file, m[1], err)
				continue
			}
			if whole := cmd.Flags().NArg() > 0 || cmd.Flags().NFlag() > 0; whole && cmd.Args(cmd, cmd.Flags().Args()) != nil {
				t.Errorf("%s: apim-dr %s: %v", file, m[1], cmd.Args(cmd, cmd.Flags().Args()))
			}
			seen[cmd.CommandPath()] = true
		}
	}
	for _, cmd := range (Options{}).root().Commands() {
		if !cmd.HasSubCommands() && cmd.Name() != "help" && !seen[cmd.CommandPath()] {
			t.Errorf("no document tells of %s", cmd.CommandPath())
		}
	}
}

// The table of commands names each function beside its command, and each flag that is not all commands'.
func TestTheTableOfCommandsHasEveryFlag(t *testing.T) {
	text, err := os.ReadFile(appPage)
	if err != nil {
		t.Fatal(err)
	}
	everywhere := []string{"help", "output", "url", "verbose", "reason", "ticket"}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z][^`]*)` \\| (.*) \\| (.*) ?\\|$").FindAllStringSubmatch(string(text), -1) {
		cmd, _, err := Options{}.root().Find(words(t, m[1]))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range regexp.MustCompile("`--([a-z-]+)`").FindAllStringSubmatch(m[3], -1) {
			got = append(got, f[1])
		}
		for _, name := range got {
			if cmd.Flags().Lookup(name) == nil {
				t.Errorf("%s has no --%s", m[1], name)
			}
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			direct := cmd.Name() == "failover" && slices.Contains(append(ofDirect, "direct", "print-commands", "primary"), f.Name)
			if !direct && cmd.Name() != "operations" && !slices.Contains(everywhere, f.Name) && !slices.Contains(got, f.Name) {
				t.Errorf("the row of %s lacks --%s", m[1], f.Name)
			}
		})
	}
}

// words are those of a line of shell, without expansion.
func words(t *testing.T, line string) (list []string) {
	t.Helper()
	line, _, _ = strings.Cut(line, "  #")
	for _, m := range regexp.MustCompile(`'([^']*)'|(\S+)`).FindAllStringSubmatch(line, -1) {
		list = append(list, m[1]+m[2])
	}
	return list
}
