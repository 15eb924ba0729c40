package mask

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/url"
	"strings"
	"testing"
)

const (
	key    = "qL7+xT2/9vKc4WmZr8Yb1NdF5sGh3JpA6eUiOoQkXyM=" // as a Service Bus key is
	client = "Zq8~contoso.App_Secret-1x"
	token  = "eyJhbGciOiJIUzI1NiJ9.eyJhdWQiOiJjb250b3NvIn0.h8Pq0sTzLw3mVb6Xc2RyKd9JfNgE4uAi1oZrYtQeWlU"
)

// gives tells whether a text has a piece of a secret's plain form.
func gives(text, secret string) bool {
	for i := 0; i+piece <= len(secret); i++ {
		if strings.Contains(text, secret[i:i+piece]) {
			return true
		}
	}
	return false
}

func TestASecretIsFoundHoweverItIsQuoted(t *testing.T) {
	m := New(key, client)
	m.Learn(token)
	for _, secret := range []string{key, client, token} {
		quoted, err := json.Marshal(map[string]string{"accessKey": secret})
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{
			secret, url.QueryEscape(secret), strings.ToLower(url.QueryEscape("+/=")) + secret, url.PathEscape(secret), html.EscapeString(secret), string(quoted),
			strings.NewReplacer("+", `\u002B`, "=", `\u003D`).Replace(secret), strings.ReplaceAll(secret, "/", `\/`), strings.ReplaceAll(secret, "+", "&#43;"),
			strings.NewReplacer("+", "&#x2b;", "=", "&#x3d;", "/", "&#x2f;", "~", "&#x7e;", ".", "&#x2e;", "_", "&#x5f;", "-", "&#x2d;").Replace(secret),
			strings.NewReplacer("~", "%7E", ".", "%2E", "_", "%5F", "-", "%2D").Replace(url.QueryEscape(secret)),
			secret[:20], secret[len(secret)-20:], secret[4:24], secret + secret,
			base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte("Bearer " + secret)),
		} {
			got := m.Text("the value '" + text + "' is not accepted")
			if gives(got, secret) || len(got) > 80 || !strings.HasPrefix(got, "the value '") || !strings.HasSuffix(got, "' is not accepted") || !strings.Contains(got, Redacted) {
				t.Errorf("%s\nbecame %s", text, got)
			}
		}
	}
}

func TestASecretThatIsNotASCIIIsFound(t *testing.T) {
	if got := New("pässwörd für émile").Text("it was pässwörd für émile."); got != "it was "+Redacted+"." {
		t.Error(got)
	}
}

func TestWhatIsNoSecretStays(t *testing.T) {
	m := New(key, "short", "")
	for _, text := range []string{
		"", "short", "Cannot restore: backup expired", "https://management.azure.com/subscriptions/x//operationresults/Y29udG9zbw==?api-version=2024-05-01&t=1&s=abc",
		"code=ServiceLocked", "qL7+xT2/", "größer – 日本", strings.Repeat("x", 10_000), "a ?codec=1", "sign=abcdefghijklmnopqrst",
	} {
		if got := m.Text(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

// Nobody told us of these.
func TestSecretsAreKnownByTheirShape(t *testing.T) {
	m := New()
	for _, secret := range []string{
		strings.Repeat("aB3+", 21) + "zz==", token, "0x9fkEXuJzS2mT1v7b%2bQk8w%3d", "SharedKey contosodr:0x9fkEXuJzS2mT1v7bQk8w=", "SharedKeyLite contosodr:0x9fkEXuJzS2mT1v7bQk8w=", "mAsTeRkEy0123456789==",
	} {
		text := map[bool]string{true: secret, false: "https://contoso.example/api?a=1&sig=" + secret + "&code=" + secret}[strings.ContainsAny(secret, " ") || len(secret) > 60]
		if got := m.Text(text); strings.Contains(got, secret) || strings.Contains(got, secret[len(secret)-8:]) {
			t.Errorf("%s became %s", text, got)
		}
	}
}

func TestATokenIsKnownUntilItsSuccessorsAreManyAndNoLonger(t *testing.T) {
	m := New()
	of := func(i int) string { return fmt.Sprintf("%x", sha256.Sum256([]byte{byte(i)})) }
	for i := range 1 + recent {
		m.Learn(of(i))
		m.Learn(of(i)) // a client that asks again gets the same one
	}
	if m.Text(of(0)) != of(0) || m.Text(of(1)) != Redacted || m.Text(of(recent)) != Redacted {
		t.Errorf("%s, %s, %s", m.Text(of(0)), m.Text(of(1)), m.Text(of(recent)))
	}
}

func TestAShortSecretIsFoundWhole(t *testing.T) {
	if got := New("pa55w0rd!").Text("user:pa55w0rd!@host, pa55w0rd%21"); got != "user:"+Redacted+"@host, "+Redacted {
		t.Error(got)
	}
	if got := New("pa55/w0rd").Text(`{"key":"pa55\/w0rd"}`); got != `{"key":"`+Redacted+`"}` {
		t.Error(got)
	}
}

func TestAnErrorKeepsWhatItIs(t *testing.T) {
	cause := errors.New("refused: client_secret=" + client)
	m := New(client)
	if err := m.Error(cause); !errors.Is(err, cause) || err.Error() != "refused: client_secret="+Redacted {
		t.Errorf("%v", err)
	}
	if cause = errors.New("no route"); m.Error(cause) != cause || m.Error(nil) != nil {
		t.Error("an error without a secret was changed")
	}
}

func TestTheWriterMasksAndReportsWhatItTook(t *testing.T) {
	var out bytes.Buffer
	line := `{"error":"` + key + `"}` + "\n"
	n, err := New(key).Writer(&out).Write([]byte(line))
	if n != len(line) || err != nil || out.String() != `{"error":"`+Redacted+`"}`+"\n" {
		t.Errorf("%d, %v: %s", n, err, &out)
	}
}

func FuzzText(f *testing.F) {
	f.Add("a "+key+" b", 5)
	f.Add(url.QueryEscape(key), 30)
	f.Fuzz(func(t *testing.T, text string, cut int) {
		m := New(key)
		whole := m.Text(text + key + text)
		if gives(whole, key) {
			t.Errorf("%q", whole)
		}
		if again := m.Text(whole); again != whole {
			t.Errorf("%q became %q", whole, again)
		}
	})
}

// A log line is masked as JSON: the quote after a key is escaped there, and so may be letters of the key.
func TestALineOfJSONStaysOne(t *testing.T) {
	for _, rest := range []string{`"": EOF`, `'`, "\n", `\`, `\" again`, "/x+y&a=1", `\u002bhidden-tail"`} {
		var b bytes.Buffer
		line, err := json.Marshal(map[string]string{"error": `Get "https://contoso.example/api/status?code=first-part` + rest})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := New().Writer(&b).Write(append(line, '\n')); err != nil {
			t.Fatal(err)
		}
		if !json.Valid(b.Bytes()) || strings.Contains(b.String(), "first-part") || strings.Contains(b.String(), "hidden-tail") {
			t.Errorf("%s became %s", line, &b)
		}
	}
}
