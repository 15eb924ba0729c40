package arm

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ReportRecord is a record of a report on what a service's gateways did. It is shown as it is: nothing is summed up, and order is kept.
type ReportRecord struct {
	Service string         // name
	Report  string         // byApi, byUser, byOperation, byProduct, byGeo, bySubscription, byTime or byRequest
	At      time.Time      // in which windows it falls; shown, as timestamp, by byTime and byRequest alone
	Fields  map[string]any // such as apiId, callCountTotal; byTime adds the interval that was asked for
}

// reports are the names of the reports, by what the path has, in lower case.
var reports = map[string]string{"byapi": "byApi", "byuser": "byUser", "byoperation": "byOperation", "byproduct": "byProduct", "bygeo": "byGeo",
	"bysubscription": "bySubscription", "bytime": "byTime", "byrequest": "byRequest"}

// The example of the swagger has datetime'…'; the developer portal of Microsoft sends the time alone. Zone and fraction are as you like. An end
// may be missing (REST reference of 2017, "Reports": then it is now), a beginning may not. Other fields (apiId eq …) are not served.
var (
	window    = regexp.MustCompile(`^\s*timestamp ge (?:datetime)?'?([-\d]+(?:T[:.\d]+)?)Z?'?(?:\s+and\s+timestamp le (?:datetime)?'?([-\d]+(?:T[:.\d]+)?)Z?'?)?\s*$`)
	intervals = regexp.MustCompile(`^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?)?$`)
)

// report answers with the records of a window, both of whose ends are in it.
func (s *Server) report(c *call, v *service) *Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v.SKU == "Consumption" || strings.HasSuffix(v.SKU, "V2") {
		return notInTier(v.SKU)
	}
	q := c.r.URL.Query()
	m := window.FindStringSubmatch(q.Get("$filter"))
	if m == nil {
		return invalid("$filter", "A beginning of the reporting period (timestamp ge) is needed.")
	}
	from, ok := moment(m[1])
	to, ok2 := s.cfg.Now(), true
	if m[2] != "" {
		to, ok2 = moment(m[2])
	}
	skip, ok3 := count(q.Get("$skip"), 0, 0)
	top, ok4 := count(q.Get("$top"), 1, max(s.cfg.ReportPage, 0))
	switch {
	case !ok || !ok2 || from.After(to):
		return invalid("$filter", "The reporting period is not valid.")
	case !ok3 || !ok4:
		return invalid("$skip, $top", "The paging is not valid.")
	case c.report == "byTime" && !quarters(q.Get("interval")):
		return invalid("interval", "Interval must be a multiple of 15 minutes and may not be zero.")
	}
	if s.cfg.ReportPage > 0 {
		top = min(top, s.cfg.ReportPage)
	}
	list := []any{}
	for _, r := range s.cfg.Records {
		if strings.EqualFold(r.Service, v.name) && r.Report == c.report && !r.At.Before(from) && !r.At.After(to) {
			list = append(list, r.show(q.Get("interval")))
		}
	}
	end := len(list)
	if top > 0 {
		end = min(end, skip+top)
	}
	body := map[string]any{"value": list[min(skip, end):end], "count": len(list)}
	if c.report != "byRequest" {
		body["nextLink"] = ""
		if s.cfg.ReportLinks && end < len(list) {
			q.Set("$skip", strconv.Itoa(end))
			body["nextLink"] = s.base(c) + c.r.URL.EscapedPath() + "?" + q.Encode()
		}
	}
	c.send(http.StatusOK, body)
	return nil
}

func (r ReportRecord) show(interval string) map[string]any {
	record := map[string]any{}
	maps.Copy(record, r.Fields)
	if r.Report == "byTime" || r.Report == "byRequest" {
		record["timestamp"] = r.At.UTC().Format(time.RFC3339Nano)
	}
	if r.Report == "byTime" {
		record["interval"] = interval
	}
	return record
}

// moment reads a time of a filter, or a day.
func moment(text string) (t time.Time, ok bool) {
	return t, slices.ContainsFunc([]string{"2006-01-02T15:04:05", time.DateOnly}, func(layout string) bool {
		var err error
		t, err = time.Parse(layout, text)
		return err == nil
	})
}

// count reads a number that is at least least; usual is that of an empty text.
func count(text string, least, usual int) (int, bool) {
	if text == "" {
		return usual, true
	}
	n, err := strconv.ParseInt(text, 10, 32)
	return int(n), err == nil && int(n) >= least
}

// quarters is whether an ISO 8601 duration is one quarter of an hour, or more of them.
func quarters(text string) bool {
	m := intervals.FindStringSubmatch(text)
	minutes := 0
	for i, unit := range []int{24 * 60, 60, 1} {
		if m != nil {
			n, _ := strconv.Atoi(m[i+1])
			minutes += n * unit
		}
	}
	return minutes > 0 && minutes%15 == 0
}
