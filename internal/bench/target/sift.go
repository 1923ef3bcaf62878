package target

import (
	"bufio"
	"encoding/base64"
	"errors"
	"io"
)

const (
	// A string of JSON that is longer is a video.
	longText = 4 << 10
	// What stands for it in the rest. No server says so by itself: it is no valid base64.
	sifted = "(sifted)"
)

var (
	errEscape = errors.New("an escape in a video's base64")
	errLong   = errors.New("two long texts where there is one video")
)

// sift reads JSON that may have a video in it, as base64, without holding that in memory: the first
// string of more than longText bytes goes to long, as it comes, and "(sifted)" takes its place. It
// returns the rest, of up to most bytes. It does not check that this is JSON.
func sift(r io.Reader, most int, long func(io.Reader) error) ([]byte, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	var kept []byte
	begin, had := -1, false // where in kept the string under way begins
	for escaped := false; ; {
		b, err := in.ReadByte()
		if errors.Is(err, io.EOF) {
			return kept, nil
		}
		if err != nil {
			return nil, unreachable(err)
		}
		if len(kept) >= most {
			return nil, fail(Malformed, "an answer of more than %d bytes", most)
		}

		kept = append(kept, b)
		switch {
		case escaped:
			escaped = false
		case begin >= 0 && b == '\\':
			escaped = true
		case b == '"' && begin < 0:
			begin = len(kept)
		case b == '"':
			begin = -1
		}
		if begin < 0 || len(kept)-begin <= longText || escaped {
			continue
		}

		if had {
			return nil, fail(Malformed, "%w", errLong)
		}
		had = true
		text := &text{in: in, head: append([]byte(nil), kept[begin:]...)}
		if err := long(text); err != nil {
			return nil, err
		}
		if _, err := io.Copy(io.Discard, text); err != nil {
			return nil, fail(Malformed, "cannot read the answer: %w", err)
		}
		kept, begin = append(append(kept[:begin], sifted...), '"'), -1
	}
}

// Read is called by a base64 decoder in pieces of a KB, so that a byte at a time is no loss: the
// buffer below has 64 KB.

// text is the rest of a string of JSON, with what was read of it already. Of escapes it knows the
// slash, which some encoders write so, and no other: base64 needs none.
type text struct {
	in    *bufio.Reader
	head  []byte
	ended bool
}

// next returns one byte as it is written.
func (t *text) next() (byte, error) {
	if len(t.head) > 0 {
		b := t.head[0]
		t.head = t.head[1:]
		return b, nil
	}
	b, err := t.in.ReadByte()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // a string has an end
	}
	return b, err
}

// Read implements io.Reader.
func (t *text) Read(p []byte) (int, error) {
	for n := range p {
		if t.ended {
			return n, io.EOF
		}

		b, err := t.next()
		switch {
		case err != nil:
			return n, err
		case b == '"':
			t.ended = true
			return n, io.EOF
		case b == '\\':
			if b, err = t.next(); err != nil || b != '/' {
				return n, errors.Join(err, errEscape)
			}
		}
		p[n] = b
	}
	return len(p), nil
}

// plain is the bytes of base64.
func plain(r io.Reader) io.Reader { return base64.NewDecoder(base64.StdEncoding, r) }
