package servicebus

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"apim-dr/internal/standin/servicebus/amqp"
)

const (
	maxFrame = 64 << 10 // bytes, both ways at most
	minFrame = 512      // bytes that every peer must take (2.7.1)
	// idleTimeout is announced to the client; a peer announces half of what it bears (2.4.5).
	idleTimeout = 2 * time.Minute
	// lastWords is how long a connection that ended may take to write what is left.
	lastWords = time.Second
)

// conn is one connection: a goroutine that reads and acts on frames, and one that writes.
type conn struct {
	server   *Server
	network  net.Conn
	sessions map[uint16]*session  // by channel; ours has the number of theirs
	claims   map[string]time.Time // lower-case path that a token was put for, and its expiry
	peerMax  int                  // bytes in a frame

	keepAlive   chan time.Duration // for the writer: how often to send an empty frame
	wake, ended chan struct{}
	outMu       sync.Mutex
	out         []byte
}

func newConn(s *Server, network net.Conn) *conn {
	return &conn{
		server: s, network: network, sessions: map[uint16]*session{}, claims: map[string]time.Time{},
		keepAlive: make(chan time.Duration, 1), wake: make(chan struct{}, 1), ended: make(chan struct{}),
	}
}

func (c *conn) run() {
	var writer sync.WaitGroup
	writer.Go(c.write)
	err := c.read(bufio.NewReaderSize(c.network, maxFrame))
	c.server.log.Debug("connection ended", "remote", c.network.RemoteAddr(), "reason", err)
	c.server.locked(c.forget)
	_ = c.network.SetWriteDeadline(time.Now().Add(lastWords))
	close(c.ended)
	writer.Wait()
}

// forget stops all deliveries on the connection and ignores what it still says.
func (c *conn) forget(now time.Time) {
	for _, s := range c.sessions {
		s.end(now)
	}
	delete(c.server.conns, c)
}

// write writes what others queue, and empty frames, until the connection ends.
func (c *conn) write() {
	defer c.network.Close()
	var buffer []byte
	var tick <-chan time.Time
	for ended := false; !ended; {
		select {
		case every := <-c.keepAlive:
			ticker := time.NewTicker(every)
			defer ticker.Stop()
			tick = ticker.C
		case <-tick:
			c.queue(amqp.Empty)
		case <-c.wake:
		case <-c.ended:
			ended = true
		}
		c.outMu.Lock()
		buffer, c.out = c.out, buffer[:0]
		c.outMu.Unlock()
		if len(buffer) == 0 { // net.Pipe would wake the other end for nothing
			continue
		}
		if _, err := c.network.Write(buffer); err != nil {
			return
		}
	}
}

func (c *conn) queue(frame []byte) {
	c.outMu.Lock()
	c.out = append(c.out, frame...)
	c.outMu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *conn) send(channel uint16, code uint64, fields ...any) {
	c.queue(amqp.AppendFrame(nil, amqp.TypeAMQP, channel, code, fields, nil))
}

// read acts on frames until the client closes the connection, which is no error, or it
// breaks, or nothing comes for too long, not even an empty frame.
func (c *conn) read(r *bufio.Reader) error {
	_ = c.network.SetReadDeadline(time.Now().Add(2 * idleTimeout))
	if err := c.handshake(r); err != nil {
		return err
	}
	for {
		_ = c.network.SetReadDeadline(time.Now().Add(2 * idleTimeout))
		f, err := amqp.ReadFrame(r, maxFrame)
		if err != nil {
			return err
		}
		if f.Code == amqp.Close {
			c.send(0, amqp.Close)
			return nil
		}
		c.server.locked(func(now time.Time) {
			if _, known := c.server.conns[c]; known {
				c.handle(f, now)
			}
		})
	}
}

// handshake answers the SASL and AMQP protocol headers (2.2, 5.3) and lets everybody in: who
// the client is shows later, on $cbs.
func (c *conn) handshake(r *bufio.Reader) error {
	for {
		var header [8]byte
		if _, err := io.ReadFull(r, header[:]); err != nil {
			return err
		}
		c.queue(header[:])
		switch string(header[:]) {
		case "AMQP\x00\x01\x00\x00":
			return nil
		case "AMQP\x03\x01\x00\x00":
			c.queue(amqp.AppendFrame(nil, amqp.TypeSASL, 0, amqp.SASLMechanisms, amqp.Fields{amqp.Symbol("ANONYMOUS")}, nil))
			if _, err := amqp.ReadFrame(r, minFrame); err != nil { // sasl-init
				return err
			}
			c.queue(amqp.AppendFrame(nil, amqp.TypeSASL, 0, amqp.SASLOutcome, amqp.Fields{uint8(0)}, nil))
		default:
			return fmt.Errorf("%w: protocol header % x", amqp.ErrMalformed, header)
		}
	}
}

// handle acts on one frame, with the server locked.
func (c *conn) handle(frame amqp.Frame, now time.Time) {
	f := frame.Fields
	switch frame.Code {
	case amqp.Open:
		if c.peerMax = maxFrame; f.Has(2) {
			c.peerMax = int(min(max(f.Uint(2), minFrame), maxFrame))
		}
		if idle := time.Duration(f.Uint(4)) * time.Millisecond; idle > 0 {
			select {
			case c.keepAlive <- idle / 2:
			default: // a second open: the first one counts
			}
		}
		c.send(0, amqp.Open, "servicebus-stand-in", nil, uint32(maxFrame), uint16(65535), uint32(idleTimeout.Milliseconds()))
		return
	case amqp.Begin:
		c.sessions[frame.Channel] = newSession(c, frame.Channel, f)
		return
	}
	s := c.sessions[frame.Channel]
	if s == nil {
		return // an empty frame, or a late one for a session that ended
	}
	switch frame.Code {
	case amqp.Attach:
		s.attach(f, now)
	case amqp.Flow:
		s.flow(f, now)
	case amqp.Transfer:
		s.transfer(f, frame.Payload, now)
	case amqp.Disposition:
		s.disposition(f, now)
	case amqp.Detach:
		s.detach(f, now)
	case amqp.End:
		s.end(now)
		delete(c.sessions, frame.Channel)
		c.send(frame.Channel, amqp.End)
	}
}
