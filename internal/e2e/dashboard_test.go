package e2e

import (
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"apim-dr/internal/browsertest"
	"apim-dr/internal/standin/devstack"
)

// What somebody sees who runs make run and opens the address that it prints. It is not parallel: the story measures times.
func TestBrowserSeesTheFleetOfMakeRun(t *testing.T) {
	tab := browsertest.Open(t)
	var lines logLines
	s, err := devstack.Start(t.Context(), devstack.Options{App: filepath.Dir(binary), Instances: devstack.RunFleet(), Name: "run", Output: lines.add, Log: slog.New(slog.DiscardHandler), Settings: map[string]string{"TIMING_RESTORE_WITHIN": "30m"}})
	if err != nil {
		t.Fatal(err, lines.tail())
	}
	defer s.Close()
	story := devstack.NewStory(io.Discard)
	if _, err := s.Demo(t.Context(), story, io.Discard, 90*time.Second); err != nil {
		t.Fatal(err, lines.tail())
	}
	if err := s.Linger(t.Context(), story, io.Discard); err != nil {
		t.Fatal(err, lines.tail())
	}
	tab.Go(s.Host.URL() + "/api/dashboard")
	tab.Wait("the page asks for the key", "!document.getElementById('gate').hidden")
	tab.Fill("#key", devstack.FunctionKey)
	tab.Press("\r")
	tab.Wait("the fleet is shown", "!document.getElementById('fleet').hidden")
	tab.Look(browsertest.Look{Width: 1280, Height: 1100})
	tab.Picture("../../dist/dashboard/run.png")

	if got := tab.Text("#verdict"); got != "1 of 5 services not protected" {
		t.Error(got)
	}
	of := func(service string) string {
		return fmt.Sprintf("[...document.querySelectorAll('.service')].find((row) => row.querySelector('h3').textContent === %q)", service)
	}
	for service, want := range map[string][]string{
		"contoso-old": {"service bad", "not protected", "3 d 3 h old, RPO 26 h", "more than the RPO of 26h"},
		"contoso-lab": {"service look", "protected", "the last backup failed"},
		"contoso-big": {"service good", "protected", "backup, running", " of usually 10 min"},
		"contoso-eu":  {"service ", "failed over: contoso-us is active", "the last took 2 s", "expires in "},
		"contoso-us":  {"service good", "protected"},
	} {
		text := browsertest.Eval[string](tab, of(service)+".className + ' ' + "+of(service)+".innerText")
		for _, part := range want {
			if !strings.Contains(text, part) {
				t.Errorf("%s lacks %q:\n%s", service, part, text)
			}
		}
	}
	width := "parseFloat(" + of("contoso-big") + ".querySelector('.bar > i').style.width)"
	asked := "performance.getEntriesByType('resource').length"
	before := browsertest.Eval[[]float64](tab, "["+width+", "+asked+"]")
	tab.Wait("the page has asked again, and the running backup's bar has moved", fmt.Sprintf("%s > %f && %s > %f", asked, before[1], width, before[0]))
	for _, complaint := range tab.Complaints() {
		if !strings.Contains(complaint, "status of 401") { // to whoever has no key yet
			t.Error(complaint)
		}
	}
	for _, r := range tab.Requests() {
		if strings.Contains(r.URL, "?") || r.Headers["x-functions-key"] != "" && !strings.HasSuffix(r.URL, "/api/status") {
			t.Errorf("%+v", r)
		}
	}
}
