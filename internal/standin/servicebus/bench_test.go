package servicebus_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"apim-dr/internal/standin/servicebus"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// asServer makes the test binary the server of the benchmark: it shall not share a process, its scheduler and its garbage collector with the
// client that measures it.
const asServer = "APIM_DR_BENCH_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(asServer) == "" {
		os.Exit(m.Run())
	}
	if err := serveUntilEOF(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// serveUntilEOF tells on stdout where it listens, serves until stdin is closed, also when its parent was killed, and then tells what it did.
func serveUntilEOF() error {
	server, err := servicebus.New(namespace())
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	fmt.Println(server.ConnectionString(listener.Addr().String()))
	_, _ = io.Copy(io.Discard, os.Stdin)
	active, _, dead, err := server.Count("operations")
	if err != nil {
		return err
	}
	requests := 0
	for _, n := range server.Requests() {
		requests += n
	}
	fmt.Println(requests, active, dead)
	if err := server.Close(); err != nil {
		return err
	}
	return <-served
}

// serverProcess starts the server in a process of its own. stop ends it and returns what it counted: requests, messages left, dead letters.
func serverProcess(b *testing.B) (connectionString string, stop func() (requests, active, dead int)) {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env, cmd.Stderr = append(os.Environ(), asServer+"=1"), os.Stderr
	in, err := cmd.StdinPipe()
	must(b, err)
	out, err := cmd.StdoutPipe()
	must(b, err)
	must(b, cmd.Start())
	b.Cleanup(func() { _ = in.Close() })
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	must(b, err)
	return strings.TrimSpace(line), func() (requests, active, dead int) {
		b.Helper()
		must(b, in.Close())
		_, err := fmt.Fscan(lines, &requests, &active, &dead)
		must(b, errors.Join(err, cmd.Wait()))
		return requests, active, dead
	}
}

// BenchmarkSendReceiveComplete measures how many messages a second pass through a server in another process, each sent, received under a lock
// and completed by the real client, which hears an answer to each step: nothing is batched. With one on its way at a time it shows the three
// round trips, with a hundred what the two processes can do. 5,000 are wanted, so that no benchmark of the app measures the stand-in; what it
// came to stands in docs/live.md.
func BenchmarkSendReceiveComplete(b *testing.B) {
	for _, inFlight := range []int{1, 100} {
		b.Run(fmt.Sprint("inFlight=", inFlight), func(b *testing.B) {
			connectionString, stop := serverProcess(b)
			client, err := azservicebus.NewClientFromConnectionString(connectionString, nil)
			must(b, err)
			sender, err := client.NewSender("operations", nil)
			must(b, err)
			receiver, err := client.NewReceiverForQueue("operations", nil)
			must(b, err)
			pass(b, sender, receiver, inFlight, 100) // opens the connection and its links
			b.ResetTimer()
			pass(b, sender, receiver, inFlight, b.N)
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
			must(b, client.Close(context.Background()))
			requests, active, dead := stop()
			if least := 3 * (b.N + 100); requests < least || active+dead != 0 { // more: what comes between two calls of the receiver is released, and delivered again
				b.Errorf("the server counted %d requests and has %d messages left and %d dead; want at least %d and none", requests, active, dead, least)
			}
		})
	}
}

// pass sends, receives and completes n messages, inFlight at a time.
func pass(b *testing.B, sender *azservicebus.Sender, receiver *azservicebus.Receiver, inFlight, n int) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 5*time.Minute) // one that is lost shall not hang
	defer cancel()
	work, ctx := errgroup.WithContext(ctx)
	var sent atomic.Int64
	room := make(chan struct{}, inFlight)    // taken by a send, given back by its completion
	body := []byte(strings.Repeat("x", 200)) // about a wake's
	for range inFlight {
		work.Go(func() error {
			for sent.Add(1) <= int64(n) {
				select {
				case room <- struct{}{}:
				case <-ctx.Done():
					return ctx.Err()
				}
				if err := sender.SendMessage(ctx, &azservicebus.Message{Body: body}, nil); err != nil {
					return err
				}
			}
			return nil
		})
	}
	work.Go(func() error {
		for received := 0; received < n; {
			messages, err := receiver.ReceiveMessages(ctx, inFlight, &azservicebus.ReceiveMessagesOptions{TimeAfterFirstMessage: time.Millisecond})
			if err != nil {
				return err
			}
			received += len(messages)
			for _, m := range messages {
				work.Go(func() error {
					err := receiver.CompleteMessage(ctx, m, nil)
					<-room
					return err
				})
			}
		}
		return nil
	})
	must(b, work.Wait())
}
