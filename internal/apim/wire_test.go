package apim

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"apim-dr/internal/dr"
)

// dialer is an *http.Client that dials at for every host and notes which host it was asked for.
type dialer struct {
	at string

	mu    sync.Mutex
	hosts []string
}

func (d *dialer) client() *http.Client {
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		d.mu.Lock()
		d.hosts = append(d.hosts, addr)
		d.mu.Unlock()
		return new(net.Dialer).DialContext(ctx, network, d.at)
	}
	return &http.Client{Transport: &http.Transport{DialContext: dial, ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
}

func (d *dialer) dialed() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.hosts)
}

// serve starts a TLS server, HTTP/2 included, that stands for every host there is.
func serve(t *testing.T, h http.HandlerFunc) *dialer {
	srv := httptest.NewUnstartedServer(h)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return &dialer{at: srv.Listener.Addr().String()}
}

func TestALocationGoesOutByteForByte(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		var got, host, spoken string
		d := serve(t, func(w http.ResponseWriter, r *http.Request) { got, host, spoken = r.RequestURI, r.Host, r.Proto })
		client := d.client()
		client.Transport.(*http.Transport).ForceAttemptHTTP2 = proto == "HTTP/2.0"
		c := newClient(t, options(client))
		for _, l := range trusted {
			a := c.Check(t.Context(), l)
			_, rest, _ := strings.Cut(l, "://")
			i := strings.Index(rest, "/")
			if a.Verdict != dr.OK || got != rest[i:] || !strings.EqualFold(strings.TrimSuffix(host, ":443"), "management.azure.com") || spoken != proto {
				t.Errorf("%s\nwent out as %s%s over %s: %+v", l, host, got, spoken, a)
			}
		}
	}
}

func TestTheTokenGoesNowhereButToTheEndpoint(t *testing.T) {
	elsewhere := append([]string{"https://management.azure.com:444/x", "https://x.management.azure.com/x"}, untrusted...)
	var mu sync.Mutex
	bearers := map[string]bool{} // by host
	answerWith := func(http.ResponseWriter, *http.Request) {}
	d := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.Header.Get("Authorization") != "" {
			bearers[r.Host] = true
		}
		answerWith(w, r)
	})
	c := newClient(t, options(d.client()))
	for _, l := range elsewhere {
		if a := c.Check(t.Context(), l); a.Verdict != dr.Refused || a.Error.Code != "UntrustedLocation" {
			t.Errorf("Check(%q): %+v", l, a)
		}
	}
	if got := c.exchange(t.Context(), call{url: "https://contoso.example/x"}, "id"); got.err == nil || !got.unsent {
		t.Errorf("the last gate: %+v", got)
	}
	if hosts := d.dialed(); len(hosts) != 0 {
		t.Fatalf("dialed %v", hosts)
	}
	for _, status := range []int{202, 200, 301, 302, 303, 307, 308, 401} {
		for _, l := range elsewhere {
			mu.Lock()
			answerWith = func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Location"] = []string{strings.Map(func(r rune) rune { return max(r, ' ') }, l)}
				w.WriteHeader(status)
			}
			mu.Unlock()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			answers := []dr.Answer{c.Start(ctx, leg("backup"), point), c.Check(ctx, location), c.Service(ctx, instance)}
			cancel()
			if at := answers[0].Location; at != "" {
				t.Errorf("%d %q: Start leads to %q", status, l, at)
			}
			if at := answers[1].Location; at != "" && at != location {
				t.Errorf("%d %q: Check leads to %q", status, l, at)
			}
			for _, host := range d.dialed() {
				if host != "management.azure.com:443" {
					t.Fatalf("%d %q: dialed %s", status, l, host)
				}
			}
		}
	}
	for host := range bearers {
		if host != "management.azure.com" {
			t.Errorf("token sent to %s", host)
		}
	}
	if len(bearers) == 0 {
		t.Error("no token reached the endpoint: the test sees nothing")
	}
}

func TestWhatNetHTTPTellsDecidesBetweenLaterAndLost(t *testing.T) {
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	reading := make(chan struct{}, 1)
	go func() {
		for {
			conn, err := plain.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 1<<14)
			n, _ := conn.Read(buf)
			if strings.Contains(string(buf[:n]), "silent") {
				reading <- struct{}{}
				_, _ = io.Copy(io.Discard, conn)
			}
			conn.Close()
		}
	}()
	at := func(endpoint string) *Client {
		o := options(nil) // the transport of production
		o.Endpoint = endpoint
		return newClient(t, o)
	}
	silent := leg("backup")
	silent.ResourceID = strings.Replace(instance, "contoso-eu", "silent", 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-reading; cancel() }()
	dead, stop := context.WithCancel(t.Context())
	stop()
	for _, tt := range []struct {
		name string
		got  dr.Answer
		want dr.Verdict
	}{
		{"refused", at("http://"+gone.Addr().String()).Start(t.Context(), leg("backup"), point), dr.Later},
		{"no such host", newClient(t, options(nosuchhost())).Start(t.Context(), leg("backup"), point), dr.Later},
		{"no TLS there", at("https://"+plain.Addr().String()).Start(t.Context(), leg("backup"), point), dr.Later},
		{"the context ended before", at("http://"+plain.Addr().String()).Start(dead, leg("backup"), point), dr.Later},
		{"reset after the request", at("http://"+plain.Addr().String()).Start(t.Context(), leg("backup"), point), dr.Lost},
		{"the context ends while ARM is silent", at("http://"+plain.Addr().String()).Start(ctx, silent, point), dr.Lost},
	} {
		if tt.got.Verdict != tt.want {
			t.Errorf("%s: %+v, want %s", tt.name, tt.got, tt.want)
		}
	}
}

func nosuchhost() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.DNSError{Err: "no such host", Name: "management.azure.com", IsNotFound: true}
	}}}
}

func TestPlainHTTPCarriesTheTokenOnThisMachine(t *testing.T) {
	var auth string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		auth = r.Header.Get("Authorization")
		fmt.Fprint(w, resource)
	}))
	defer srv.Close()
	o := options(nil)
	o.Endpoint = srv.URL
	if a := newClient(t, o).Service(t.Context(), instance); a.Verdict != dr.OK || auth != "Bearer "+token {
		t.Errorf("%+v with %q", a, auth)
	}
}

func TestConcurrentCallsShareNothingButTheToken(t *testing.T) {
	o := options(transport(func(r *http.Request) (*http.Response, error) {
		return answer(202, "", "Location", r.URL.String(), "Retry-After", "7"), nil
	}))
	cred := &credential{}
	o.Credential, o.Now = cred, time.Now
	c := newClient(t, o)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			l := fmt.Sprintf("%s/%d", azure, i)
			if a := c.Check(t.Context(), l); a.Verdict != dr.Still || a.Location != l {
				t.Errorf("%+v, want %s", a, l)
			}
		})
	}
	wg.Wait()
	if len(cred.seen) != 1 {
		t.Errorf("%d token requests", len(cred.seen))
	}
}
