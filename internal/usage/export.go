package usage

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/fnv"
	"io"
	"strconv"
	"time"

	"apim-dr/internal/dr"
)

// Manifest lies beside the file of a day and tells what is in it. While it is there it speaks of that file and no other.
type Manifest struct {
	V            int       `json:"v"`
	Service      string    `json:"service"`
	ResourceID   string    `json:"resourceId"`
	Report       Report    `json:"report"`
	Interval     string    `json:"interval,omitempty"` // of byTime
	Day          Day       `json:"day"`
	From         time.Time `json:"from"`         // first instant of the window
	To           time.Time `json:"to"`           // last instant of the window: it belongs to it
	File         string    `json:"file"`         // name in the container
	Rows         int64     `json:"rows"`         // lines
	Bytes        int64     `json:"bytes"`        // of the file
	ContentBytes int64     `json:"contentBytes"` // of what gunzip makes of it
	SHA256       string    `json:"sha256"`       // of the file, hex
}

// exported is a day that was exported. Verdict OK: its file is there, with a manifest.
type exported struct {
	dr.Answer
	rows, bytes int64
}

// export replaces a day of a report as a whole. It can be killed anywhere: what is seen is the old day or the new one, at worst without its
// manifest, and doing it again repairs that. What goes wrong with the report or the storage is Verdict Later, see Reports.Page for the others.
func (x *Exporter) export(ctx context.Context, in Instance, r Report, d Day) exported {
	path := name(in.Name, r, d)
	draft := x.Files.Begin(ctx, path+dataSuffix)
	out := newWriter(draft)
	if a := x.pages(ctx, in, r, d, out); a.Verdict != dr.OK {
		return exported{Answer: a}
	}
	facts, err := out.finish()
	if err == nil { // the old manifest must not stand beside the new file
		err = x.Files.Remove(ctx, path+manifestSuffix)
	}
	if err != nil {
		return later(err)
	}
	version, err := draft.Commit(facts)
	if err != nil {
		return later(err)
	}
	if err := x.manifest(ctx, in, r, d, facts, version); err != nil {
		return later(err)
	}
	return exported{Answer: dr.Answer{Verdict: dr.OK}, rows: out.rows, bytes: out.file.bytes}
}

// manifest writes down what the file holds. Two exports of a day may cross (a message can come twice): each looks again until what it wrote is of the
// file that is there, so that the later one has the last word.
func (x *Exporter) manifest(ctx context.Context, in Instance, r Report, d Day, facts map[string]string, version string) error {
	path := name(in.Name, r, d)
	from, to := d.Window()
	for range 5 {
		m := Manifest{V: dr.Version, Service: in.Name, ResourceID: in.ResourceID, Report: r, Interval: intervalOf(r), Day: d, From: from, To: to, File: path + dataSuffix,
			Rows: number(facts["rows"]), Bytes: number(facts["bytes"]), ContentBytes: number(facts["contentbytes"]), SHA256: facts["sha256"]}
		body, err := json.MarshalIndent(m, "", "  ")
		if err == nil {
			err = x.Files.Put(ctx, path+manifestSuffix, append(body, '\n'))
		}
		if err != nil {
			return err
		}
		found, now, err := x.Files.Look(ctx, path+dataSuffix)
		if err != nil || now == version {
			return err
		}
		facts, version = found, now
	}
	return errors.New("the file is replaced again and again")
}

// pages writes all records of a day.
func (x *Exporter) pages(ctx context.Context, in Instance, r Report, d Day, out *writer) dr.Answer {
	q := Query{ResourceID: in.ResourceID, Report: r, Filter: d.Filter(), Interval: intervalOf(r)}
	seen := map[string]bool{} // hashes of pages (128a) and of links (128)
	again := func(h hash.Hash) bool {
		key := string(h.Sum(nil))
		was := seen[key]
		seen[key] = true
		return was
	}
	for {
		body, a := x.Reports.Page(ctx, q)
		if a.Verdict == dr.Refused && (q.Link != "" || q.Skip > 0) { // it has the report, of which a page was read
			a.Verdict = dr.No
		}
		if a.Verdict != dr.OK {
			return a
		}
		rows, records, next := out.rows, fnv.New128a(), fnv.New128()
		link, err := page(body, func(line []byte) error {
			_, _ = records.Write(line)
			return out.line(line)
		})
		_, _ = io.WriteString(next, link)
		err = errors.Join(err, body.Close())
		switch got := out.rows - rows; {
		case err != nil:
			return later(err).Answer
		case link != "" && again(next), got > 0 && again(records):
			return later(errors.New("a page came twice: the report does not go on")).Answer
		case link == "" && (got == 0 || q.Link != ""): // a report that gives links ends without one; the others end with an empty page
			return dr.Answer{Verdict: dr.OK}
		}
		q.Link, q.Skip = link, out.rows
	}
}

func intervalOf(r Report) string {
	if r == byTime {
		return interval
	}
	return ""
}

func later(err error) exported {
	return exported{Answer: dr.Answer{Verdict: dr.Later, Reason: err.Error()}}
}

func number(text string) int64 {
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}

// writer makes the file of a day: lines, compressed, counted. The same records give the same bytes: no time is in them.
type writer struct {
	rows    int64
	content int64
	gzip    *gzip.Writer
	file    *counted
	buffer  bytes.Buffer
}

func newWriter(to io.Writer) *writer {
	file := &counted{to: to, sum: sha256.New()}
	return &writer{file: file, gzip: gzip.NewWriter(file)}
}

func (w *writer) line(line []byte) error {
	w.buffer.Reset()
	w.buffer.Write(line)
	w.buffer.WriteByte('\n')
	n, err := w.gzip.Write(w.buffer.Bytes())
	w.content += int64(n)
	w.rows++
	return err
}

// finish ends the content and tells what is in it.
func (w *writer) finish() (map[string]string, error) {
	if err := w.gzip.Close(); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	return map[string]string{"rows": strconv.FormatInt(w.rows, 10), "bytes": strconv.FormatInt(w.file.bytes, 10),
		"contentbytes": strconv.FormatInt(w.content, 10), "sha256": hex.EncodeToString(w.file.sum.Sum(nil))}, nil
}

type counted struct {
	to    io.Writer
	sum   hash.Hash
	bytes int64
}

func (c *counted) Write(p []byte) (int, error) {
	_, _ = c.sum.Write(p)
	c.bytes += int64(len(p))
	return c.to.Write(p)
}
