// Package browsertest lets tests look at a page in a real Chromium.
package browsertest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// names are what a Chromium is called, as make test looks for it, too.
var names = []string{"chromium", "chromium-browser", "google-chrome"}

// within is how long a test may use a browser, and patience how long it may wait for one thing.
const (
	within   = 2 * time.Minute
	patience = 20 * time.Second
)

// Tab is an open page and what it has done so far.
type Tab struct {
	t    testing.TB
	ctx  context.Context
	mu   sync.Mutex
	sent []Request
	bad  []string
}

// Request is one that the page has sent.
type Request struct {
	URL     string
	Headers map[string]string // by name in lower case
}

// Look is how a page is looked at; the zero value is a wide window in light colours.
type Look struct {
	Width, Height int64 // CSS pixels; 0: 1280 by 900
	Dark          bool
	Still         bool // reduced motion is asked for
}

// Open starts a Chromium of the test's own with an empty tab. Without one on the PATH the test is skipped, which make test tells; with BROWSER_REQUIRED=1 it
// fails.
func Open(t testing.TB) *Tab {
	t.Helper()
	i := slices.IndexFunc(names, func(name string) bool { _, err := exec.LookPath(name); return err == nil })
	switch {
	case i < 0 && os.Getenv("BROWSER_REQUIRED") == "1":
		t.Fatalf("no Chromium on the PATH (%s); make test-browser installs Debian's", strings.Join(names, ", "))
	case i < 0:
		t.Skipf("NOT RUN, no Chromium on the PATH (%s)", strings.Join(names, ", "))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), within) // it ends in a cleanup, after the test's own
	ctx, stop := chromedp.NewExecAllocator(ctx, append(slices.Clip(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(names[i]), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))...)
	ctx, end := chromedp.NewContext(ctx)
	t.Cleanup(func() {
		end() // waits until the browser has ended
		stop()
		cancel()
	})
	tab := &Tab{t: t, ctx: ctx}
	if err := chromedp.Listen(ctx, tab.hear); err != nil {
		t.Fatalf("start %s: %v", names[i], err)
	}
	call(tab, network.Enable, network.EnableParams{})
	call(tab, log.Enable, cdp.Empty{})
	call(tab, runtime.Enable, cdp.Empty{})
	tab.Look(Look{})
	return tab
}

func (tab *Tab) hear(event any) {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		r := Request{URL: e.Request.URL, Headers: map[string]string{}}
		for name, value := range e.Request.Headers {
			r.Headers[strings.ToLower(name)] = fmt.Sprint(value)
		}
		tab.sent = append(tab.sent, r)
	case *runtime.EventConsoleAPICalled:
		tab.bad = append(tab.bad, fmt.Sprintf("console.%s", e.Type))
	case *runtime.EventExceptionThrown:
		tab.bad = append(tab.bad, fmt.Sprintf("exception: %s %s", e.ExceptionDetails.Text, e.ExceptionDetails.Exception.Description))
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Source == log.EntrySourceSecurity || e.Entry.Source == log.EntrySourceViolation {
			tab.bad = append(tab.bad, fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL))
		}
	}
}

// run does one thing in the tab, within patience.
func run[T any](tab *Tab, action chromedp.Action[T]) T {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	if err != nil {
		tab.t.Fatalf("browser: %v\n%s", err, strings.Join(tab.Complaints(), "\n"))
	}
	return value
}

func call[P, R any](tab *Tab, command cdp.Command[P, R], params P) R {
	tab.t.Helper()
	return run(tab, func(ctx context.Context, target *chromedp.Target) (R, error) {
		return cdp.Call(ctx, target, command, params)
	})
}

// Look changes how the page is looked at.
func (tab *Tab) Look(l Look) {
	tab.t.Helper()
	if l.Width == 0 {
		l.Width, l.Height = 1280, 900
	}
	scheme, motion := "light", "no-preference"
	if l.Dark {
		scheme = "dark"
	}
	if l.Still {
		motion = "reduce"
	}
	call(tab, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: l.Width, Height: l.Height, DeviceScaleFactor: 1})
	call(tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: motion}}})
}

// Go opens an address.
func (tab *Tab) Go(url string) {
	tab.t.Helper()
	run(tab, chromedp.Navigate(url))
}

// Press sends keys to what has the focus.
func (tab *Tab) Press(keys string) {
	tab.t.Helper()
	run(tab, chromedp.KeyEvent(keys))
}

// Click clicks on the first element that a selector finds.
func (tab *Tab) Click(selector string) {
	tab.t.Helper()
	run(tab, chromedp.Click(chromedp.CSS(selector)))
}

// Fill types a text into the first element that a selector finds.
func (tab *Tab) Fill(selector, text string) {
	tab.t.Helper()
	run(tab, chromedp.Steps(chromedp.Clear(chromedp.CSS(selector)), chromedp.SendKeys(chromedp.CSS(selector), text)))
}

// Text is what a person can read of an element, "" if there is none or it is not shown.
func (tab *Tab) Text(selector string) string {
	tab.t.Helper()
	return Eval[string](tab, fmt.Sprintf("((e) => e?.checkVisibility() ? e.innerText : '')(document.querySelector(%q))", selector))
}

// Wait waits until an expression is true. The page's policy forbids what chromedp would poll with.
func (tab *Tab) Wait(what, expression string) {
	tab.t.Helper()
	timeout := time.After(patience)
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for !Eval[bool](tab, "Boolean("+expression+")") {
		select {
		case <-tick.C:
		case <-timeout:
			tab.t.Fatalf("not within %v: %s\n%s\n%s", patience, what, strings.Join(tab.Complaints(), "\n"), tab.Text("body"))
		}
	}
}

// Requests are those that the page has sent so far.
func (tab *Tab) Requests() []Request {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	return slices.Clone(tab.sent)
}

// Complaints are errors, violations of the Content-Security-Policy and what the page wrote to the console.
func (tab *Tab) Complaints() []string {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	return slices.Clone(tab.bad)
}

// Picture writes what the whole page looks like to a PNG file.
func (tab *Tab) Picture(file string) {
	tab.t.Helper()
	whole := true
	png := call(tab, page.CaptureScreenshot, page.CaptureScreenshotParams{CaptureBeyondViewport: &whole}).Data
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		tab.t.Fatal(err)
	}
	if err := os.WriteFile(file, png, 0o644); err != nil {
		tab.t.Fatal(err)
	}
}

// Eval is the value of an expression in the page; of a promise, what it comes to.
func Eval[T any](tab *Tab, expression string) T {
	tab.t.Helper()
	return run(tab, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}
