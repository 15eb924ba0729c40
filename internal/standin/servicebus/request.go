package servicebus

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"
	"time"

	"apim-dr/internal/standin/servicebus/amqp"
	"apim-dr/internal/standin/servicebus/broker"
)

// reply answers a request to $cbs or $management; codes are those of HTTP.
type reply struct {
	code            int32
	text, condition string
	body            any
}

// request acts on a message that came on a service's link and sends the reply on the link of
// the same session whose target is the request's reply-to.
func (l *link) request(m *amqp.Message, now time.Time) {
	s := l.session
	var r reply
	if l.service == cbs {
		r = s.conn.putToken(m.Application, m.Value, now)
	} else {
		s.conn.server.requests[Request{l.entity.Path(), "management"}]++
		r = l.manage(m, now)
	}
	application := map[string]any{"status-code": r.code, "status-description": r.text}
	if r.condition != "" {
		application["error-condition"] = amqp.Symbol(r.condition)
	}
	for _, to := range s.links {
		if to.receiver && to.service == l.service && to.replyTo == m.Properties.Text(amqp.PropertyReplyTo) {
			to.backlog = append(to.backlog, amqp.Reply(m, application, r.body))
			to.reply()
			return
		}
	}
}

// putToken checks a SAS token and remembers what it is for.
func (c *conn) putToken(application map[string]any, token any, now time.Time) reply {
	audience, _ := application["name"].(string)
	text, _ := token.(string)
	if application["operation"] != "put-token" || application["type"] != "servicebus.windows.net:sastoken" {
		return reply{401, "Only SAS tokens are supported.", unauthorized, nil}
	}
	expiry, problem := c.server.checkToken(text, audience, now)
	if problem != "" {
		return reply{401, problem, unauthorized, nil}
	}
	_, path, _ := strings.Cut(strings.TrimPrefix(audience[strings.Index(audience, ":")+1:], "//"), "/")
	path = strings.ToLower(path)
	// azservicebus reports an unknown entity as CodeNotFound only when $cbs says so.
	if _, err := c.server.namespace.Find(strings.TrimSuffix(path, "/"+management)); path != "" && err != nil {
		return reply{404, err.Error(), notFound, nil}
	}
	c.claims[path] = expiry
	return reply{202, "Accepted", "", nil}
}

// checkToken verifies a token "SharedAccessSignature sr=…&sig=…&se=…&skn=…": sig is the
// HMAC-SHA256 of sr and se under the key, sr the URL that it is good for, se the end in
// seconds since 1970.
func (s *Server) checkToken(token, audience string, now time.Time) (expiry time.Time, problem string) {
	parts, ok := strings.CutPrefix(token, "SharedAccessSignature ")
	if !ok {
		return expiry, "InvalidToken: no shared access signature."
	}
	field := map[string]string{}
	for _, part := range strings.Split(parts, "&") {
		name, value, _ := strings.Cut(part, "=")
		field[name] = value
	}
	mac := hmac.New(sha256.New, []byte(s.key))
	mac.Write([]byte(field["sr"] + "\n" + field["se"]))
	want := base64.StdEncoding.EncodeToString(mac.Sum(nil))
	signature, _ := url.QueryUnescape(field["sig"])
	if field["skn"] != s.keyName || !hmac.Equal([]byte(want), []byte(signature)) {
		return expiry, "InvalidSignature: the token has an invalid signature."
	}
	resource, _ := url.QueryUnescape(field["sr"])
	if !strings.HasPrefix(strings.ToLower(audience), strings.ToLower(resource)) {
		return expiry, "InvalidAudience: the token is for something else."
	}
	seconds, _ := strconv.ParseInt(field["se"], 10, 64)
	if expiry = time.Unix(seconds, 0); !expiry.After(now) {
		return expiry, "ExpiredToken: the token is expired."
	}
	return expiry, ""
}

// authorized tells whether a token was put for the address or for something above it.
func (c *conn) authorized(address string, now time.Time) bool {
	for path, expiry := range c.claims {
		if expiry.After(now) && (path == "" || address == path || strings.HasPrefix(address, path+"/")) {
			return true
		}
	}
	return false
}

// manage answers a request to an entity's $management node.
func (l *link) manage(m *amqp.Message, now time.Time) reply {
	body := amqp.Texts(m.Value)
	var tokens []broker.Token
	for _, id := range amqp.UUIDs(body["lock-tokens"]) {
		tokens = append(tokens, broker.Token(id))
	}
	switch m.Application["operation"] {
	case "com.microsoft:renew-lock":
		until, err := l.entity.Renew(now, tokens)
		if err != nil {
			return reply{410, err.Error(), lockLost, nil}
		}
		return reply{200, "OK", "", map[string]any{"expirations": until}}
	case "com.microsoft:update-disposition":
		status, _ := body["disposition-status"].(string)
		verdict, ok := verdicts[status]
		if !ok {
			break
		}
		extra := amqp.Texts(body["properties-to-modify"])
		if verdict == broker.DeadLetter {
			extra["DeadLetterReason"] = body["deadletter-reason"]
			extra["DeadLetterErrorDescription"] = body["deadletter-description"]
		}
		for _, t := range tokens {
			if err := l.entity.Settle(now, t, verdict, extra); err != nil {
				return reply{410, err.Error(), lockLost, nil}
			}
		}
		return reply{200, "OK", "", nil}
	case "com.microsoft:peek-message":
		from, _ := body["from-sequence-number"].(int64)
		limit, _ := body["message-count"].(int32)
		var messages []any
		for _, d := range l.entity.Peek(from, int(limit)) {
			messages = append(messages, map[string]any{"message": encode(d)})
		}
		if len(messages) == 0 {
			return reply{204, "NoContent", "", nil}
		}
		return reply{200, "OK", "", map[string]any{"messages": messages}}
	}
	return reply{501, "The stand-in does not support this operation.", "amqp:not-implemented", nil}
}

// verdicts by their names in an update-disposition.
var verdicts = map[string]broker.Verdict{
	"completed": broker.Complete, "abandoned": broker.Abandon, "suspended": broker.DeadLetter,
}
