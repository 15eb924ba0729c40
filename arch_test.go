package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func goList(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %v: %v\n%s", args, err, stderr.String())
	}
	lines := strings.Fields(string(out))
	slices.Sort(lines)
	return slices.Compact(lines)
}

func TestTheProductDoesNotImportItsStandIns(t *testing.T) {
	for _, p := range goList(t, "-deps", ".") {
		if strings.Contains(p, "/standin") || p == "apim-dr/infra" || p == "apim-dr/internal/apicheck" || p == "testing" {
			t.Errorf("the binary contains %s", p)
		}
	}
}

func TestDecisionsAreMadeWithoutIO(t *testing.T) {
	allowed := strings.Fields("cmp crypto/sha256 encoding/hex encoding/json errors fmt maps net/url regexp slices strconv strings time unicode unicode/utf8")
	for _, p := range goList(t, "-f", `{{join .Imports "\n"}}`, "./internal/dr") {
		if !slices.Contains(allowed, p) {
			t.Errorf("internal/dr imports %s", p)
		}
	}
	for _, f := range goFiles(t, "internal/dr") {
		if b := read(t, f); !strings.HasSuffix(f, "_test.go") && bytes.Contains(b, []byte("time.Now(")) {
			t.Errorf("%s reads the clock", f)
		}
	}
}

// The broker of the Service Bus stand-in is one without AMQP, and time is given to it.
func TestTheLocalBrokerIsTimedFromOutside(t *testing.T) {
	const broker = "internal/standin/servicebus/broker"
	for _, p := range goList(t, "-deps", "./"+broker) {
		if p == "net" || strings.HasSuffix(p, "/amqp") || strings.HasPrefix(p, "github.com/") {
			t.Errorf("%s depends on %s", broker, p)
		}
	}
	for _, f := range goFiles(t, broker) {
		if b := read(t, f); !strings.HasSuffix(f, "_test.go") && (bytes.Contains(b, []byte("time.Now(")) || bytes.Contains(b, []byte("time.After"))) {
			t.Errorf("%s reads the clock", f)
		}
	}
}

func TestEngineAndUsageKnowNoTransport(t *testing.T) {
	for _, p := range goList(t, "-deps", "./internal/engine") {
		if p == "net/http" || strings.HasPrefix(p, "github.com/") {
			t.Errorf("internal/engine depends on %s", p)
		}
	}
	for _, p := range goList(t, "-deps", "./internal/usage") {
		if p == "net/http" || strings.HasPrefix(p, "github.com/") {
			t.Errorf("internal/usage depends on %s", p)
		}
	}
}

// Inner packages do not look outwards, and adapters do not look at each other.
func TestImportsPointInwards(t *testing.T) {
	allowed := map[string][]string{
		"internal/trace": {}, "internal/mask": {}, "internal/principal": {}, "internal/dr": {}, "internal/usage": {"internal/dr"}, "internal/record": {}, "internal/dashboard": {}, "internal/customhandler": {"internal/trace"},
		"internal/engine":  {"internal/dr", "internal/trace"},
		"internal/apim":    {"internal/dr", "internal/trace", "internal/usage"},
		"internal/bus":     {"internal/dr", "internal/engine", "internal/trace", "internal/usage"},
		"internal/store":   {"internal/dr", "internal/engine", "internal/usage"},
		"internal/config":  {"internal/dr", "internal/mask", "internal/usage"},
		"internal/gateway": {"internal/dr"},
		"internal/direct":  {"internal/dr", "internal/engine"},
		"internal/client":  {"internal/dr"},
		"internal/cli":     {"internal/client", "internal/direct", "internal/dr", "internal/engine", "internal/record"},
		"internal/changes": {"internal/dr"},
		"handlers":         {"internal/bus", "internal/changes", "internal/customhandler", "internal/dashboard", "internal/dr", "internal/engine", "internal/principal", "internal/usage"},
	}
	for pkg, may := range allowed {
		for _, p := range goList(t, "-f", `{{join .Imports "\n"}}`, "./"+pkg) {
			if inner, ok := strings.CutPrefix(p, "apim-dr/"); ok && !slices.Contains(may, inner) {
				t.Errorf("%s imports %s", pkg, inner)
			}
		}
	}
}

// What calls the Function App is of use without the command line.
func TestTheClientKnowsNoCommandLine(t *testing.T) {
	for _, p := range goList(t, "-deps", "./internal/client") {
		if strings.HasPrefix(p, "github.com/") {
			t.Errorf("internal/client depends on %s", p)
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	said := map[string]bool{}
	for _, f := range goFiles(t, ".") {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), f, nil, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			t.Fatal(err)
		}
		said[filepath.Dir(f)] = said[filepath.Dir(f)] || parsed.Doc != nil
	}
	for dir, ok := range said {
		if !ok {
			t.Errorf("package %s has no comment", dir)
		}
	}
}

// The table of packages has each of them, or the folder that it lies in, and no other.
func TestTheArchitectureNamesEveryPackage(t *testing.T) {
	named := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`.*`) \\|").FindAllStringSubmatch(section(t, "docs/architecture.md", "Packages"), -1) {
		for _, m := range regexp.MustCompile("`([a-z0-9/]+?)(?:/…)?`").FindAllStringSubmatch(strings.Split(row[1], " | ")[0], -1) {
			named[m[1]] = false
		}
	}
	for _, p := range goList(t, "./...")[1:] { // without main
		dir, there := strings.TrimPrefix(p, "apim-dr/"), false
		for at := dir; at != "." && !there; at = path.Dir(at) {
			if _, there = named[at]; there {
				named[at] = true
			}
		}
		if !there {
			t.Errorf("docs/architecture.md lacks the package %s", dir)
		}
	}
	for name, found := range named {
		if !found {
			t.Errorf("docs/architecture.md tells of the package %s, which does not exist", name)
		}
	}
}

func TestSizesStayInBounds(t *testing.T) {
	product, standins, bus := 0, 0, 0
	for _, f := range goFiles(t, ".") {
		b := read(t, f)
		if n := bytes.Count(b, []byte("\n")); n > 400 && !strings.HasSuffix(f, "_test.go") {
			t.Errorf("%s has %d lines; split it at 400", f, n)
		}
		n := codeLines(b)
		switch {
		case strings.HasSuffix(f, "_test.go"), strings.HasSuffix(filepath.Dir(f), "/storetest"), strings.HasSuffix(filepath.Dir(f), "/memstore"), strings.HasSuffix(filepath.Dir(f), "/browsertest"): // code of tests
		case strings.HasPrefix(f, "internal/standin/"), strings.HasPrefix(f, "infra/"): // that reads the template for them
			standins += n
			if strings.HasPrefix(f, "internal/standin/servicebus/") {
				bus += n
			}
		default:
			product += n
		}
	}
	t.Logf("lines of code: product %d, stand-ins %d, of them Service Bus %d", product, standins, bus)
	if standins > product {
		t.Errorf("the stand-ins (%d lines) have outgrown the product (%d)", standins, product)
	}
	if bus > 1800 {
		t.Errorf("the Service Bus stand-in has %d lines; 1,800 are enough", bus)
	}
}

// A new dependency shows as a diff of testdata/modules.golden.
func TestTheBinaryLinksOnlyTheseModules(t *testing.T) {
	got := strings.Join(goList(t, "-deps", "-f", `{{with .Module}}{{if not .Main}}{{.Path}}@{{.Version}}{{end}}{{end}}`, "."), "\n") + "\n"
	want := string(read(t, "testdata/modules.golden"))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the modules linked into the binary changed; if that is meant, say why in docs/architecture.md and update testdata/modules.golden (-want +got):\n%s", diff)
	}
}

// Queues, settings and function folders are named in several places; these hold them together.
func TestFunctionsUseTheSettingsOfTheExample(t *testing.T) {
	var example struct{ Values map[string]string }
	if err := json.Unmarshal(read(t, "local.settings.json.example"), &example); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("functions/*/function.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no functions: %v", err)
	}
	for _, f := range files {
		var fn struct {
			Bindings []struct{ Schedule, Connection string }
		}
		if err := json.Unmarshal(read(t, f), &fn); err != nil {
			t.Fatal(err)
		}
		for _, b := range fn.Bindings {
			name := strings.Trim(b.Schedule, "%")
			if name == "" {
				name = b.Connection
			}
			if _, ok := example.Values[name]; name != "" && !ok {
				t.Errorf("%s needs the setting %s, which local.settings.json.example lacks", f, name)
			}
		}
	}
}

func TestTheMakefileBuildsWhatTheHostStarts(t *testing.T) {
	var host struct {
		CustomHandler struct {
			Description               struct{ DefaultExecutablePath string }
			EnableProxyingHTTPRequest bool
		}
		Extensions struct{ HTTP struct{ RoutePrefix string } }
	}
	if err := json.Unmarshal(read(t, "host.json"), &host); err != nil {
		t.Fatal(err)
	}
	exe := host.CustomHandler.Description.DefaultExecutablePath
	if !bytes.Contains(read(t, "Makefile"), []byte("-o $(APP).new/"+exe+" .")) {
		t.Errorf("host.json starts %q, which the Makefile does not build", exe)
	}
	if !host.CustomHandler.EnableProxyingHTTPRequest || host.Extensions.HTTP.RoutePrefix != "api" {
		t.Error("host.json must proxy HTTP requests below /api: the routes of the table start with it")
	}
}

func TestCIRunsTheTestCommandOfTheREADME(t *testing.T) {
	for _, f := range []string{"README.md", ".ci/run"} {
		lines := bufio.NewScanner(bytes.NewReader(read(t, f)))
		found := false
		for lines.Scan() {
			found = found || strings.HasPrefix(strings.TrimSpace(lines.Text()), "make test")
		}
		if !found {
			t.Errorf("%s does not call make test", f)
		}
	}
}

// codeLines counts lines that are neither blank nor comment alone: nobody shall save on those.
func codeLines(b []byte) (n int) {
	for line := range bytes.Lines(b) {
		if line = bytes.TrimSpace(line); len(line) > 0 && !bytes.HasPrefix(line, []byte("//")) {
			n++
		}
	}
	return n
}

func goFiles(t *testing.T, root string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == "dist" || strings.HasPrefix(d.Name(), ".") && path != ".") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, ".go") {
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
