package devstack

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"

	"apim-dr/infra"
	"apim-dr/internal/standin/arm"
	"apim-dr/internal/standin/azurite"
	"apim-dr/internal/standin/funchost"
	"apim-dr/internal/standin/servicebus"
)

// Stamp is one installation of the app: its storage, its Service Bus and the Functions host, all in one region.
type Stamp struct {
	Azurite *azurite.Server
	Bus     *servicebus.Server
	Host    *funchost.Host
	State   *azblob.Client // the account of the app's records
	Backups *azblob.Client // the account of the backups
	Client  *azservicebus.Client

	cloud                        *Cloud
	o                            Options
	functionKey                  string
	dir                          string // of Azurite; empty: it keeps nothing
	stateKey, backupKey, busKey  string
	azuritePort                  int
	busAddr, hostAddr            string
	blobURL                      string // where the app finds its storage
	meter                        *meter // nil: nothing is counted
	stateAccount, backupsAccount string
	close                        []func()
	ended                        chan error
	lost                         error // of the storage, by the last Stop
}

// StartStamp starts a stamp and returns when its host serves. On an error nothing of it is left running.
func (c *Cloud) StartStamp(ctx context.Context, o Options) (*Stamp, error) {
	if o.Region == "" {
		o.Region = "northeurope"
	}
	s := &Stamp{
		cloud: c, o: o, functionKey: cmp.Or(o.Keys.Function, FunctionKey), stateKey: cmp.Or(o.Keys.State, newKey()), backupKey: cmp.Or(o.Keys.Backups, newKey()), busKey: cmp.Or(o.Keys.Bus, newKey()), busAddr: "127.0.0.1:0", hostAddr: o.Addr,
		stateAccount: stateAccount + o.Name, backupsAccount: backupsAccount + o.Name,
	}
	if o.Meter {
		if o.Keep {
			return nil, errors.New("a stamp that may be started again cannot be metered: its bus would begin to count anew")
		}
		s.meter = newMeter()
	}
	err := s.settle()
	if err == nil {
		err = s.Start(ctx)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// settle gives a stamp that may be started again its folder and its addresses.
func (s *Stamp) settle() (err error) {
	if !s.o.Keep {
		return nil
	}
	var ports [3]int
	for i := range ports {
		if ports[i], err = FreePort(); err != nil {
			return err
		}
	}
	at := func(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
	if s.azuritePort, s.busAddr = ports[0], at(ports[1]); s.hostAddr == "" {
		s.hostAddr = at(ports[2])
	}
	s.dir, err = os.MkdirTemp("", "apim-dr-stamp")
	return err
}

// FreePort finds a port below those that systems give to outgoing connections, so that none of these takes it while the stamp is down.
func FreePort() (int, error) {
	var err error
	for range 100 {
		port := 20000 + rand.IntN(10000)
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("no free port: %w", err)
}

// Start starts a stamp that was stopped, at the same addresses. With Options.Keep its storage holds what it held. Its Service Bus, which lives
// in memory, is empty, as a namespace that was lost with its region and made anew.
func (s *Stamp) Start(ctx context.Context) error {
	if err := s.startAzurite(ctx); err != nil {
		return err
	}
	if s.blobURL = "http://" + s.Azurite.Addr(); s.meter != nil {
		if err := s.serveMeter(ctx); err != nil {
			return err
		}
	}
	if err := s.startBus(); err != nil {
		return err
	}
	settings := map[string]string{
		"FLEET":              s.fleet(),
		"BACKUP_STORAGE_KEY": s.backupKey,
		"BACKUP_SCHEDULE":    notNow(),
		"DRILL_SCHEDULE":     notNow(),
		"USAGE_SCHEDULE":     notNow(),
		"WATCHDOG_SCHEDULE":  fmt.Sprintf("%d/15 * * * * *", (time.Now().Second()+14)%15), // see SendTicks: it must not come before the first timer
		"ARM_ENDPOINT":       s.cloud.armURL,
		"ARM_AUDIENCE":       armAudience,
		"BLOB_ENDPOINT":      s.blobURL + "/{account}",
		"SERVICEBUS":         s.BusConnection(),
		"STATE_STORAGE":      strings.ReplaceAll(s.Azurite.ConnectionString(s.stateAccount, s.stateKey), "http://"+s.Azurite.Addr(), s.blobURL),
		"CREDENTIAL":         "managedIdentity",
		"STAMP_REGION":       s.o.Region,
		"LOG_LEVEL":          "debug", // polls are told at this level only
	}
	maps.Copy(settings, localTiming)
	maps.Copy(settings, s.o.Settings)
	return s.startHost(ctx, settings)
}

// notNow is a daily schedule that is not due while somebody watches: twelve hours from now.
func notNow() string {
	return fmt.Sprintf("0 0 %d * * *", time.Now().UTC().Add(12*time.Hour).Hour())
}

// ProbeWithin is how long the app waits for the answer to one look of a plan.
const ProbeWithin = 2 * time.Second

// localTiming scales the waits of the protocol down to what somebody in front of a terminal likes to wait.
var localTiming = map[string]string{
	"TIMING_POST_WINDOW": "5s", "TIMING_SETTLE": "2s", "TIMING_LOOK": "1s", "TIMING_BUSY": "1s", "TIMING_LEASE": "20s", "TIMING_WATCHDOG_GRACE": "2s",
	"TIMING_VERIFY_AGAIN": "1s", "TIMING_OUTAGE_FIRST": "1s", "TIMING_OUTAGE_MOST": "5s",
	"TIMING_RESTORE_WITHIN": "60s", "TIMING_MAX_WAIT": "20s", "TIMING_PROBE": ProbeWithin.String(), "TIMING_SURVEY": "6s", "TIMING_USAGE_TURN": "100ms", "TIMING_CHANGE_QUIET": "6s", "TIMING_CHANGE_LONGEST": "30s",
}

// RestartStorage stops the storage, which must be kept (Options.Keep), and starts it again after a while: meanwhile nothing answers there.
func (s *Stamp) RestartStorage(ctx context.Context, down time.Duration) error {
	err := s.Azurite.Stop()
	time.Sleep(down)
	return errors.Join(err, s.launchAzurite(ctx))
}

func (s *Stamp) launchAzurite(ctx context.Context) (err error) {
	s.Azurite, err = azurite.Start(context.WithoutCancel(ctx), azurite.Options{
		Accounts: s.stateAccount + ":" + s.stateKey + ";" + s.backupsAccount + ":" + s.backupKey, Dir: s.dir, Port: s.azuritePort,
	})
	return err
}

func (s *Stamp) startAzurite(ctx context.Context) error {
	err := s.launchAzurite(ctx)
	if err != nil {
		return err
	}
	if s.close = append(s.close, func() { _ = s.Azurite.Close() }); s.o.Keep {
		s.close = append(s.close, func() { s.lost = s.Azurite.Stop() })
	}
	if s.State, err = azblob.NewClientFromConnectionString(s.Azurite.ConnectionString(s.stateAccount, s.stateKey), nil); err != nil {
		return err
	}
	if s.Backups, err = azblob.NewClientFromConnectionString(s.Azurite.ConnectionString(s.backupsAccount, s.backupKey), nil); err != nil {
		return err
	}
	if _, err = s.State.CreateContainer(ctx, UsageContainer, nil); err == nil || bloberror.HasCode(err, bloberror.ContainerAlreadyExists) {
		_, err = s.State.CreateContainer(ctx, StateContainer, nil)
	}
	var trusted []string
	for _, i := range s.o.Instances {
		trusted = append(trusted, strings.ToLower(i.Name))
		if err == nil || bloberror.HasCode(err, bloberror.ContainerAlreadyExists) {
			_, err = s.Backups.CreateContainer(ctx, i.container(), nil)
		}
	}
	if err != nil && !bloberror.HasCode(err, bloberror.ContainerAlreadyExists) {
		return err
	}
	account := arm.Account{Endpoint: s.Azurite.BlobEndpoint(s.backupsAccount), Key: s.backupKey, Trusted: trusted}
	s.cloud.ARM.Change(func(c *arm.Config) { c.Accounts[s.backupsAccount] = account })
	return nil
}

func (s *Stamp) startBus() (err error) {
	c := servicebus.Config{KeyName: "local", Key: s.busKey, Log: s.o.Log}
	for _, q := range infra.Queues() {
		c.Queues = append(c.Queues, servicebus.Queue{
			Name: q.Name, LockDuration: cmp.Or(s.o.MessageLock, q.LockDuration), DuplicateWindow: q.DuplicateWindow, MaxDeliveryCount: q.MaxDeliveryCount,
		})
	}
	for _, t := range infra.Topics() {
		topic := servicebus.Topic{Name: t.Name, DuplicateWindow: t.DuplicateWindow}
		for _, name := range []string{Subscription, Examples} {
			reader := servicebus.Queue{Name: name, LockDuration: time.Minute, MaxDeliveryCount: 10}
			topic.Subscriptions = append(topic.Subscriptions, servicebus.Subscription{Queue: reader})
		}
		c.Topics = append(c.Topics, topic)
	}
	s.Bus, err = servicebus.New(c)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", s.busAddr)
	if err != nil {
		return err
	}
	s.busAddr = l.Addr().String()
	go s.Bus.Serve(l)
	s.close = append(s.close, func() { _ = s.Bus.Close() })
	s.Client, err = azservicebus.NewClientFromConnectionString(s.BusConnection(), nil)
	return err
}

// BusConnection is what a client of the stamp's Service Bus needs.
func (s *Stamp) BusConnection() string { return s.Bus.ConnectionString(s.busAddr) }

func (s *Stamp) startHost(ctx context.Context, settings map[string]string) error {
	var err error
	output, event := s.o.Output, (func(funchost.Event))(nil)
	if s.meter != nil {
		output, event = s.meter.output(output), s.meter.event
	}
	s.Host, err = funchost.New(funchost.Options{
		Root: s.o.App, Settings: settings, Addr: s.hostAddr, MasterKey: cmp.Or(s.o.Keys.Master, MasterKey), HostKey: s.functionKey, IdentityHeader: s.o.Keys.Identity,
		Token: func(_ context.Context, resource, clientID string) (string, time.Time, error) {
			token, expires := s.cloud.Tokens.Issue(resource, clientID)
			return token, expires, nil
		},
		Principal: s.principal(), Output: output, Event: event, Log: s.o.Log, UnlimitedRestarts: s.o.Restarts,
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	stopped, host := make(chan struct{}), s.Host
	ended := make(chan error, 1)
	s.ended = ended
	go func() {
		ended <- host.Run(ctx)
		close(stopped)
	}()
	s.close = append(s.close, func() { cancel(); <-stopped })
	select {
	case <-s.Host.Ready():
		return nil
	case err := <-s.ended:
		return errors.Join(errors.New("the Functions host did not start"), err)
	}
}

// Audience is what the tokens of callers are for.
const Audience = "api://apim-dr"

// principal tells who has a token, as built-in authentication does.
func (s *Stamp) principal() func(token string) (string, bool) {
	if s.o.Callers == nil {
		return nil
	}
	return func(token string) (string, bool) {
		claims, err := s.cloud.Tokens.Parse(token)
		if err != nil || claims.Audience != Audience {
			return "", false
		}
		type claim struct {
			Typ string `json:"typ"`
			Val string `json:"val"`
		}
		list := []claim{{"appid", claims.AppID}, {"http://schemas.microsoft.com/identity/claims/objectidentifier", claims.ObjectID}}
		for _, role := range s.o.Callers[claims.AppID] {
			list = append(list, claim{"roles", role})
		}
		text, _ := json.Marshal(map[string]any{"auth_typ": "aad", "name_typ": "name", "role_typ": "roles", "claims": list})
		return base64.StdEncoding.EncodeToString(text), true
	}
}

// Ended tells when the host stopped by itself, and why.
func (s *Stamp) Ended() <-chan error { return s.ended }

// Stop stops everything, the handler first. No process is left. An error says that the storage may have lost what it was to keep.
func (s *Stamp) Stop() error {
	s.lost = nil
	for _, end := range slices.Backward(s.close) {
		end()
	}
	s.close = nil
	return s.lost
}

// Close stops everything and deletes what was kept.
func (s *Stamp) Close() {
	_ = s.Stop()
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

// Post calls a route of the app with the local key, as curl would.
func (s *Stamp) Post(ctx context.Context, route, body string, header http.Header) (*http.Response, error) {
	return s.call(ctx, http.MethodPost, route, body, header)
}

// Put calls a route of the app with the local key.
func (s *Stamp) Put(ctx context.Context, route, body string) (*http.Response, error) {
	return s.call(ctx, http.MethodPut, route, body, nil)
}

// Get calls a route of the app with the local key.
func (s *Stamp) Get(ctx context.Context, route string) (*http.Response, error) {
	return s.call(ctx, http.MethodGet, route, "", nil)
}

func (s *Stamp) call(ctx context.Context, method, route, body string, header http.Header) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, s.Host.URL()+route, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("x-functions-key", s.functionKey)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	maps.Copy(r.Header, header)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, route, err)
	}
	return resp, nil
}
