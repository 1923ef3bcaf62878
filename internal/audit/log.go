package audit

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	// segmentBytes is about how large a file becomes before the next one begins.
	segmentBytes = 8 << 20
	// pendingMax bounds the bytes of lines that wait for a disk that cannot be written.
	pendingMax = 16 << 20
	// notesMax bounds the notes that nobody has fetched.
	notesMax = 64
)

// Options say what a Log keeps. Zero fields take defaults, unless they say what 0 means.
type Options struct {
	SegmentBytes int64         // of a file; default 8 MiB
	KeepBytes    int64         // of all files together: the oldest go first; 0: no limit
	KeepFor      time.Duration // since a file was written last; 0: no limit
	// Spend is called with each write, for a disk on which room is kept back; default: it is done.
	Spend func(write func() error) error
	// Now gives the time of day; default time.Now.
	Now func() time.Time
}

// Log is the files of one coordinator. Entries may be appended again, as happens when Raft's log is
// replayed: they are compared with what is there.
type Log struct {
	dir string
	o   Options

	mu sync.Mutex
	// What the files hold.
	segments []segment // the oldest first; entries go to the last one
	marks    []mark    // lines of the last segment
	file     *os.File  // the last segment; nil: the next entry begins one
	last     Head      // of all that was appended, pending entries included

	pending      []pending // what could not be written yet
	pendingBytes int
	most         int   // bytes that may be pending
	lost         error // why entries are missing that only a replay brings back
	notes        []string
}

// Open opens the log in dir, which it makes, readable for its owner alone. A last line that a crash
// has cut is dropped.
func Open(dir string, o Options) (*Log, error) {
	if o.SegmentBytes == 0 {
		o.SegmentBytes = segmentBytes
	}
	if o.Spend == nil {
		o.Spend = func(write func() error) error { return write() }
	}
	if o.Now == nil {
		o.Now = time.Now
	}

	// A directory that was there before may be open to others.
	l := &Log{dir: dir, o: o, most: pendingMax}

	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		err = os.Chmod(dir, 0o700) //nolint:gosec // a directory
	}
	if err == nil {
		err = l.list()
	}
	if err == nil {
		err = l.resume()
	}

	if err != nil {
		return nil, fmt.Errorf("cannot open the audit log in %s: %w", dir, err)
	}
	return l, nil
}

// note keeps something that the operator should hear.
func (l *Log) note(format string, args ...any) {
	if len(l.notes) < notesMax {
		l.notes = append(l.notes, fmt.Sprintf(format, args...))
	}
}

// Notes returns what was found wrong since the last call, and what to do about it.
func (l *Log) Notes() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := l.notes
	l.notes = nil
	return out
}

// Restart says that the entry after h is what is appended next: a snapshot was restored, which has
// the recent entries up to h with it. What the files have behind h is appended again by the replay
// of Raft's log.
func (l *Log) Restart(h Head, recent []Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range recent {
		if e.Seq == l.last.Seq+1 && e.Prev == l.last.prev() {
			l.append(e) //nolint:errcheck // it waits, and Sync says why
		}
	}
	if h.Seq > l.last.Seq {
		l.note("the audit log of this coordinator goes on at entry %d: %s on other coordinators only "+
			"(it joined later, or was restored from a snapshot); copy their files to %s to have them here",
			h.Seq+1, span(l.last.Seq+1, h.Seq), l.dir)
	}
}

// Append is what every applied entry of Raft's log comes to, also one that is applied again behind
// a restored snapshot.
//
// It adds an entry, or compares it with the one of its number that is there already; where they
// differ, that one is wrong and is replaced, with all behind it. It is in the file when Append
// returns without an error, and on the disk after Sync. After an error it waits, and is written
// with the next one.
func (l *Log) Append(e Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Seq <= l.last.Seq {
		same, err := l.compare(e)
		if same || err != nil {
			return err
		}
	}

	// What was there was wrong, and is gone by now: this one takes its place, and those that follow
	// take those of the ones behind it.
	return l.append(e)
}

// append takes an entry that is not there yet.
func (l *Log) append(e Entry) error {
	if l.lost != nil {
		return l.lost
	}

	// A file has no gaps, and does not go on from what is not in the chain.
	follows := e.Seq == l.last.Seq+1 && e.Prev == l.last.prev()

	// It counts as appended from here on, whether the disk takes it now or later.
	l.last = Head{e.Seq, e.Hash}
	p := pending{l.last, append(e.Line(), '\n'), !follows}
	l.pending = append(l.pending, p)
	l.pendingBytes += len(p.line)
	return l.flush()
}

// pending is a line on its way to the disk.
type pending struct {
	head   Head
	line   []byte
	begins bool // a file of its own
}

// compare reports whether an entry is the one that is there under its number. One that is in an
// older file, which is on the disk for good, counts as the same.
func (l *Log) compare(e Entry) (same bool, err error) {
	if len(l.marks) == 0 || e.Seq < l.marks[0].head.Seq || len(l.pending) > 0 {
		return true, nil
	}
	i := int(e.Seq - l.marks[0].head.Seq) //nolint:gosec // an index of marks
	if i < len(l.marks) && l.marks[i].head.Hash == e.Hash {
		return true, nil
	}
	why := &LineError{filepath.Base(l.path(l.marks[0].head.Seq)), i + 1,
		fmt.Errorf("is another entry %d than Raft's log has", e.Seq)}
	if err := l.cut(i, why); err != nil {
		return false, fmt.Errorf("cannot repair an audit file: %w", err)
	}
	return false, nil
}

// flush writes the lines that wait, in their order. Where the disk takes none, they wait in memory
// up to a bound. Beyond it they are given up here, not in Raft's log, which stays as it is as long
// as Sync fails: the next start has them again.
func (l *Log) flush() error {
	for len(l.pending) > 0 {
		p := l.pending[0]
		if err := l.write(p); err != nil {
			if l.pendingBytes > l.most {
				l.lost = fmt.Errorf("entries from %d on are not in the audit files, which could not be "+
					"written: %w; make room, and start this coordinator again", p.head.Seq, err)
				l.pending, l.pendingBytes = nil, 0
			}
			return fmt.Errorf("cannot write the audit log: %w", err)
		}
		l.pending, l.pendingBytes = l.pending[1:], l.pendingBytes-len(p.line)
	}
	l.pending = nil
	return nil
}

// write appends one line to the last file, or begins one. What was written of a line that did not
// fit is taken away again.
func (l *Log) write(p pending) error {
	n := len(l.segments)
	if l.file != nil && (p.begins || l.segments[n-1].bytes+int64(len(p.line)) > l.o.SegmentBytes) {
		if err := l.end(); err != nil {
			return err
		}
	}

	if l.file == nil {
		if err := l.begin(p.head.Seq); err != nil {
			return err
		}
	}

	// One write for a line: a crash cuts at most the last one.
	s := &l.segments[len(l.segments)-1]
	err := l.o.Spend(func() error {
		n, err := l.file.Write(p.line)
		if err != nil && n > 0 {
			err = errors.Join(err, l.file.Truncate(s.bytes))
		}
		return err
	})
	if err == nil {
		l.marks = append(l.marks, mark{p.head, s.bytes})
		s.bytes += int64(len(p.line))
	}
	return err
}

// begin opens the file whose first entry has the number seq. One of that name is a left-over of
// before a gap, and is put aside.
func (l *Log) begin(seq uint64) error {
	path := l.path(seq)
	if _, err := os.Stat(path); err == nil {
		if err := os.Rename(path, fmt.Sprintf("%s.damaged-%d", path, l.o.Now().UnixNano())); err != nil {
			return err
		}
	}

	// A name that is not on the disk would be lost in a crash, with all that is in the file.
	return l.o.Spend(func() error {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		if err := syncDir(l.dir); err != nil {
			return errors.Join(err, f.Close(), os.Remove(path))
		}

		l.file, l.marks = f, nil
		l.segments = append(l.segments, segment{first: seq})
		l.retire()
		return nil
	})
}

// end closes the last file, which is on the disk from then on.
func (l *Log) end() error {
	if l.file == nil {
		return nil
	}
	if err := l.file.Sync(); err != nil {
		return err
	}
	err := l.file.Close()
	l.file, l.marks = nil, nil
	return err
}

// Sync has all that was appended written to the disk for good. Raft's log may be shortened up to
// there once it has returned without an error, and not before.
func (l *Log) Sync() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost != nil {
		return l.lost
	}

	// Lines that wait are tried once more.
	if err := l.flush(); err != nil {
		return err
	}

	// Without a file there is nothing that could be lost.
	if l.file == nil {
		return nil
	}
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("cannot write the audit log: %w", err)
	}
	l.retire()
	return nil
}

// Close writes what waits and closes the last file.
func (l *Log) Close() error {
	err := l.Sync()
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(err, l.end())
}

// retire removes the oldest files where there are too many bytes, or where they are too old; the
// last one stays. How old a file is says its time of change, which is that of its last entry: no
// file has to be read for it.
func (l *Log) retire() {
	total := int64(0)
	for _, s := range l.segments {
		total += s.bytes
	}

	// Whole files go: what is left is a chain still, which begins later.
	for len(l.segments) > 1 {
		oldest := l.segments[0]
		info, err := os.Stat(l.path(oldest.first))
		old := err == nil && l.o.KeepFor > 0 && l.o.Now().Sub(info.ModTime()) > l.o.KeepFor
		if !old && (l.o.KeepBytes == 0 || total <= l.o.KeepBytes) {
			return
		}

		// Somebody else may have removed it.
		if err := os.Remove(l.path(oldest.first)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			l.note("cannot remove an old audit file: %v", err)
			return
		}
		total -= oldest.bytes
		l.segments = l.segments[1:]
	}
}

// syncDir makes the names of new files last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// State says what the files of a log hold. First is above 1 where older files were too old, or
// where this coordinator came later; gaps behind it are found by verifying.
type State struct {
	First uint64 `json:"first"` // number of the oldest entry; 0: there is none
	Last  Head   `json:"last"`
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"`
	// Problem says what keeps entries from being written; empty: nothing does.
	Problem string `json:"problem,omitempty"`
}

// State returns what the files hold.
func (l *Log) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := State{Files: len(l.segments), Last: l.last}
	if err := cmp.Or(l.lost, l.flush()); err != nil {
		s.Problem = err.Error()
	}
	for i, f := range l.segments {
		if s.Bytes += f.bytes; i == 0 {
			s.First = f.first
		}
	}
	return s
}
