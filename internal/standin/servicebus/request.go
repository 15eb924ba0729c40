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
	if l.service == serviceCBS {
		r = s.conn.putToken(m.Application, m.Value, now)
	} else {
		s.conn.server.requests++
		r = l.manage(m, now)
	}
	application := map[string]any{"status-code": r.code, "status-description": r.text}
	if r.condition != "" {
		application["error-condition"] = amqp.Symbol(r.condition)
	}
	message := amqp.AppendReply(nil, m, application, r.body)
	for _, to := range s.links {
		if !to.receiver || to.service != l.service || to.replyTo != m.Properties.Text(amqp.PropertyReplyTo) {
			continue
		}
		if to.credit == 0 {
			to.backlog = append(to.backlog, message)
		} else {
			to.transfer(message, []byte{0}, true)
		}
		return
	}
}

// putToken checks a SAS token and remembers what it is for.
func (c *conn) putToken(application map[string]any, token any, now time.Time) reply {
	audience, _ := application["name"].(string)
	text, _ := token.(string)
	if application["operation"] != "put-token" || application["type"] != "servicebus.windows.net:sastoken" {
		return reply{code: 401, text: "Only SAS tokens are supported.", condition: condUnauthorized}
	}
	expiry, problem := c.server.checkToken(text, audience, now)
	if problem != "" {
		return reply{code: 401, text: problem, condition: condUnauthorized}
	}
	_, path, _ := strings.Cut(strings.TrimPrefix(audience[strings.Index(audience, ":")+1:], "//"), "/")
	path = strings.ToLower(path)
	// azservicebus reports an unknown entity as CodeNotFound only when $cbs says so.
	if _, err := c.server.namespace.Find(strings.TrimSuffix(path, "/"+serviceManagement)); path != "" && err != nil {
		return reply{code: 404, text: err.Error(), condition: condNotFound}
	}
	c.claims[path] = expiry
	return reply{code: 202, text: "Accepted"}
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
	body := properties(m.Value)
	ids, _ := body["lock-tokens"].([]amqp.UUID)
	tokens := make([]broker.Token, len(ids))
	for i, id := range ids {
		tokens[i] = broker.Token(id)
	}
	switch operation := m.Application["operation"]; operation {
	case "com.microsoft:renew-lock":
		until, err := l.entity.Renew(now, tokens)
		if err != nil {
			return reply{code: 410, text: err.Error(), condition: condLockLost}
		}
		return reply{code: 200, text: "OK", body: map[string]any{"expirations": until}}
	case "com.microsoft:update-disposition":
		settlement, ok := managedSettlement(body)
		if !ok {
			break
		}
		for _, t := range tokens {
			if err := l.entity.Settle(now, t, settlement); err != nil {
				return reply{code: 410, text: err.Error(), condition: condLockLost}
			}
		}
		return reply{code: 200, text: "OK"}
	case "com.microsoft:peek-message":
		from, _ := body["from-sequence-number"].(int64)
		limit, _ := body["message-count"].(int32)
		var messages []any
		for _, d := range l.entity.Peek(from, int(limit)) {
			messages = append(messages, map[string]any{"message": encode(d)})
		}
		if len(messages) == 0 {
			return reply{code: 204, text: "NoContent"}
		}
		return reply{code: 200, text: "OK", body: map[string]any{"messages": messages}}
	}
	return reply{code: 501, text: "The stand-in does not support this operation.", condition: "amqp:not-implemented"}
}

// managedSettlement reads the body of an update-disposition.
func managedSettlement(body map[string]any) (s broker.Settlement, ok bool) {
	extra := properties(body["properties-to-modify"])
	switch body["disposition-status"] {
	case "completed":
		return broker.Settlement{Verdict: broker.Complete}, true
	case "abandoned":
		return broker.Settlement{Verdict: broker.Abandon, Extra: extra}, true
	case "suspended":
		extra["DeadLetterReason"] = body["deadletter-reason"]
		extra["DeadLetterErrorDescription"] = body["deadletter-description"]
		return deadLetter(extra), true
	}
	return s, false
}
