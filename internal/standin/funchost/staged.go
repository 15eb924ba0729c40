package funchost

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// app is a staged folder, read and found right.
type app struct {
	root                string
	settings            map[string]string
	host                hostFile
	executable          string
	arguments           []string
	functions           []*function
	routes              *http.ServeMux // hands the matched function to onRequest
	onRequest           func(http.ResponseWriter, *http.Request, *function)
	timeout, startLimit time.Duration // timeout 0: unbounded
	maxCalls            int
	maxRenewal          time.Duration
	mistakes            []error
}

// hostFile is what the stand-in reads of host.json.
type hostFile struct {
	Version, FunctionTimeout string
	CustomHandler            struct {
		Description struct {
			DefaultExecutablePath, WorkingDirectory string
			Arguments                               []string
		}
		EnableProxyingHTTPRequest, EnableForwardingHTTPRequest bool
		InitializationTimeout                                  string
		HTTP                                                   struct{ Routes []json.RawMessage }
	}
	Extensions struct {
		HTTP       struct{ RoutePrefix *string }
		ServiceBus struct {
			MaxConcurrentCalls         *int
			MaxAutoLockRenewalDuration string
			AutoCompleteMessages       *bool
		}
	}
}

// add notes a mistake, so that one start tells all of them.
func (a *app) add(where, format string, args ...any) {
	a.mistakes = append(a.mistakes, fmt.Errorf("%s: %w", where, fmt.Errorf(format, args...)))
}

// readApp reads and validates the staged folder.
func readApp(o Options) (*app, error) {
	root, err := filepath.Abs(o.Root)
	if err != nil {
		return nil, fmt.Errorf("staged folder: %w", err)
	}
	a := &app{root: root, settings: map[string]string{}, routes: http.NewServeMux()}
	var local struct {
		IsEncrypted bool
		Values      map[string]string
	}
	if err := readJSON(filepath.Join(root, "local.settings.json"), &local); err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.add("local.settings.json", "%w", err)
	} else if local.IsEncrypted {
		a.add("local.settings.json", "it is encrypted: run `func settings decrypt`")
	}
	maps.Copy(a.settings, local.Values)
	maps.Copy(a.settings, o.Settings)
	if err := readJSON(filepath.Join(root, "host.json"), &a.host); err != nil {
		a.add("host.json", "%w", err)
	} else {
		a.readHost()
	}
	if o.FunctionTimeout > 0 {
		a.timeout = o.FunctionTimeout
	}
	a.readFunctions()
	for name := range o.FunctionKeys {
		if a.function(name) == nil {
			a.add("function keys", "there is no function %q", name)
		}
	}
	return a, errors.Join(a.mistakes...)
}

func readJSON(path string, into any) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

func (a *app) function(name string) *function {
	for _, f := range a.functions {
		if strings.EqualFold(f.name, name) {
			return f
		}
	}
	return nil
}

func (a *app) readHost() {
	const where = "host.json"
	if a.host.Version != "2.0" {
		a.add(where, `version is %q; it must be "2.0"`, a.host.Version)
	}
	custom, bus := a.host.CustomHandler, a.host.Extensions.ServiceBus
	if len(custom.HTTP.Routes) > 0 {
		a.add(where, "customHandler.http.routes cannot be combined with function.json files")
	}
	path := custom.Description.DefaultExecutablePath
	if other := a.settings["AzureFunctionsJobHost__customHandler__description__defaultExecutablePath"]; other != "" {
		path = other
	}
	a.findExecutable(path)
	for _, arg := range custom.Description.Arguments {
		a.arguments = append(a.arguments, a.expand(arg, where))
	}
	a.startLimit = a.timeSpan(custom.InitializationTimeout, 30*time.Second, "customHandler.initializationTimeout")
	if a.host.FunctionTimeout != "-1" {
		a.timeout = a.timeSpan(a.host.FunctionTimeout, 30*time.Minute, "functionTimeout")
	}
	a.maxRenewal = a.timeSpan(bus.MaxAutoLockRenewalDuration, 5*time.Minute, "extensions.serviceBus.maxAutoLockRenewalDuration")
	a.maxCalls = 16 // documented; the code multiplies it by the number of cores
	if bus.MaxConcurrentCalls != nil {
		a.maxCalls = *bus.MaxConcurrentCalls
	}
	if a.maxCalls < 1 {
		a.add(where, "extensions.serviceBus.maxConcurrentCalls is %d; it must be at least 1", a.maxCalls)
	}
	if bus.AutoCompleteMessages != nil && !*bus.AutoCompleteMessages {
		a.add(where, "extensions.serviceBus.autoCompleteMessages false is not supported by this stand-in")
	}
}

// findExecutable looks in the staged folder first, then on PATH (for a runtime such as `node`), as the host does.
func (a *app) findExecutable(path string) {
	full := path
	if !filepath.IsAbs(path) {
		full = filepath.Join(a.root, path)
	}
	info, err := os.Stat(full)
	switch {
	case err == nil && info.Mode().IsRegular() && info.Mode()&0o111 == 0:
		a.add("host.json", "defaultExecutablePath: %s is not executable (chmod +x)", path)
		return
	case err == nil && info.Mode().IsRegular():
		a.executable = full
		return
	case path != "" && !strings.Contains(path, "/"):
		if a.executable, err = exec.LookPath(path); err == nil {
			return
		}
	}
	a.add("host.json", "customHandler.description.defaultExecutablePath: there is no file %q in the staged folder", path)
}

// timeSpan reads .NET's hh:mm:ss.
func (a *app) timeSpan(text string, absent time.Duration, name string) time.Duration {
	if text == "" {
		return absent
	}
	var hours, minutes, seconds int
	if n, err := fmt.Sscanf(text, "%d:%d:%d", &hours, &minutes, &seconds); err != nil || n != 3 || hours < 0 {
		a.add("host.json", "%s is %q; accepted: hh:mm:ss", name, text)
	}
	return time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute + time.Duration(seconds)*time.Second
}

var settingReference = regexp.MustCompile(`%([^%]+)%`)

// expand replaces %NAME% by the setting of that name.
func (a *app) expand(text, where string) string {
	return settingReference.ReplaceAllStringFunc(text, func(ref string) string {
		value, ok := a.settings[strings.Trim(ref, "%")]
		if !ok {
			a.add(where, "there is no setting for %s", ref)
		}
		return value
	})
}
