package audit

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// segment is one file of a log. It is a chain by itself: its entries follow each other without a
// gap. The next file goes on where it ends, or later, if this coordinator missed what lies between.
type segment struct {
	first uint64 // number of its first entry, which is in its name
	bytes int64
}

// mark is where a line of the last segment begins. Only of the last one are they kept: what is in
// older ones is on the disk for good, and is not looked at again.
type mark struct {
	head Head
	at   int64
}

const segmentPrefix, segmentSuffix = "audit-", ".jsonl"

// path is the file of a segment. Names sort as the numbers of the entries do.
func (l *Log) path(first uint64) string {
	return filepath.Join(l.dir, fmt.Sprintf("%s%020d%s", segmentPrefix, first, segmentSuffix))
}

// list finds the segments of a directory, the oldest first. Other files are left alone.
func (l *Log) list() error {
	files, err := os.ReadDir(l.dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		name, is := strings.CutSuffix(f.Name(), segmentSuffix)
		name, named := strings.CutPrefix(name, segmentPrefix)
		first, err := strconv.ParseUint(name, 10, 64)
		if !is || !named || err != nil || f.Name() != filepath.Base(l.path(first)) {
			continue
		}

		info, err := f.Info()
		if err != nil {
			return err
		}
		l.segments = append(l.segments, segment{first, info.Size()})
	}

	// ReadDir sorts by name already; what follows relies on the order, so it is made sure of.
	slices.SortFunc(l.segments, func(a, b segment) int {
		return strings.Compare(l.path(a.first), l.path(b.first))
	})
	return nil
}

// resume opens the last segment, so that the next entry goes behind its last one. What a crash has
// left half written is cut off: it is derived again from Raft's log. A file without one whole entry
// is given up, and the one before it is looked at.
func (l *Log) resume() error {
	for len(l.segments) > 0 {
		s := &l.segments[len(l.segments)-1]
		good, err := l.scan(s.first)
		if err != nil {
			return err
		}

		// What is behind the last whole line is gone from here on.
		if good < s.bytes {
			if err := os.Truncate(l.path(s.first), good); err != nil {
				return err
			}
			s.bytes = good
		}
		if len(l.marks) > 0 {
			l.last = l.marks[len(l.marks)-1].head
			l.file, err = os.OpenFile(l.path(s.first), os.O_WRONLY|os.O_APPEND, 0o600)
			return err
		}

		if err := os.Remove(l.path(s.first)); err != nil {
			return err
		}
		l.segments = l.segments[:len(l.segments)-1]
	}
	return nil
}

// scan notes the lines of a segment that are right, and returns how many bytes they have. Where a
// wrong line is followed by others it was no crash: a copy of the file is kept.
func (l *Log) scan(first uint64) (good int64, err error) {
	f, err := os.Open(l.path(first))
	if err != nil {
		return 0, err
	}
	defer f.Close()

	// Lines behind the first wrong one are counted and not used: they hang on one that is not right.
	var v Verifier
	var wrong error
	behind := 0 // whole lines from the wrong one on
	l.marks = nil
	err = lines(f, func(line []byte, whole bool) error {
		if wrong == nil {
			_, wrong = v.Next(line)
			if wrong == nil && !whole {
				wrong = errors.New("has no line break")
			}
			if wrong == nil && v.First != first {
				wrong = fmt.Errorf("is entry %d, which is not what the name says", v.First)
			}
		}

		// A line that is right is where it is, for comparing and for cutting.
		if wrong == nil {
			l.marks = append(l.marks, mark{v.Head(), good})
			good += int64(len(line)) + 1
			return nil
		}
		if whole {
			behind++
		}
		return nil
	}, func(err error) error { return err })

	// A crash leaves one line that is cut, and nothing behind it.
	if err == nil && behind > 0 {
		err = l.keepAside(first, &LineError{filepath.Base(f.Name()), len(l.marks) + 1, wrong})
	}
	return good, err
}

// keepAside copies a segment that is damaged, before what is wrong is cut off.
func (l *Log) keepAside(first uint64, why error) error {
	from := l.path(first)
	to := fmt.Sprintf("%s.damaged-%d", from, time.Now().UnixNano())
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()

	// Never over a copy that was kept before: it may be what somebody wants to look at.
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err = io.Copy(out, in); err == nil {
		err = out.Sync()
	}
	l.note("an audit file is damaged: %v; entries from there on are written again as far as Raft's "+
		"log has them, and what was there is in %s. Where entries stay missing, copy the file of "+
		"another coordinator", why, filepath.Base(to))
	return errors.Join(err, out.Close())
}

// cut takes the last segment back to the lines before the one at index i of its marks, and keeps a
// copy of what it was. The file must be open.
func (l *Log) cut(i int, why error) error {
	s := &l.segments[len(l.segments)-1]
	if err := l.keepAside(s.first, why); err != nil {
		return err
	}
	if err := l.file.Truncate(l.marks[i].at); err != nil {
		return err
	}

	// The file ends before the wrong line; O_APPEND goes on there.
	s.bytes = l.marks[i].at
	l.marks = l.marks[:i]
	if i > 0 {
		l.last = l.marks[i-1].head
		return nil
	}

	// All of it was wrong: the next entry begins a file.
	if err := errors.Join(l.file.Close(), os.Remove(l.path(s.first))); err != nil {
		return err
	}
	l.file, l.segments = nil, l.segments[:len(l.segments)-1]
	l.last = Head{}
	return nil
}
