package serve

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/longtake/longtake/internal/bench/result"
	"github.com/longtake/longtake/internal/userfile"
)

// Limits of a journal. A line has a prompt at most once, in the setup, so only that one is long.
const (
	journalVersion = 1
	lineMax        = 64 << 20
	journalMax     = 1 << 30 // bytes
)

// A run takes hours of machines that cost money, so what was measured is on the disk before the
// next clip is counted. The journal has lines of JSON, which a program that is killed can only
// leave whole or cut off at the end. It knows nothing of time but the run's own, which stands still
// between two sessions: a pause of a night is no throughput of zero.

// entry is a line of the journal: one of its fields besides Pass is set.
type entry struct {
	// Head begins the journal.
	Head *head `json:"head,omitempty"`
	// Session says that the run has started, or goes on, at this time by the run's own clock.
	Session *session `json:"session,omitempty"`
	// Pass is what the others are about.
	Pass int `json:"pass,omitempty"`
	// Began is when the pass began, in seconds by the run's clock.
	Began   *float64        `json:"began_seconds,omitempty"`
	Request *result.Request `json:"request,omitempty"`
	Fault   *result.Fault   `json:"fault,omitempty"`
	// Again counts clips that were made again, and compared.
	Again *result.Fidelity `json:"again,omitempty"`
	// Cost is what the faults of the run have cost.
	Cost *result.Faults `json:"cost,omitempty"`
	// Ended: the pass has all its clips. Dropped: it is begun anew, and what came before is void.
	Ended   bool `json:"ended,omitempty"`
	Dropped bool `json:"dropped,omitempty"`
	// Complete: nothing of the run is missing.
	Complete bool `json:"complete,omitempty"`
}

// head is what a run has to have in common with the one that it goes on from.
type head struct {
	Version int           `json:"version"`
	Setup   Setup         `json:"setup"`
	Cohort  result.Cohort `json:"cohort"`
	Started time.Time     `json:"started"`
}

// session is a stretch of a run without an interruption.
type session struct {
	At time.Time `json:"at"`
}

// passLog is what a journal has of a pass.
type passLog struct {
	began    *float64 // seconds; nil: it has not
	requests []result.Request
	faults   []result.Fault
	ended    bool
}

// Journal is the file of a run: a line for each thing that was done, written before the next one
// is. It belongs to one goroutine.
type Journal struct {
	f        *os.File
	head     head
	sessions int
	passes   map[int]*passLog
	again    *result.Fidelity
	cost     *result.Faults
	complete bool
}

// Head is what a run is about, for its journal.
func Head(s Setup, c result.Cohort, started time.Time) head {
	return head{Version: journalVersion, Setup: s, Cohort: c, Started: started}
}

// OpenJournal opens or creates the journal at a path. One that is there has to be of the same head,
// or the error says what differs; a line that was cut off in the middle, where the machine failed
// while it was written, is removed.
func OpenJournal(path string, want head) (*Journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cannot open the journal: %w", err)
	}
	j := &Journal{f: f, head: want, passes: map[int]*passLog{}}
	if err := j.load(want); err != nil {
		f.Close()
		return nil, err
	}
	return j, nil
}

// ErrComplete is what Resumable returns of a journal whose run has ended, with nothing missing.
var ErrComplete = errors.New("the run in this folder is complete")

// Resumable returns why a run cannot begin, or go on, with a journal at a path: it is another
// one's, or has ended. It is asked before a cluster is started for the run, whose cohort is not
// known then.
func Resumable(path string, s Setup) error {
	f, err := userfile.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}

	if err != nil {
		return err
	}
	defer f.Close()
	j := Journal{passes: map[int]*passLog{}}
	end, err := j.read(f)

	// The cohort is taken for the same: OpenJournal compares it, once the server has said its own.
	switch {
	case err != nil || end == 0:
		return err
	case j.complete:
		return ErrComplete
	}

	want := j.head
	want.Setup = s
	return differs(j.head, want)
}

// load reads what is there, and writes the head and a new session.
func (j *Journal) load(want head) error {
	if err := lock(j.f); err != nil {
		return errors.New("another run writes into this folder; allowed: another --output")
	}
	end, err := j.read(j.f)
	if err == nil && end > 0 {
		if j.head.Version == 0 {
			return fmt.Errorf("%s is no journal of a run", j.f.Name())
		}
		err = differs(j.head, want)
	}

	if err != nil {
		return err
	}

	// A line that is cut off goes, so that the next one is whole.
	if err := j.f.Truncate(end); err != nil {
		return fmt.Errorf("cannot repair the journal: %w", err)
	}

	if _, err := j.f.Seek(end, io.SeekStart); err != nil {
		return fmt.Errorf("cannot write the journal: %w", err)
	}
	if end == 0 {
		j.head = want
		if err := j.write(entry{Head: &want}); err != nil {
			return err
		}
	}

	j.sessions++
	return j.write(entry{Session: &session{At: time.Now()}})
}

// read takes every whole line in, and returns where they end.
func (j *Journal) read(r io.Reader) (end int64, err error) {
	j.head = head{}
	in := bufio.NewReader(io.LimitReader(r, journalMax))
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return end, nil // what is left is a line that was cut off, or nothing
		}
		if err != nil || len(line) > lineMax {
			return end, fmt.Errorf("cannot read line %d of the journal: %w", n, err)
		}
		var e entry
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&e); err != nil {
			return end, fmt.Errorf("line %d of the journal is not of this version's: %w", n, err)
		}

		// The first line says of which run the others are, and no other line does.
		if (n == 1) != (e.Head != nil) || n == 1 && e.Head.Version != journalVersion {
			return end, fmt.Errorf("line %d of the journal is not of this version's", n)
		}
		j.take(e)
		end += int64(len(line))
	}
}

// take applies a line.
func (j *Journal) take(e entry) {
	p := j.pass(e.Pass)

	// What is written again, such as the end of a pass that was dropped, counts as it was last.
	switch {
	case e.Head != nil:
		j.head = *e.Head
	case e.Session != nil:
		j.sessions++
	case e.Began != nil:
		p.began = e.Began
	case e.Request != nil:
		p.requests = append(p.requests, *e.Request)
	case e.Fault != nil:
		p.faults = append(p.faults, *e.Fault)
	case e.Again != nil:
		j.again = e.Again
	case e.Cost != nil:
		j.cost = e.Cost
	case e.Dropped:
		*p = passLog{}
	case e.Ended:
		p.ended = true
	case e.Complete:
		j.complete = true
	}
}

// pass returns what there is of a pass.
func (j *Journal) pass(n int) *passLog {
	if j.passes[n] == nil {
		j.passes[n] = &passLog{}
	}
	return j.passes[n]
}

// add writes a line and applies it. It is on the disk when add returns: clips take seconds at
// least, beside which that is nothing.
func (j *Journal) add(e entry) error {
	if err := j.write(e); err != nil {
		return err
	}
	j.take(e)
	return nil
}

// write writes a line.
func (j *Journal) write(e entry) error {
	text, err := json.Marshal(e)
	if err == nil {
		_, err = j.f.Write(append(text, '\n'))
	}
	if err == nil {
		err = j.f.Sync()
	}
	if err != nil {
		return fmt.Errorf("cannot write the journal: %w", err)
	}
	return nil
}

// A difference that went unnoticed would mix two runs into one figure, so every field counts, also
// the machine's and the server's version: a result is of one cohort.

// differs says in one line in what two heads differ. The time of the start may.
func differs(had, want head) error {
	a, b := fields(had), fields(want)
	var names []string

	// A field that only one of them has differs, too.
	for name := range b {
		if a[name] != b[name] {
			names = append(names, name)
		}
	}

	for name := range a {
		if _, there := b[name]; !there {
			names = append(names, name)
		}
	}

	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return fmt.Errorf("the run in this folder differs in %s (%.60s there, %.60s now); allowed: the "+
		"same run, to go on with it, or another --output", names[0], a[names[0]], b[names[0]])
}

// fields are the JSON values of a head by their path.
func fields(h head) map[string]string {
	// When it was, and how fast the devices were just then, is no difference.
	h.Started = time.Time{}
	h.Cohort.Devices = slices.Clone(h.Cohort.Devices)
	for i := range h.Cohort.Devices {
		if d := &h.Cohort.Devices[i]; d.PeakSource == PeakMeasured {
			d.Peak = 0
		}
	}

	text, err := json.Marshal(h)
	var tree map[string]any
	if err == nil {
		err = json.Unmarshal(text, &tree)
	}

	if err != nil {
		panic(err) // its own types
	}

	out := map[string]string{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		if m, ok := v.(map[string]any); ok {
			for name, part := range m {
				walk(strings.TrimPrefix(path+"."+name, "."), part)
			}
			return
		}
		out[path] = fmt.Sprint(v)
	}

	walk("", tree)
	return out
}

// After a pause the run's clock goes on from the last thing that is known to have happened. What
// was under way then is asked for again, so nothing is counted twice.

// clock is the run's own time at its end, in seconds: when the last thing happened.
func (j *Journal) clock() (out float64) {
	for _, p := range j.passes {
		for _, r := range p.requests {
			out = max(out, r.Done())
		}
		for _, f := range p.faults {
			out = max(out, f.At)
		}
	}
	return out
}

// Close closes the file.
func (j *Journal) Close() error { return j.f.Close() }
