package apim

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/mask"
	"apim-dr/internal/trace"
)

func armBody(code, message string) string {
	b, _ := json.Marshal(map[string]any{"error": map[string]any{"code": code, "message": message, "details": nil}})
	return string(b)
}

func TestStartVerdicts(t *testing.T) {
	locked := armBody("ServiceLocked", "The API Service contoso-eu is transitioning at this time. Please try the request again later.")
	for _, tt := range []struct {
		name    string
		answer  transport
		want    dr.Verdict
		code    string
		retry   time.Duration
		because string // part of the reason
	}{
		{"202 with a Location", always(202, "", "Location", location, "Retry-After", "60"), dr.Still, "", time.Minute, ""},
		{"202 with a date in Retry-After", always(202, "", "Location", location, "Retry-After", start.Add(90*time.Second).Format(http.TimeFormat)), dr.Still, "", 90 * time.Second, ""},
		{"202 with Azure-AsyncOperation alone", always(202, "", "Azure-AsyncOperation", location), dr.Still, "", 0, ""},
		{"202 with both", always(202, "", "Location", location, "Azure-AsyncOperation", location+"&other"), dr.Still, "", 0, ""},
		{"202 without Location", always(202, "", "Retry-After", "60"), dr.Lost, "", 0, "without a Location"},
		{"202 with a Location elsewhere", always(202, "", "Location", "https://contoso.example/operationresults/1"), dr.Lost, "", 0, "without a Location"},
		{"202 with a relative Location", always(202, "", "Location", instance+"/operationresults/1"), dr.Lost, "", 0, "without a Location"},
		{"200 is not documented", always(200, "{}"), dr.Lost, "", 0, "200"},
		{"204 is not documented", always(204, ""), dr.Lost, "", 0, "204"},
		{"201 with a Location", always(201, "{}", "Location", location), dr.Still, "", 0, ""},
		{"307 is not followed", always(307, "", "Location", location), dr.Lost, "Http307", 0, ""},
		{"400", always(400, armBody("InvalidParameters", "Invalid parameter: x\r\nParameter name: backupContainerName (value: [apiblob])")), dr.No, "InvalidParameters", 0, ""},
		{"400 in the old shape", always(400, `{"code":"InvalidOperation","message":"not for this tier","innerError":null}`), dr.No, "InvalidOperation", 0, ""},
		{"400 from a proxy", always(400, "<html>bad</html>", "Content-Type", "text/html"), dr.No, "Http400", 0, "<html>bad</html>"},
		{"401", always(401, armBody("ExpiredAuthenticationToken", "expired")), dr.No, "ExpiredAuthenticationToken", 0, ""},
		{"403", always(403, armBody("AuthorizationFailed", "no backup/action")), dr.No, "AuthorizationFailed", 0, ""},
		{"404", always(404, armBody("ResourceNotFound", "not found")), dr.No, "ResourceNotFound", 0, ""},
		{"408", always(408, ""), dr.Lost, "Http408", 0, ""},
		{"409 ServiceLocked", always(409, locked), dr.Later, "ServiceLocked", 0, "transitioning"},
		{"409 ServiceLocked in the old shape", always(409, `{"code":"ServiceLocked","message":"busy"}`, "Retry-After", "20"), dr.Later, "ServiceLocked", 20 * time.Second, ""},
		{"409 PessimisticConcurrencyConflict", always(409, armBody("PessimisticConcurrencyConflict", "Operation on the API is in progress")), dr.Later, "PessimisticConcurrencyConflict", 0, ""},
		{"409 of another name for the same", always(409, armBody("Conflict", "The service is transitioning at this time.")), dr.Later, "Conflict", 0, ""},
		{"409 ScopeLocked", always(409, armBody("ScopeLocked", "following scope(s) are locked. Please remove the lock and try again.")), dr.No, "ScopeLocked", 0, ""},
		{"409 of another kind", always(409, armBody("MissingSubscriptionRegistration", "not registered")), dr.No, "MissingSubscriptionRegistration", 0, ""},
		{"409 without a body", always(409, ""), dr.No, "Http409", 0, ""},
		{"429", always(429, armBody("SubscriptionRequestsThrottled", "slow down"), "Retry-After", "17"), dr.Later, "SubscriptionRequestsThrottled", 17 * time.Second, ""},
		{"500", always(500, armBody("InternalServerError", "oops")), dr.Lost, "InternalServerError", 0, ""},
		{"502 from a proxy", always(502, "<html>", "Content-Type", "text/html"), dr.Lost, "Http502", 0, ""},
		{"503", always(503, "", "Retry-After", "5"), dr.Lost, "Http503", 5 * time.Second, ""},
		{"504", always(504, ""), dr.Lost, "Http504", 0, ""},
		{"a transport that tells nothing fails", func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }, dr.Lost, "", 0, "unexpected EOF"},
		{"the dial is refused", func(*http.Request) (*http.Response, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
		}, dr.Later, "", 0, "nothing was sent"},
		{"202 whose body breaks off", func(*http.Request) (*http.Response, error) {
			r := answer(202, "", "Location", location)
			r.Body = io.NopCloser(&broken{})
			return r, nil
		}, dr.Still, "", 0, ""},
		{"400 whose body breaks off", func(*http.Request) (*http.Response, error) {
			r := answer(400, "")
			r.Body = io.NopCloser(&broken{})
			return r, nil
		}, dr.No, "Http400", 0, "not whole"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := with(t, tt.answer).Start(t.Context(), leg("backup"), point)
			if a.Verdict != tt.want || a.Retry != tt.retry || !strings.Contains(a.Reason, tt.because) {
				t.Errorf("%+v, want %s, %s, %q", a, tt.want, tt.retry, tt.because)
			}
			if (a.Error == nil) != (tt.code == "") || a.Error != nil && (a.Error.Code != tt.code || a.Error.Message == "" || a.Error.Status == 0 || a.Error.Source != "arm") {
				t.Errorf("error %+v, want code %q", a.Error, tt.code)
			}
			if want := map[bool]string{true: location}[a.Verdict == dr.Still]; a.Location != want {
				t.Errorf("Location %q, want %q", a.Location, want)
			}
			if a.Verdict == dr.Lost && a.Reason == "" {
				t.Error("lost without a reason")
			}
		})
	}
}

type broken struct{}

func (*broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestStartSendsOneRequestWhateverComesBack(t *testing.T) {
	for _, status := range []int{202, 307, 401, 408, 409, 429, 500, 502, 503, 504} {
		calls := 0
		with(t, func(*http.Request) (*http.Response, error) {
			calls++
			return answer(status, armBody("MissingSubscriptionRegistration", "x"), "Retry-After", "0", "Location", location), nil
		}).Start(t.Context(), leg("backup"), point)
		if calls != 1 {
			t.Errorf("%d: %d requests", status, calls)
		}
	}
	calls := 0
	with(t, func(*http.Request) (*http.Response, error) { calls++; return nil, io.EOF }).Start(t.Context(), leg("backup"), point)
	if calls != 1 {
		t.Errorf("reset: %d requests", calls)
	}
}

func TestStartBodies(t *testing.T) {
	key := func() string { return storageKey }
	for _, tt := range []struct {
		name, version string
		access        Access
		want          string // fields after the three that are always there; or a code
	}{
		{"key", "", Access{Mode: AccessKey, Key: key}, `,"accessType":"AccessKey","accessKey":"` + storageKey + `"}`},
		{"key before accessType", "2014-02-14", Access{Mode: AccessKey, Key: key, ClientID: "x"}, `,"accessKey":"` + storageKey + `"}`},
		{"key with a preview", "2021-04-01-preview", Access{Mode: AccessKey, Key: key}, `,"accessKey":"` + storageKey + `"}`},
		{"system", "", Access{Mode: SystemAssigned, Key: key, ClientID: "x"}, `,"accessType":"SystemAssignedManagedIdentity"}`},
		{"user", "2021-04-01-preview", Access{Mode: UserAssigned, ClientID: "c1"}, `,"accessType":"UserAssignedManagedIdentity","clientId":"c1"}`},
		{"user without id", "", Access{Mode: UserAssigned}, "StorageAccessUnknown"},
		{"key without one", "", Access{Mode: AccessKey}, "StorageAccessUnknown"},
		{"empty key", "", Access{Mode: AccessKey, Key: func() string { return "" }}, "StorageAccessUnknown"},
		{"nothing", "", Access{}, "StorageAccessUnknown"},
		{"identity with an old version", "2020-12-01", Access{Mode: SystemAssigned}, "ApiVersionTooOld"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var sent string
			o := options(transport(func(r *http.Request) (*http.Response, error) {
				b, err := io.ReadAll(r.Body)
				sent = string(b)
				return answer(202, "", "Location", location), err
			}))
			o.APIVersion, o.Access = tt.version, func(account string) (Access, error) {
				if account != "contosodrbackups" {
					t.Errorf("asked for %q", account)
				}
				return tt.access, nil
			}
			a := newClient(t, o).Start(t.Context(), leg("backup"), point)
			if a.Verdict == dr.No {
				if a.Error.Code != tt.want || sent != "" {
					t.Errorf("%v after sending %q, want %s", a.Error, sent, tt.want)
				}
				return
			}
			if want := `{"storageAccount":"contosodrbackups","containerName":"apim-backups","backupName":"` + point + `"` + tt.want; sent != want {
				t.Errorf("sent %s\nwant %s", sent, want)
			}
		})
	}
}

func TestStartRefusesWhatIsNoInstance(t *testing.T) {
	c := with(t, func(r *http.Request) (*http.Response, error) { t.Errorf("sent %s", r.URL); return nil, io.EOF })
	for _, id := range []string{
		"", "/", "@contoso.example" + instance, ".contoso.example" + instance, instance + "/apis/x", instance + "?x=y", instance + "#x", instance + "/",
		instance + "\n", strings.Replace(instance, "Microsoft.ApiManagement", "Microsoft.Storage", 1), strings.Replace(instance, "contoso-rg", "a%2Fb", 1),
	} {
		l := leg("backup")
		l.ResourceID = id
		if a := c.Start(t.Context(), l, point); a.Verdict != dr.No || a.Error.Code != "InvalidResourceId" {
			t.Errorf("Start %q: %+v", id, a)
		}
		if a := c.Service(t.Context(), id); a.Verdict != dr.No || a.Error.Code != "InvalidResourceId" {
			t.Errorf("Service %q: %+v", id, a)
		}
	}
	for _, verb := range []dr.Verb{"", "Backup/x", "backup?x", "../x"} {
		if a := c.Start(t.Context(), leg(verb), point); a.Verdict != dr.No {
			t.Errorf("verb %q: %+v", verb, a)
		}
	}
}

func TestAnInstanceInAGroupOfAnyScriptIsReached(t *testing.T) {
	l := leg("restore")
	l.ResourceID = strings.Replace(instance, "contoso-rg", "größe(1)_x.y", 1)
	var sent string
	a := with(t, func(r *http.Request) (*http.Response, error) {
		sent = r.URL.RequestURI()
		return answer(202, "", "Location", location), nil
	}).Start(t.Context(), l, point)
	if want := "/resourceGroups/gr%C3%B6%C3%9Fe%281%29_x.y/providers/Microsoft.ApiManagement/service/contoso-eu/restore?api-version=2024-05-01"; a.Verdict != dr.Still || !strings.HasSuffix(sent, want) {
		t.Errorf("%s after %s", a.Verdict, sent)
	}
}

func TestTheKeyComesBackInNoAnswer(t *testing.T) {
	const odd = "not-the-shape-of-a-key"
	var log lockedBuffer
	for _, key := range []string{storageKey, odd} {
		for _, body := range []string{
			armBody("InvalidParameters", "Parameter name: accessKey (value: ["+key+"])"),
			`{"error":{"code":"` + key + `","message":"m","details":[{"code":"c","message":"` + key + `"}]}}`,
			"<html>" + key,
		} {
			for _, status := range []int{400, 409, 503} {
				o := options(always(status, body))
				o.Access = func(string) (Access, error) { return Access{Mode: AccessKey, Key: func() string { return key }}, nil }
				o.Log, o.Mask = logInto(&log), mask.New(key).Text
				c := newClient(t, o)
				a := c.Start(t.Context(), leg("backup"), point)
				if text := a.Reason + a.Error.String() + log.String(); strings.Contains(text, key) || !strings.Contains(text, mask.Redacted) {
					t.Errorf("%d %s: %s", status, body, text)
				}
				a = c.Check(t.Context(), location)
				if text := a.Reason + a.Error.String() + log.String(); strings.Contains(text, key) {
					t.Errorf("poll %d %s: %s", status, body, text)
				}
			}
		}
	}
	o := options(always(202, ""))
	o.Access = func(string) (Access, error) { return Access{}, errors.New("vault said " + storageKey) }
	if a := newClient(t, o).Start(t.Context(), leg("backup"), point); a.Verdict != dr.No || strings.Contains(a.Error.Message, storageKey) {
		t.Errorf("%+v", a.Error)
	}
}

func TestWithoutATokenNothingIsSent(t *testing.T) {
	o := options(transport(func(r *http.Request) (*http.Response, error) { t.Error("sent without a token"); return nil, io.EOF }))
	o.Credential = &credential{get: func(context.Context) error { return errors.New("no managed identity here") }}
	c := newClient(t, o)
	for name, a := range map[string]dr.Answer{
		"Start": c.Start(t.Context(), leg("backup"), point), "Check": c.Check(t.Context(), location), "Service": c.Service(t.Context(), instance),
	} {
		if a.Verdict != dr.Later || !strings.Contains(a.Reason, "no managed identity here") {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

func TestAClaimsChallengeIsAnsweredAndItsFailureIsNotALostPOST(t *testing.T) {
	challenge := []string{"WWW-Authenticate", `Bearer realm="", error="insufficient_claims", claims="eyJhY2Nlc3NfdG9rZW4iOnt9fQ=="`}
	for _, tt := range []struct {
		name   string
		tokens int // how many the credential gives
		second error
		want   dr.Verdict
	}{
		{"the second token is accepted", 2, nil, dr.Still},
		{"no second token: the 401 stands", 1, nil, dr.No},
		{"the second dial fails: nothing was taken", 2, &net.OpError{Op: "dial", Err: errors.New("refused")}, dr.Later},
		{"the second answer is lost", 2, io.ErrUnexpectedEOF, dr.Lost},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sent, given := 0, 0
			o := options(transport(func(*http.Request) (*http.Response, error) {
				if sent++; sent == 1 {
					return answer(401, armBody("InvalidAuthenticationToken", "revoked"), challenge...), nil
				}
				return answer(202, "", "Location", location), tt.second
			}))
			o.Credential = &credential{get: func(context.Context) error {
				if given++; given > tt.tokens {
					return errors.New("interaction required")
				}
				return nil
			}}
			if a := newClient(t, o).Start(t.Context(), leg("backup"), point); a.Verdict != tt.want {
				t.Errorf("%+v, want %s", a, tt.want)
			}
		})
	}
}

func TestStartEndsBeforeItsContext(t *testing.T) {
	until := func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }
	for _, tt := range []struct {
		name      string
		transport transport
		token     func(context.Context) error
		want      dr.Verdict
	}{
		{"ARM is silent", until, nil, dr.Lost},
		{"the token is late", func(*http.Request) (*http.Response, error) { t.Error("sent"); return nil, io.EOF },
			func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, dr.Later},
		{"the body of a 202 never ends", func(r *http.Request) (*http.Response, error) {
			a := answer(202, "", "Location", location)
			a.Body = io.NopCloser(endless{r.Context()})
			return a, nil
		}, nil, dr.Still},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := options(tt.transport)
				o.Now, o.Credential = time.Now, &credential{get: tt.token}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				a := newClient(t, o).Start(ctx, leg("backup"), point)
				if a.Verdict != tt.want || ctx.Err() != nil {
					t.Errorf("%+v, context %v; want %s before it ends", a, ctx.Err(), tt.want)
				}
			})
		})
	}
}

func TestATokenThatComesAfterTheWindowSendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(transport(func(*http.Request) (*http.Response, error) { t.Error("sent"); return nil, io.EOF }))
		o.Credential = &credential{get: func(context.Context) error { time.Sleep(2 * time.Minute); return nil }}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if a := newClient(t, o).Start(ctx, leg("backup"), point); a.Verdict != dr.Later {
			t.Errorf("%+v", a)
		}
	})
}

type endless struct{ ctx context.Context }

func (e endless) Read([]byte) (int, error) { <-e.ctx.Done(); return 0, e.ctx.Err() }

func TestASlowTokenOfAnotherCallHoldsNoPOSTPastItsWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		posts := 0
		o := options(transport(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodPost {
				posts++
			}
			return answer(202, ""), nil
		}))
		o.Now = time.Now
		o.Credential = &credential{get: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
		c := newClient(t, o)
		go c.Check(t.Context(), location) // waits for its token for getWithin
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), getWithin/3)
		defer cancel()
		a := c.Start(ctx, leg("backup"), point)
		if a.Verdict != dr.Later || ctx.Err() != nil || posts != 0 {
			t.Errorf("%+v, context %v, %d posts", a, ctx.Err(), posts)
		}
		time.Sleep(getWithin) // the check ends by then
	})
}

func TestATokenIsFetchedOnceForTheAudience(t *testing.T) {
	o := options(always(202, "", "Location", location))
	cred := &credential{}
	o.Credential = cred
	c := newClient(t, o)
	c.Start(t.Context(), leg("backup"), point)
	c.Check(t.Context(), location)
	if len(cred.seen) != 1 || len(cred.seen[0].Scopes) != 1 || cred.seen[0].Scopes[0] != "https://management.core.windows.net//.default" {
		t.Errorf("token requests %+v", cred.seen)
	}
}

func TestRequestsCarryTraceAndIDsIntoTheLog(t *testing.T) {
	var log lockedBuffer
	var h http.Header
	o := options(transport(func(r *http.Request) (*http.Response, error) {
		h = r.Header
		return answer(202, "", "Location", location, "x-ms-request-id", "req-1", "x-ms-correlation-request-id", "cor-1"), nil
	}))
	o.Log = logInto(&log)
	c := newClient(t, o)
	c.Start(trace.With(t.Context(), traceparent), leg("backup"), point)
	if h.Get("traceparent") != traceparent || h.Get("x-ms-client-request-id") != "5f0c9f4e-0000-4000-8000-000000000001" || h.Get("Authorization") != "Bearer "+token {
		t.Errorf("headers %v", h)
	}
	if !strings.HasPrefix(h.Get("User-Agent"), "apim-dr ") {
		t.Errorf("User-Agent %q", h.Get("User-Agent"))
	}
	for _, want := range []string{"level=INFO", "verb=backup", "target=contoso-eu", "status=202", "durationMs=", "requestId=req-1", "correlationId=cor-1"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %s in the log: %s", want, log.String())
		}
	}
	c.Check(t.Context(), location)
	if !strings.Contains(log.String(), "level=DEBUG") || strings.Contains(log.String(), "operationresults") {
		t.Errorf("a poll is to be logged at debug, without its URL: %s", log.String())
	}
	if a := c.Check(trace.With(t.Context(), "00-bad\r\nX: y"), location); a.Verdict != dr.Still || h.Get("traceparent") != "" {
		t.Errorf("a malformed traceparent: %+v, %q", a, h.Get("traceparent"))
	}
}
