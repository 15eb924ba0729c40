package funchost

import (
	"errors"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheHandlerGetsTheDocumentedEnvironmentAndNothingElse(t *testing.T) {
	t.Setenv("SURPRISE", "from the machine")
	host := `{"version":"2.0","customHandler":{"description":{"defaultExecutablePath":"handler","workingDirectory":"Nightly","arguments":["--mode","%MODE%"]}}}`
	root := stage(t, host, map[string]string{"Nightly": minuteTimer})
	write(t, root+"/local.settings.json", `{"Values":{"MODE":"file","ONLY":"in the file"}}`)
	r := runReady(t, Options{Root: root, Settings: map[string]string{"MODE": "explicit"}}, fine)
	r.await("hello", func() bool { return len(r.greetings()) == 1 })
	got := r.greetings()[0]
	if !slices.Equal(got.Args, []string{"--mode", "explicit"}) || got.Dir != root+"/Nightly" {
		t.Errorf("arguments %q in %s", got.Args, got.Dir)
	}
	env := map[string]string{}
	for _, pair := range got.Env {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	port := env["FUNCTIONS_CUSTOMHANDLER_PORT"]
	if port == "" || env["FUNCTIONS_HTTPWORKER_PORT"] != port || env["FUNCTIONS_CUSTOMHANDLER_WORKER_ID"] == "" ||
		env["FUNCTIONS_HTTPWORKER_ID"] != env["FUNCTIONS_CUSTOMHANDLER_WORKER_ID"] || env["FUNCTIONS_APP_ROOT_PATH"] != root {
		t.Errorf("host variables: %v", env)
	}
	if env["MODE"] != "explicit" || env["ONLY"] != "in the file" || env["PATH"] != os.Getenv("PATH") {
		t.Errorf("settings: %v", env)
	}
	for _, name := range []string{"SURPRISE", "IDENTITY_ENDPOINT"} {
		if _, ok := env[name]; ok {
			t.Errorf("%s reaches the handler", name)
		}
	}
	write(t, root+"/host.json", strings.Replace(host, `"Nightly"`, `"/"`, 1))
	r = runReady(t, Options{Root: root}, fine)
	if dir := r.greetings()[0].Dir; dir != "/" {
		t.Errorf("an absolute workingDirectory became %s", dir)
	}
}

// The harness answers GET / with 404: every test that becomes ready shows that any answer counts.
func TestReadinessIsPolledUntilTheHandlerAnswers(t *testing.T) {
	release := make(chan struct{})
	r := run(t, Options{Root: stage(t, plainHost, map[string]string{"Nightly": minuteTimer})}, func(_ http.ResponseWriter, req *http.Request) {
		<-release
	})
	r.await("hello", func() bool { return len(r.greetings()) == 1 })
	select {
	case <-r.Ready():
		t.Error("ready before the handler listens")
	default:
	}
	close(release)
	r.awaitCount(ProcessReady, 1)
	<-r.Ready()
	if r.PID() == 0 || r.URL() == "" {
		t.Errorf("pid %d, url %q", r.PID(), r.URL())
	}
}

type roundTrip func() (*http.Response, error)

func (f roundTrip) RoundTrip(*http.Request) (*http.Response, error) { return f() }

func TestTheHandlerIsAskedEvery25Milliseconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		h := &Host{app: &app{startLimit: time.Minute}, client: &http.Client{Transport: roundTrip(func() (*http.Response, error) {
			if tries++; tries < 5 {
				return nil, errors.New("connection refused")
			}
			return &http.Response{StatusCode: http.StatusNotFound, Body: http.NoBody}, nil
		})}}
		begun := time.Now()
		if err := h.awaitAnswer(t.Context(), &worker{cmd: &exec.Cmd{}, ended: make(chan struct{})}); err != nil {
			t.Error(err)
		}
		if took := time.Since(begun); took != 100*time.Millisecond {
			t.Errorf("five tries took %s", took)
		}
	})
}

func TestAHandlerThatDoesNotAnswerInTimeCountsAsACrash(t *testing.T) {
	t.Parallel()
	host := strings.Replace(plainHost, `"enable`, `"initializationTimeout":"00:00:02","enable`, 1)
	var slow atomic.Bool
	slow.Store(true)
	r := run(t, Options{Root: stage(t, host, map[string]string{"Nightly": minuteTimer})}, func(_ http.ResponseWriter, req *http.Request) {
		if slow.Swap(false) {
			<-req.Context().Done()
		}
	})
	r.awaitCount(ProcessReady, 1)
	if r.count(ProcessExited) != 1 {
		t.Error("the slow process was not replaced")
	}
}

func TestTwoCrashesAreRestartedAndTheThirdStopsTheHost(t *testing.T) {
	t.Parallel()
	r := run(t, Options{Root: stage(t, plainHost, map[string]string{"Nightly": minuteTimer})}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Test-Exit", "2")
	})
	<-r.ended
	if !errors.Is(r.runErr, ErrCrashLoop) || !strings.Contains(r.runErr.Error(), "last exit code 2") {
		t.Errorf("Run: %v", r.runErr)
	}
	if n := r.count(ProcessStarted); n != 3 {
		t.Errorf("%d processes, want 3", n)
	}
}

func TestCrashesOlderThan30MinutesAreForgotten(t *testing.T) {
	var offset atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
	r := runReady(t, Options{Root: stage(t, plainHost, map[string]string{"Nightly": minuteTimer}), Now: now}, fine)
	for n := 1; n <= 3; n++ {
		if err := r.Kill(); err != nil {
			t.Fatal(err)
		}
		r.awaitCount(ProcessReady, n+1)
		offset.Add(int64(16 * time.Minute))
	}
}

func TestAKillIsACrashUnlessRestartsAreUnlimited(t *testing.T) {
	root := stage(t, plainHost, map[string]string{"Nightly": minuteTimer})
	limited := runReady(t, Options{Root: root}, fine)
	free := runReady(t, Options{Root: root, UnlimitedRestarts: true}, fine)
	for n := 1; n <= 3; n++ {
		for _, r := range []*rig{limited, free} {
			if err := r.Kill(); err != nil {
				t.Fatal(err)
			}
			if r == free || n < 3 {
				r.awaitCount(ProcessReady, n+1)
			}
		}
	}
	<-limited.ended
	if !errors.Is(limited.runErr, ErrCrashLoop) {
		t.Errorf("Run: %v", limited.runErr)
	}
	if limited.PID() != 0 || limited.Kill() == nil {
		t.Error("a process is left after the end")
	}
}

func TestExitCode0IsNotRestartedAndInvocationsFail(t *testing.T) {
	r := runReady(t, Options{Root: stage(t, plainHost, map[string]string{"Nightly": minuteTimer})}, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/Nightly" {
			w.Header().Set("X-Test-Exit", "0")
		}
	})
	if err := r.Invoke(t.Context(), "Nightly"); err == nil {
		t.Error("the invocation that ended the handler succeeded")
	}
	r.awaitCount(ProcessExited, 1)
	if err := r.Invoke(t.Context(), "Nightly"); err == nil || !strings.Contains(err.Error(), "code 0") {
		t.Errorf("invocation without a handler: %v", err)
	}
	// A restart would follow within milliseconds.
	for deadline := time.Now().Add(300 * time.Millisecond); time.Now().Before(deadline) && !t.Failed(); time.Sleep(readyEvery) {
		if n := r.count(ProcessStarted); n != 1 {
			t.Errorf("%d processes, want 1", n)
		}
	}
}

func TestExitCode200RestartsWithoutCounting(t *testing.T) {
	var left atomic.Int32
	left.Store(4)
	r := run(t, Options{Root: stage(t, plainHost, map[string]string{"Nightly": minuteTimer})}, func(w http.ResponseWriter, _ *http.Request) {
		if left.Add(-1) >= 0 {
			w.Header().Set("X-Test-Exit", "200")
		}
	})
	r.awaitCount(ProcessReady, 1)
	if n := r.count(ProcessStarted); n != 5 {
		t.Errorf("%d processes, want 5", n)
	}
}

func TestInvocationsWaitForARestartingHandler(t *testing.T) {
	release := make(chan struct{})
	var second atomic.Bool
	r := runReady(t, Options{Root: stage(t, plainHost, map[string]string{"Nightly": minuteTimer})}, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/hello" && second.Swap(true) {
			<-release
		}
		reply(w, http.StatusOK, `{}`)
	})
	if err := r.Kill(); err != nil {
		t.Fatal(err)
	}
	r.awaitCount(ProcessStarted, 2)
	done := make(chan error, 1)
	go func() { done <- r.Invoke(t.Context(), "Nightly") }()
	r.awaitCount(InvocationStarted, 1)
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Too short a while to meet it with a process: this one has ended, and no other was started yet.
func TestInvocationsWaitForTheNextHandlerWhenOneHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead := &worker{cmd: &exec.Cmd{}, ready: make(chan struct{}), ended: make(chan struct{}), code: -1}
		close(dead.ready)
		close(dead.ended)
		next := &worker{cmd: &exec.Cmd{}, ready: make(chan struct{}), ended: make(chan struct{})}
		close(next.ready)
		h := &Host{current: dead, changed: make(chan struct{})}
		got := make(chan *worker, 1)
		go func() {
			w, err := h.acquire(t.Context())
			if err != nil {
				t.Error(err)
			}
			got <- w
		}()
		synctest.Wait()
		h.mu.Lock()
		h.current = next
		close(h.changed)
		h.changed = make(chan struct{})
		h.mu.Unlock()
		if w := <-got; w != next {
			t.Error("the invocation did not wait")
		}
	})
}

func TestTheEndOfRunTakesTheWholeProcessGroupAtOnce(t *testing.T) {
	r := runReady(t, Options{Root: stage(t, plainHost, map[string]string{"Nightly": minuteTimer})}, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/Nightly" {
			w.Header().Set("X-Test-Spawn", "trap '' TERM INT HUP; echo child $$; sleep 600")
		}
		reply(w, http.StatusOK, `{}`)
	})
	if err := r.Invoke(t.Context(), "Nightly"); err != nil {
		t.Fatal(err)
	}
	r.await("the grandchild", func() bool { return strings.HasPrefix(strings.Join(r.output(), ""), "stdout: child ") })
	group := r.PID()
	begun := time.Now()
	r.shut()
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("the end took %s", took)
	}
	if groupLives(t, group) {
		t.Error("the group is left")
	}
	if r.runErr != nil {
		t.Errorf("Run: %v", r.runErr)
	}
	if err := r.Run(t.Context()); err == nil {
		t.Error("a host runs twice")
	}
}

func TestLinesOfTheHandlerArriveWholeWithTheirStream(t *testing.T) {
	long := `{"msg":"` + strings.Repeat("x", 200_000) + `"}`
	r := runReady(t, Options{Root: stage(t, plainHost, map[string]string{"Nightly": minuteTimer})}, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/Nightly" {
			w.Header().Add("X-Test-Stdout", long)
			w.Header().Add("X-Test-Stdout", "second")
			w.Header().Set("X-Test-Stderr", "warning: third")
		}
		reply(w, http.StatusOK, `{"Logs":["fourth"]}`)
	})
	if err := r.Invoke(t.Context(), "Nightly"); err != nil {
		t.Fatal(err)
	}
	r.await("four lines", func() bool { return len(r.output()) == 4 })
	lines := r.output()
	slices.Sort(lines)
	if want := []string{"logs: fourth", "stderr: warning: third", "stdout: second", "stdout: " + long}; !slices.Equal(lines, want) {
		t.Errorf("lines %.200q", lines)
	}
}
