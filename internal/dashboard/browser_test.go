package dashboard_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"apim-dr/internal/browsertest"
	"apim-dr/internal/customhandler"
	"apim-dr/internal/dashboard"
	"apim-dr/internal/dr"
)

// of is the expression for what a selector finds within a service's row.
func of(service, selector string) string {
	return fmt.Sprintf("[...document.querySelectorAll('.service')].find((row) => row.querySelector('h3').textContent === %q).querySelector(%q)", service, selector)
}

func row(t *testing.T, tab *browsertest.Tab, service string) (text, class string) {
	t.Helper()
	found := browsertest.Eval[[]string](tab, fmt.Sprintf("(() => { const row = %s.closest('.service'); return [row.innerText, row.className]; })()", of(service, "h3")))
	return found[0], found[1]
}

func hasAll(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%s lacks %q:\n%s", what, part, text)
		}
	}
}

func TestBrowserShowsWhatStandsOut(t *testing.T) {
	tab := browsertest.Open(t)
	st := newStage(t, dashboard.Key, fleet)
	st.enter(t, tab)
	order := browsertest.Eval[[]string](tab, "[...document.querySelectorAll('.service h3')].map((h) => h.textContent)")
	if want := []string{"contoso-new", "contoso-old", "contoso-eu", "contoso-lab", "contoso-us"}; !slices.Equal(order, want) {
		t.Errorf("%q, want the worst first: %q", order, want)
	}
	hasAll(t, "the summary", tab.Text("#fleet"), "2 of 5 services not protected", "3 protected, 2 of them to look at, 4 operations in flight", "drill into contoso-drill, running", "1 min, what is usual is not known", "this stamp: northeurope")
	if title := browsertest.Eval[string](tab, "document.title"); title != "2 not protected · apim-dr" {
		t.Error(title)
	}
	for service, want := range map[string]struct {
		class string
		parts []string
	}{
		"contoso-us":  {"good", []string{"protected", "plan nightly, active", "9 h old, RPO 26 h", "good on 29 days, bad on 2", "no drill instance is configured", "recoverable", "backup, running", "9 min of usually 21 min", "expires in 29 d 15 h, 2 things left to do by hand after a restore"}},
		"contoso-old": {"bad", []string{"not protected", "3 d 3 h old, RPO 26 h", "the newest good recovery point is 75h0m0s old, more than the RPO of 26h0m0s", "contoso-old is held until ", "by http: ann: release 12", "good on 27 days"}},
		"contoso-new": {"bad", []string{"not protected", "none, RPO 26 h", "contoso-new has no good recovery point", "no backup has ended", "backup, queued", "for 2 min, not begun at Azure", "contoso-new is Updating"}},
		"contoso-lab": {"look", []string{"protected", "the last backup failed", "22 h 50 min old", "backup, running", "39 min, longer than usual (21 min)"}},
		"contoso-eu":  {"look", []string{"failed over: contoso-us is active", "the last took 26 min, 7 d ago", "not recoverable", "the backup storage contosodrus lies in eastus, as contoso-us does", "1 standby"}},
	} {
		text, class := row(t, tab, service)
		hasAll(t, service, text, want.parts...)
		if class != "service "+want.class {
			t.Errorf("%s is %q, want %q", service, class, want.class)
		}
	}
	for service, want := range map[string]string{"contoso-us": "28%", "contoso-old": "100%", "contoso-new": "0px"} {
		if got := browsertest.Eval[string](tab, of(service, ".meter > i")+".style.width"); got != want {
			t.Errorf("the bar of %s is %s wide, want %s", service, got, want)
		}
	}
	if got := browsertest.Eval[string](tab, of("contoso-old", ".meter")+".getAttribute('aria-valuetext')"); got != "3 d 3 h old, RPO 26 h" {
		t.Error(got)
	}
	// The strip and the chart: a column for each day, and each drill.
	for path, want := range map[string]int{".strip .good": 29, ".strip .bad": 2, ".strip .none": 0} {
		if got := browsertest.Eval[int](tab, "("+of("contoso-us", path)+".getAttribute('d').match(/M/g) ?? []).length"); got != want {
			t.Errorf("%s has %d columns, want %d", path, got, want)
		}
	}
	if got := browsertest.Eval[[]int](tab, "['good', 'bad'].map((c) => "+of("contoso-eu", ".drills")+".querySelectorAll('.' + c).length)"); !slices.Equal(got, []int{6, 1}) {
		t.Errorf("drills %v", got)
	}
	browsertest.Eval[any](tab, of("contoso-eu", "summary")+".click()")
	tab.Wait("the details", of("contoso-eu", "dl")+".children.length > 0")
	text, _ := row(t, tab, "contoso-eu")
	hasAll(t, "the details", text, "add it with its certificate (from KeyVault)", "the developer portal: publish its content again", "contoso-us is active (home is contoso-eu); contoso-eu stands by and follows no backup until it is re-armed", "a backup 21 min, a restore 30 min", ": failed", "recovered in 31 min")
	fine(t, tab)
}

func TestBrowserMovesWhatIsInFlightAndAsksAgain(t *testing.T) {
	t.Parallel() // it mostly waits
	tab := browsertest.Open(t)
	st := newStage(t, dashboard.Key, fleet)
	st.enter(t, tab)
	bar := of("contoso-us", ".op .bar")
	width := func() float64 { return browsertest.Eval[float64](tab, "parseFloat("+bar+".firstChild.style.width)") }
	first, asked, text := width(), st.count(), browsertest.Eval[string](tab, of("contoso-us", ".op .time")+".textContent")
	tab.Wait("the elapsed time ticks without an answer", of("contoso-us", ".op .time")+".textContent !== "+fmt.Sprintf("%q", text))
	if st.count() != asked {
		t.Error("asked again within a second or two")
	}
	browsertest.Eval[any](tab, bar+".id = 'kept'")
	tab.Wait("it asks again by itself while something is in flight", fmt.Sprintf("performance.getEntriesByType('resource').length >= %d", asked+1))
	tab.Wait("the bar has moved", fmt.Sprintf("parseFloat(%s.firstChild.style.width) > %f", bar, first))
	if st.count() <= asked || !browsertest.Eval[bool](tab, bar+".id === 'kept'") {
		t.Error("the bar was made anew, so that it jumps")
	}
	// Nothing in flight: less often.
	st.show(func(now time.Time) status { s := fleet(now); s.InFlight = nil; return s })
	st.refreshed(tab)
	tab.Wait("it says when it asks again", "/again in (2[5-9]|30) s/.test(document.getElementById('as-of').textContent)")
	if n := browsertest.Eval[int](tab, "document.querySelectorAll('.op').length"); n != 0 {
		t.Errorf("%d operations are shown, none is in flight", n)
	}
	hasAll(t, "what is told", browsertest.Eval[string](tab, "document.getElementById('said').textContent"), "backup of contoso-us has ended", "drill into contoso-drill has ended")
	fine(t, tab)
}

func TestBrowserTellsOnlyChangesAloud(t *testing.T) {
	tab := browsertest.Open(t)
	st := newStage(t, dashboard.Key, fleet)
	st.enter(t, tab)
	st.refreshed(tab)
	said := func() string { return browsertest.Eval[string](tab, "document.getElementById('said').textContent") }
	if got := said(); got != "" {
		t.Errorf("nothing has changed, and it says %q", got)
	}
	st.show(func(now time.Time) status {
		s := fleet(now)
		s.Services[1].Protected, s.Services[2].Protected = false, true
		return s
	})
	st.refreshed(tab)
	if got, want := said(), "contoso-us is not protected; contoso-old is protected again"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestBrowserRestsWhileNobodyLooks(t *testing.T) {
	t.Parallel() // it mostly waits
	tab := browsertest.Open(t)
	st := newStage(t, dashboard.Key, fleet)
	st.enter(t, tab)
	hide := func(hidden bool) {
		browsertest.Eval[any](tab, fmt.Sprintf("(Object.defineProperty(document, 'hidden', { configurable: true, get: () => %t }), document.dispatchEvent(new Event('visibilitychange')), null)", hidden))
	}
	hide(true)
	asked := st.count()
	tab.Wait("the time of the next answer is over", "/again|asking/.test(document.getElementById('as-of').textContent) && performance.now() > 7500")
	if st.count() != asked {
		t.Error("a hidden page asks on")
	}
	hide(false)
	tab.Wait("it asks at once when it is looked at again", fmt.Sprintf("performance.getEntriesByType('resource').length > %d", asked))
	fine(t, tab)
}

func TestBrowserAsksForTheKeyOnceAndKeepsItOutOfURLs(t *testing.T) {
	tab := browsertest.Open(t)
	st := newStage(t, dashboard.Key, fleet)
	tab.Go(st.URL + prefix + "/dashboard")
	tab.Wait("the page asks for the key", "!document.getElementById('gate').hidden")
	if got := browsertest.Eval[string](tab, "document.activeElement.id"); got != "key" {
		t.Errorf("the focus is on %q", got)
	}
	tab.Fill("#key", "wrong")
	tab.Press("\r")
	tab.Wait("a wrong key is told", "document.getElementById('gate-why').textContent.includes('does not open')")
	tab.Fill("#key", "ключ")
	tab.Press("\r")
	tab.Wait("what cannot be a key is told", "document.getElementById('gate-why').textContent.includes('letters, digits and signs')")
	st.enter(t, tab)
	for range 2 {
		st.refreshed(tab)
	}
	tab.Go(st.URL + prefix + "/dashboard")
	tab.Wait("the key was kept in this tab", "!document.getElementById('fleet').hidden")
	if tab.Text("#gate") != "" {
		t.Error("it asks again")
	}
	var keys []string
	for _, r := range tab.Requests() {
		if strings.Contains(r.URL, "?") || strings.Contains(r.URL, "#") || !strings.HasPrefix(r.URL, st.URL+prefix+"/") && !strings.HasPrefix(r.URL, "data:image/svg+xml,") {
			t.Errorf("a request to %s", r.URL)
		}
		if strings.HasSuffix(r.URL, "/status") {
			keys = append(keys, r.Headers["x-functions-key"])
		} else if r.Headers["x-functions-key"] != "" {
			t.Errorf("the key was sent to %s", r.URL)
		}
	}
	if keys = slices.Compact(keys); !slices.Equal(keys, []string{"", "wrong", "", key}) { // the third is of a page that was opened anew
		t.Errorf("keys sent: %q", keys)
	}
	tab.Click("#forget")
	tab.Wait("the page asks for the key again", "!document.getElementById('gate').hidden")
	if left := browsertest.Eval[string](tab, "JSON.stringify(sessionStorage) + JSON.stringify(localStorage) + document.cookie + document.getElementById('services').textContent"); left != "{}{}" {
		t.Errorf("forgotten, but there is %s", left)
	}
	fine(t, tab)
}

// With Entra the session's cookie opens, or the page leads to where one begins.
func TestBrowserSignsInWithEntra(t *testing.T) {
	tab := browsertest.Open(t)
	st := newStage(t, dashboard.Entra, fleet)
	tab.Go(st.URL + prefix + "/dashboard")
	tab.Wait("the page offers to sign in", "!document.getElementById('sign-in').hidden")
	if got, want := browsertest.Eval[string](tab, "document.getElementById('sign-in-link').getAttribute('href')"), "/.auth/login/aad?post_login_redirect_uri=%2Fgateway%2Fapi%2Fdashboard"; got != want || tab.Text("#gate") != "" {
		t.Errorf("%s, want %s; it asks for a key: %q", got, want, tab.Text("#gate"))
	}
	st.instead(func(w http.ResponseWriter, r *http.Request) {
		customhandler.WriteProblem(w, r, customhandler.Problem{Status: http.StatusForbidden, Title: "Not allowed", Detail: "This needs the app role Reader."})
	})
	tab.Go(st.URL + prefix + "/dashboard")
	tab.Wait("it is told what is missing", "!document.getElementById('trouble').hidden")
	hasAll(t, "the trouble", tab.Text("#trouble"), "You may not see this.", "Not allowed: This needs the app role Reader.")
	st.instead(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("x-functions-key", key) // it is the cookie that opens
		st.instead(nil)
		st.serve(w, r)
	})
	tab.Click("#refresh")
	tab.Wait("the fleet is shown without a key", "!document.getElementById('fleet').hidden")
	for _, r := range tab.Requests() {
		if r.Headers["x-functions-key"] != "" {
			t.Errorf("a key was sent to %s", r.URL)
		}
	}
}

// Names, reasons and errors are other people's texts.
func TestBrowserTakesNoTextForMarkup(t *testing.T) {
	const evil = `<img src=x onerror="window.hit=1"><script>window.hit=1</script><a href="javascript:window.hit=1">x</a>"'>`
	tab := browsertest.Open(t)
	st := newStage(t, dashboard.Key, func(now time.Time) status {
		s := fleet(now)
		for i := range s.Services {
			p := &s.Services[i]
			p.Service, p.Active, p.Plan, p.ResourceID = evil+fmt.Sprint(i), evil, evil, evil
			p.Why, p.Protected, p.NotCovered, p.Unproven = []string{evil}, false, []string{evil}, evil
			p.NewestGood.ID, p.NewestGood.Service, p.LastEnded.Operation, p.LastEnded.Outcome = evil, evil, evil, dr.Outcome(evil)
			p.Holds = []dr.Held{{Service: evil, Hold: dr.Hold{Until: now.Add(time.Hour), Reason: evil, By: evil, At: now}}}
			p.SurvivesPrimaryLoss = dr.Survival{Survives: dr.Not, Reasons: []string{evil}}
			p.Pairs = []dr.PairView{{Pair: dr.Pair{Name: evil + "~" + evil, Home: evil, Active: evil, BusyBy: evil, Syncing: evil}}}
			p.Drills = []dr.DrillEnded{{Operation: evil, Outcome: dr.Outcome(evil), EndedAt: now}}
			p.Days = []dr.BackupDay{{Date: evil, Bad: true}}
		}
		for i := range s.InFlight {
			op := &s.InFlight[i]
			op.Kind, op.Service, op.Phase, op.Waiting, op.Verb = dr.Kind(evil), evil, dr.Phase(evil), evil, dr.Verb(evil)
		}
		s.Places[0].What = evil
		return s
	})
	tab.Look(browsertest.Look{Width: 1280, Height: 8000})
	st.enter(t, tab)
	browsertest.Eval[any](tab, "document.querySelectorAll('details').forEach((d) => { d.open = true; })")
	tab.Wait("the details", "document.querySelectorAll('dl')[4].children.length > 0")
	if n := browsertest.Eval[int](tab, "document.querySelectorAll('main img, main script, main a:not(#sign-in-link), [onerror]').length + (window.hit ?? 0)"); n != 0 {
		t.Error("a text became markup")
	}
	text, _ := row(t, tab, evil+"0")
	if n := strings.Count(text, evil); n < 12 {
		t.Errorf("the text stands there %d times:\n%s", n, text)
	}
	fine(t, tab)
}

func TestBrowserTellsThatTheServerIsGoneAndRecovers(t *testing.T) {
	t.Parallel() // it mostly waits
	tab := browsertest.Open(t)
	st := newStage(t, dashboard.Key, fleet)
	st.enter(t, tab)
	told := func(what string, answer http.HandlerFunc, want ...string) {
		t.Helper()
		st.instead(answer)
		st.refreshed(tab)
		tab.Wait(what, "!document.getElementById('trouble').hidden")
		hasAll(t, what, tab.Text("#trouble"), append(want, "Since ", "What you see is the last that it told.")...)
		if !browsertest.Eval[bool](tab, "document.body.classList.contains('stale') && getComputedStyle(document.getElementById('fleet')).filter === 'grayscale(1)'") || !strings.Contains(tab.Text("#fleet"), "contoso-old") {
			t.Errorf("%s: the last data are not greyed, or gone", what)
		}
		tab.Wait(what+": the age of what is seen", "/ago, again in [1-5] s/.test(document.getElementById('as-of').textContent)")
		time, clock := browsertest.Eval[string](tab, of("contoso-us", ".op .time")+".textContent"), browsertest.Eval[string](tab, "document.getElementById('as-of').textContent")
		tab.Wait(what+": the age ticks", fmt.Sprintf("document.getElementById('as-of').textContent !== %q", clock))
		if got := browsertest.Eval[string](tab, of("contoso-us", ".op .time")+".textContent"); got != time {
			t.Errorf("%s: %q became %q, which nobody knows", what, time, got)
		}
		st.instead(nil)
		st.refreshed(tab)
		tab.Wait("it recovers after: "+what, "document.getElementById('trouble').hidden && !document.body.classList.contains('stale')")
		hasAll(t, "what is told", browsertest.Eval[string](tab, "document.getElementById('said').textContent"), "The server answers again.")
	}
	told("the connection breaks", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "The server cannot be reached.")
	told("an error", func(w http.ResponseWriter, r *http.Request) {
		customhandler.WriteProblem(w, r, customhandler.Problem{Status: 503, Title: "The records cannot be read", Detail: "Try again."})
	}, "The server has no answer.", "The records cannot be read: Try again.")
	told("a page of somebody else", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "<html>") }, "Its answer cannot be read.")
	st.instead(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	st.refreshed(tab)
	st.instead(nil)
	tab.Wait("it recovers by itself", "document.getElementById('trouble').hidden")
}
