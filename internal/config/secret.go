package config

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// Secret is a text that fmt, slog and encoding/json show as redacted; only Reveal gives it away. Keep it in exported fields: fmt
// calls no methods of unexported ones and would print the text.
type Secret string

const redacted = "(secret)"

// Reveal returns the text itself, for the client that needs it and nothing else.
func (s Secret) Reveal() string { return string(s) }

// Format implements fmt.Formatter: every verb shows that there is a secret, none shows it. String alone would not do, since %d prints
// the text of a Stringer.
func (s Secret) Format(f fmt.State, _ rune) {
	if s != "" {
		_, _ = io.WriteString(f, redacted)
	}
}

// String implements fmt.Stringer for callers that bypass fmt.
func (s Secret) String() string { return fmt.Sprint(s) }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText implements encoding.TextMarshaler, which encoding/json uses for values and map keys.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Secrets are all secrets in plain text, for whoever takes them out of texts: keys themselves, not the connection strings around them.
func (c Config) Secrets() []string {
	list := []string{c.Credential.ClientSecret.Reveal()}
	if c.App.Key != "" {
		list = append(list, c.App.Key.Reveal())
	}
	for _, key := range c.StorageKeys {
		list = append(list, key.Reveal())
	}
	for _, connection := range []Secret{c.ServiceBus.ConnectionString, c.State.ConnectionString} {
		for part := range strings.SplitSeq(connection.Reveal(), ";") {
			switch name, value, _ := strings.Cut(part, "="); name {
			case "AccountKey", "SharedAccessKey", "SharedAccessSignature":
				list = append(list, value)
			}
		}
	}
	return list
}
