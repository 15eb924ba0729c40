package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"bufio"
	"sync"
	"sync/atomic"
	"time"

	"apim-dr/internal/standin/servicebus"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

func must(err error) { if err != nil { panic(err) } }

func serve() (string, *servicebus.Server) {
	s, err := servicebus.New(servicebus.Config{KeyName: "k", Key: "s", Queues: []servicebus.Queue{{Name: "q"}}})
	must(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	go s.Serve(l)
	return s.ConnectionString(l.Addr().String()), s
}

func run(cs string, senders, settlers, n int) {
	c, err := azservicebus.NewClientFromConnectionString(cs, nil)
	must(err)
	ctx := context.Background()
	s, _ := c.NewSender("q", nil)
	r, _ := c.NewReceiverForQueue("q", nil)
	must(s.SendMessage(ctx, &azservicebus.Message{Body: []byte("w")}, nil))
	got, err := r.ReceiveMessages(ctx, 1, nil); must(err)
	must(r.CompleteMessage(ctx, got[0], nil))
	start := time.Now()
	var left atomic.Int64
	left.Store(int64(n))
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for left.Add(-1) >= 0 { must(s.SendMessage(ctx, &azservicebus.Message{Body: []byte("hello world 12345")}, nil)) }
		})
	}
	work := make(chan *azservicebus.ReceivedMessage, 1000)
	var swg sync.WaitGroup
	for range settlers {
		swg.Go(func() { for m := range work { must(r.CompleteMessage(ctx, m, nil)) } })
	}
	for k := 0; k < n; {
		got, err := r.ReceiveMessages(ctx, 500, &azservicebus.ReceiveMessagesOptions{TimeAfterFirstMessage: time.Millisecond})
		must(err)
		k += len(got)
		for _, m := range got { work <- m }
	}
	close(work)
	wg.Wait(); swg.Wait()
	took := time.Since(start)
	left2, err := r.PeekMessages(ctx, 10, nil); must(err)
	fmt.Print("left in queue: ", len(left2), "  ")
	fmt.Printf("senders %d settlers %d: %.0f msg/s\n", senders, settlers, float64(n)/took.Seconds())
}

func main() {
	if len(os.Args) > 1 {
		cs, _ := serve()
		fmt.Println(cs)
		select {}
	}
	cs, _ := serve()
	for _, p := range []int{16, 64} { run(cs, p, p, 30000) }
	cmd := exec.Command(os.Args[0], "serve")
	out, _ := cmd.StdoutPipe()
	must(cmd.Start())
	line, _ := bufio.NewReader(out).ReadString('\n')
	fmt.Println("across processes")
	for _, p := range []int{16, 64, 128} { run(line[:len(line)-1], p, p, 30000) }
	cmd.Process.Kill()
}
