// Command apim-dr is the custom handler of the Function App: disaster recovery for Azure API Management. The Functions host starts it without
// arguments; with arguments it is a command for a person. See README.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"apim-dr/handlers"
	"apim-dr/internal/config"
	"apim-dr/internal/customhandler"
	"apim-dr/internal/dr"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) > 1 {
		os.Exit(command(ctx, stop, os.Args[1:]))
	}
	if err := serve(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		if os.Getenv("FUNCTIONS_CUSTOMHANDLER_PORT") == "" { // no host has started it
			fmt.Fprintln(os.Stderr, "Without arguments this is the handler that the Functions host starts; apim-dr --help lists the commands for a person.")
		}
		os.Exit(1) // the host does not restart a handler that exits with 0
	}
}

// serve is what the Functions host wants: a server on loopback, until ctx ends.
func serve(ctx context.Context) error {
	c, err := config.Load(os.Environ(), os.ReadFile)
	if err != nil {
		return err
	}
	secrets := newMask(c)
	log := slog.New(customhandler.NewLogHandler(secrets.Writer(os.Stdout), secrets.Writer(os.Stderr), c.LogLevel))
	for _, warning := range c.Warnings {
		log.Warn(warning)
	}
	if err := closed(os.DirFS("."), c.Auth, log); err != nil { // the host starts its handler in the folder of the functions
		return err
	}
	tellSurvival(ctx, c, log)
	app, closeBus, err := wire(c, secrets, log)
	if err != nil {
		return err
	}
	defer closeBus(context.WithoutCancel(ctx))
	router := customhandler.NewRouter(customhandler.Options{Log: log, Timeout: c.Timing.Invocation})
	app.Register(router)
	listener, err := customhandler.Listen(ctx, c.Port)
	if err != nil {
		return err
	}
	log.Info("ready", "services", len(c.Fleet.Services), "plans", len(c.Fleet.Plans), "apiVersion", c.APIVersion, "cloud", c.Cloud.Name)
	return customhandler.Serve(ctx, listener, router, customhandler.ServeOptions{Log: log, Longest: router.Longest()})
}

// closed refuses to serve functions that anybody may call, unless built-in authentication stands before them.
func closed(app fs.FS, auth config.Auth, log *slog.Logger) error {
	open, err := handlers.Anonymous(app)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		log.Warn("whether the functions need a key was not looked at: the program was not started in their folder", "error", err)
		return nil
	case err != nil:
		return fmt.Errorf("whether the functions need a key: %w", err)
	case len(open) > 0 && auth != config.Entra:
		return fmt.Errorf("AUTH: is %q, but this package lets anybody call %s; deploy one made with make package, or set AUTH=entra", auth, strings.Join(open, ", "))
	}
	return nil
}

// tellSurvival says for each service whether what recovers it is still there when its region is gone.
func tellSurvival(ctx context.Context, c config.Config, log *slog.Logger) {
	for _, s := range c.Fleet.Services {
		level, found := slog.LevelInfo, c.Survival(s)
		if found.Survives == dr.Not {
			level = slog.LevelWarn
		}
		log.Log(ctx, level, "survivesPrimaryLoss", "service", s.Name, "survives", found.Survives, "reasons", append([]string{}, found.Reasons...))
	}
}
