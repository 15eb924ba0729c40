package servicebus

import (
	"maps"
	"strings"
	"time"

	"apim-dr/internal/standin/servicebus/amqp"
	"apim-dr/internal/standin/servicebus/broker"
)

const (
	// transferWindow is how many transfer frames a client may send before it needs a flow:
	// more than senderCredit messages of the largest size take, so that credit alone limits.
	transferWindow = 1 << 20
	senderCredit   = 1000
	maxMessageSize = 256 << 10 // bytes (Standard tier)

	unauthorized = "amqp:unauthorized-access"
	notFound     = "amqp:not-found"
	notAllowed   = "amqp:not-allowed"
	lockLost     = "com.microsoft:message-lock-lost"
)

// session belongs to one connection; the server's lock guards it.
type session struct {
	conn         *conn
	channel      uint16
	links        map[uint32]*link // by handle; ours has the number of theirs
	nextIncoming uint32
	nextOutgoing uint32
	window       uint32   // transfer frames that the client takes now
	held         [][]byte // transfer frames that wait for the window
	nextDelivery uint32
	unsettled    map[uint32]unsettled // by delivery id
}

type unsettled struct {
	link  *link
	token broker.Token
}

// The nodes beside entities that a link can address.
const (
	cbs        = "$cbs"
	management = "$management"
)

// link is one end of a link. The client is its receiver or its sender.
type link struct {
	session       *session
	handle        uint32
	receiver      bool
	service       string         // cbs, management, or "" for the entity itself
	entity        *broker.Entity // nil for cbs
	consumer      *broker.Consumer
	replyTo       string // of the receiver of a service's replies
	detached      bool   // by us: the client's answer is still to come
	deliveryCount uint32
	credit        uint32

	backlog  [][]byte    // replies that wait for credit
	incoming amqp.Fields // first frame of the transfer under way
	partial  []byte
}

func newSession(c *conn, channel uint16, f amqp.Fields) *session {
	s := &session{
		conn: c, channel: channel, links: map[uint32]*link{}, unsettled: map[uint32]unsettled{},
		nextIncoming: f.Uint(1), window: f.Uint(2),
	}
	s.send(amqp.Begin, channel, uint32(0), uint32(transferWindow), uint32(transferWindow))
	return s
}

func (s *session) send(code uint64, fields ...any) { s.conn.send(s.channel, code, fields...) }

func (s *session) end(now time.Time) {
	for _, l := range s.links {
		l.release(now)
	}
}

// attach answers an attach, with the settle modes that were asked for. To refuse, the answer
// lacks the node that the server should provide, and a detach follows.
func (s *session) attach(f amqp.Fields, now time.Time) {
	l := &link{session: s, handle: f.Uint(1), receiver: f.Bool(2)}
	answer := []any{f.Text(0), l.handle, !l.receiver, nil, nil, nil, nil, nil, nil, nil, uint64(maxMessageSize)}
	copy(answer[3:7], f[min(3, len(f)):]) // settle modes, source, target
	address, node := f.List(6, amqp.Target).Text(0), 6
	if l.receiver {
		l.replyTo, address, node = address, f.List(5, amqp.Source).Text(0), 5
		answer[9] = uint32(0) // initial-delivery-count
	}
	if condition, text := l.resolve(f, address, now); condition != "" {
		answer[node] = nil
		s.send(amqp.Attach, answer...)
		s.send(amqp.Detach, l.handle, true, errorOf(condition, text))
		return
	}
	s.links[l.handle] = l
	s.send(amqp.Attach, answer...)
	switch {
	case !l.receiver:
		l.grant()
	case l.service == "":
		l.consumer = &broker.Consumer{RemoveOnDelivery: amqp.At[uint8](f, 3) == 1, Deliver: l.deliver}
	}
}

// resolve finds what the link addresses, or the reason to refuse it. A filter on a source asks
// for a session.
func (l *link) resolve(f amqp.Fields, address string, now time.Time) (condition, text string) {
	address = strings.ToLower(address)
	if address == cbs {
		l.service = cbs
		return "", ""
	}
	path, managed := strings.CutSuffix(address, "/"+management)
	entity, err := l.session.conn.server.namespace.Find(path)
	switch {
	case err != nil:
		return notFound, err.Error()
	case !l.session.conn.authorized(address, now):
		return unauthorized, "Unauthorized access. A token for the entity is required."
	case managed:
		l.service = management
	case l.receiver && (!entity.Receivable() || f.List(5, amqp.Source).Has(7)) || !l.receiver && !entity.Sendable():
		return notAllowed, "The entity does not take links of this role, or has no sessions."
	}
	l.entity = entity
	return "", ""
}

func errorOf(condition, text string) amqp.Described {
	return amqp.Describe(amqp.Error, amqp.Symbol(condition), text)
}

// grant gives the client's sender all its credit anew.
func (l *link) grant() {
	l.credit = senderCredit
	s := l.session
	s.send(amqp.Flow, s.nextIncoming, uint32(transferWindow), s.nextOutgoing, uint32(transferWindow), l.handle, l.deliveryCount, l.credit)
}

// flow takes the client's transfer window and a receiver's credit (2.5.6, 2.6.7).
func (s *session) flow(f amqp.Fields, now time.Time) {
	s.window = f.Uint(0) + f.Uint(1) - s.nextOutgoing
	s.flush()
	l := s.links[f.Uint(4)]
	if !f.Has(4) || l == nil || !l.receiver || l.detached {
		return
	}
	l.credit = uint32(max(0, int32(f.Uint(5)+f.Uint(6)-l.deliveryCount)))
	if l.consumer != nil {
		l.entity.SetCredit(now, l.consumer, int(l.credit))
		return
	}
	l.reply()
}

// reply sends the replies that wait, as far as there is credit.
func (l *link) reply() {
	for len(l.backlog) > 0 && l.credit > 0 {
		message := l.backlog[0]
		l.backlog = l.backlog[1:]
		l.transfer(message, []byte{0}, true)
	}
}

// detach ends a link on the client's word. Locks of its messages stay, as in Azure.
func (s *session) detach(f amqp.Fields, now time.Time) {
	l := s.links[f.Uint(0)]
	if l == nil {
		return // one that was refused
	}
	l.release(now)
	delete(s.links, l.handle)
	if !l.detached {
		s.send(amqp.Detach, l.handle, true)
	}
}

// detach ends a link on our word. Nothing may be sent on it after that.
func (l *link) detach(now time.Time, condition, text string) {
	l.release(now)
	l.detached = true
	l.session.send(amqp.Detach, l.handle, true, errorOf(condition, text))
}

// release stops deliveries on a link and forgets those that it made: a disposition on a link
// that is gone makes the client end the session.
func (l *link) release(now time.Time) {
	if l.consumer != nil {
		l.entity.SetCredit(now, l.consumer, 0)
	}
	maps.DeleteFunc(l.session.unsettled, func(_ uint32, u unsettled) bool { return u.link == l })
}
