package infra_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"apim-dr/infra"
)

// deploy runs deploy.sh with these tools, which write down how they were called and in which folder, and no others of their kind.
func deploy(t *testing.T, tools []string, environ ...string) (calls, said string, err error) {
	t.Helper()
	dir := t.TempDir()
	log := filepath.Join(dir, "calls")
	for _, tool := range tools {
		script := "#!/bin/sh\nif [ \"$1 $2 $3\" = 'deployment sub show' ]; then printf 'rg-a\\tfunc-a\\nrg-b\\tfunc-b\\n'; exit; fi\n" +
			"echo \"" + tool + " $*$(test -x apim-dr && echo ' beside apim-dr')\" >>" + log + "\n"
		if err := os.WriteFile(filepath.Join(dir, tool), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	zip := filepath.Join(dir, "a.zip")
	staged := filepath.Join(dir, "staged")
	if err := os.MkdirAll(staged, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(staged, "apim-dr"), []byte("x"), 0o755); err != nil {
		t.Fatal(err)
	}
	pack := exec.Command("go", "run", "./internal/build/stagezip", staged, zip)
	pack.Dir = ".."
	if text, err := pack.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, text)
	}
	cmd := exec.Command("bash", "deploy.sh")
	path := []string{dir}
	for _, name := range []string{"bash", "go", "node", "dirname", "mktemp"} { // not the folders that az and func may be in
		at, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(at, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"cp", "rm", "sh", "test", "wc"} {
		if at, err := exec.LookPath(name); err == nil {
			_ = os.Symlink(at, filepath.Join(dir, name))
		}
	}
	cmd.Env = append([]string{"PATH=" + strings.Join(path, ":"), "HOME=" + os.Getenv("HOME"), "GOROOT=" + os.Getenv("GOROOT"), "ZIP=" + zip}, environ...)
	text, err := cmd.CombinedOutput()
	written, _ := os.ReadFile(log)
	return strings.ReplaceAll(string(written), zip, "ZIP"), string(text), err
}

func TestDeployUsesWhatIsInstalled(t *testing.T) {
	const one = "RG=rg-a NAME=func-a"
	for name, row := range map[string]struct {
		tools, environ, calls, fails string
	}{
		"az":             {"az func azd", one, "az functionapp deployment source config-zip --resource-group rg-a --name func-a --src ZIP\n", ""},
		"func":           {"func azd", one, "func azure functionapp publish func-a --custom beside apim-dr\n", ""},
		"chosen":         {"az func", one + " TOOL=func", "func azure functionapp publish func-a --custom beside apim-dr\n", ""},
		"all stamps":     {"az", "DEPLOYMENT=contosodr", "az functionapp deployment source config-zip --resource-group rg-a --name func-a --src ZIP\naz functionapp deployment source config-zip --resource-group rg-b --name func-b --src ZIP\n", ""},
		"as azd says":    {"func", `APPS=[{"resourceGroup":"rg-a","name":"func-a","url":"https://a"}]`, "func azure functionapp publish func-a --custom beside apim-dr\n", ""},
		"nothing there":  {"", one, "", "none of az, func and azd is installed"},
		"no such tool":   {"az", one + " TOOL=func", "", "TOOL=func is not installed"},
		"which app":      {"az", "RG=rg-a", "", "which Function App?"},
		"no such file":   {"az", one + " ZIP=/nowhere.zip", "", "/nowhere.zip is not there"},
		"needs az":       {"func", "DEPLOYMENT=contosodr", "", "DEPLOYMENT needs az"},
		"azd, two":       {"az azd", "DEPLOYMENT=contosodr TOOL=azd", "", "azd deploys one app"},
		"unknown to all": {"az bicep", one + " TOOL=bicep", "", "accepted: az, func, azd"},
	} {
		t.Run(name, func(t *testing.T) {
			calls, said, err := deploy(t, strings.Fields(row.tools), strings.Fields(row.environ)...)
			if calls != row.calls || (err != nil) != (row.fails != "") || !strings.Contains(said, row.fails) {
				t.Errorf("called %q, %v: %s", calls, err, said)
			}
		})
	}
}

// docs/deploy.md tells each action and each alert, and no other.
func TestTheDocumentHasEachActionAndAlert(t *testing.T) {
	text, err := os.ReadFile("../docs/deploy.md")
	if err != nil {
		t.Fatal(err)
	}
	section := func(name string) string {
		_, rest, _ := strings.Cut(string(text), "\n## "+name+"\n")
		rest, _, _ = strings.Cut(rest, "\n## ")
		return rest
	}
	var told, real []string
	for _, m := range regexp.MustCompile("(?m)^\\| (operator|reader) \\| [^|]*\\| `([^`]+)` \\|").FindAllStringSubmatch(section("Roles"), -1) {
		told = append(told, m[1]+" "+m[2])
	}
	for _, role := range []infra.Role{infra.Operator, infra.Reader} {
		for _, action := range infra.Actions(role) {
			real = append(real, string(role)+" "+action)
		}
	}
	if slices.Sort(told); !slices.Equal(told, slices.Sorted(slices.Values(real))) {
		t.Errorf("roles: told %q, real %q", told, real)
	}
	told, real = nil, nil
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| \\d ").FindAllStringSubmatch(section("Alerts"), -1) {
		told = append(told, m[1])
	}
	for _, a := range infra.Alerts() {
		real = append(real, a.Name)
	}
	if slices.Sort(told); !slices.Equal(told, slices.Sorted(slices.Values(real))) {
		t.Errorf("alerts: told %q, real %q", told, real)
	}
}
