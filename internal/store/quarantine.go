package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"unicode/utf8"

	"apim-dr/internal/dr"
)

// quarantined is content that nobody could read, kept for a person. It is never read by this program.
type quarantined struct {
	V       int    `json:"v"`
	Reason  string `json:"reason"`
	Content string `json:"content,omitempty"`       // as text, where it is text
	Base64  []byte `json:"contentBase64,omitempty"` // otherwise
}

// Quarantine implements engine.Store. The reason given first stays.
func (s *Store) Quarantine(ctx context.Context, content []byte, reason string) error {
	q := quarantined{V: dr.Version, Reason: reason}
	if utf8.Valid(content) {
		q.Content = string(content)
	} else {
		q.Base64 = content
	}
	sum := sha256.Sum256(content)
	name := quarantineDir + hex.EncodeToString(sum[:])
	body, err := toJSON(q) // not record: whatever its size, content must not come back for ever
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return createOnce(ctx, s.blobs, name, Content{Body: body})
}
