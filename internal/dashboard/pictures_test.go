package dashboard_test

import (
	"testing"

	"apim-dr/internal/browsertest"
	"apim-dr/internal/dashboard"
)

// The pictures are for people; what they show is asserted by the other tests.
func TestBrowserTakesPictures(t *testing.T) {
	tab := browsertest.Open(t)
	st := newStage(t, dashboard.Key, fleet)
	tab.Go(st.URL + prefix + "/dashboard")
	tab.Wait("the page asks for the key", "!document.getElementById('gate').hidden")
	tab.Picture("../../dist/dashboard/key.png")
	st.enter(t, tab)
	for name, look := range map[string]browsertest.Look{"light": {Width: 1280, Height: 1100}, "dark": {Width: 1280, Height: 1100, Dark: true}, "narrow": {Width: 400, Height: 2400}, "narrow-dark": {Width: 400, Height: 2400, Dark: true}, "middle": {Width: 900, Height: 1400}} {
		tab.Look(look)
		tab.Picture("../../dist/dashboard/" + name + ".png")
	}
	tab.Look(browsertest.Look{})
	browsertest.Eval[any](tab, "document.querySelectorAll('details').forEach((d) => { d.open = true; })")
	tab.Wait("details", "document.querySelector('details dl').children.length > 4")
	tab.Picture("../../dist/dashboard/open.png")
	st.Close()
	tab.Click("#refresh")
	tab.Wait("trouble", "!document.getElementById('trouble').hidden")
	tab.Picture("../../dist/dashboard/gone.png")
}
