package record

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// pattern compiles when it is first asked: the app, which does not record, would start later for all of them.
type pattern func() *regexp.Regexp

func shape(re string) pattern {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(re) })
}

// The forms in which values are kept.
var (
	// Plain words, and CamelCase as codes are written: letters in base64 are mixed otherwise.
	wordShape = shape(`^[A-Z]?[a-z]{1,20}$|^[A-Z]{1,6}$|^[a-z]{1,10}'[a-z]{1,2}$|^[a-z]{0,12}([A-Z][a-z]{2,20}|In|Of|To|Is|By|On|No|API|IP|SKU|ID|DNS){1,10}(V2)?$`)
	tierShape = shape(`^(Developer|Basic|Standard|Premium|Consumption|Isolated)(V2)?$`)
	// A type, or an action, which ends in what is done: another third part is a resource's name.
	actionShape = shape(`^Microsoft\.(ApiManagement|Resources|Authorization)(/[A-Za-z*]{1,40}|/service/workspaces|(/[A-Za-z*]{1,40}){1,5}/(read|write|delete|action|\*))?$`)
	numberShape = shape(`^\d{1,6}$`)
	momentShape = shape(`^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}(\.\d{1,9})?Z?)?$|^\d{1,2}/\d{1,2}/\d{4}$|^\d{1,2}:\d{2}:\d{2}$`)
	mediaShape  = shape(`^(application/json|text/html|text/plain|application/xml|text/xml)(; ?charset=(utf-8|us-ascii|iso-8859-1))?$`)
	ourShape    = shape(`^(service|group|account|container|backup|operation|workspace|etag|host|segment|value|provider|region)-\d+$|^0{8}-0{4}-0{4}-0{4}-\d{12}$`)
	keyShape    = shape(`^[a-z][A-Za-z]{0,40}$`)
)

// only keeps a text in one of these forms that has no name and no secret in it.
func (n *names) only(text string, shapes ...pattern) string {
	for _, shape := range shapes {
		if len(text) <= 80 && shape().MatchString(text) && !n.tells(text) {
			return text
		}
	}
	return Redacted
}

// headers are those that tell how an operation goes.
func (n *names) headers(h http.Header) map[string]string {
	kept := map[string]string{}
	for name := range h {
		value := h.Get(name)
		switch name := strings.ToLower(name); name {
		case "location", "azure-asyncoperation":
			kept[name] = n.url(value)
		case "retry-after", "date":
			if at, err := http.ParseTime(value); err == nil {
				kept[name] = httpDate(at)
			} else {
				kept[name] = n.only(value, numberShape)
			}
		case "etag":
			kept[name] = n.of(etag, strings.Trim(value, `"`))
		case "content-length", "x-ms-ratelimit-remaining-subscription-global-reads", "x-ms-ratelimit-remaining-subscription-global-writes",
			"x-ms-ratelimit-remaining-subscription-reads", "x-ms-ratelimit-remaining-subscription-writes":
			kept[name] = n.only(value, numberShape)
		case "content-type":
			kept[name] = n.only(strings.ToLower(value), mediaShape)
		case "x-ms-failure-cause":
			kept[name] = n.only(value, wordShape)
		}
	}
	return kept
}

// request is the body of a backup or restore.
func (n *names) request(text []byte) any {
	var body map[string]any
	if json.Unmarshal(text, &body) != nil {
		return Redacted
	}
	kinds := map[string]Kind{"storageAccount": Account, "containerName": Container, "backupName": Backup}
	kept := map[string]any{}
	for key, v := range body {
		value, _ := v.(string)
		switch kind, name := kinds[key]; {
		case name && value != "":
			kept[key] = n.of(kind, value)
		case key == "accessType":
			kept[key] = n.only(value, wordShape)
		default:
			kept[n.key(key)] = Redacted
		}
	}
	return kept
}

// words are keys of Resource Manager whose values are looked at, whatever else has such a name.
var words = []string{"provisioningState", "targetProvisioningState", "status", "code", "message", "location", "type", "id", "name", "etag", "capacity"}

func (n *names) key(key string) string {
	if inside[key] || slices.Contains(words, key) {
		return key
	}
	return n.only(key, keyShape)
}

// inside are the keys below which is looked: what lies below others, such as tags and identities, has keys that people chose.
var inside = map[string]bool{"properties": true, "sku": true, "error": true, "details": true, "innerError": true, "innererror": true, "value": true, "apiVersionConstraint": true}

const (
	maxList  = 50   // entries
	maxWords = 4096 // bytes of a message
)

// body is what Resource Manager answered; nil: nothing.
func (n *names) body(text []byte) any {
	text = bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\ufeff")))
	if len(text) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil || d.More() {
		return Redacted + ": not JSON"
	}
	return n.value("", "", v)
}

func (n *names) value(parent, key string, v any) any {
	switch v := v.(type) {
	case nil:
		return nil
	case map[string]any:
		if key != "" && !inside[key] {
			return Redacted
		}
		kept := map[string]any{}
		for k, below := range v {
			name := n.key(k)
			kept[name] = Redacted
			if name != Redacted {
				kept[name] = n.value(key, k, below)
			}
		}
		return kept
	case []any:
		if !inside[key] && key != "actions" && key != "notActions" {
			return Redacted
		}
		kept := []any{}
		for _, below := range v[:min(len(v), maxList)] {
			kept = append(kept, n.value(parent, key, below))
		}
		return kept
	case json.Number:
		if key == "capacity" || key == "count" {
			if text := v.String(); n.only(text, numberShape) == text {
				return v
			}
		}
	case string:
		return n.text(parent, key, v)
	}
	return Redacted
}

func (n *names) text(parent, key, v string) string {
	switch key {
	case "provisioningState", "targetProvisioningState", "status", "code":
		return n.only(v, wordShape)
	case "location":
		return n.region(v)
	case "minApiVersion":
		return n.only(v, versionShape)
	case "type", "actions", "notActions":
		if v == "*" || v == "*/read" {
			return v
		}
		return n.only(v, actionShape)
	case "startTime", "endTime":
		return n.only(v, momentShape)
	case "etag":
		return n.of(etag, strings.Trim(v, `"`))
	case "id", "serviceId":
		return n.path(v)
	case "nextLink":
		return n.url(v)
	case "message":
		return n.message(v)
	case "name":
		if parent == "sku" {
			return n.only(v, tierShape)
		}
		if p := n.replace(v); ourShape().MatchString(p) {
			return p
		}
	}
	return Redacted
}

var (
	linkShape   = shape(`(?i)(https?:/)?/[^\s"'<>)\],]+`) // or a path
	straight    = strings.NewReplacer("‘", "'", "’", "'", "“", `"`, "”", `"`, "„", `"`, "«", `"`, "»", `"`)
	quotedShape = shape(`(^|[^A-Za-z0-9])('[^'\n]*'|"[^"\n]*"|\[[^\]\n]*\]|` + "`[^`\n]*`" + `)`)
)

// message keeps the plain words of an error's message. What stands in quotes or brackets is a value, of which only placeholders, tiers, actions and
// numbers are kept.
func (n *names) message(text string) string {
	if len(text) > maxWords {
		text = strings.ToValidUTF8(text[:maxWords], "")
	}
	text = straight.Replace(n.links(n.mask(text)))
	text = quotedShape().ReplaceAllStringFunc(text, func(hit string) string {
		lead := hit[:strings.IndexAny(hit, "'\"[`")]
		inner := hit[len(lead)+1 : len(hit)-1]
		if !n.ours(inner) {
			inner = n.only(inner, tierShape, actionShape, numberShape, versionShape)
		}
		return lead + hit[len(lead):len(lead)+1] + inner + hit[len(hit)-1:]
	})
	var out strings.Builder
	for len(text) > 0 {
		end := strings.IndexAny(text, " \t\r\n")
		if end < 0 {
			end = len(text)
		}
		out.WriteString(n.plain(text[:end]))
		space := end
		for space < len(text) && strings.IndexByte(" \t\r\n", text[space]) >= 0 {
			space++
		}
		out.WriteString(text[end:space])
		text = text[space:]
	}
	return out.String()
}

// links replaces the names in a text: those in links and paths by what stands before them, so that a placeholder is never taken for a name.
func (n *names) links(text string) string {
	var out strings.Builder
	told := 0
	for _, at := range linkShape().FindAllStringIndex(text, -1) {
		hit := strings.TrimRight(text[at[0]:at[1]], ".;:!?")
		if low := strings.ToLower(hit); !strings.HasPrefix(low, "http") && !strings.HasPrefix(low, "/subscriptions/") {
			continue
		}
		out.WriteString(n.replace(text[told:at[0]]) + n.url(hit))
		told = at[0] + len(hit)
	}
	out.WriteString(n.replace(text[told:]))
	return out.String()
}

const (
	quotes      = "[]{}<>\"'`"
	punctuation = ".,;:!?()" + quotes
)

// plain is a word with the punctuation around it, if it tells nothing. One beside a quote or bracket, the other of which may be lines away, is a value.
func (n *names) plain(word string) string {
	core := strings.Trim(word, punctuation)
	at := strings.Index(word, core)
	shapes := []pattern{tierShape, actionShape, numberShape, versionShape}
	if !strings.ContainsAny(word[:at]+word[at+len(core):], quotes) {
		shapes = append(shapes, wordShape, momentShape)
	}
	if core == "" || n.ours(core) || core == "api-version" || n.only(core, shapes...) == core {
		return word
	}
	return word[:at] + Redacted + word[at+len(core):]
}

// ours tells whether a text is made of placeholders and words of Resource Manager alone: one of them, or a path or URL that was made of them.
func (n *names) ours(text string) bool {
	if ourShape().MatchString(text) || text == Redacted {
		return true
	}
	base, path := split(text)
	if base != "" && base != n.endpoint && !ourShape().MatchString(strings.TrimPrefix(strings.TrimPrefix(base, "https://"), "http://")) || !strings.Contains(path, "/") {
		return false
	}
	path, query, _ := strings.Cut(path, "?")
	for s := range strings.SplitSeq(path, "/") {
		if _, word := next[strings.ToLower(s)]; s != "" && !word && !ourShape().MatchString(padding().ReplaceAllString(s, "")) && !providerShape().MatchString(s) {
			return false
		}
	}
	for pair := range strings.SplitSeq(query, "&") {
		if _, value, _ := strings.Cut(pair, "="); value != "" && !ourShape().MatchString(value) && !versionShape().MatchString(value) {
			return false
		}
	}
	return true
}
