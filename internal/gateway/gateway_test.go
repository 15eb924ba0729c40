package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

var _ engine.Gateways = (*Client)(nil)

// transport answers requests with a function.
type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

func with(t transport) *Client { return New(&http.Client{Transport: t}) }

func answer(status int) (*http.Response, error) {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody}, nil
}

func TestEachStatusAddressIsAskedOnceAndToldInTheOrderOfTheURLs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		status := map[string]int{"a.contoso.com": 200, "b.contoso.com": 503, "c.contoso.com": 200, "127.0.0.1:7000": 200}
		began := time.Now()
		got := with(func(r *http.Request) (*http.Response, error) {
			asked.Add(1)
			time.Sleep(time.Duration(len(status)-int(asked.Load())) * time.Second) // the first answers last
			below := map[string]string{"127.0.0.1:7000": "/contoso-eu"}[r.URL.Host]
			if r.Method != http.MethodGet || r.URL.Path != below+"/status-0123456789abcdef" || r.Header.Get("Authorization") != "" {
				t.Errorf("asked %s %s with %v", r.Method, r.URL, r.Header)
			}
			return answer(status[r.URL.Host])
		}).Probe(t.Context(), []string{"https://a.contoso.com", "https://b.contoso.com/", "http://127.0.0.1:7000/contoso-eu", "https://c.contoso.com"})
		want := []dr.Gateway{{URL: "https://a.contoso.com", Status: 200}, {URL: "https://b.contoso.com/", Status: 503}, {URL: "http://127.0.0.1:7000/contoso-eu", Status: 200}, {URL: "https://c.contoso.com", Status: 200}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if took := time.Since(began); took != 3*time.Second || asked.Load() != 4 {
			t.Errorf("%d requests took %s: not at the same time", asked.Load(), took)
		}
	})
}

func TestWhatIsNoGatewayIsNotAskedAndItsSecretsAreNotTold(t *testing.T) {
	c := with(func(r *http.Request) (*http.Response, error) { t.Errorf("asked %s", r.URL); return nil, io.EOF })
	for _, u := range []string{
		"", "contoso.azure-api.net", "http://contoso.azure-api.net", "http://127.0.0.1.contoso.com", "ftp://contoso.com", "https:///x", "https://user:S3CR3T@contoso.com", "https://S3CR3T@contoso.com",
		"https://contoso.com?key=S3CR3T", "https://contoso.com#x", "https://contoso.com/%zz", "https://" + strings.Repeat("x", 2000) + ".com", "https://user:S3CR3T@contoso.com/a@b?x",
	} {
		got := c.Probe(t.Context(), []string{u})
		if len(got) != 1 || got[0].Status != 0 || !strings.Contains(got[0].Error, "accepted: https") || strings.Contains(got[0].URL, "S3CR3T") || len(got[0].URL) > maxError+3 {
			t.Errorf("%q: %+v", u, got)
		}
	}
	if got := c.Probe(t.Context(), nil); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

func TestNoMoreThanTwentyAreAsked(t *testing.T) {
	var asked atomic.Int32
	urls := make([]string, 25)
	for i := range urls {
		urls[i] = "https://contoso.com"
	}
	got := with(func(*http.Request) (*http.Response, error) { asked.Add(1); return answer(200) }).Probe(t.Context(), urls)
	if asked.Load() != 20 || len(got) != 25 || got[19].Status != 200 || got[20].Status != 0 || got[20].Error == "" || got[20].URL != urls[20] {
		t.Errorf("asked %d: %+v", asked.Load(), got)
	}
}

func TestASilentGatewayIsToldBeforeTheContextEnds(t *testing.T) {
	silent := with(func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() })
	for limit, want := range map[time.Duration]time.Duration{time.Hour: within, 8 * time.Second: 7200 * time.Millisecond, 10500 * time.Millisecond: 9500 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			began := time.Now()
			got := silent.Probe(ctx, []string{"https://contoso.com"})
			if took := time.Since(began); took != want || ctx.Err() != nil || got[0].Error != "no answer in time" || got[0].Status != 0 {
				t.Errorf("%+v after %s, want %s", got, took, want)
			}
		})
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if got := silent.Probe(ended, []string{"https://contoso.com"}); got[0].Error != context.Canceled.Error() {
		t.Errorf("%+v", got)
	}
}

func TestErrorsAreShortAndDoNotHoldTheURL(t *testing.T) {
	got := with(func(*http.Request) (*http.Response, error) {
		return nil, errors.New("x509: certificate is valid for\n" + strings.Repeat("ü", 500))
	}).Probe(t.Context(), []string{"https://contoso.com/path"})
	if e := got[0].Error; !strings.HasPrefix(e, "x509: certificate is valid for ü") || len(e) > maxError+3 || strings.Contains(e, "contoso.com") || strings.ContainsRune(e, '\n') || !utf8.ValidString(e) {
		t.Errorf("%q", e)
	}
}

// jar fails when it is asked for cookies.
type jar struct{ http.CookieJar }

func TestARedirectIsToldAndNotFollowed(t *testing.T) {
	var asked atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	}))
	defer srv.Close()
	mine := &http.Client{Jar: jar{}}
	for _, c := range []*Client{New(nil), New(mine)} {
		asked.Store(0)
		if got := c.Probe(t.Context(), []string{srv.URL}); got[0].Status != 302 || got[0].Error != "" || asked.Load() != 1 {
			t.Errorf("%+v after %d requests", got, asked.Load())
		}
	}
	if mine.CheckRedirect != nil {
		t.Error("the caller's client was changed")
	}
}

func TestACertificateThatIsNotTrustedIsAnError(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	srv.StartTLS()
	defer srv.Close()
	if got := New(nil).Probe(t.Context(), []string{srv.URL}); got[0].Status != 0 || !strings.Contains(got[0].Error, "certificate") {
		t.Errorf("%+v", got)
	}
	trusting := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}}}
	if got := New(trusting).Probe(t.Context(), []string{srv.URL}); got[0] != (dr.Gateway{URL: srv.URL, Status: 200}) {
		t.Errorf("%+v", got)
	}
}

// endless is a body that never ends.
type endless struct{ read *atomic.Int64 }

func (e endless) Read(p []byte) (int, error) { e.read.Add(int64(len(p))); return len(p), nil }
func (e endless) Close() error               { return nil }

func TestABodyIsNotRead(t *testing.T) {
	var read atomic.Int64
	got := with(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: endless{&read}}, nil
	}).Probe(t.Context(), []string{"https://contoso.com"})
	if got[0].Status != 200 || read.Load() != 0 {
		t.Errorf("%+v after %d bytes", got, read.Load())
	}
}
