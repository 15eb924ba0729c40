package store

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
)

// A marker's metadata: the lease in clear, for whoever looks at the container, and the rest of the wake as JSON in base64url, since metadata is
// ASCII. Both come with the listing, so that the watchdog reads no marker one by one.
const (
	metaWake  = "wake"
	metaLease = "leaseuntil" // RFC 3339
)

// maxWake bounds the encoded wake, so that all metadata stay below 8 KiB.
const maxWake = 7 << 10

// Mark implements engine.Store.
func (s *Store) Mark(ctx context.Context, w dr.Wake) error {
	if !dr.ValidID(w.ID) {
		return fmt.Errorf("mark: %w", badID(w.ID))
	}
	metadata, err := wakeMetadata(w)
	if err != nil {
		return err
	}
	for range tries {
		if _, err = s.blobs.Create(ctx, markerName(w.ID), Content{Body: []byte("{}"), Metadata: metadata}); !errors.Is(err, ErrCondition) {
			return err
		}
		// Moving it gives it a new ETag, too: the watchdog will not take it for the orphan it saw.
		if err = s.blobs.SetMetadata(ctx, markerName(w.ID), metadata); !errors.Is(err, engine.ErrNotFound) {
			return err
		}
	}
	return errTries(markerName(w.ID))
}

// Beat implements engine.Store. Where two invocations beat, the later one stays: a lease that is off by one wake costs a wake.
func (s *Store) Beat(ctx context.Context, w dr.Wake) error {
	if !dr.ValidID(w.ID) {
		return fmt.Errorf("%w: %w", engine.ErrNotFound, badID(w.ID))
	}
	metadata, err := wakeMetadata(w)
	if err != nil {
		return err
	}
	return s.blobs.SetMetadata(ctx, markerName(w.ID), metadata)
}

// Unmark implements engine.Store.
func (s *Store) Unmark(ctx context.Context, id string) error {
	if !dr.ValidID(id) {
		return fmt.Errorf("unmark: %w", badID(id))
	}
	return gone(s.blobs.Delete(ctx, markerName(id), ""))
}

// UnmarkIf implements engine.Store. A marker that is gone is as good as deleted.
func (s *Store) UnmarkIf(ctx context.Context, m engine.Marker) error {
	if !dr.ValidID(m.Wake.ID) {
		return fmt.Errorf("unmark: %w", badID(m.Wake.ID))
	}
	if m.ETag == "" {
		return fmt.Errorf("unmark %s: the marker has no ETag", m.Wake.ID)
	}
	err := gone(s.blobs.Delete(ctx, markerName(m.Wake.ID), m.ETag))
	if !errors.Is(err, ErrCondition) {
		return err
	}
	view, err := s.blobs.Head(ctx, markerName(m.Wake.ID)) // a condition on what is gone is refused like one on what has changed
	if err == nil && view.Exists {
		err = fmt.Errorf("%w: %s", engine.ErrConflict, markerName(m.Wake.ID))
	}
	return err
}

// Markers implements engine.Store. A blob whose name is no id is left out and logged.
func (s *Store) Markers(ctx context.Context) ([]engine.Marker, error) {
	var markers []engine.Marker
	err := each(ctx, s.blobs, activeDir, func(item Item) error {
		id := strings.TrimPrefix(item.Name, activeDir)
		if !dr.ValidID(id) {
			s.log.WarnContext(ctx, "a blob among the markers is none: delete it", "blob", item.Name)
			return nil
		}
		m := engine.Marker{ETag: item.ETag, CreatedAt: item.CreatedAt}
		var ok bool
		if m.Wake, ok = metadataWake(item.Metadata); !ok || m.Wake.ID != id {
			m.Wake = dr.Wake{ID: id} // not ours; without a lease, so that the watchdog looks at the record
		}
		markers = append(markers, m)
		return nil
	})
	return markers, err
}

// gone makes a deletion of what is not there a success.
func gone(err error) error {
	if errors.Is(err, engine.ErrNotFound) {
		return nil
	}
	return err
}

func wakeMetadata(w dr.Wake) (map[string]string, error) {
	lease := w.Lease.UTC().Format(time.RFC3339Nano)
	w.Lease = time.Time{} // kept once
	for {
		text, err := toJSON(w)
		if err != nil {
			return nil, fmt.Errorf("marker of %s: %w", w.ID, err)
		}
		encoded := base64.RawURLEncoding.EncodeToString(text)
		if len(encoded) <= maxWake {
			return map[string]string{metaWake: encoded, metaLease: lease}, nil
		}
		if w.Location == "" {
			return nil, fmt.Errorf("marker of %s: %d bytes do not fit into metadata", w.ID, len(encoded))
		}
		w.Location = "" // only a hint: the record has ARM's first one, which goes on answering
	}
}

func metadataWake(metadata map[string]string) (dr.Wake, bool) {
	text, err := base64.RawURLEncoding.DecodeString(metadata[metaWake])
	if err != nil {
		return dr.Wake{}, false
	}
	var w dr.Wake
	if json.Unmarshal(text, &w) != nil {
		return dr.Wake{}, false
	}
	w.Lease, err = time.Parse(time.RFC3339Nano, metadata[metaLease])
	return w, err == nil
}
