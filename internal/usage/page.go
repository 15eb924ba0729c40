package usage

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxRecord bounds one record, in bytes; a record has some hundred.
const maxRecord = 1 << 20

var errRecord = fmt.Errorf("a record of more than %d bytes", maxRecord)

// page reads a page of a report record by record: it never has more than one in memory. each gets a record in one line, which it may keep only until it
// returns. What is not a whole page is an error, whatever was handed over by then.
func page(body io.Reader, each func(line []byte) error) (link string, err error) {
	in := &bounded{from: body}
	read := json.NewDecoder(in)
	value := func(v any) error {
		in.left = 2 * maxRecord // the decoder reads ahead
		return read.Decode(v)
	}
	next := func() (json.Token, error) {
		in.left = 2 * maxRecord
		return read.Token()
	}
	if t, err := next(); err != nil || t != json.Delim('{') {
		return "", noPage(err)
	}
	found := false
	for read.More() {
		name, err := next()
		if err != nil {
			return "", noPage(err)
		}
		switch name {
		case "value":
			found = true
			err = records(next, value, read.More, each)
		case "nextLink":
			err = anyValue(value, &link)
		default:
			err = anyValue(value, new(json.RawMessage))
		}
		if err != nil {
			return "", err
		}
	}
	if _, err := next(); err != nil || !found { // the end: what is cut off has none
		return "", noPage(err)
	}
	return link, nil
}

func anyValue(value func(any) error, v any) error {
	if err := value(v); err != nil {
		return noPage(err)
	}
	return nil
}

func records(next func() (json.Token, error), value func(any) error, more func() bool, each func([]byte) error) error {
	if t, err := next(); err != nil || t != json.Delim('[') {
		return noPage(err)
	}
	var raw json.RawMessage
	var line bytes.Buffer
	for more() {
		raw = raw[:0]
		if err := value(&raw); err != nil {
			return noPage(err)
		}
		if len(raw) > maxRecord {
			return errRecord
		}
		line.Reset()
		if err := json.Compact(&line, raw); err != nil {
			return noPage(err)
		}
		if err := each(line.Bytes()); err != nil {
			return err
		}
	}
	if _, err := next(); err != nil {
		return noPage(err)
	}
	return nil
}

var errPage = errors.New("the answer is not a whole page of a report")

func noPage(err error) error {
	switch {
	case err == nil:
		return errPage
	case errors.Is(err, errPage), errors.Is(err, errRecord):
		return err
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%w: %w", errPage, io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("%w: %w", errPage, err)
}

// bounded lets so much through and no more.
type bounded struct {
	from io.Reader
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errRecord
	}
	n, err := b.from.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
