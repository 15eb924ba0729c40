package handlers

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"apim-dr/internal/customhandler"
)

const queryIsWrong = "The query is not valid"

// hostsOwn are the parameters with which the host is given a function key.
var hostsOwn = []string{"code", "clientId"}

// knownQuery is an HTTP function that is not reached by a call whose query it does not know: a ?dryRun=true that nobody reads would let a failover begin.
func knownQuery(f Function) http.HandlerFunc {
	accepted := "none; what is asked for goes into the body"
	if len(f.Query) > 0 {
		accepted = strings.Join(f.Query, ", ")
	} else if strings.HasPrefix(f.Pattern, http.MethodGet) {
		accepted = "none"
	}
	return func(w http.ResponseWriter, r *http.Request) {
		var wrong mistakes
		q, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil {
			wrong.add("query", "is not encoded as in a URL")
		}
		for _, name := range slices.Sorted(maps.Keys(q)) {
			switch {
			case !slices.Contains(f.Query, name) && !slices.Contains(hostsOwn, name):
				wrong.add("query", fmt.Sprintf("%.50q is not known; accepted: %s", name, accepted))
			case len(q[name]) > 1:
				wrong.add(name, "is given twice; give it once")
			}
		}
		if !wrong.answer(w, r, customhandler.Problem{Title: queryIsWrong, Detail: correct}) {
			f.HTTP(w, r)
		}
	}
}
