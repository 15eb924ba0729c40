package record

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// started is a backup or restore that was asked for, with what followed until the next one.
type started struct {
	verb  string
	post  Exchange
	polls []Exchange
	looks []Exchange // GETs of the instance
}

// Findings tells what the exchanges show of what is nowhere documented or confirmed, in sentences without a name.
func (r *Recorder) Findings() (list []string) {
	all := r.Exchanges()
	for _, s := range starts(all) {
		say := func(format string, args ...any) { list = append(list, s.verb+": "+fmt.Sprintf(format, args...)) }
		say("the POST got %s", answered(s.post))
		say("%s", where(s.post))
		if len(s.polls) == 0 {
			say("it was not polled")
		} else {
			say("%s", polled(s))
			say("the last answer was %s", last(s.polls[len(s.polls)-1]))
		}
		say("%s", states(s.looks))
	}
	if text := listed(all); text != "" {
		list = append(list, text)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dropped > 0 {
		list = append(list, fmt.Sprintf("%d requests more were made than are recorded", r.dropped))
	}
	return list
}

func starts(all []Exchange) (list []*started) {
	for _, x := range all {
		path := strings.ToLower(pathOf(x.URL))
		verb := path[strings.LastIndex(path, "/")+1:]
		switch {
		case x.Method == http.MethodPost && (verb == "backup" || verb == "restore"):
			list = append(list, &started{verb: verb, post: x})
		case x.Method != http.MethodGet || len(list) == 0:
		case style(path) != "":
			s := list[len(list)-1]
			s.polls = append(s.polls, x)
		case strings.EqualFold(pathOf(list[len(list)-1].post.URL), path+"/"+list[len(list)-1].verb):
			s := list[len(list)-1]
			s.looks = append(s.looks, x)
		}
	}
	return list
}

func pathOf(url string) string {
	_, path := split(url)
	path, _, _ = strings.Cut(path, "?")
	return path
}

// style is the word of a Location's path that tells what it is; empty: it is none.
func style(path string) string {
	for _, word := range []string{"operationresults", "operationsStatuses", "operationStatuses", "operations"} {
		if strings.Contains(strings.ToLower(path), "/"+strings.ToLower(word)+"/") {
			return word
		}
	}
	return ""
}

func answered(x Exchange) string {
	if x.Status == 0 {
		return "no answer"
	}
	return fmt.Sprintf("%d with %s, %s", x.Status, content(x), retry(x))
}

func content(x Exchange) string {
	switch b := x.ResponseBody.(type) {
	case nil:
		return "an empty body"
	case map[string]any:
		if e := inner(b); e["code"] != nil {
			return fmt.Sprintf("the error %v: %v", e["code"], e["message"])
		}
		switch state := state(b); {
		case state != "" && b["type"] == "Microsoft.ApiManagement/service":
			return "the instance, " + state
		case state != "":
			return "a body that says " + state
		}
		return "a body without a state"
	default:
		return "a body that is no object"
	}
}

// inner is the error in a body; those of old api-versions are not wrapped.
func inner(b map[string]any) map[string]any {
	if e, ok := b["error"].(map[string]any); ok {
		return e
	}
	return b
}

func state(b map[string]any) string {
	if s, ok := b["status"].(string); ok {
		return "status " + s
	}
	if p, ok := b["properties"].(map[string]any); ok {
		if s, ok := p["provisioningState"].(string); ok {
			return "provisioningState " + s
		}
	}
	return ""
}

func retry(x Exchange) string {
	if after := x.ResponseHeaders["retry-after"]; after != "" {
		return "Retry-After " + after
	}
	return "no Retry-After"
}

// where tells in which form the Location of a POST came.
func where(x Exchange) string {
	location := x.ResponseHeaders["location"]
	if location == "" {
		return "no Location came with it"
	}
	text := "its Location is of the form " + form(location)
	if x.ResponseHeaders["azure-asyncoperation"] != "" {
		return text + ", beside an Azure-AsyncOperation"
	}
	return text + ", without an Azure-AsyncOperation"
}

func form(location string) string {
	path, slash := pathOf(location), "single slash"
	if strings.Contains(path, "//") {
		slash = "double slash"
	}
	word := style(path)
	if word == "" {
		word = "no word that is known"
	}
	if _, query, _ := strings.Cut(location, "?"); strings.Contains("&"+query, "&s=") {
		slash += ", signed"
	}
	if base, _ := split(location); strings.Contains(base, "://"+string(host)+"-") {
		slash += ", on another host" // to which no token is sent
	}
	return word + ", " + slash
}

// polled tells how often an operation was asked for, how long that took, and whether the answers could be read.
func polled(s *started) string {
	var order, waits, forms []string
	n, refused := map[string]int{}, 0
	add := func(list *[]string, text string) {
		if !slices.Contains(*list, text) {
			*list = append(*list, text)
		}
	}
	for i, p := range s.polls {
		status := fmt.Sprint(p.Status)
		if p.Status == 0 {
			status = "nothing"
		}
		add(&order, status)
		if n[status]++; i+1 < len(s.polls) {
			add(&waits, retry(p))
		}
		if at := p.ResponseHeaders["location"]; at != "" {
			add(&forms, form(at))
		}
		if p.Status == http.StatusUnauthorized || p.Status == http.StatusForbidden || p.Status == http.StatusNotFound {
			refused++
		}
	}
	for i, status := range order {
		order[i] = fmt.Sprintf("%d got %s", n[status], status)
	}
	text := fmt.Sprintf("%d polls, %s", len(s.polls), strings.Join(order, ", "))
	if len(waits) > 0 {
		text += " (" + strings.Join(waits, "; ") + ")"
	}
	if took, ok := between(s.post, s.polls[len(s.polls)-1]); ok {
		text += fmt.Sprintf("; %s from the POST to the last answer", took)
	}
	if len(forms) > 0 {
		text += "; their Locations: " + strings.Join(forms, " / ")
	}
	if refused > 0 {
		return text + fmt.Sprintf("; the operation's results were refused %d times", refused)
	}
	return text + "; the operation's results could be read"
}

func between(a, b Exchange) (time.Duration, bool) {
	from, err := http.ParseTime(a.Date)
	to, err2 := http.ParseTime(b.Date)
	return to.Sub(from), err == nil && err2 == nil
}

func last(x Exchange) string {
	if x.Status == 0 {
		return "none"
	}
	return fmt.Sprintf("%d with %s", x.Status, content(x))
}

// states tells what the instance showed between a POST and the next one.
func states(looks []Exchange) string {
	var runs []string
	n := 0
	for i, x := range looks {
		b, _ := x.ResponseBody.(map[string]any)
		shown := strings.TrimPrefix(state(b), "provisioningState ")
		if shown == "" {
			shown = fmt.Sprintf("HTTP %d", x.Status)
		}
		if n++; i+1 < len(looks) && same(x, looks[i+1]) {
			continue
		}
		runs = append(runs, fmt.Sprintf("%s (%d)", shown, n))
		n = 0
	}
	switch {
	case len(runs) == 0:
		return "nobody looked at the instance meanwhile"
	case strings.Contains(strings.Join(runs, " "), "Updating"):
		return "the instance showed " + strings.Join(runs, ", ")
	}
	return "the instance never showed Updating; it showed " + strings.Join(runs, ", ")
}

func same(a, b Exchange) bool {
	x, _ := a.ResponseBody.(map[string]any)
	y, _ := b.ResponseBody.(map[string]any)
	return a.Status == b.Status && state(x) == state(y)
}

// listed tells whether the caller's permissions could be read.
func listed(all []Exchange) string {
	n := map[int]int{}
	for _, x := range all {
		if strings.HasSuffix(pathOf(x.URL), "/providers/Microsoft.Authorization/permissions") {
			n[x.Status]++
		}
	}
	var parts []string
	for status, count := range n {
		parts = append(parts, fmt.Sprintf("%d of the lists answered %d", count, status))
	}
	if len(parts) == 0 {
		return ""
	}
	slices.Sort(parts)
	return "permissions: " + strings.Join(parts, ", ")
}
