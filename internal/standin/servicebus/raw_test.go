package servicebus_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"apim-dr/internal/standin/servicebus"
	"apim-dr/internal/standin/servicebus/amqp"
)

// peer is a client that says what the real one never would.
type peer struct {
	t testing.TB
	net.Conn
}

func (b *bench) raw() *peer {
	b.t.Helper()
	c, err := net.Dial("tcp", b.addr)
	must(b.t, err)
	b.t.Cleanup(func() { _ = c.Close() })
	must(b.t, c.SetDeadline(time.Now().Add(5*time.Second)))
	return rawOn(b.t, c)
}

// rawOn opens a connection and a session on c.
func rawOn(t testing.TB, c net.Conn) *peer {
	t.Helper()
	p := &peer{t, c}
	p.write([]byte("AMQP\x00\x01\x00\x00"))
	_, err := io.ReadFull(c, make([]byte, 8))
	must(t, err)
	p.send(0, amqp.Open, "raw", nil, uint32(1024), uint16(10))
	p.expect(amqp.Open)
	p.send(0, amqp.Begin, nil, uint32(0), uint32(5000), uint32(5000))
	p.expect(amqp.Begin)
	return p
}

func (p *peer) write(b []byte) {
	_, err := p.Write(b)
	must(p.t, err)
}

func (p *peer) send(channel uint16, code uint64, fields ...any) {
	p.write(amqp.AppendFrame(nil, amqp.TypeAMQP, channel, code, fields, nil))
}

func (p *peer) expect(code uint64) amqp.Frame {
	p.t.Helper()
	for {
		f, err := amqp.ReadFrame(p, 1024)
		must(p.t, err)
		if f.Code == code {
			return f
		}
		if f.Code != 0 {
			p.t.Fatalf("got frame %#x %v, want %#x", f.Code, f.Fields, code)
		}
	}
}

func sender(name string, handle uint32, address string) []any {
	return []any{name, handle, false, uint8(2), uint8(0), amqp.Describe(amqp.Source, "me"), amqp.Describe(amqp.Target, address)}
}

func receiver(name string, handle uint32, source, target string) []any {
	return []any{name, handle, true, nil, uint8(0), amqp.Describe(amqp.Source, source), amqp.Describe(amqp.Target, target)}
}

// putToken does what azservicebus does on $cbs and returns the status code.
func (p *peer) putToken(audience, resource, key string, expiry time.Time, kind string) int32 {
	p.t.Helper()
	p.send(0, amqp.Attach, sender("cbs-s", 100, "$cbs")...)
	p.expect(amqp.Attach)
	p.expect(amqp.Flow)
	p.send(0, amqp.Attach, receiver("cbs-r", 101, "$cbs", "reply")...)
	p.expect(amqp.Attach)
	p.send(0, amqp.Attach, receiver("cbs-other", 102, "$cbs", "elsewhere")...) // nothing may come there
	p.expect(amqp.Attach)
	p.send(0, amqp.Flow, uint32(0), uint32(5000), uint32(0), uint32(5000), uint32(102), uint32(0), uint32(10))
	sr := strings.ToLower(url.QueryEscape(resource))
	mac := hmac.New(sha256.New, []byte(key))
	fmt.Fprintf(mac, "%s\n%d", sr, expiry.Unix())
	token := fmt.Sprintf("SharedAccessSignature sr=%s&sig=%s&se=%d&skn=%s", sr, url.QueryEscape(base64.StdEncoding.EncodeToString(mac.Sum(nil))), expiry.Unix(), testKeyName)
	message := amqp.Append(nil, amqp.Describe(0x73, "request", nil, nil, nil, "reply"))
	message = amqp.Append(message, amqp.Described{Descriptor: uint64(0x74), Value: map[string]any{"operation": "put-token", "type": kind, "name": audience}})
	message = amqp.Append(message, amqp.Described{Descriptor: uint64(0x77), Value: token})
	p.transfer(100, 0, message)
	p.expect(amqp.Disposition)
	p.send(0, amqp.Flow, uint32(0), uint32(5000), uint32(0), uint32(5000), uint32(101), uint32(0), uint32(10)) // credit comes late
	transfer := p.expect(amqp.Transfer)
	reply, err := amqp.ParseMessage(transfer.Payload)
	must(p.t, err)
	if handle := transfer.Fields.Uint(0); handle != 101 {
		p.t.Errorf("the reply came on link %d", handle)
	}
	if reply.Properties.Text(5) != "request" {
		p.t.Errorf("correlation id of the reply is %q", reply.Properties.Text(5))
	}
	for handle := uint32(100); handle <= 102; handle++ {
		p.send(0, amqp.Detach, handle, true)
		p.expect(amqp.Detach)
	}
	return reply.Application["status-code"].(int32)
}

// transfer sends a message in frames of at most 60,000 bytes.
func (p *peer) transfer(handle, id uint32, message []byte) {
	for first := true; first || len(message) > 0; first = false {
		part := message[:min(len(message), 60_000)]
		message = message[len(part):]
		fields := amqp.Fields{handle, id, []byte{1}, uint32(0), false, len(message) > 0}
		if !first {
			fields[1], fields[2], fields[3] = nil, nil, nil
		}
		p.write(amqp.AppendFrame(nil, amqp.TypeAMQP, 0, amqp.Transfer, fields, part))
	}
}

const sasType = "servicebus.windows.net:sastoken"

func (p *peer) authorize(path string) {
	p.t.Helper()
	audience := "amqp://contoso/" + path
	if code := p.putToken(audience, audience, testKey, time.Now().Add(time.Hour), sasType); code != 202 {
		p.t.Fatalf("put-token: %d", code)
	}
}

func (p *peer) expectRefusal(role int, condition string) {
	p.t.Helper()
	if f := p.expect(amqp.Attach); f.Fields.Has(role) {
		p.t.Errorf("a refused link got node %v", f.Fields[role])
	}
	p.expectDetach(condition)
}

func (p *peer) expectDetach(condition string) {
	p.t.Helper()
	if got := p.expect(amqp.Detach).Fields.List(2, amqp.Error).Text(0); got != condition {
		p.t.Errorf("detached with %q, want %q", got, condition)
	}
}

func TestTokensMustBeSignedForTheEntityAndUnexpired(t *testing.T) {
	b := start(t)
	const audience = "amqp://contoso/operations"
	later := time.Now().Add(time.Hour)
	for name, c := range map[string]struct {
		audience, resource, key string
		expiry                  time.Time
		kind                    string
		want                    int32
	}{
		"good":           {audience, audience, testKey, later, sasType, 202},
		"for above":      {audience, "amqp://contoso/", testKey, later, sasType, 202},
		"wrong key":      {audience, audience, "d3Jvbmc=", later, sasType, 401},
		"expired":        {audience, audience, testKey, time.Now().Add(-time.Second), sasType, 401},
		"for another":    {audience, "amqp://contoso/polls", testKey, later, sasType, 401},
		"of another way": {audience, audience, testKey, later, "jwt", 401},
		"for nothing":    {"amqp://contoso/nowhere", "amqp://contoso/nowhere", testKey, later, sasType, 404},
	} {
		if got := b.raw().putToken(c.audience, c.resource, c.key, c.expiry, c.kind); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestLinksAreRefusedWithTheRightCondition(t *testing.T) {
	b := start(t)
	p := b.raw()
	p.authorize("operations")
	p.authorize("results")
	p.send(0, amqp.Attach, sender("s", 1, "nowhere")...)
	p.expectRefusal(6, "amqp:not-found")
	p.send(0, amqp.Attach, receiver("r", 2, "polls", "")...)
	p.expectRefusal(5, "amqp:unauthorized-access")
	p.send(0, amqp.Attach, sender("s", 3, "polls/$management")...)
	p.expectRefusal(6, "amqp:unauthorized-access")
	p.send(0, amqp.Attach, sender("s", 4, "operations/$DeadLetterQueue")...)
	p.expectRefusal(6, "amqp:not-allowed")
	p.send(0, amqp.Attach, receiver("r", 5, "results", "")...)
	p.expectRefusal(5, "amqp:not-allowed")
	p.send(0, amqp.Detach, uint32(5), true) // the client's answer must not be answered
	p.send(0, amqp.End)
	p.expect(amqp.End)
	p.send(0, amqp.Attach, sender("s", 6, "operations")...) // nor anything after the end
	p.send(1, amqp.Begin, nil, uint32(0), uint32(1), uint32(1))
	p.expect(amqp.Begin)
}

func TestADispositionMayNameARange(t *testing.T) {
	b := start(t)
	b.send("operations", text("1"), text("2"), text("3"))
	p := b.raw()
	p.authorize("operations")
	p.send(0, amqp.Attach, receiver("r", 1, "operations", "")...)
	p.expect(amqp.Attach)
	p.send(0, amqp.Flow, uint32(1), uint32(100), uint32(0), uint32(0), uint32(1), uint32(0), uint32(3))
	first := p.expect(amqp.Transfer).Fields.Uint(1)
	p.send(0, amqp.Disposition, true, first, first+1, true, amqp.Describe(amqp.Accepted))
	b.holds("operations", 1, 0, 0)
}

func TestAnEndedSessionTakesNoMessages(t *testing.T) {
	b := start(t)
	p := b.raw()
	p.authorize("operations")
	p.send(0, amqp.Attach, receiver("r", 1, "operations", "")...)
	p.expect(amqp.Attach)
	p.send(0, amqp.Flow, uint32(1), uint32(100), uint32(0), uint32(0), uint32(1), uint32(0), uint32(5))
	p.send(0, amqp.End)
	p.expect(amqp.End)
	b.send("operations", text("x"))
	b.receive(b.receiver("operations", peekLock), 1)
}

// The real client ends its session on any of these.
func TestNothingIsSaidOnALinkAfterWeDetachedIt(t *testing.T) {
	b := start(t)
	b.send("operations", text("x"))
	p := b.raw()
	p.authorize("operations")
	p.send(0, amqp.Attach, receiver("r", 1, "operations", "")...)
	p.expect(amqp.Attach)
	p.send(0, amqp.Flow, uint32(1), uint32(100), uint32(0), uint32(0), uint32(1), uint32(0), uint32(5))
	delivery := p.expect(amqp.Transfer).Fields.Uint(1)
	_, err := b.DetachLinks("operations", "amqp:link:detach-forced", "")
	must(t, err)
	p.expectDetach("amqp:link:detach-forced")
	b.send("operations", text("y")) // there is credit, but no link
	p.send(0, amqp.Flow, uint32(2), uint32(100), uint32(0), uint32(0), uint32(1), uint32(1), uint32(5))
	p.send(0, amqp.Disposition, true, delivery, nil, false, amqp.Describe(amqp.Accepted))
	p.send(0, amqp.Detach, uint32(1), true)
	p.send(0, amqp.End)
	p.expect(amqp.End)
	b.holds("operations", 2, 0, 0)
}

func TestATooLargeMessageDetachesTheLink(t *testing.T) {
	b := start(t)
	p := b.raw()
	p.authorize("operations")
	p.send(0, amqp.Attach, sender("s", 1, "operations")...)
	if f := p.expect(amqp.Attach); amqp.At[uint64](f.Fields, 10) != 256<<10 {
		t.Errorf("max-message-size is %v", f.Fields[10])
	}
	p.expect(amqp.Flow)
	p.transfer(1, 1, amqp.Append(nil, amqp.Described{Descriptor: uint64(0x75), Value: make([]byte, 256<<10)}))
	p.expectDetach("amqp:link:message-size-exceeded")
	b.holds("operations", 0, 0, 0)
}

func TestMalformedMessagesAreRejected(t *testing.T) {
	b := start(t)
	p := b.raw()
	p.authorize("operations")
	p.send(0, amqp.Attach, sender("s", 1, "operations")...)
	p.expect(amqp.Attach)
	p.expect(amqp.Flow)
	p.transfer(1, 1, []byte("junk"))
	state := amqp.At[amqp.Described](p.expect(amqp.Disposition).Fields, 4)
	if list, _ := state.Value.([]any); state.Descriptor != uint64(amqp.Rejected) || amqp.Fields(list).List(0, amqp.Error).Text(0) != "amqp:decode-error" {
		t.Errorf("state %+v", state)
	}
}

func TestDeliveriesRespectFrameSizeAndWindow(t *testing.T) {
	b := start(t)
	body := bytes.Repeat([]byte("x"), 3000) // four frames of the 1,024 bytes that the peer takes
	b.send("operations", text(string(body)))
	p := b.raw()
	p.authorize("operations")
	p.send(0, amqp.Attach, receiver("r", 1, "operations", "")...)
	p.expect(amqp.Attach)
	const received = 1 // the put-token's reply
	p.send(0, amqp.Flow, uint32(received), uint32(2), uint32(0), uint32(0), uint32(1), uint32(0), uint32(1))
	message := append(p.expect(amqp.Transfer).Payload, p.expect(amqp.Transfer).Payload...)
	p.send(1, amqp.Begin, nil, uint32(0), uint32(1), uint32(1))
	p.expect(amqp.Begin) // and no third transfer before it
	p.send(0, amqp.Flow, uint32(received+2), uint32(100), uint32(0), uint32(0))
	for more := true; more; {
		f := p.expect(amqp.Transfer)
		more, message = f.Fields.Bool(5), append(message, f.Payload...)
	}
	m, err := amqp.ParseMessage(message)
	if err != nil || len(m.Data) != 1 || !bytes.Equal(m.Data[0], body) {
		t.Errorf("the message changed (%v)", err)
	}
}

// Clients read the lock token from the tag or from the annotation: azservicebus prefers the one, falls back on the other.
func TestTheDeliveryTagIsTheLockTokenInTheByteOrderOfAGUID(t *testing.T) {
	b := start(t)
	b.send("operations", text("x"))
	p := b.raw()
	p.authorize("operations")
	p.send(0, amqp.Attach, receiver("r", 1, "operations", "")...)
	p.expect(amqp.Attach)
	p.send(0, amqp.Flow, uint32(1), uint32(100), uint32(0), uint32(0), uint32(1), uint32(0), uint32(1))
	f := p.expect(amqp.Transfer)
	sections := amqp.NewReader(f.Payload)
	_, err := sections.Value() // the header
	must(t, err)
	annotations, err := sections.Value()
	must(t, err)
	pairs, _ := annotations.(amqp.Described).Value.(map[any]any)
	token, _ := pairs[amqp.Symbol("x-opt-lock-token")].(amqp.UUID)
	tag := amqp.At[[]byte](f.Fields, 2)
	for at, from := range []int{3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15} {
		if len(tag) != 16 || token == (amqp.UUID{}) || tag[at] != token[from] {
			t.Fatalf("the tag is % x, the lock token % x", tag, token[:])
		}
	}
}

// What was delivered while a flow was on its way counts against its credit (2.6.7).
func TestAStaleFlowGivesNoCreditTwice(t *testing.T) {
	b := start(t)
	b.send("operations", text("1"), text("2"), text("3"))
	p := b.raw()
	p.authorize("operations")
	p.send(0, amqp.Attach, receiver("r", 1, "operations", "")...)
	p.expect(amqp.Attach)
	flow := []any{uint32(1), uint32(100), uint32(0), uint32(0), uint32(1), uint32(0), uint32(2)} // two more than none received
	p.send(0, amqp.Flow, flow...)
	p.expect(amqp.Transfer)
	p.expect(amqp.Transfer)
	p.send(0, amqp.Flow, flow...)
	p.send(0, amqp.Detach, uint32(1), true)
	p.expect(amqp.Detach) // and no third transfer before it
}

// Other senders than azservicebus may leave the properties out; what receives always gets some.
func TestAMessageWithoutPropertiesGetsEmptyOnes(t *testing.T) {
	b := start(t)
	p := b.raw()
	p.authorize("operations")
	p.send(0, amqp.Attach, sender("s", 1, "operations")...)
	p.expect(amqp.Attach)
	p.expect(amqp.Flow)
	p.transfer(1, 1, amqp.Append(nil, amqp.Described{Descriptor: uint64(0x75), Value: []byte("bare")}))
	p.expect(amqp.Disposition)
	if m := b.receive(b.receiver("operations", peekLock), 1)[0]; string(m.Body) != "bare" || m.MessageID != "" || m.RawAMQPMessage.Properties == nil {
		t.Errorf("got %+v", m)
	}
}

func TestFramesThatMakeNoSenseDoNoHarm(t *testing.T) {
	b := start(t)
	for _, junk := range [][]byte{
		[]byte("GET / HTTP/1.1\r\n\r\n"), []byte("AMQP\x00\x01\x00\x00\xff\xff\xff\xff\x02\x00\x00\x00"), []byte("AMQP\x03\x01\x00\x00\x00\x00\x00\x09\x02\x01\x00\x00\x40"),
	} {
		c, err := net.Dial("tcp", b.addr)
		must(t, err)
		must(t, c.SetDeadline(time.Now().Add(5*time.Second)))
		_, err = c.Write(junk)
		must(t, err)
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%q was not hung up on", junk)
		}
		_ = c.Close()
	}
	p := b.raw()
	p.authorize("operations")
	for code := uint64(amqp.Attach); code < amqp.End; code++ { // without fields, on a session and on none
		p.send(0, code)
		p.send(9, code)
	}
	p.send(0, amqp.Disposition, true, uint32(0), uint32(1<<32-1), true)
	p.send(0, amqp.Flow, uint32(0), uint32(1<<32-1), uint32(0), uint32(0), uint32(7), uint32(1<<32-1), uint32(1<<32-1))
	b.send("operations", text("still there"))
	b.receive(b.receiver("operations", receiveAndDelete), 1)
}

func TestASilentClientHearsEmptyFrames(t *testing.T) {
	b := start(t)
	c, err := net.Dial("tcp", b.addr)
	must(t, err)
	defer c.Close()
	must(t, c.SetDeadline(time.Now().Add(5*time.Second)))
	p := &peer{t, c}
	p.write([]byte("AMQP\x00\x01\x00\x00"))
	_, err = io.ReadFull(c, make([]byte, 8))
	must(t, err)
	p.send(0, amqp.Open, "raw", nil, nil, nil, uint32(40)) // idle-time-out in milliseconds
	p.expect(amqp.Open)
	for range 3 {
		if f, err := amqp.ReadFrame(c, 1024); err != nil || f.Code != 0 {
			t.Fatalf("got %+v (%v)", f, err)
		}
	}
	p.send(0, amqp.Close)
	for {
		f, err := amqp.ReadFrame(c, 1024)
		must(t, err)
		if f.Code == amqp.Close {
			return
		}
	}
}

func TestConfigurationsThatCannotWorkAreRefused(t *testing.T) {
	for name, change := range map[string]func(*servicebus.Config){
		"no key":      func(c *servicebus.Config) { c.Key = "" },
		"no key name": func(c *servicebus.Config) { c.KeyName = "" },
		"same name":   func(c *servicebus.Config) { c.Queues = append(c.Queues, servicebus.Queue{Name: "Operations"}) },
	} {
		config := namespace()
		change(&config)
		if _, err := servicebus.New(config); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
