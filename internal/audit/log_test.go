package audit

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// open opens a log; the test closes it.
func open(t *testing.T, dir string, o Options) *Log {
	t.Helper()
	l, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// add appends entries.
func add(t *testing.T, l *Log, all ...Entry) {
	t.Helper()
	for _, e := range all {
		if err := l.Append(e); err != nil {
			t.Fatal(err)
		}
	}
}

// filled returns a directory with a chain in files of about 1 KiB, and the chain.
func filled(t *testing.T, n int) (dir string, all []Entry) {
	t.Helper()
	dir, all = filepath.Join(t.TempDir(), "audit"), chain(n)
	l := open(t, dir, small)
	add(t, l, all...)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, all
}

var small = Options{SegmentBytes: 1 << 10}

// last is the path of the last segment.
func last(t *testing.T, dir string) string {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(dir, "audit-*.jsonl"))
	return files[len(files)-1]
}

func TestFilesAreForTheirOwner(t *testing.T) {
	dir, _ := filled(t, 9)
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	if len(files) < 3 {
		t.Fatalf("9 entries are in %v", files)
	}
	for _, f := range append(files, dir) {
		info, err := os.Stat(f)
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is %v, %v", f, info.Mode(), err)
		}
	}
}

// TestCrash cuts the last file in many places, as a crash may: opened again and told all entries
// since some snapshot, the files are as they were.
func TestCrash(t *testing.T) {
	dir, all := filled(t, 7)
	want, whole := read(t, dir), last(t, dir)
	tail, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(tail); n += 23 {
		for _, end := range []string{"", "\x00\x00"} { // a file system may have left zeros
			if err := os.WriteFile(whole, append(tail[:n:n], end...), 0o600); err != nil {
				t.Fatal(err)
			}
			l := open(t, dir, small)
			add(t, l, all[n%7:]...)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if got := read(t, dir); !bytes.Equal(got, want) || len(l.Notes()) > 0 {
				t.Fatalf("cut at byte %d: %d bytes are %d, %q", n, len(want), len(got), l.Notes())
			}
		}
	}
}

// TestDamage wants an entry that was changed to be written again, its file to be kept, and the
// operator to hear of it.
func TestDamage(t *testing.T) {
	dir, all := filled(t, 6)
	want, path := read(t, dir), last(t, dir)
	b, _ := os.ReadFile(path)
	b[20] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	l := open(t, dir, small)
	add(t, l, all...)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	notes := l.Notes()
	if !bytes.Equal(read(t, dir), want) || len(notes) != 1 || !strings.Contains(notes[0], ":1 ") ||
		!strings.Contains(notes[0], "another coordinator") {
		t.Errorf("notes %q", notes)
	}
	aside, _ := filepath.Glob(path + ".damaged-*")
	if len(aside) != 1 {
		t.Fatalf("kept: %v", aside)
	}
	if kept, _ := os.ReadFile(aside[0]); !bytes.Equal(kept, b) {
		t.Error("what is kept is not what was there")
	}
}

// TestForgedTail wants lines that are a chain, but not the cluster's, to give way to it.
func TestForgedTail(t *testing.T) {
	dir, all := filled(t, 6)
	want := read(t, dir)
	path := last(t, dir)
	b, _ := os.ReadFile(path)
	forged := bytes.Split(b, []byte("\n"))
	h := Head{all[3].Seq, all[3].Hash}
	e, _ := h.Next(Entry{Index: 99, Action: "node.drain", Outcome: OK})
	if !bytes.Equal(forged[0], all[4].Line()) {
		t.Fatal("the last file begins elsewhere")
	}
	if err := os.WriteFile(path, append(e.Line(), '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	l := open(t, dir, small)
	add(t, l, all[2:]...)
	if err := l.Close(); err != nil || !bytes.Equal(read(t, dir), want) || len(l.Notes()) != 1 {
		t.Errorf("%v; %q", err, l.Notes())
	}
}

func TestLaterStart(t *testing.T) {
	dir, all := filled(t, 12)
	other := t.TempDir()
	l := open(t, other, small)
	l.Restart(Head{all[4].Seq, all[4].Hash}, all[3:5]) // these are no help
	add(t, l, all[5:7]...)
	l.Restart(Head{all[8].Seq, all[8].Hash}, nil) // it lagged, and was sent another snapshot
	add(t, l, all[9])
	l.Restart(Head{all[10].Seq, all[10].Hash}, all[8:11]) // it lagged by one, which comes with it
	add(t, l, all[11:]...)
	if n := l.Notes(); len(n) != 2 || !strings.Contains(n[0], "entries 1 to 5 are") ||
		!strings.Contains(n[1], "entries 8 to 9 are") {
		t.Errorf("notes %q", n)
	}
	if s := l.State(); s.First != 6 || s.Last.Seq != 12 || s.Problem != "" {
		t.Errorf("state %+v", s)
	}
	if _, err := verify(read(t, other)); err == nil || !strings.Contains(err.Error(), "8 to 9 are") {
		t.Errorf("verified: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if v, err := verify(read(t, dir)); err != nil || v.Entries != 12 {
		t.Errorf("the whole one: %v", err)
	}
}

func TestRetention(t *testing.T) {
	dir, all := filled(t, 40)
	o := small
	o.KeepBytes = 4 << 10
	l := open(t, dir, o)
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	if s := l.State(); s.Bytes > o.KeepBytes || s.First < 2 || s.Last.Seq != 40 {
		t.Errorf("by bytes: %+v", s)
	}
	if v, err := verify(read(t, dir)); err != nil || v.Head() != (Head{40, all[39].Hash}) {
		t.Errorf("what is left: %v", err)
	}
	o = Options{SegmentBytes: 1 << 10, KeepFor: time.Hour,
		Now: func() time.Time { return time.Now().Add(2 * time.Hour) }}
	l.Close()
	l = open(t, dir, o)
	defer l.Close()
	if err := l.Sync(); err != nil || l.State().Files != 1 {
		t.Errorf("by age: %+v, %v", l.State(), err)
	}
}

// TestFullDisk wants lines that could not be written to come later, and no half of one meanwhile.
func TestFullDisk(t *testing.T) {
	full := errors.New("no space left")
	broken := false
	o := small
	o.Spend = func(f func() error) error {
		if broken {
			return full
		}
		return f()
	}
	dir, all := t.TempDir(), chain(8)
	l := open(t, dir, o)
	add(t, l, all[:2]...)
	broken = true
	for _, e := range all[2:6] {
		if err := l.Append(e); !errors.Is(err, full) {
			t.Fatal(err)
		}
	}
	if err := l.Sync(); !errors.Is(err, full) || l.State().Problem == "" {
		t.Fatal("a snapshot may be taken all the same")
	}
	broken = false
	add(t, l, all[6:]...)
	if err := l.Close(); err != nil || !bytes.Equal(read(t, dir), text(all)) {
		t.Errorf("%v", err)
	}

	// Beyond a bound nothing waits any more; the next start derives it again.
	l = open(t, dir, o)
	broken, l.most = true, 1<<10
	h := Head{8, all[7].Hash}
	for i := 0; l.lost == nil && i < 100; i++ {
		var e Entry
		e, h = h.Next(Entry{Action: "a", Outcome: OK, Reason: "x"})
		l.Append(e) //nolint:errcheck // it fails
	}
	broken = false
	if err := l.Sync(); err == nil || !strings.Contains(err.Error(), "start this coordinator again") {
		t.Errorf("lost entries: %v", err)
	}
}

func TestQuery(t *testing.T) {
	dir, all := filled(t, 12)
	l := open(t, dir, small)
	defer l.Close()
	f := func(q Query, want ...uint64) {
		t.Helper()
		var got []uint64
		err := l.Read(q, func(line []byte) error {
			e, err := ParseLine(line)
			got = append(got, e.Seq)
			return err
		})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%+v: %v, %v; want %v", q, got, err, want)
		}
	}
	f(Query{From: 11}, 11, 12)
	f(Query{From: 3, To: 4}, 3, 4)
	f(Query{After: all[9].Time}, 10, 11, 12)
	f(Query{Before: all[1].Time}, 1, 2)
	f(Query{Action: "video", To: 3}, 1, 3)
	f(Query{Action: "node.drain", To: 3}, 2)
	f(Query{Action: "vid"})
	f(Query{Actor: "10.0.0.1", To: 1}, 1)
	f(Query{Actor: "key_1", To: 1}, 1)
	f(Query{Actor: "key_2"})

	stop := errors.New("stop")
	n := 0
	if err := l.Read(Query{}, func([]byte) error { n++; return stop }); err != stop || n != 1 {
		t.Errorf("%d lines, then %v", n, err)
	}
}
