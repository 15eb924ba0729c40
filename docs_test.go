package main

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"apim-dr/handlers"
	"apim-dr/internal/dr"
	"apim-dr/internal/principal"
)

func TestTheREADMEHasEveryCallAndNoOther(t *testing.T) {
	_, calls, _ := strings.Cut(string(read(t, "README.md")), "\n## Calls\n")
	calls, _, _ = strings.Cut(calls, "\n## ")
	told := map[string]bool{}
	for _, call := range regexp.MustCompile("\\| `((?:GET|POST|PUT|DELETE) [^`?]*)").FindAllStringSubmatch(calls, -1) {
		told[call[1]] = true
	}
	for _, f := range new(handlers.App).Table() {
		if f.HTTP != nil && !told[f.Pattern] {
			t.Errorf("README.md lacks %s under Calls", f.Pattern)
		}
		if f.HTTP != nil && !regexp.MustCompile("(?m)^\\| `"+regexp.QuoteMeta(f.Pattern)+"[^|]* \\| `"+f.Name+"`, "+string(f.Role)+" \\|").MatchString(calls) {
			t.Errorf("README.md does not name %s and %s beside %s", f.Name, f.Role, f.Pattern)
		}
		delete(told, f.Pattern)
	}
	for call := range told {
		t.Errorf("README.md tells of %s, which does not exist", call)
	}
}

// check is one of dr's, as its source has it.
type check struct{ name, code string }

// The runbook is read in the middle of the night: it has every check and every code that an operation can end with, and no other.
func TestTheRunbookHasEveryCheckAndCode(t *testing.T) {
	checks, codes := checksOfPlans(t), map[string]bool{}
	table := rows(t, "The checks")
	for _, c := range checks {
		want := c.code
		override := map[bool]string{true: "yes", false: "no"}[slices.Contains(dr.Overridable(), c.name)]
		if c.code == "" {
			want, override = "none", "never fails"
		}
		row := table[c.name]
		if row == nil {
			t.Errorf("docs/runbook.md lacks the check %s", c.name)
		} else if code := strings.Trim(row[1], "`"); code != want || row[len(row)-1] != override {
			t.Errorf("docs/runbook.md has %s with code %q and override %q, want %q and %q", c.name, code, row[len(row)-1], want, override)
		}
		delete(table, c.name)
		codes[c.code] = true
	}
	for name := range table {
		t.Errorf("docs/runbook.md tells of the check %s, which does not exist", name)
	}

	table = rows(t, "How an operation can end")
	for code := range codesOfFailures(t) {
		if !codes[code] && table[code] == nil && !slices.Contains(elsewhere, code) {
			t.Errorf("docs/runbook.md lacks the code %s", code)
		}
		delete(table, code)
	}
	for code, row := range table {
		t.Errorf("docs/runbook.md tells of the code %s, which nothing ends with: %q", code, row)
	}
}

// What Resource Manager was seen to answer stands where somebody looks who was woken by it, and what is called recorded is.
func TestTheRunbookHasEveryCodeOfTheRecordings(t *testing.T) {
	recorded := codesOfRecordings(t)
	told := rows(t, "A backup failed")
	for code := range recorded {
		if told[code] == nil {
			t.Errorf("docs/runbook.md lacks the code %s under A backup failed", code)
		}
	}
	for _, title := range []string{"A backup failed", "A restore, failover or drill failed"} {
		for code, row := range rows(t, title) {
			if len(row) != 5 || !slices.Contains([]string{"recorded", "reported", "documented"}, row[1]) || recorded[code] != (row[1] == "recorded") {
				t.Errorf("docs/runbook.md, %s: %s is in the recordings: %v; its row is %q", title, code, recorded[code], row)
			}
		}
	}
}

// codesOfRecordings are the codes of the error answers that the ARM client is tried with.
func codesOfRecordings(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("internal/apim/testdata/recordings/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	codes := map[string]bool{}
	for _, f := range files {
		var exchanges []struct {
			ResponseBody struct {
				Code  string
				Error struct{ Code string }
			}
		}
		if err := json.Unmarshal(read(t, f), &exchanges); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		for _, e := range exchanges {
			for _, code := range []string{e.ResponseBody.Code, e.ResponseBody.Error.Code} {
				if code != "" {
					codes[code] = true
				}
			}
		}
	}
	if len(codes) < 5 {
		t.Fatalf("%d codes found", len(codes))
	}
	return codes
}

// elsewhere are codes that no operation ends with: they answer a re-arm, or are a reason inside another's message or a note.
var elsewhere = []string{"NotInPair", "NoRecoveryPoint", "UnknownService", "UntrustedLocation", "OutOfReach", "NoList", "InvalidBody"}

// rows are those of a section of the runbook.
func rows(t *testing.T, title string) map[string][]string {
	t.Helper()
	return table(t, "docs/runbook.md", title)
}

// section is what stands under a heading of the second level.
func section(t *testing.T, file, title string) string {
	t.Helper()
	_, text, found := strings.Cut(string(read(t, file)), "\n## "+title+"\n")
	if !found {
		t.Fatalf("%s has no section %q", file, title)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	return text
}

// table is the cells of the tables in a section, by the name in code in their first cell.
func table(t *testing.T, file, title string) map[string][]string {
	t.Helper()
	table := map[string][]string{}
	for line := range strings.Lines(section(t, file, title)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		for i := range cells {
			cells[i] = strings.Trim(cells[i], " |")
		}
		if name := regexp.MustCompile("^`(\\w+)`$").FindStringSubmatch(cells[0]); name != nil && strings.HasPrefix(line, "| ") {
			table[name[1]] = cells
		}
	}
	return table
}

// checksOfPlans reads the list of checks in the source: nothing else needs it.
func checksOfPlans(t *testing.T) (list []check) {
	t.Helper()
	ast.Inspect(parsed(t, "internal/dr/checks.go"), func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || spec.Names[0].Name != "checks" {
			return true
		}
		for _, element := range spec.Values[0].(*ast.CompositeLit).Elts {
			fields := element.(*ast.CompositeLit).Elts
			list = append(list, check{text(fields[0]), text(fields[1])})
		}
		return false
	})
	if len(list) < 15 {
		t.Fatalf("%d checks found", len(list))
	}
	return list
}

// codesOfFailures are the codes that dr.Failure is called with anywhere in the product.
func codesOfFailures(t *testing.T) map[string]bool {
	t.Helper()
	codes := map[string]bool{}
	for _, f := range goFiles(t, ".") {
		if strings.HasSuffix(f, "_test.go") || strings.Contains(f, "/standin/") {
			continue
		}
		ast.Inspect(parsed(t, f), func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 2 {
				return true
			}
			name := ""
			switch fun := call.Fun.(type) {
			case *ast.Ident:
				name = fun.Name
			case *ast.SelectorExpr:
				name = fun.Sel.Name
			}
			if code := text(call.Args[0]); name == "Failure" && code != "" {
				codes[code] = true
			}
			return true
		})
	}
	if len(codes) < 15 {
		t.Fatalf("%d codes found", len(codes))
	}
	return codes
}

func parsed(t *testing.T, file string) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// text is a string literal's value; "" for anything else.
func text(e ast.Expr) string {
	if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
		s, _ := strconv.Unquote(lit.Value)
		return s
	}
	return ""
}

// The table of roles in docs/security.md names each HTTP function beside its role, and no other.
func TestTheTableOfRolesIsTheCodes(t *testing.T) {
	text := string(read(t, "docs/security.md"))
	for _, role := range []principal.Role{principal.Reader, principal.Operator, principal.FailoverOperator} {
		_, row, _ := strings.Cut(text, "\n| `"+string(role)+"` |")
		row, _, _ = strings.Cut(row, "\n")
		var want []string
		for _, f := range (&handlers.App{}).Table() {
			if f.Role == role {
				want = append(want, f.Name)
			}
			if (f.HTTP == nil) != (f.Role == "") {
				t.Errorf("%s has the role %q", f.Name, f.Role)
			}
		}
		var got []string
		for _, m := range regexp.MustCompile("`([A-Za-z]+)`").FindAllStringSubmatch(row, -1) {
			got = append(got, m[1])
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: the document has %v, the code %v", role, got, want)
		}
	}
}
