package main

import (
	"go/ast"
	"go/token"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"apim-dr/infra"
)

// What is logged stands in docs/telemetry.md, field by field, and what stands there is logged. internal/e2e holds the types against the lines of a real run.
func TestEveryFieldOfTheLogIsDocumented(t *testing.T) {
	told, logged := table(t, "docs/telemetry.md", "Fields"), fieldsLogged(t)
	if len(logged) < 60 {
		t.Fatalf("%d fields found in the code", len(logged))
	}
	for field, at := range logged {
		if told[field] == nil {
			t.Errorf("docs/telemetry.md lacks the field %s, which %s logs", field, at)
		}
	}
	for field := range told {
		if logged[field] == "" && !slices.Contains([]string{"time", "level", "msg"}, field) { // those are slog's own
			t.Errorf("docs/telemetry.md tells of the field %s, which nothing logs", field)
		}
	}
}

// What alerts look for is promised, and what is promised is written.
func TestStableMessagesAreThoseOfTheCode(t *testing.T) {
	promised := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(section(t, "docs/telemetry.md", "Messages to rely on"), -1) {
		promised[m[1]] = true
	}
	var code strings.Builder
	for _, f := range productFiles(t) {
		code.Write(read(t, f))
	}
	for message := range promised {
		literal, state, dynamic := strings.Cut(message, "rpo ") // the state is a constant of dr
		if dynamic && literal == "" {
			message = "rpo "
			if !strings.Contains(code.String(), strconv.Quote(state)) {
				t.Errorf("the code has no state %s", state)
			}
		}
		if !strings.Contains(code.String(), strconv.Quote(message)) {
			t.Errorf("docs/telemetry.md promises the message %q, which the code does not have", message)
		}
	}
	for _, a := range infra.Alerts() {
		for _, message := range a.Messages {
			if !promised[message] {
				t.Errorf("the alert %s looks for %q, which docs/telemetry.md does not promise", a.Name, message)
			}
		}
	}
}

func productFiles(t *testing.T) []string {
	t.Helper()
	return slices.DeleteFunc(goFiles(t, "."), func(f string) bool {
		return strings.HasSuffix(f, "_test.go") || strings.Contains(f, "/standin/") || strings.HasPrefix(f, "infra/") || strings.Contains(f, "/storetest/")
	})
}

// firstField is the place of the first key among the arguments of what logs. Those without Context are slog.Logger's only behind something called log.
var firstField = map[string]int{
	"DebugContext": 2, "InfoContext": 2, "WarnContext": 2, "ErrorContext": 2, "Log": 3, "Debug": 1, "Info": 1, "Warn": 1, "Error": 1, "With": 0,
	"Annotate": 1, "turnAway": 3, "append": 1,
}

// fieldsLogged are the keys of all log lines, each with a place where it is logged.
func fieldsLogged(t *testing.T) map[string]string {
	t.Helper()
	files, constants := map[string]*ast.File{}, map[string]string{}
	for _, f := range productFiles(t) {
		files[f] = parsed(t, f)
		maps.Copy(constants, keyConstants(files[f]))
	}
	fields := map[string]string{}
	for name, f := range files {
		take := func(list []ast.Expr) {
			for i := 0; i < len(list); i += 2 {
				key := keyOf(list[i], constants)
				if key == "" || i+1 == len(list) {
					t.Errorf("%s: a key that is neither a text nor a constant called Key…, or one without a value", name)
					return
				}
				fields[key] = name
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CompositeLit: // the beginning of args...
				if a, ok := n.Type.(*ast.ArrayType); ok && isIdent(a.Elt, "any") && len(n.Elts) > 0 && keyOf(n.Elts[0], constants) != "" {
					take(n.Elts)
				}
			case *ast.CallExpr:
				if at, ok := logs(n); ok && at < len(n.Args) {
					list := n.Args[at:]
					if n.Ellipsis.IsValid() {
						list = list[:len(list)-1] // of args..., which is looked at where it is made
					}
					take(list)
				}
				if s, ok := n.Fun.(*ast.SelectorExpr); ok && isIdent(s.X, "slog") && s.Sel.Name == "String" {
					take(n.Args)
				}
			}
			return true
		})
	}
	return fields
}

// logs tells where the keys begin in a call that logs.
func logs(call *ast.CallExpr) (int, bool) {
	switch f := call.Fun.(type) {
	case *ast.Ident: // append(args, …)
		return firstField["append"], f.Name == "append" && isIdent(call.Args[0], "args")
	case *ast.SelectorExpr:
		at, ok := firstField[f.Sel.Name]
		behind := ""
		switch x := f.X.(type) {
		case *ast.Ident:
			behind = x.Name
		case *ast.SelectorExpr:
			behind = x.Sel.Name
		}
		return at, ok && (strings.EqualFold(behind, "log") || f.Sel.Name == "Annotate" || f.Sel.Name == "turnAway")
	}
	return 0, false
}

func isIdent(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

// keyOf is the key that an expression stands for: a text, or a constant, of this package or another.
func keyOf(e ast.Expr, constants map[string]string) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		return text(e)
	case *ast.Ident:
		return constants[e.Name]
	case *ast.SelectorExpr:
		return constants[e.Sel.Name]
	}
	return ""
}

// keyConstants are the constants of a file whose names begin with Key.
func keyConstants(f *ast.File) map[string]string {
	found := map[string]string{}
	for _, d := range f.Decls {
		decl, ok := d.(*ast.GenDecl)
		if !ok || decl.Tok != token.CONST {
			continue
		}
		for _, s := range decl.Specs {
			for i, name := range s.(*ast.ValueSpec).Names {
				if values := s.(*ast.ValueSpec).Values; strings.HasPrefix(name.Name, "Key") && i < len(values) {
					found[name.Name] = text(values[i])
				}
			}
		}
	}
	return found
}
