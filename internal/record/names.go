package record

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// Redacted stands in the place of what is left out. The rule is an allow-list: of URLs the words of Resource Manager and the api-version stay, of headers
// and bodies the values of a few keys and only in the form that they have there, of an error's message plain words. Names become placeholders (service-1),
// the same for the same name. All else is left out.
const Redacted = "REDACTED"

// Kind is what a name is of.
type Kind string

// The kinds. The others come from URLs.
const (
	Subscription Kind = "subscription"
	Group        Kind = "group"
	Service      Kind = "service"
	Account      Kind = "account"
	Container    Kind = "container"
	Backup       Kind = "backup" // the blob's name

	operation Kind = "operation"
	workspace Kind = "workspace"
	etag      Kind = "etag"
	host      Kind = "host"
	segment   Kind = "segment"
	parameter Kind = "value"
	provider  Kind = "provider"
	region    Kind = "region"
)

// names knows what stands for what. It is safe for concurrent use.
type names struct {
	endpoint string
	mask     func(string) string

	mu    sync.Mutex
	known map[Kind]map[string]string // placeholders, by the name in lower case
	order []known                    // the longest first: one name may be a part of another
}

type known struct{ name, placeholder string }

func newNames(endpoint string, mask func(string) string) *names {
	return &names{endpoint: endpoint, mask: mask, known: map[Kind]map[string]string{}}
}

// of is the placeholder of a name; one that is empty stays so.
func (n *names) of(kind Kind, name string) string {
	if name == "" {
		return ""
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	key := strings.ToLower(name)
	if p, ok := n.known[kind][key]; ok {
		return p
	}
	if n.known[kind] == nil {
		n.known[kind] = map[string]string{}
	}
	number := len(n.known[kind]) + 1
	p := fmt.Sprintf("%s-%d", kind, number)
	if kind == Subscription {
		p = fmt.Sprintf("00000000-0000-0000-0000-%012d", number)
	}
	n.known[kind][key] = p
	if kind != parameter && kind != segment { // those are no names, and may be common words
		n.order = append(n.order, known{key, p})
		slices.SortStableFunc(n.order, func(a, b known) int { return cmp.Compare(len(b.name), len(a.name)) })
	}
	return p
}

const shortName = 5 // bytes; a shorter name counts only where it stands alone, or "dev" would hide Developer

// replace puts placeholders in the place of known names. Each name is marked first, so that no placeholder is taken for a name.
func (n *names) replace(text string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	lower := strings.ToLower(text)
	if len(lower) != len(text) { // some letters change their length: then the names of others may be missed, so that nothing is kept
		return Redacted
	}
	var out strings.Builder
	for i := 0; i < len(text); {
		if hit, ok := n.at(lower, i); ok {
			out.WriteString(hit.placeholder)
			i += len(hit.name)
			continue
		}
		out.WriteByte(text[i])
		i++
	}
	return out.String()
}

// at is the longest known name that begins at i.
func (n *names) at(lower string, i int) (known, bool) {
	for _, k := range n.order {
		if !strings.HasPrefix(lower[i:], k.name) {
			continue
		}
		end := i + len(k.name)
		if len(k.name) < shortName && (i > 0 && isWord(lower[i-1]) || end < len(lower) && isWord(lower[end])) {
			continue
		}
		return k, true
	}
	return known{}, false
}

func isWord(b byte) bool { return b >= 'a' && b <= 'z' || b >= '0' && b <= '9' || b >= 0x80 }

// tells tells whether a text has a known name or a secret in it.
func (n *names) tells(text string) bool { return n.mask(text) != text || n.replace(text) != text }

// next is what the segment after a word of a path names; a word that is not here is none of Resource Manager's.
var next = map[string]Kind{
	"subscriptions": Subscription, "resourcegroups": Group, "providers": provider, "service": Service, "locations": region, "deletedservices": Service,
	"workspaces": workspace, "operationresults": operation, "operationsstatuses": operation, "operationstatuses": operation, "operations": operation,
	"backup": "", "restore": "", "permissions": "",
}

var (
	providerShape = shape(`(?i)^Microsoft\.[A-Z]{1,40}$`)
	regionShape   = shape(`^[A-Za-z]+( [A-Za-z]+){0,3}( ?[0-9])?$`)
	padding       = shape(`(?i)(=|%3D)+$`)
	versionShape  = shape(`^\d{4}-\d{2}-\d{2}(-preview)?$`)
)

// path keeps the words of Resource Manager, empty segments and the padding of an operation's id as they are.
func (n *names) path(text string) string {
	segments := strings.Split(text, "/")
	kind := Kind("")
	for i, s := range segments {
		follows, word := next[strings.ToLower(s)]
		switch {
		case s == "":
			continue
		case kind != "":
			segments[i] = n.segment(kind, s)
			kind = ""
			continue
		case !word:
			segments[i] = n.segment(segment, s)
		}
		kind = follows
	}
	return strings.Join(segments, "/")
}

func (n *names) segment(kind Kind, s string) string {
	plain, err := url.PathUnescape(s)
	if err != nil {
		plain = s
	}
	switch {
	case kind == provider && providerShape().MatchString(s):
		return s
	case kind == region:
		return n.region(plain)
	case kind == operation:
		end := padding().FindString(s)
		return n.of(kind, strings.TrimRight(plain, "=")) + end
	}
	return n.of(kind, plain)
}

func (n *names) region(text string) string {
	if len(text) <= 40 && regionShape().MatchString(text) && !n.tells(text) {
		return text
	}
	return n.of(region, text)
}

// parameters are the names in a query that are Resource Manager's own; t, c, s and h are those of a signed Location (operationsStatuses).
var parameters = []string{"api-version", "t", "c", "s", "h", "$skiptoken", "$top", "$filter"}

// url keeps the endpoint and the form; the values of a query, which may be a signature, become placeholders.
func (n *names) url(text string) string {
	text, _, _ = strings.Cut(text, "#")
	text, query, asked := strings.Cut(text, "?")
	base, path := split(text)
	switch {
	case base == "":
	case !strings.EqualFold(base, n.endpoint):
		scheme, at, _ := strings.Cut(base, "://")
		if base = "https://"; strings.EqualFold(scheme, "http") {
			base = "http://"
		}
		base += n.of(host, at)
	}
	text = base + n.path(path)
	if !asked {
		return text
	}
	var pairs []string
	for pair := range strings.SplitSeq(query, "&") {
		name, value, has := strings.Cut(pair, "=")
		i := slices.IndexFunc(parameters, func(p string) bool { return strings.EqualFold(p, name) })
		if i < 0 {
			name = Redacted
		}
		if i != 0 || !versionShape().MatchString(value) {
			value = n.of(parameter, value)
		}
		if has {
			name += "=" + value
		}
		pairs = append(pairs, name)
	}
	return text + "?" + strings.Join(pairs, "&")
}

// split cuts a URL behind its host; base is empty where there is none.
func split(text string) (base, path string) {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return "", text
	}
	at, path, found := strings.Cut(rest, "/")
	if found {
		path = "/" + path
	}
	return scheme + "://" + at, path
}
