package e2e

import (
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"apim-dr/internal/standin/devstack"
)

// An app behind built-in authentication: the token says who calls, and its roles what that one may.
func TestRolesOfEntraDecideWhoMayDoWhat(t *testing.T) {
	const reader, operator, failoverer, nobody = "00000000-0000-0000-0000-0000000000a1", "00000000-0000-0000-0000-0000000000a2", "00000000-0000-0000-0000-0000000000a3", "00000000-0000-0000-0000-0000000000a4"
	app := filepath.Join(t.TempDir(), "app")
	if err := devstack.Stage(app, "AUTH=entra"); err != nil {
		t.Fatal(err)
	}
	var lines logLines
	s, err := devstack.Start(t.Context(), devstack.Options{
		App: app, BackupDuration: time.Second, RetryAfter: time.Second, Instances: pair("entra", func(_, _ *devstack.Instance) {}), Name: "entra", Restarts: true, Output: lines.add, Log: slog.New(slog.DiscardHandler),
		Callers:  map[string][]string{reader: {"Reader"}, operator: {"Operator"}, failoverer: {"FailoverOperator"}, nobody: {"Owner"}},
		Settings: map[string]string{"AUTH": "entra"},
	})
	if err != nil {
		t.Fatal(err, lines.tail())
	}
	defer s.Close()
	forged := base64.StdEncoding.EncodeToString([]byte(`{"auth_typ":"aad","claims":[{"typ":"oid","val":"x"},{"typ":"roles","val":"FailoverOperator"}]}`))
	call := func(who, method, route, body string) (int, []byte) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, s.Host.URL()+route, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Ms-Client-Principal", forged) // never heard
		if who != "" {
			token, _ := s.Tokens.Issue(devstack.Audience, who)
			r.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, drain(t, resp)
	}
	const backup, failover = `{"service":"entra","reason":"why","ticket":"CHG-1"}`, `{"primary":"entra","dryRun":true}`
	for _, tc := range []struct {
		who                     string
		status, starts, switch_ int
	}{{"", 401, 401, 401}, {nobody, 403, 403, 403}, {reader, 200, 403, 403}, {operator, 200, 202, 403}, {failoverer, 200, 202, 200}} {
		got, _ := call(tc.who, http.MethodGet, "/api/status", "")
		started, body := call(tc.who, http.MethodPost, "/api/backups", backup)
		switched, _ := call(tc.who, http.MethodPost, "/api/failovers", failover)
		if got != tc.status || started != tc.starts || switched != tc.switch_ {
			t.Errorf("%q: status %d, backup %d, failover %d", tc.who, got, started, switched)
		}
		if started != http.StatusAccepted {
			continue
		}
		var op struct{ ID, RequestedBy, Ticket string }
		if err := json.Unmarshal(body, &op); err != nil || !strings.HasPrefix(op.RequestedBy, "entra: app "+tc.who+" (") || op.Ticket != "CHG-1" {
			t.Errorf("%s %v", body, err)
		}
		waitFor(t, "the event of "+op.ID, func() bool {
			for _, sent := range s.Bus.Sent("results") {
				if sent.MessageID == op.ID+":result" {
					return strings.Contains(string(sent.Body), `"requestedBy":"`+op.RequestedBy+`"`) && strings.Contains(string(sent.Body), `"ticket":"CHG-1"`)
				}
			}
			return false
		})
	}
	for who, want := range map[string]int{reader: 1, operator: 0} { // the command line with the login of az
		token, _ := s.Tokens.Issue(devstack.Audience, who)
		cmd := exec.CommandContext(t.Context(), binary, "backup", "entra", "--reason", "why")
		cmd.Env = []string{"APIMDR_URL=" + s.Host.URL(), "APIMDR_AUDIENCE=" + devstack.Audience, "PATH=" + loggedIn(t, token) + ":" + os.Getenv("PATH")}
		if out, err := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != want || want == 1 && !strings.Contains(string(out), "This needs the app role Operator") {
			t.Errorf("%s: %v\n%s", who, err, out)
		}
	}
	if token, _ := s.Tokens.Issue("https://management.azure.com", operator); !refusedFor(t, s, token) {
		t.Error("a token for somebody else opens")
	}
}

func refusedFor(t *testing.T, s *devstack.Stack, token string) bool {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.Host.URL()+"/api/status", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	drain(t, resp)
	return resp.StatusCode == http.StatusUnauthorized
}

// A package for built-in authentication does not serve where that is off: anybody could call it.
func TestAPackageWithoutKeysDoesNotStartWithKeys(t *testing.T) {
	t.Parallel()
	app := filepath.Join(t.TempDir(), "app")
	if err := devstack.Stage(app, "AUTH=entra"); err != nil {
		t.Fatal(err)
	}
	var lines logLines
	s, err := devstack.Start(t.Context(), devstack.Options{App: app, Instances: services("open"), Name: "open", Output: lines.add, Log: slog.New(slog.DiscardHandler)})
	if err == nil {
		s.Close()
		t.Fatal("it started")
	}
	if !lines.has(`AUTH: is "key", but this package lets anybody call AbandonOperation, `) {
		t.Error(lines.tail())
	}
}
