package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"
)

// Query says which entries are wanted. The zero Query wants all. Bounds by number are fast, as
// whole files are left out; all other bounds cost reading every line.
type Query struct {
	From, To      uint64    // numbers, both included; 0: no bound
	After, Before time.Time // both included; zero: no bound
	// Actor is the id or the name of a key, or an address without its port.
	Actor string
	// Action is one, such as video.create, or what one begins with up to a dot, such as video.
	Action string
}

// wants reports whether an entry is one of those that are wanted.
func (q Query) wants(e Entry) bool {
	// A client has another port with each connection; who looks for it knows its address.
	host, _, err := net.SplitHostPort(e.Actor.Addr)
	if err != nil {
		host = e.Actor.Addr
	}

	// Each case is a reason against it.
	switch {
	case e.Seq < q.From, q.To > 0 && e.Seq > q.To:
	case !q.After.IsZero() && e.Time.Before(q.After), !q.Before.IsZero() && e.Time.After(q.Before):
	case q.Actor != "" && q.Actor != e.Actor.Owner && q.Actor != e.Actor.Name &&
		q.Actor != e.Actor.Addr && q.Actor != host:
	case q.Action != "" && q.Action != e.Action && !strings.HasPrefix(e.Action, q.Action+"."):
	default:
		return true
	}
	return false
}

// Read calls f with the lines that are wanted, as they are in the files, without their line breaks;
// f must not keep them. A line that is no entry comes, too, whatever is wanted, so that it is seen.
// An error of f ends it.
func (l *Log) Read(q Query, f func(line []byte) error) error {
	l.mu.Lock()
	if err := l.flush(); err != nil {
		l.note("%v", err)
	}
	// Readers are slow, so they get a list of their own, and the log goes on.
	segments := append([]segment(nil), l.segments...)
	l.mu.Unlock()

	// A file ends where the next one begins, or before that, if there is a gap.
	for i, s := range segments {
		if i+1 < len(segments) && segments[i+1].first <= q.From || q.To > 0 && s.first > q.To {
			continue
		}
		if err := l.readSegment(s, q, f); err != nil {
			return err
		}
	}
	return nil
}

// readSegment reads one file up to where it was when the reader came. One that was removed since
// has become too old.
func (l *Log) readSegment(s segment, q Query, f func(line []byte) error) error {
	file, err := os.Open(l.path(s.first))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read the audit log: %w", err)
	}
	defer file.Close() // nothing was written

	// Without a filter the lines are not even read.
	all := q == Query{}
	return lines(io.LimitReader(file, s.bytes), func(line []byte, _ bool) error {
		if all {
			return f(line)
		}
		if e, err := ParseLine(line); err == nil && !q.wants(e) {
			return nil
		}
		return f(line)
	}, func(err error) error { return fmt.Errorf("cannot read the audit log: a line %w", err) })
}
