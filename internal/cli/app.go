package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"apim-dr/internal/client"
)

const appStatuses = `Exit status:
  0  succeeded; without --wait: accepted; of a dry run: the plan passes; of what only shows something: it was shown
  1  usage, settings, key or login, or no answer: nothing was begun
  2  refused or rejected: nothing was overwritten; of a dry run: the plan does not pass
  3  failed: ARM says so
  4  unknown: ARM or the Function App cannot confirm how it ended or whether it was begun, or it was stopped while the operation goes on`

// app is one call of a command that asks the Function App.
type app struct {
	Options
	url, output    string
	reason, ticket string
	wait           bool
	client         *client.Client
}

// command makes a command of run, which gets a connected app.
func (o Options) command(cmd *cobra.Command, run func(ctx context.Context, a *app, args []string) error) (*cobra.Command, *app) {
	a := &app{Options: o}
	if cmd.Long == "" {
		cmd.Long = cmd.Short + "."
	}
	cmd.Long += "\n\n" + appStatuses
	a.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := a.connect(); err != nil {
			return err
		}
		return run(cmd.Context(), a, args)
	}
	return cmd, a
}

func (a *app) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.url, "url", "", "of the Function App, such as https://APP.azurewebsites.net; without it APIMDR_URL")
	cmd.Flags().StringVarP(&a.output, "output", "o", "table", "table | json")
}

// why adds what is kept with what is begun.
func (a *app) why(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.reason, "reason", "", "why, in one line; kept with what it begins")
	cmd.Flags().StringVar(&a.ticket, "ticket", "", "of an incident or a change; kept beside the reason")
}

func (a *app) waits(cmd *cobra.Command, until string) {
	cmd.Flags().BoolVar(&a.wait, "wait", false, "stay until "+until)
}

func (a *app) connect() error {
	if err := oneOf("output", a.output, "table", "json"); err != nil {
		return err
	}
	environ := a.Environ
	if a.url != "" {
		environ = append(without(environ, "APIMDR_URL"), "APIMDR_URL="+a.url)
	}
	o, err := a.App(environ)
	if err != nil {
		return err
	}
	o.Say = func(text string) { fmt.Fprintln(a.Err, clean(text)) }
	a.client = client.New(o)
	return nil
}

// body is what every call that changes something says of its origin. With a token the app knows who calls and does not want to be told.
func (a *app) body() client.Body {
	b := client.Body{Reason: a.reason, Ticket: a.ticket}
	if !a.client.KnowsCaller() {
		b.RequestedBy = short(a.Who)
	}
	return b
}

// show asks for something that changes nothing.
func (a *app) show(ctx context.Context, call client.Call, into any) (client.Answer, error) {
	answer, err := a.client.Do(ctx, call, into)
	if err != nil {
		return answer, a.failed(err)
	}
	return answer, nil
}

// change asks for something that begins or changes something.
func (a *app) change(ctx context.Context, call client.Call, into any) (client.Answer, error) {
	answer, err := a.client.Do(ctx, call, into)
	switch {
	case err == nil:
		return answer, nil
	case !client.Perhaps(err):
		return answer, a.failed(err)
	}
	a.refused(err)
	return answer, end(Unknown, "%v\nNobody knows whether it was begun. What is in flight: apim-dr operations --in-flight; what happened today: apim-dr operations%s", err, a.hint(err))
}

// failed is how a command ends whose call brought no success and began nothing.
func (a *app) failed(err error) error {
	if errors.Is(err, context.Canceled) {
		return end(Refused, "Stopped: nothing was begun.")
	}
	code := Usage
	if status := a.refused(err); status == http.StatusConflict || status == http.StatusTooManyRequests {
		code = Refused
	}
	return end(code, "%v%s", err, a.hint(err))
}

// refused prints the body of a refusal, if JSON is wanted, and is its status; zero: err is none.
func (a *app) refused(err error) int {
	refusal, ok := errors.AsType[*client.Refusal](err)
	if !ok {
		return 0
	}
	a.document(refusal.Body)
	return refusal.Status
}

// hint tells what to do about an error of a call, on a line of its own.
func (a *app) hint(err error) string {
	refusal, refused := errors.AsType[*client.Refusal](err)
	foreign, other := errors.AsType[*client.Foreign](err)
	lost, silent := errors.AsType[*client.Lost](err)
	switch {
	case refused && refusal.Status == http.StatusUnauthorized && a.client.KnowsCaller():
		return "\nThe token for APIMDR_AUDIENCE was not accepted: is that the Application ID URI of this app's registration? If the app asks for keys as well, set APIMDR_KEY (docs/cli.md)."
	case refused && refusal.Status == http.StatusUnauthorized:
		return fmt.Sprintf("\nAPIMDR_KEY is not a key of %s: set it to a host key, which opens all functions, or to that function's own. With AUTH=entra set APIMDR_AUDIENCE instead (docs/cli.md).", refusal.Function)
	case other && foreign.Status == http.StatusForbidden:
		return "\nIs the app stopped, or closed to this network?"
	case other:
		return "\nIs that the Function App? APIMDR_URL or --url names it."
	case silent && !lost.Heard:
		return "\nIs that where the Function App is? If it is gone: apim-dr failover --direct (docs/break-glass.md)."
	}
	return ""
}

// document prints an answer whole, if JSON is wanted.
func (a *app) document(body json.RawMessage) {
	if a.output != "json" || len(body) == 0 {
		return
	}
	var b bytes.Buffer
	if json.Indent(&b, body, "", "  ") != nil {
		b.Reset()
		b.Write(body)
	}
	fmt.Fprintln(a.Out, escaped(strings.TrimSpace(b.String())))
}
