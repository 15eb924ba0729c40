package secrets

import (
	"bufio"
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"apim-dr/internal/mask"
	"apim-dr/internal/standin/devstack"
)

// good are settings with which the handler starts, and a secret in each that can hold one.
func good(t *testing.T) map[string]string {
	fleet := `{"storages":{"main":{"account":"contosodrbackups","container":"apim-backups","access":"storageKey","keyVariable":"BACKUP_KEY"}},"plans":{"nightly":{"storage":"main"}},` +
		`"services":[{"id":"` + devstack.ResourceID("contoso-eu") + `","plan":"nightly","secondaries":[{"id":"` + devstack.ResourceID("contoso-us") + `"}]}]}`
	return map[string]string{
		"FLEET": fleet, "BACKUP_KEY": keys.Backups, "LOG_LEVEL": "debug", "FUNCTIONS_CUSTOMHANDLER_PORT": strconv.Itoa(freePort(t)),
		"SERVICEBUS":    "Endpoint=sb://127.0.0.1:1;SharedAccessKeyName=root;SharedAccessKey=" + keys.Bus,
		"STATE_STORAGE": "DefaultEndpointsProtocol=http;AccountName=contosodrstate;AccountKey=" + keys.State + ";BlobEndpoint=http://127.0.0.1:1/contosodrstate",
		"BLOB_ENDPOINT": "http://127.0.0.1:1/{account}", "ARM_ENDPOINT": "http://127.0.0.1:1", "ARM_AUDIENCE": "https://management.core.windows.net/",
		"CREDENTIAL": "clientSecret", "AZURE_TENANT_ID": "contoso.example", "AZURE_CLIENT_ID": "00000000-0000-0000-0000-00000000000a", "AZURE_CLIENT_SECRET": clientSecret,
		"IDENTITY_ENDPOINT": "http://127.0.0.1:1/msi/token", "IDENTITY_HEADER": keys.Identity, "AUTHORITY_HOST": "https://127.0.0.1:1",
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := devstack.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// handler is the real process without a host.
type handler struct {
	cmd   *exec.Cmd
	ready chan struct{} // closed when it serves
	gone  chan struct{} // closed when its output has ended
	mu    sync.Mutex
	out   bytes.Buffer
}

func startHandler(t *testing.T, settings map[string]string) *handler {
	t.Helper()
	h := &handler{cmd: exec.CommandContext(t.Context(), filepath.Join(app, "apim-dr")), ready: make(chan struct{}), gone: make(chan struct{})}
	for name, value := range settings {
		h.cmd.Env = append(h.cmd.Env, name+"="+value)
	}
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	h.cmd.Stderr = h.cmd.Stdout
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(h.gone)
		once := sync.OnceFunc(func() { close(h.ready) })
		for r := bufio.NewReader(out); ; {
			line, err := r.ReadString('\n')
			h.mu.Lock()
			h.out.WriteString(line)
			h.mu.Unlock()
			if strings.Contains(line, `"msg":"ready"`) {
				once()
			}
			if err != nil {
				return
			}
		}
	}()
	return h
}

// end kills the process and returns what it said.
func (h *handler) end() string {
	_ = h.cmd.Process.Kill() // it may have ended
	<-h.gone
	_ = h.cmd.Wait()
	return h.out.String()
}

func (h *handler) said() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.out.String()
}

// Each setting is broken in the ways in which settings break: cut off, with something before or behind, another's value, or taken away.
func TestAWrongSettingIsRefusedInSilenceAboutItsValue(t *testing.T) {
	base := good(t)
	sas := "https://contosodr.blob.core.windows.net/?sig=" + keys.Backups
	refused := 0
	for _, name := range slices.Sorted(maps.Keys(base)) {
		value := base[name]
		for how, broken := range map[string]string{
			"cut": value[:len(value)/2], "quoted": `"` + value + `"`, "with a tail": value + "x~", "the Service Bus's": base["SERVICEBUS"], "the storage's": base["STATE_STORAGE"],
			"a key": keys.Backups, "a signed URL": sas, "a client secret": clientSecret, "away": "", "a Key Vault reference": "@Microsoft.KeyVault(SecretUri=https://contoso.vault.azure.net/?" + keys.Bus + ")",
		} {
			settings := maps.Clone(base)
			settings[name] = broken
			h := startHandler(t, settings)
			select {
			case <-h.gone:
				refused++
			case <-h.ready: // it is not known to be wrong
			case <-time.After(20 * time.Second):
				t.Fatalf("%s, %s: %s", name, how, h.said())
			}
			if said := h.end(); len(heard.leaks(said)) > 0 || said == "" {
				t.Errorf("%s, %s: %v: %s", name, how, heard.leaks(said), said)
			}
		}
	}
	if refused < 60 {
		t.Errorf("%d of %d were refused", refused, 10*len(base))
	}
}

// Entra answers with the form that it was sent, and everything that needs a token tells why it has none.
func TestEntraMayQuoteTheClientSecret(t *testing.T) {
	asked := 0
	entra := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet { // the OpenID configuration
			at := "https://" + r.Host + "/contoso.example"
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"issuer":"%s/v2.0","authorization_endpoint":"%[1]s/oauth2/v2.0/authorize","token_endpoint":"%[1]s/oauth2/v2.0/token"}`, at)
			return
		}
		form, _ := io.ReadAll(r.Body)
		asked++
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, `{"error":"invalid_client","error_description":%q}`, "AADSTS7000215: "+quote(string(form)+" client_secret "+clientSecret))
	}))
	defer entra.Close()
	trusted := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(trusted, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: entra.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	settings := good(t)
	delete(settings, "STATE_STORAGE")
	delete(settings, "SERVICEBUS")
	settings["STATE_STORAGE__blobServiceUri"], settings["SERVICEBUS__fullyQualifiedNamespace"] = "https://127.0.0.1:1/contosodrstate", "contoso.servicebus.windows.net"
	settings["AUTHORITY_HOST"], settings["SSL_CERT_FILE"] = entra.URL, trusted
	settings["TIMING_PROBE"], settings["TIMING_SURVEY"] = "2s", "5s"
	h := startHandler(t, settings)
	defer h.end()
	select {
	case <-h.ready:
	case <-h.gone:
		t.Fatal(h.said())
	}
	at := "http://127.0.0.1:" + settings["FUNCTIONS_CUSTOMHANDLER_PORT"]
	var answers strings.Builder
	for route, body := range map[string]string{"/api/failovers": `{"primary":"contoso-eu","confirm":"contoso-us"}`, "/api/backups": `{"service":"contoso-eu"}`, "/BackupSchedule": `{"Data":{"timer":{}}}`} {
		resp, err := http.Post(at+route, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&answers, resp.Status, resp.Header, string(text))
	}
	said := h.end()
	if leaks := heard.leaks(said + answers.String()); len(leaks) > 0 {
		t.Errorf("%v: %s\n%s", leaks, said, &answers)
	}
	if asked == 0 || !strings.Contains(said, "AADSTS7000215: ") || !strings.Contains(said, mask.Redacted) {
		t.Errorf("Entra was asked %d times; nobody tells what it said: %s", asked, said)
	}
}

// The command line prints what ARM says to whoever has the terminal.
func TestTheCommandLineTellsNoSecret(t *testing.T) {
	settings := good(t)
	settings["ARM_ENDPOINT"], settings["BLOB_ENDPOINT"] = armURL, blobURL+"/{account}"
	settings["CREDENTIAL"], settings["IDENTITY_ENDPOINT"] = "managedIdentity", stack.Host.URL()+"/msi/token"
	delete(settings, "AZURE_CLIENT_ID")
	azure.lie(lie{method: "GET", path: "/", status: 403})
	defer azure.honest()
	cmd := exec.CommandContext(t.Context(), filepath.Join(app, "apim-dr"), "failover", "--direct", "--dry-run", "--verbose",
		"--primary-id", devstack.ResourceID("contoso-eu"), "--target-id", devstack.ResourceID("contoso-us"), "--storage", "contosodrbackups/apim-backups", "--access", "storageKey:BACKUP_KEY")
	delete(settings, "FLEET")
	for name, value := range settings {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, _ := cmd.CombinedOutput() // a plan that does not pass is an exit status, too
	if said := string(out); len(heard.leaks(said)) > 0 || !strings.Contains(said, mask.Redacted) {
		t.Errorf("%v: %.3000s", heard.leaks(said), said)
	}
}
