package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"apim-dr/infra"
	"apim-dr/internal/standin/arm"
	"apim-dr/internal/standin/azurite"
	"apim-dr/internal/standin/devstack"
)

// deployed grants what the template grants, and that one may list what one may do.
func deployed(c *arm.Config) {
	own := devstack.ResourceID("contoso-eu")
	subscription := own[:strings.Index(own, "/resourceGroups/")]
	c.Grants = []arm.Grant{{Scope: subscription, Actions: append(infra.Actions(infra.Reader), "Microsoft.Authorization/permissions/read")}}
	for _, s := range c.Services {
		c.Grants = append(c.Grants, arm.Grant{Scope: s.ID, Actions: infra.Actions(infra.Operator)})
	}
}

func TestTheBinaryVerifiesWithTheLoginOfAz(t *testing.T) {
	t.Parallel()
	h := byHand(t, deployed, "contoso-eu", "contoso-us", "contoso-drill")
	h.environ = append(h.environ, `FLEET={"storages":{"north":{"account":"`+h.backups.Account+`","container":"`+h.backups.Container+`","access":"storageKey","keyVariable":"BACKUP_KEY"}},
		"plans":{"nightly":{"storage":"north"}},"services":[{"id":"`+devstack.ResourceID("contoso-eu")+`","plan":"nightly","secondaries":[{"id":"`+devstack.ResourceID("contoso-us")+`"}],
		"drillInstance":"`+devstack.ResourceID("contoso-drill")+`"}]}`)
	dir := t.TempDir()
	recording := func(name string) []byte {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"contoso", "rg-", azurite.Key, azurite.Key[:20], h.token, h.token[:20], backupAccount, h.backups.Container, "-backup-", "Bearer"} {
			if bytes.Contains(text, []byte(secret)) {
				t.Errorf("%s tells %s", name, secret)
			}
		}
		return text
	}
	posts := func() (n int) {
		for _, r := range h.arm.Requests() {
			if r.Method == "POST" {
				n++
			}
		}
		return n
	}

	out, status := h.run(t, "verify", "--service", "contoso-eu", "--drill", "contoso-drill", "--record", filepath.Join(dir, "well.json"))
	if status != 0 || h.arm.Content("contoso-drill") != "of contoso-eu" || posts() != 2 {
		t.Fatalf("status %d, contoso-drill holds %q\n%s", status, h.arm.Content("contoso-drill"), out)
	}
	for _, want := range []string{"contoso-drill: nothing is missing", "read from storage, names the same recovery point: good", "from the POST to the verified end", "answers 200", "the instance showed Updating"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	well := recording("well.json")

	h.arm.FailNext("contoso-eu", arm.Backup, &arm.Error{Status: 400, Code: "BackupFailed", Message: "Cannot backup contoso-eu: no space"})
	out, status = h.run(t, "verify", "--record", filepath.Join(dir, "failed.json"))
	if status != 3 || !strings.Contains(out, "BackupFailed: Cannot backup contoso-eu: no space") || posts() != 3 {
		t.Errorf("ARM fails: status %d\n%s", status, out)
	}
	failed := recording("failed.json")
	if !bytes.Contains(failed, []byte("Cannot backup service-1: no space")) {
		t.Errorf("the recording has no failure in it: %s", failed)
	}

	h.arm.Change(func(c *arm.Config) {
		for i, g := range c.Grants {
			if g.Scope == devstack.ResourceID("contoso-eu") {
				c.Grants[i].Actions = []string{"Microsoft.ApiManagement/service/read", "Microsoft.ApiManagement/service/restore/action"}
			}
		}
	})
	out, status = h.run(t, "verify", "--record", filepath.Join(dir, "missing.json"))
	if status != 2 || !strings.Contains(out, "FAIL     contoso-eu: Microsoft.ApiManagement/service/backup/action is missing") || posts() != 3 {
		t.Errorf("a permission is missing: status %d\n%s", status, out)
	}
	missing := recording("missing.json")
	replay(t, h.armURL, map[string][]byte{"well.json": well, "failed.json": failed, "missing.json": missing})
}

// replay hands recordings to the test of those that come with the ARM client, as if they had been made at Azure's own address.
func replay(t *testing.T, armURL string, recordings map[string][]byte) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range recordings {
		if err := os.WriteFile(filepath.Join(dir, name), bytes.ReplaceAll(text, []byte(armURL), []byte("https://management.azure.com")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-v", "-run", "TestEveryRecordedExchangeGetsItsVerdict/(well|failed|missing)", "apim-dr/internal/apim")
	cmd.Env = append(os.Environ(), "RECORDINGS_DIR="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("the recordings do not replay: %v\n%s", err, out)
	}
	for name := range recordings {
		if !bytes.Contains(out, []byte("--- PASS: TestEveryRecordedExchangeGetsItsVerdict/"+name)) {
			t.Errorf("%s was not replayed:\n%s", name, out)
		}
	}
}
