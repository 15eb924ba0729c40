package devstack

import (
	"context"
	"maps"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"apim-dr/internal/standin/arm"
	"apim-dr/internal/standin/funchost"
	"apim-dr/internal/standin/servicebus"
)

// Bill is what Azure would have counted of a stamp by now. Nothing of it was compared with a bill. It lacks what only Azure's own parts do: the host's
// leases and empty receives, and the writing of the backups by API Management.
type Bill struct {
	Executions map[string]int // by function
	Bus        map[servicebus.Request]int
	Blobs      map[Transaction]int
	ARM        map[arm.Verb]int // of all stamps in the cloud
	LogLines   int              // of the handler
	LogBytes   int              // of these, without line ends
}

// Transaction is a billed kind of request to a storage account: "write", "list", "read", "other" or, for nothing, "delete"
// (https://learn.microsoft.com/azure/storage/blobs/map-rest-apis-transaction-categories, general-purpose v2). One that fails is billed as well.
type Transaction struct{ Account, Kind string }

// meter counts what cannot be asked for afterwards.
type meter struct {
	mu   sync.Mutex
	bill Bill
}

func newMeter() *meter {
	return &meter{bill: Bill{Executions: map[string]int{}, Blobs: map[Transaction]int{}}}
}

// Bill tells what was counted since the stamp was started with Options.Meter.
func (s *Stamp) Bill() Bill {
	s.meter.mu.Lock()
	defer s.meter.mu.Unlock()
	b := s.meter.bill
	b.Executions, b.Blobs = maps.Clone(b.Executions), maps.Clone(b.Blobs)
	b.Bus, b.ARM = s.Bus.Requests(), map[arm.Verb]int{}
	for _, r := range s.cloud.ARM.Requests() {
		b.ARM[r.Verb]++
	}
	return b
}

// Since is what came after an earlier bill. What did not is left out.
func (b Bill) Since(a Bill) Bill {
	return Bill{
		Executions: minus(b.Executions, a.Executions), Bus: minus(b.Bus, a.Bus), Blobs: minus(b.Blobs, a.Blobs), ARM: minus(b.ARM, a.ARM),
		LogLines: b.LogLines - a.LogLines, LogBytes: b.LogBytes - a.LogBytes,
	}
}

func minus[K comparable](b, a map[K]int) map[K]int {
	d := map[K]int{}
	for k, n := range b {
		if n -= a[k]; n != 0 {
			d[k] = n
		}
	}
	return d
}

func (m *meter) event(e funchost.Event) {
	if e.Kind == funchost.InvocationStarted {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.bill.Executions[e.Function]++
	}
}

// output counts lines on their way to next, which may be nil.
func (m *meter) output(next func(stream, line string)) func(stream, line string) {
	return func(stream, line string) {
		m.mu.Lock()
		m.bill.LogLines++
		m.bill.LogBytes += len(line)
		m.mu.Unlock()
		if next != nil {
			next(stream, line)
		}
	}
}

// front stands before Azurite and counts what the app asks: the signature of a request is not over its Host.
func (m *meter) front(azurite string) http.Handler {
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: azurite})
		r.Out.Host = r.In.Host
	}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		m.bill.Blobs[billed(r)]++
		m.mu.Unlock()
		proxy.ServeHTTP(w, r)
	})
}

func billed(r *http.Request) Transaction {
	parts := strings.SplitN(strings.TrimPrefix(r.URL.Path, "/"), "/", 3)
	comp, kind := r.URL.Query().Get("comp"), "other"
	switch blob := len(parts) == 3; {
	case comp == "list" || r.Method == http.MethodPut && !blob && comp == "":
		kind = "list" // with it go new containers
	case r.Method == http.MethodDelete:
		kind = "delete"
	case r.Method == http.MethodPut && (comp == "" || comp == "block" || comp == "blocklist"):
		kind = "write"
	case r.Method == http.MethodGet && blob && comp == "":
		kind = "read"
	}
	return Transaction{parts[0], kind}
}

// serveMeter puts the meter before Azurite.
func (s *Stamp) serveMeter(ctx context.Context) error {
	l, at, err := s.cloud.listen(ctx)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: s.meter.front(s.Azurite.Addr()), ReadHeaderTimeout: 10 * time.Second}
	go server.Serve(l)
	s.close = append(s.close, func() { _ = server.Close() })
	s.blobURL = at
	return nil
}
