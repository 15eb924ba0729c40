package handlers

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"apim-dr/internal/bus"
	"apim-dr/internal/engine"
	"apim-dr/internal/principal"
)

type binding struct {
	Type, Direction, Schedule, Route, AuthLevel, QueueName, Connection, DataType string
	Methods                                                                      []string
}

func bindings(t *testing.T) map[string][]binding {
	t.Helper()
	files, err := filepath.Glob("../functions/*/*")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]binding{}
	for _, f := range files {
		if filepath.Base(f) != "function.json" {
			t.Errorf("%s: a function's folder holds its function.json and nothing else", f)
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var fn struct{ Bindings []binding }
		if err := json.Unmarshal(b, &fn); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		found[filepath.Base(filepath.Dir(f))] = fn.Bindings
	}
	return found
}

func TestTheTableAndTheFolderAgree(t *testing.T) {
	folders := bindings(t)
	for _, f := range (&App{}).Table() {
		b := folders[f.Name]
		delete(folders, f.Name)
		if len(b) == 0 {
			t.Errorf("%s is in the table but has no functions/%s/function.json", f.Name, f.Name)
			continue
		}
		in := b[0]
		switch {
		case f.HTTP != nil:
			if in.Type != "httpTrigger" || len(b) != 2 || b[1].Type != "http" {
				t.Errorf("%s: a proxied function has one httpTrigger and one http output; has %+v", f.Name, b)
			}
			if _, path, _ := strings.Cut(f.Pattern, " "); path != "/api/"+in.Route {
				t.Errorf("%s: function.json says %q, the table %q", f.Name, in.Route, f.Pattern)
			}
			if len(in.Methods) != 0 {
				t.Errorf("%s: with methods in function.json the host answers a wrong one with a bare 404; without, we answer 405 and say what is accepted", f.Name)
			}
			if want := map[bool]string{true: "anonymous", false: "function"}[f.Role == principal.Anybody]; in.AuthLevel != want {
				t.Errorf("%s: authLevel is %s, want %s", f.Name, in.AuthLevel, want)
			}
		case f.Timer != nil:
			if in.Type != "timerTrigger" || !strings.HasPrefix(in.Schedule, "%") {
				t.Errorf("%s: a timer takes its schedule from a setting; has %+v", f.Name, in)
			}
		default:
			if in.Type != "serviceBusTrigger" || in.DataType != "binary" || in.Connection != "SERVICEBUS" {
				t.Errorf("%s: a queue function reads SERVICEBUS as binary, or a body's properties would pass for metadata; has %+v", f.Name, in)
			}
		}
	}
	for name := range folders {
		t.Errorf("functions/%s is not in the table", name)
	}
}

// Each queue that is sent to has a function that reads it, and one that reads its dead letters.
func TestNoQueueIsLeftUnread(t *testing.T) {
	read := map[string]bool{}
	for _, b := range bindings(t) {
		read[b[0].QueueName] = true
	}
	for _, q := range []engine.Queue{engine.Operations, engine.Polls} {
		if !read[string(q)] || !read[string(q)+"/$DeadLetterQueue"] {
			t.Errorf("queue %s: read %v", q, read)
		}
	}
	if read[bus.Results] {
		t.Error("results is for subscribers")
	}
}

// What anybody may call holds no data: this page alone.
func TestAnybodyMayCallThePageAlone(t *testing.T) {
	for _, f := range (&App{}).Table() {
		if (f.Role == principal.Anybody) != (f.Name == "GetDashboard") {
			t.Errorf("%s is for %s", f.Name, f.Role)
		}
	}
}
