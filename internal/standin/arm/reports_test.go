package arm_test

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/apimanagement/armapimanagement/v3"

	"apim-dr/internal/standin/arm"
)

const (
	june     = "timestamp ge datetime'2017-06-01T00:00:00' and timestamp le datetime'2017-06-04T00:00:00'" // of the swagger's example
	juneTime = "&%24filter=timestamp+ge+2017-06-01T00:00:00.000Z+and+timestamp+le+2017-06-04T00:00:00.000Z"
)

var first = time.Date(2017, 6, 1, 0, 0, 0, 0, time.UTC)

// record is one of west's, named after its number, so many hours after the beginning of June.
func record(report string, n int, after time.Duration) arm.ReportRecord {
	return arm.ReportRecord{Service: "contoso-west", Report: report, At: first.Add(after), Fields: map[string]any{"apiId": fmt.Sprintf("/apis/%d", n), "callCountTotal": n}}
}

// usage are five records of a report, an hour apart.
func usage(reports ...string) func(*arm.Config) {
	return func(c *arm.Config) {
		for _, report := range reports {
			for n := range 5 {
				c.Records = append(c.Records, record(report, n, time.Duration(n)*time.Hour))
			}
		}
	}
}

// report asks for a report of west; more is what the address has besides the filter.
func (b *bench) report(report, filter, more string) answer {
	b.t.Helper()
	return b.do("GET", west+"/reports/"+report+current+"&%24filter="+url.QueryEscape(filter)+more, "")
}

// apis are the numbers of the records in an answer.
func (a answer) apis() string {
	var list []string
	value, _ := a.body["value"].([]any)
	for _, x := range value {
		list = append(list, strings.TrimPrefix(x.(map[string]any)["apiId"].(string), "/apis/"))
	}
	return strings.Join(list, " ")
}

func TestAReportShowsWhatFallsIntoItsWindowBothEndsIncluded(t *testing.T) {
	b := newBench(t, func(c *arm.Config) {
		c.Records = []arm.ReportRecord{record("byApi", 1, -time.Nanosecond), record("byApi", 2, 0), record("byApi", 3, 72*time.Hour), record("byApi", 4, 72*time.Hour+time.Nanosecond), record("byUser", 5, time.Hour)}
		other := record("byApi", 6, time.Hour)
		other.Service = "contoso-north"
		c.Records = append(c.Records, other)
	})
	for _, tt := range []struct{ filter, want string }{
		{june, "2 3"},
		{"timestamp ge datetime'2017-06-04T00:00:00' and timestamp le datetime'2017-06-07T00:00:00'", "3 4"}, // the next window has its edge again
		{"timestamp ge 2017-06-01T00:00:00.000Z and timestamp le 2017-06-04T00:00:00.000Z", "2 3"},
		{"timestamp ge datetime'2017-06-01' and timestamp le datetime'2017-06-04'", "2 3"},
		{"timestamp ge datetime'2017-06-01T00:00:00'", "2 3 4"}, // until now
		{"timestamp ge datetime'2018-06-01T00:00:00' and timestamp le datetime'2018-06-04T00:00:00'", ""},
	} {
		a := b.want(b.report("byApi", tt.filter, ""), 200, "")
		if a.apis() != tt.want || a.body["count"] != float64(len(strings.Fields(tt.want))) || a.body["nextLink"] != "" || a.body["value"] == nil {
			t.Errorf("%s: %s", tt.filter, a.raw)
		}
	}
	if a := b.report("BYAPI", june, ""); a.apis() != "2 3" || strings.Contains(a.raw, "timestamp") {
		t.Errorf("got %s", a.raw)
	}
}

func TestEachReportHasTheFieldsOfItsExample(t *testing.T) {
	all := []string{"byApi", "byUser", "byOperation", "byProduct", "byGeo", "bySubscription", "byTime", "byRequest"}
	b := newBench(t, usage(all...))
	for _, report := range all {
		a := b.want(b.report(report, june, "&interval=PT1H"), 200, "")
		want := map[string]string{"byTime": "count nextLink value value.[].apiId value.[].callCountTotal value.[].interval value.[].timestamp",
			"byRequest": "count value value.[].apiId value.[].callCountTotal value.[].timestamp"}[report]
		if want == "" {
			want = "count nextLink value value.[].apiId value.[].callCountTotal"
		}
		if got := strings.Join(keys(a.body, ""), " "); got != want || a.apis() != "0 1 2 3 4" {
			t.Errorf("%s: %s, want %s", report, a.raw, want)
		}
	}
	b.want(b.do("GET", west+"/reports/byMoon"+current+juneTime, ""), 404, "InvalidResourceType")
	b.want(b.do("POST", west+"/reports/byApi"+current+juneTime, ""), 404, "InvalidResourceType")
}

func TestAReportIsPagedByLinkOrBySkip(t *testing.T) {
	b := newBench(t, func(c *arm.Config) {
		usage("byApi", "byRequest")(c)
		c.ReportPage = 2
	})
	for _, tt := range []struct{ more, want string }{{"", "0 1"}, {"&%24skip=2", "2 3"}, {"&%24skip=4", "4"}, {"&%24skip=5", ""}, {"&%24skip=99", ""}, {"&%24top=1&%24skip=1", "1"}, {"&%24top=9", "0 1"}} {
		for _, report := range []string{"byApi", "byRequest"} {
			if a := b.want(b.report(report, june, tt.more), 200, ""); a.apis() != tt.want || a.body["count"] != 5.0 || a.body["nextLink"] != map[string]any{"byApi": ""}[report] {
				t.Errorf("%s%s: %s, want %s", report, tt.more, a.raw, tt.want)
			}
		}
	}
	b.srv.Change(func(c *arm.Config) { c.ReportLinks = true })
	var pages []string
	a := b.report("byApi", june, "")
	for len(pages) < 9 {
		pages = append(pages, a.apis())
		link, _ := a.body["nextLink"].(string)
		if link == "" {
			break
		}
		a = b.want(b.do("GET", link, ""), 200, "")
	}
	if !slices.Equal(pages, []string{"0 1", "2 3", "4"}) {
		t.Errorf("pages %q", pages)
	}
	if a := b.report("byRequest", june, ""); a.body["nextLink"] != nil {
		t.Errorf("byRequest has a link: %s", a.raw)
	}
	b.srv.Change(func(c *arm.Config) { c.ReportPage, c.BaseURL = 0, "https://management.contoso.com" })
	if a := b.report("byApi", june, "&%24top=3"); a.apis() != "0 1 2" || !strings.HasPrefix(a.body["nextLink"].(string), "https://management.contoso.com"+west+"/reports/byApi?") {
		t.Errorf("got %s", a.raw)
	}
}

func TestAReportNeedsAWindowAndByTimeAnInterval(t *testing.T) {
	b := newBench(t, usage("byTime"))
	for _, tt := range []struct{ report, filter, more, target string }{
		{"byApi", "", "", "$filter"},
		{"byApi", "apiId eq '/apis/1'", "", "$filter"},
		{"byApi", "timestamp le datetime'2017-06-04T00:00:00'", "", "$filter"},
		{"byApi", "timestamp ge datetime'2017-13-01T00:00:00'", "", "$filter"},
		{"byApi", "timestamp ge datetime'2017-06-04T00:00:00' and timestamp le datetime'2017-06-01T00:00:00'", "", "$filter"},
		{"byApi", june, "&%24skip=-1", "$skip, $top"},
		{"byApi", june, "&%24top=0", "$skip, $top"},
		{"byApi", june, "&%24top=all", "$skip, $top"},
		{"byTime", june, "", "interval"},
		{"byTime", june, "&interval=PT0M", "interval"},
		{"byTime", june, "&interval=PT20M", "interval"},
		{"byTime", june, "&interval=15", "interval"},
		{"byTime", june, "&interval=P", "interval"},
	} {
		a := b.want(b.report(tt.report, tt.filter, tt.more), 400, "ValidationError")
		e := a.body["error"].(map[string]any)
		if d, _ := e["details"].([]any); len(d) != 1 || d[0].(map[string]any)["target"] != tt.target || d[0].(map[string]any)["message"] == "" || a.message() != "One or more fields contain incorrect values:" {
			t.Errorf("%s %s%s: %s", tt.report, tt.filter, tt.more, a.raw)
		}
	}
	for _, interval := range []string{"PT15M", "PT1H", "PT1H30M", "P1D", "P1DT45M"} {
		if a := b.want(b.report("byTime", june, "&interval="+interval), 200, ""); strings.Count(a.raw, `"interval":"`+interval+`"`) != 5 {
			t.Errorf("%s: %s", interval, a.raw)
		}
	}
}

func TestTiersWithoutReportsRefuseThem(t *testing.T) {
	b := newBench(t, nil)
	for _, name := range []string{"contoso-v2", "contoso-lambda"} {
		b.want(b.do("GET", group+name+"/reports/byApi"+current+juneTime, ""), 400, "MethodNotAllowedInPricingTier")
	}
	b.want(b.do("GET", group+"absent/reports/byApi"+current+juneTime, ""), 404, "ResourceNotFound")
}

func TestTheOfficialClientPagesThroughReports(t *testing.T) {
	b, factory := officials(t, func(c *arm.Config) {
		usage("byApi", "byTime", "byRequest")(c)
		c.ReportPage, c.ReportLinks = 2, true
	})
	client := factory.NewReportsClient()
	ctx := t.Context()
	var got []string
	for pager := client.NewListByAPIPager("contoso-rg", "contoso-west", june, nil); pager.More() && len(got) < 9; {
		page, err := pager.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Value {
			got = append(got, fmt.Sprint(*r.APIID, " ", *r.CallCountTotal, " of ", *page.Count))
		}
	}
	if want := "/apis/0 0 of 5, /apis/1 1 of 5, /apis/2 2 of 5, /apis/3 3 of 5, /apis/4 4 of 5"; strings.Join(got, ", ") != want {
		t.Errorf("got %q", got)
	}
	byTime, err := client.NewListByTimePager("contoso-rg", "contoso-west", june, "PT15M", &armapimanagement.ReportsClientListByTimeOptions{Skip: new(int32(4))}).NextPage(ctx)
	if err != nil || len(byTime.Value) != 1 || *byTime.Value[0].Interval != "PT15M" || !byTime.Value[0].Timestamp.Equal(first.Add(4*time.Hour)) || *byTime.NextLink != "" {
		t.Errorf("%+v, %v", byTime, err)
	}
	pager := client.NewListByRequestPager("contoso-rg", "contoso-west", june, &armapimanagement.ReportsClientListByRequestOptions{Skip: new(int32(2)), Top: new(int32(2))})
	byRequest, err := pager.NextPage(ctx)
	if err != nil || len(byRequest.Value) != 2 || *byRequest.Value[0].APIID != "/apis/2" || pager.More() {
		t.Errorf("%+v, %v", byRequest, err)
	}
	_, err = client.NewListByGeoPager("contoso-rg", "contoso-v2", june, nil).NextPage(ctx)
	if e, ok := errors.AsType[*azcore.ResponseError](err); !ok || e.StatusCode != 400 || e.ErrorCode != "MethodNotAllowedInPricingTier" {
		t.Errorf("got %v", err)
	}
	if r := b.srv.Requests(); len(r) != 6 || r[0].Verb != arm.Reports || r[0].Service != "contoso-west" {
		t.Errorf("logged %+v", r)
	}
}
