package devstack

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"apim-dr/internal/standin/arm"
)

// demoUsage are records of the days before a time, of an instance with two APIs.
func demoUsage(service string, today time.Time, days int) (list []arm.ReportRecord) {
	for n := 1; n <= days; n++ {
		day := today.AddDate(0, 0, -n)
		add := func(report string, at time.Time, calls int, fields map[string]any) {
			fields["callCountSuccess"], fields["callCountTotal"] = calls, calls+n
			list = append(list, arm.ReportRecord{Service: service, Report: report, At: at, Fields: fields})
		}
		for i, api := range []string{"orders", "stock"} {
			add("byApi", day, 1000*n+i, map[string]any{"name": api, "apiId": "/apis/" + api})
			add("byOperation", day, 1000*n+i, map[string]any{"name": "list", "apiId": "/apis/" + api, "operationId": "/apis/" + api + "/operations/list"})
		}
		add("byProduct", day, 2000*n, map[string]any{"name": "Starter", "productId": "/products/starter"})
		add("bySubscription", day, 2000*n, map[string]any{"name": "shop", "subscriptionId": "/subscriptions/shop"})
		add("byUser", day, 2000*n, map[string]any{"name": "Shop", "userId": "/users/7"})
		add("byGeo", day, 2000*n, map[string]any{"country": "NL", "region": "NH"})
		for hour := range 24 {
			add("byTime", day.Add(time.Duration(hour)*time.Hour), 80*n, map[string]any{})
		}
	}
	return list
}

// demoUsageDays is how many days are missed when UsageExport fires.
const demoUsageDays = 3

// usage shows how missed days of usage data are caught up.
func (s *scene) usage(ctx context.Context, service string) error {
	last := time.Now().UTC().Add(-27 * time.Hour).Truncate(24 * time.Hour) // over for three hours
	s.cloud.ARM.Change(func(c *arm.Config) {
		c.Records = append(c.Records, demoUsage(service, last.AddDate(0, 0, 1), demoUsageDays)...)
		c.ReportPage = 10
	})
	reports := map[string]any{}
	for _, r := range []string{"byApi", "byTime", "byOperation", "byProduct", "bySubscription", "byGeo", "byUser"} {
		reports[r] = map[string]string{"through": last.AddDate(0, 0, -demoUsageDays).Format(time.DateOnly)}
	}
	body, err := json.Marshal(map[string]any{"v": 1, "service": service, "reports": reports, "run": map[string]any{"at": time.Time{}}})
	if err == nil {
		_, err = s.State.UploadBuffer(ctx, StateContainer, "usage/"+service, body, nil)
	}
	if err != nil {
		return err
	}
	s.story.Tell("timer", "UsageExport fires; the last %d days are not exported yet", demoUsageDays)
	if err := s.Host.Invoke(ctx, "UsageExport"); err != nil {
		return err
	}
	e, err := s.inbox.await(ctx, "an export of the use of "+service, func(e Event) bool { return e.Type == "apimdr.usage.exported" && e.Data.Service == service })
	if err != nil {
		return err
	}
	if want := demoUsageDays * (2*2 + 4 + 24); len(e.Data.Days) != demoUsageDays || e.Data.Rows != want {
		return fmt.Errorf("not the expected event, %d rows: %s", want, e.Raw)
	}
	name := service + "/byApi/" + last.Format("2006/01/02") + ".ndjson.gz"
	blob, err := s.State.DownloadStream(ctx, UsageContainer, name, nil)
	if err != nil {
		return err
	}
	defer blob.Body.Close()
	text, err := gzip.NewReader(blob.Body)
	if err != nil {
		return err
	}
	line, err := bufio.NewReader(text).ReadString('\n')
	s.story.Tell("usage", "%d rows of %d days; %s/%s begins with %s", e.Data.Rows, len(e.Data.Days), UsageContainer, name, strings.TrimSpace(line))
	return err
}
