package dr

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestDiscovery(t *testing.T) {
	tagged := func(sub, name, plan string) Tagged {
		return Tagged{Instance: Instance{Name: name, ResourceID: "/subscriptions/" + sub + "/resourceGroups/rg/providers/Microsoft.ApiManagement/service/" + name}, Plan: plan}
	}
	inFleet := func(name string) bool { return strings.EqualFold(name, "mine") }
	show := func(d Discovery) string {
		var words []string
		for _, f := range d.Found {
			words = append(words, fmt.Sprintf("%s:%s@%d", f.Name, f.Plan, int(f.Since.Sub(noon).Hours())))
		}
		for _, g := range d.Gone {
			words = append(words, fmt.Sprintf("-%s@%d(%s)", g.Name, int(g.At.Sub(noon).Hours()), g.Why))
		}
		for _, f := range d.Faults {
			words = append(words, "!"+f.About[strings.LastIndex(f.About, "/")+1:]+"("+f.Why+")")
		}
		return strings.Join(words, " ")
	}
	var d Discovery
	for i, row := range []struct {
		hours int
		looks []Listed
		want  string
	}{
		{0, []Listed{{Subscription: "A", Instances: []Tagged{tagged("a", "two", "nightly"), tagged("a", "one", "nightly"), tagged("a", "Mine", "nightly"), tagged("a", "odd", "daily")}}, {Subscription: "b", Instances: []Tagged{tagged("b", "three", "nightly")}}},
			"one:nightly@0 three:nightly@0 two:nightly@0 !odd(its tag apim-dr names a plan that the fleet does not have: daily)"},
		{1, []Listed{{Subscription: "a", Error: "403"}, {Subscription: "b"}}, // what cannot be seen stays, what is gone is told
			"one:nightly@0 two:nightly@0 -three@1(it is not there, or has no tag apim-dr) !a(403)"},
		{2, []Listed{{Subscription: "a", Instances: []Tagged{tagged("a", "one", "weekly")}}, {Subscription: "b", Instances: []Tagged{tagged("b", "three", "nightly"), tagged("b", "one", "nightly")}}},
			"one:weekly@0 three:nightly@2 -two@2(it is not there, or has no tag apim-dr) !one(another instance has its name: " + tagged("a", "one", "").ResourceID + ")"},
		{3, []Listed{{Subscription: "b", Instances: []Tagged{tagged("b", "three", "gone")}}},
			"-one@3(its subscription is no longer looked at) -three@3(its tag apim-dr names a plan that the fleet does not have: gone) -two@2(it is not there, or has no tag apim-dr) !three(its tag apim-dr names a plan that the fleet does not have: gone)"},
		{3 + 720, []Listed{{Subscription: "b"}}, ""},
	} {
		d = d.Next(row.looks, []string{"nightly", "weekly"}, inFleet, noon.Add(time.Duration(row.hours)*time.Hour))
		if got := show(d); got != row.want {
			t.Fatalf("look %d:\n%s, want\n%s", i, got, row.want)
		}
	}
}

func instanceOf(name string) Instance {
	return Instance{Name: name, ResourceID: "/subscriptions/a/resourceGroups/rg/providers/Microsoft.ApiManagement/service/" + name}
}

// A list that changes while it is read page by page may show an instance twice, and Resource Manager writes ids in more than one case.
func TestAnInstanceThatIsShownTwiceIsOne(t *testing.T) {
	one, again := Tagged{Instance: instanceOf("one"), Plan: "nightly"}, Tagged{Instance: instanceOf("ONE"), Plan: "nightly"}
	d := Discovery{}.Next([]Listed{{Subscription: "a", Instances: []Tagged{one, again, one}}}, []string{"nightly"}, func(string) bool { return false }, noon)
	if len(d.Found) != 1 || len(d.Faults) != 0 {
		t.Errorf("%+v", d)
	}
	d = d.Next([]Listed{{Subscription: "a", Instances: []Tagged{again}}}, []string{"nightly"}, func(string) bool { return false }, noon.Add(time.Hour))
	if len(d.Found) != 1 || !d.Found[0].Since.Equal(noon) || len(d.Gone) != 0 {
		t.Errorf("%+v", d)
	}
}

func TestWhyAServiceIsGoneIsSaidOfASubscriptionThatCannotBeListedToo(t *testing.T) {
	d := Discovery{Found: []Found{{Tagged: Tagged{Instance: instanceOf("one"), Plan: "weekly"}, Subscription: "a"}, {Tagged: Tagged{Instance: instanceOf("mine"), Plan: "nightly"}, Subscription: "a"}}}
	d = d.Next([]Listed{{Subscription: "a", Error: "429"}}, []string{"nightly"}, func(name string) bool { return name == "mine" }, noon)
	if len(d.Gone) != 2 || d.Gone[0].Why != "its tag apim-dr names a plan that the fleet does not have: weekly" || d.Gone[1].Why != "the fleet names it itself" {
		t.Errorf("%+v", d.Gone)
	}
}

// The record must stay one that can be kept, however many come and go.
func TestOfThoseThatAreGoneTheNewestAreKept(t *testing.T) {
	var d Discovery
	for n := range 40 {
		d.Found = nil
		for i := range 50 {
			d.Found = append(d.Found, Found{Tagged: Tagged{Instance: instanceOf(fmt.Sprintf("contoso-%d-%d", n, i)), Plan: "nightly"}, Subscription: "a"})
		}
		d = d.Next([]Listed{{Subscription: "a"}}, []string{"nightly"}, func(string) bool { return false }, noon.Add(time.Duration(n)*time.Hour))
	}
	if len(d.Gone) != mostGone || d.Gone[0].Name != "contoso-39-0" {
		t.Errorf("%d, the first %+v", len(d.Gone), d.Gone[0])
	}
}
