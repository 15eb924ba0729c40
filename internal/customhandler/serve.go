package customhandler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// ServeOptions are the settings of Serve; the zero value is ready to use.
type ServeOptions struct {
	// Log gets what net/http has to say; slog.Default() if nil.
	Log *slog.Logger
	// Longest is the longest an answer takes: Router.Longest; 102 s if zero, which is that of the zero Options.
	Longest time.Duration
	// Grace is how long running invocations may go on once ctx has ended; 900 ms if zero, since the host kills the process after
	// a second. In the last quarter of it their contexts are cancelled.
	Grace time.Duration
}

// Listen opens 127.0.0.1:port, where the host expects the handler: port is FUNCTIONS_CUSTOMHANDLER_PORT. 0 takes a free port.
func Listen(ctx context.Context, port int) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, fmt.Errorf("customhandler: the port in FUNCTIONS_CUSTOMHANDLER_PORT cannot be opened; is another handler running? %w", err)
	}
	return l, nil
}

// Serve serves h on l until ctx ends, then lets running invocations finish within o.Grace; l is closed when it returns. It returns
// nil if all of them did, else an error. A listener that other machines can reach is refused: whoever reaches the handler passes
// by the host's keys.
func Serve(ctx context.Context, l net.Listener, h http.Handler, o ServeOptions) error {
	defer l.Close()
	if tcp, ok := l.Addr().(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
		return fmt.Errorf("customhandler: %s is not a loopback address; the handler must be reached through the Functions host only", tcp)
	}
	grace := cmp.Or(o.Grace, 900*time.Millisecond)

	// Invocations outlive ctx by the grace period.
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	server := &http.Server{
		Handler:           h,
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          slog.NewLogLogger(cmp.Or(o.Log, slog.Default()).Handler(), slog.LevelWarn),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second, // until the body is read; the function has its own deadline
		WriteTimeout:      cmp.Or(o.Longest, 102*time.Second) + time.Minute,
		// Longer than an HTTP client keeps an idle connection (.NET: 1 to 2 minutes), so that the host never posts on a closing one.
		IdleTimeout:    5 * time.Minute,
		MaxHeaderBytes: 64 << 10,
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		server.Close()
		return fmt.Errorf("customhandler: serving ended: %w", err)
	case <-ctx.Done():
	}

	defer time.AfterFunc(grace*3/4, cut).Stop()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err := server.Shutdown(end)
	if err != nil {
		err = fmt.Errorf("customhandler: invocations still running after %v were cut off: %w", grace, errors.Join(err, server.Close()))
	}
	<-failed // at once
	return err
}
