package dashboard_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"apim-dr/internal/browsertest"
	"apim-dr/internal/dashboard"
	"apim-dr/internal/dr"
)

// pictures is where the tests leave pictures for people; what they show is asserted.
const pictures = "../../dist/dashboard/"

// faint is an expression for the texts whose contrast with what is behind them is below 4.5, and for how many were looked at.
const faint = `(() => {
  const rgb = (c) => c.match(/[\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c[3] !== 0) return c; } };
  const list = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let seen = 0;
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement, text = walk.currentNode.textContent.trim();
    if (!text || ['STYLE', 'SCRIPT', 'NOSCRIPT'].includes(e.tagName) || !e.checkVisibility() || e.closest('.unseen')) continue;
    const style = getComputedStyle(e), [a, b] = [light(rgb(style.color)), light(behind(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    seen++;
    if (ratio < 4.5 || Number(style.opacity) < 1) list.push(ratio.toFixed(2) + ' ' + text.slice(0, 50));
  }
  return { seen, list };
})()`

const openAll = "(document.querySelectorAll('details').forEach((d) => { d.open = true; }), null)"

func TestBrowserHasContrastInLightAndDark(t *testing.T) {
	tab := browsertest.Open(t)
	st := newStage(t, dashboard.Key, fleet)
	readable := func(what string, atLeast int) {
		t.Helper()
		for _, look := range []browsertest.Look{{Width: 1280, Height: 4000}, {Width: 1280, Height: 4000, Dark: true}, {Width: 400, Height: 8000}, {Width: 400, Height: 8000, Dark: true}} {
			tab.Look(look)
			found := browsertest.Eval[struct {
				Seen int
				List []string
			}](tab, faint)
			if len(found.List) > 0 || found.Seen < atLeast {
				t.Errorf("%s, %+v: of %d texts too faint: %q", what, look, found.Seen, found.List)
			}
		}
	}
	tab.Go(st.URL + prefix + "/dashboard")
	tab.Wait("the page asks for the key", "!document.getElementById('gate').hidden")
	tab.Fill("#key", "wrong")
	tab.Press("\r")
	tab.Wait("a wrong key is told", "document.getElementById('gate-why').textContent !== ''")
	readable("the key", 6)
	st.enter(t, tab)
	for name, look := range map[string]browsertest.Look{"light": {Width: 1280, Height: 1100}, "dark": {Width: 1280, Height: 1100, Dark: true}, "narrow": {Width: 400, Height: 2400}, "narrow-dark": {Width: 400, Height: 2400, Dark: true}} {
		tab.Look(look)
		tab.Picture(pictures + name + ".png")
	}
	browsertest.Eval[any](tab, openAll)
	tab.Wait("the details", "document.querySelectorAll('dl')[4].children.length > 0")
	readable("the fleet", 100)
	st.Close()
	tab.Click("#refresh")
	tab.Wait("trouble", "!document.getElementById('trouble').hidden")
	readable("the fleet of a server that is gone", 100) // greyed: the luminance of each colour stays what it is
	tab.Look(browsertest.Look{Width: 1280, Height: 2600})
	tab.Picture(pictures + "gone.png")
}

func TestBrowserFitsIntoFourHundredPixels(t *testing.T) {
	tab := browsertest.Open(t)
	st := newStage(t, dashboard.Key, func(now time.Time) status {
		s := many(12)(now)
		s.Services[3].Service, s.Services[3].Why = "a-service-with-the-longest-name-that-api-management-can-have", []string{"/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/somewhere/providers/Microsoft.ApiManagement/service/somebody"}
		s.InFlight = fleet(now).InFlight
		return s
	})
	for _, width := range []int64{400, 320} {
		tab.Look(browsertest.Look{Width: width, Height: 900})
		wide := func(what string) {
			t.Helper()
			if got := browsertest.Eval[int64](tab, "document.documentElement.scrollWidth"); got > width {
				t.Errorf("%s: %d pixels wide at %d", what, got, width)
			}
			out := browsertest.Eval[[]string](tab, "[...document.querySelectorAll('body *')].filter((e) => e.checkVisibility() && !e.closest('.unseen, .bar, .label') && e.getBoundingClientRect().right > innerWidth + 0.5).map((e) => e.tagName + '.' + e.className + ' ' + e.textContent.slice(0, 40))")
			if len(out) > 0 {
				t.Errorf("%s: cut off at %d: %q", what, width, out)
			}
		}
		if width == 400 {
			tab.Go(st.URL + prefix + "/dashboard")
			tab.Wait("the page asks for the key", "!document.getElementById('gate').hidden")
			wide("the key")
			st.enter(t, tab)
		}
		wide("the fleet")
		browsertest.Eval[any](tab, openAll)
		tab.Wait("the details", "document.querySelectorAll('dl')[4].children.length > 0")
		wide("the details")
	}
}

// Everything that can be used is reached with the Tab key, in the order of the page, and shows that it has the focus.
func TestBrowserIsUsableWithKeysAlone(t *testing.T) {
	tab := browsertest.Open(t)
	st := newStage(t, dashboard.Key, many(10))
	st.enter(t, tab)
	want := []string{"refresh", "forget", "find", "all"} // of the radio buttons the chosen one; arrow keys lead to the others
	for i := range 10 {
		want = append(want, fmt.Sprintf("summary %d", i))
	}
	tab.Go(st.URL + prefix + "/dashboard") // anew, so that Tab begins at its top
	tab.Wait("the fleet is shown", "!document.getElementById('fleet').hidden")
	var got []string
	for range want {
		tab.Press("\t")
		at := browsertest.Eval[struct {
			Name    string
			Outline float64
		}](tab, `(() => { const e = document.activeElement, style = getComputedStyle(e);
			return { name: e.tagName === 'SUMMARY' ? 'summary ' + [...document.querySelectorAll('summary')].indexOf(e) : e.id || e.value, outline: style.outlineStyle === 'none' ? 0 : parseFloat(style.outlineWidth) }; })()`)
		got = append(got, at.Name)
		if at.Outline < 2 {
			t.Errorf("the focus on %s does not show", at.Name)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("Tab leads to %q, want %q", got, want)
	}
	focused := "document.activeElement === document.querySelectorAll('summary')[9]"
	tab.Press("\r")
	tab.Wait("Enter opens the details", "document.querySelectorAll('details')[9].open")
	// An answer moves the rows, and leaves focus and details as they are.
	st.show(func(now time.Time) status {
		s := many(10)(now)
		s.Services[len(s.Services)-1].Protected = false
		s.Services[0].Protected = true
		return s
	})
	name := browsertest.Eval[string](tab, "document.activeElement.closest('.service').querySelector('h3').textContent")
	browsertest.Eval[any](tab, "(document.getElementById('refresh').click(), null)")
	tab.Wait("the rows have moved", "!("+focused+")")
	if now := browsertest.Eval[string](tab, "document.activeElement.closest('.service')?.querySelector('details[open]') && document.activeElement.closest('.service').querySelector('h3').textContent"); now != name {
		t.Errorf("the focus was on %q, and is on %q", name, now)
	}
	landmarks := browsertest.Eval[[]int](tab, "['header', 'main', 'h1', '[role=search]', 'section[aria-labelledby]', 'html[lang=en]'].map((s) => document.querySelectorAll(s).length)")
	if !slices.Equal(landmarks, []int{1, 1, 1, 1, 1, 1}) {
		t.Errorf("landmarks %v", landmarks)
	}
	if unnamed := browsertest.Eval[[]string](tab, "[...document.querySelectorAll('button, input, summary, [role=meter], [role=progressbar]')].filter((e) => e.checkVisibility() && !e.textContent.trim() && !e.getAttribute('aria-label') && !e.labels?.length).map((e) => e.outerHTML)"); len(unnamed) > 0 {
		t.Errorf("without a name: %q", unnamed)
	}
	fine(t, tab)
}

func TestBrowserMovesNothingForThoseWhoAskForThat(t *testing.T) {
	tab := browsertest.Open(t)
	tab.Look(browsertest.Look{Still: true})
	st := newStage(t, dashboard.Key, fleet)
	st.enter(t, tab)
	if n := browsertest.Eval[int](tab, "document.getAnimations().length + [...document.querySelectorAll('.bar > i, .meter > i')].filter((e) => getComputedStyle(e).transitionDuration !== '0s' || getComputedStyle(e).animationName !== 'none').length"); n != 0 {
		t.Errorf("%d things move", n)
	}
}

// many is a large fleet in which every seventh service is not protected.
func many(n int) func(time.Time) status {
	return func(now time.Time) status {
		s := fleet(now)
		patterns := s.Services
		s.Services, s.InFlight = nil, nil
		for i := range n {
			p := patterns[1]
			p.Service = fmt.Sprintf("contoso-%04d", i)
			p.Active = p.Service
			if i%7 == 0 {
				p.Protected, p.AgeSeconds = false, p.RPOSeconds+float64(i)
				p.Why = []string{"the newest good recovery point is too old"}
			}
			if i%50 == 1 {
				p.LastEnded.Outcome = dr.Unknown
			}
			s.Services = append(s.Services, p)
			if i%20 == 2 && len(s.InFlight) < 50 {
				op := fleet(now).InFlight[0]
				op.ID, op.Service = fmt.Sprintf("20261127-backup-%d", i), p.Service
				s.InFlight = append(s.InFlight, op)
			}
		}
		return s
	}
}

// A thousand services: rendered, refreshed and sifted in bounded time on a machine with other work to do.
func TestBrowserIsFastWithAThousandServices(t *testing.T) {
	tab := browsertest.Open(t)
	st := newStage(t, dashboard.Key, many(1000))
	st.enter(t, tab)
	hasAll(t, "the summary", tab.Text("#verdict")+tab.Text("#counts"), "143 of 1,000 services not protected", "857 protected", "50 operations in flight")
	took := func(what, expression string, most time.Duration) {
		t.Helper()
		d := time.Duration(browsertest.Eval[float64](tab, "(async () => { const t = performance.now(); "+expression+"; await new Promise((done) => requestAnimationFrame(() => setTimeout(done))); return performance.now() - t; })()") * float64(time.Millisecond))
		t.Logf("%s: %v", what, d.Round(time.Millisecond))
		if d > most {
			t.Errorf("%s took %v, want at most %v", what, d, most)
		}
	}
	const answered = "await new Promise((done) => { const list = document.getElementById('as-of'); new MutationObserver(() => /again in/.test(list.textContent) && done()).observe(list, { childList: true }); })"
	took("an answer in which little has changed", "document.getElementById('refresh').click(); "+answered, 5*time.Second)
	took("the first answer", "document.getElementById('services').replaceChildren(); document.getElementById('forget').click(); document.getElementById('key').value = '"+key+"'; document.getElementById('gate').requestSubmit(); "+answered, 10*time.Second)
	if n := browsertest.Eval[int](tab, "document.querySelectorAll('.service').length"); n != 1000 {
		t.Errorf("%d rows", n)
	}
	sift := func(expression string, want int, say string) {
		t.Helper()
		took(expression, expression, 5*time.Second)
		if n := browsertest.Eval[int](tab, "[...document.querySelectorAll('.service')].filter((e) => !e.hidden).length"); n != want || tab.Text("#found") != say {
			t.Errorf("%s: %d rows, %q, want %d, %q", expression, n, tab.Text("#found"), want, say)
		}
	}
	sift("document.querySelector('[value=bad]').click()", 143, "143 shown")
	sift("document.querySelector('[value=look]').click()", 18, "18 shown")
	sift("document.querySelector('[value=busy]').click()", 50, "50 shown")
	sift("document.querySelector('[value=all]').click()", 1000, "")
	tab.Fill("#find", "CONTOSO-099")
	sift("0", 10, "10 shown")
	fine(t, tab)
}
