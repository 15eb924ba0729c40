package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"golang.org/x/term"

	"apim-dr/internal/apim"
	"apim-dr/internal/cli"
	"apim-dr/internal/client"
	"apim-dr/internal/config"
	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/mask"
	"apim-dr/internal/record"
	"apim-dr/internal/store"
)

// command runs what a person asks for and returns the exit status. The first Ctrl-C lets the command end in its own way, the second ends the process.
func command(ctx context.Context, stop func(), args []string) int {
	context.AfterFunc(ctx, stop)
	return cli.Run(ctx, args, cli.Options{
		In: os.Stdin, Terminal: term.IsTerminal(int(os.Stdin.Fd())), Out: os.Stdout, Err: os.Stderr, Environ: os.Environ(),
		Who:    cmp.Or(os.Getenv("USER"), os.Getenv("USERNAME"), "somebody") + " at the command line",
		Direct: setUpDirect, Stamp: setUpStamp, Verify: setUpVerify, App: setUpApp, Now: time.Now, Width: width,
		Aside: func(text string) { fmt.Fprintln(os.Stderr, text) },
	})
}

// width is how many columns the terminal has to which both outputs go; zero: one of them goes elsewhere.
func width() int {
	if !term.IsTerminal(int(os.Stdout.Fd())) || !term.IsTerminal(int(os.Stderr.Fd())) {
		return 0
	}
	if columns, _, err := term.GetSize(int(os.Stderr.Fd())); err == nil && columns > 0 {
		return columns
	}
	return 80
}

// setUpApp tells how the Function App is called: with a key, a token or both.
func setUpApp(environ []string) (client.Options, error) {
	c, err := config.LoadApp(environ)
	if err != nil {
		return client.Options{}, err
	}
	o := client.Options{URL: c.App.URL, Key: c.App.Key.Reveal(), Now: time.Now, NewKey: rand.Text}
	if c.App.Audience == "" {
		return o, nil
	}
	credential, err := newCredential(c, newMask(c))
	if err != nil {
		return client.Options{}, err
	}
	login, scope := newLogin(credential, c.Credential.Kind), c.App.Audience+"/.default"
	o.Token = func(ctx context.Context) (string, error) {
		t, err := login.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}})
		if err != nil {
			return "", fmt.Errorf("no token for %s: %w\n%s", scope, err, login.advice())
		}
		return t.Token, nil
	}
	return o, nil
}

// setUpDirect needs nothing of the stamp: the records live in memory.
func setUpDirect(environ []string, log *slog.Logger) (cli.Setup, error) {
	s, vault, _, err := setUp(environ, log)
	if err == nil {
		s.Engine.Store = store.Over(store.Memory(time.Now), store.Options{Vault: vault, Log: log})
	}
	return s, err
}

// setUpVerify is setUpDirect with a recorder on the way to ARM.
func setUpVerify(environ []string, log *slog.Logger) (cli.Setup, error) {
	s, vault, with, err := setUp(environ, log)
	if err != nil {
		return s, err
	}
	s.Recorder = newRecorder(with.Config, with.secrets)
	arm, err := newARM(with.Config, with.login, &http.Client{Transport: s.Recorder}, with.secrets, log)
	if err != nil {
		return s, err
	}
	s.Fresh = func() engine.Store { return store.Over(store.Memory(time.Now), store.Options{Vault: vault, Log: log}) }
	s.Engine.ARM, s.Engine.Store = arm, s.Fresh()
	s.Lacks = func(ctx context.Context, scope string) ([]cli.Need, *dr.Error) {
		var list []cli.Need
		lacks, failure := arm.Lacks(ctx, scope)
		for _, n := range lacks {
			list = append(list, cli.Need(n))
		}
		return list, failure
	}
	return s, nil
}

// newRecorder knows the names of the fleet beforehand: an answer may tell one before any request does.
func newRecorder(c config.Config, secrets *mask.Mask) *record.Recorder {
	r := record.New(record.Options{Next: apim.Transport(), Endpoint: c.Cloud.ARM().Endpoint, Mask: secrets.Text, Now: time.Now})
	for _, s := range c.Fleet.Services {
		r.KnowID(s.ID)
		for _, sec := range s.Secondaries {
			r.KnowID(sec.ID)
		}
		if s.DrillInstance != nil {
			r.KnowID(s.DrillInstance.ID)
		}
	}
	for _, s := range c.Fleet.Storages {
		r.Know(record.Account, s.Account)
		r.Know(record.Container, s.Container)
	}
	return r
}

// setUpStamp works on the records of the stamp.
func setUpStamp(environ []string, log *slog.Logger) (cli.Setup, error) {
	s, vault, wired, err := setUp(environ, log, config.PartState)
	if err != nil {
		return s, err
	}
	s.Engine.Store, err = newStore(wired.Config, wired.login, vault, log)
	return s, err
}

type wired struct {
	config.Config
	login   *login
	secrets *mask.Mask
}

func setUp(environ []string, log *slog.Logger, needs ...config.Part) (cli.Setup, *store.Vault, wired, error) {
	c, err := config.LoadDirect(environ, os.ReadFile, needs...)
	if err != nil {
		return cli.Setup{}, nil, wired{}, err
	}
	secrets := newMask(c)
	credential, err := newCredential(c, secrets)
	if err != nil {
		return cli.Setup{}, nil, wired{}, err
	}
	with := wired{c, newLogin(credential, c.Credential.Kind), secrets}
	vault := newVault(c, with.login)
	arm, err := newARM(c, with.login, nil, secrets, log)
	if err != nil {
		return cli.Setup{}, nil, wired{}, err
	}
	s := cli.Setup{
		Engine: newEngine(c, arm, vault, log), Warnings: c.Warnings,
		Login: func(ctx context.Context) error { return with.login.try(ctx, c.Cloud.ARM().Audience) },
		Request: func(leg dr.Leg, point string) (cli.Request, *dr.Error) {
			r, failure := arm.Command(leg, point)
			return cli.Request(r), failure
		},
	}
	for _, name := range slices.Sorted(maps.Keys(c.Fleet.Storages)) {
		s.Storages = append(s.Storages, cli.Storage{Name: name, Storage: storageOf(c.Fleet.Storages[name])})
	}
	return s, vault, with, nil
}
