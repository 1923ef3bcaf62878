package audit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// Verifier holds the lines of a log to each other, and each to its own hash. The zero Verifier
// takes any first entry: a log may begin later, where older files were removed or a coordinator
// came late. Of the first entry of all it wants that it says so.
type Verifier struct {
	First   uint64 // number of the first entry
	Last    Entry  // the last entry that was right
	Entries uint64
}

// Head is where the lines end that were right.
func (v *Verifier) Head() Head { return Head{v.Last.Seq, v.Last.Hash} }

// Next takes the next line. After an error the Verifier is as before.
func (v *Verifier) Next(line []byte) (Entry, error) {
	e, err := ParseLine(line)
	if err == nil {
		err = v.follows(e)
	}
	if err != nil {
		return e, err
	}
	if v.Entries == 0 {
		v.First = e.Seq
	}
	v.Last = e
	v.Entries++
	return e, nil
}

// follows reports whether e can be behind the last entry.
func (v *Verifier) follows(e Entry) error {
	last := v.Head()

	// The number comes first: it says best what has happened to the lines.
	switch {
	case v.Entries == 0 && e.Seq > 1:
		return nil // what was before is not there to be looked at
	case e.Seq > last.Seq+1:
		return fmt.Errorf("is entry %d: %s missing before it", e.Seq, span(last.Seq+1, e.Seq-1))
	case e.Seq <= last.Seq:
		return fmt.Errorf("is entry %d behind entry %d: it is there twice, or in another order",
			e.Seq, last.Seq)
	case e.Prev != last.prev():
		return fmt.Errorf("is entry %d and follows one with hash %.64s; the one before it has %.64s",
			e.Seq, e.Prev, last.prev())
	case e.Index < v.Last.Index:
		return fmt.Errorf("is entry %d of index %d, behind one of index %d", e.Seq, e.Index,
			v.Last.Index)
	}
	return nil
}

// span names entries from first to last.
func span(first, last uint64) string {
	if first == last {
		return fmt.Sprintf("entry %d is", first)
	}
	return fmt.Sprintf("entries %d to %d are", first, last)
}

// LineError says which line of a file is the first wrong one.
type LineError struct {
	Name string // of the file
	Line int    // from 1
	Err  error  // "is ...": completes the sentence that begins with the line
}

// Error implements error.
func (e *LineError) Error() string { return fmt.Sprintf("%s:%d %v", e.Name, e.Line, e.Err) }

// Unwrap returns what is wrong.
func (e *LineError) Unwrap() error { return e.Err }

// Read takes all lines of r, which is called name in errors. The first wrong one is a *LineError.
func (v *Verifier) Read(r io.Reader, name string) error {
	n := 0
	return lines(r, func(line []byte, whole bool) error {
		n++
		_, err := v.Next(line)
		if err == nil && !whole {
			err = errors.New("has no line break: the file was cut")
		}
		if err != nil {
			return &LineError{name, n, err}
		}
		return nil
	}, func(err error) error { return &LineError{name, n + 1, err} })
}

// lines calls f with each line of r, and whether it ends with a line break. failed names the line
// of an error of reading.
func lines(r io.Reader, f func(line []byte, whole bool) error, failed func(error) error) error {
	b := bufio.NewReaderSize(r, 64<<10)
	var line []byte
	for {
		// A piece of a line at a time, so that no line is longer in memory than is allowed.
		part, err := b.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > LineMax:
			return failed(fmt.Errorf("has more than %d bytes", LineMax))
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return failed(fmt.Errorf("cannot be read: %w", err))
		}

		// A last line without a line break counts as one: it may be what a crash has left.
		ended := err != nil
		if ended && len(line) == 0 {
			return nil
		}
		whole := line[len(line)-1] == '\n'
		if whole {
			line = line[:len(line)-1]
		}
		if err := f(line, whole); err != nil || ended {
			return err
		}
		line = line[:0]
	}
}
