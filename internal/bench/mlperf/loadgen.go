package mlperf

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/longtake/longtake/tools"
)

// Maker makes the clip of a prompt, by its index in the list, and returns the bytes that LoadGen
// keeps of it. Several goroutines call it, as many as LoadGen asks for clips at once, up to
// LoadGen.AtOnce.
type Maker func(ctx context.Context, index int) ([]byte, error)

// LoadGen is MLPerf's load generator, run by a Python interpreter that has it.
type LoadGen struct {
	Python string // the interpreter
	// AtOnce is how many clips are asked for at once, at most; the others wait here. LoadGen asks
	// for all of Offline at once, and a server has a limit.
	AtOnce int
	Log    io.Writer // what Python says on its standard error
}

// Test is one run of LoadGen.
type Test struct {
	Task
	Scenario Scenario
	Mode     Mode
	// Dir is the folder for the logs, which has to be there, and UserConf the file of settings.
	Dir, UserConf string
}

// line is what either side says; each line has some of it.
type line struct {
	// From LoadGen.
	Version string      `json:"version,omitempty"`
	Issue   [][2]uint64 `json:"issue,omitempty"` // of each clip an id and the index of its prompt
	End     bool        `json:"end,omitempty"`
	Error   string      `json:"error,omitempty"`
	Missing string      `json:"missing,omitempty"`
	// To LoadGen.
	ID   uint64 `json:"id,omitempty"`
	Data []byte `json:"data,omitempty"`
}

// lineMax bounds a line of LoadGen's, in bytes: Offline asks for all of its clips in one.
const lineMax = 16 << 20

// A clip's time has the way of a line over a pipe and back in it, some ten microseconds, and
// nothing else that is not the cluster's: a line is read as soon as it is there, each clip is asked
// for by a goroutine of its own, and the answer is sent by the same one.

// Run runs a test to its end. When a clip fails, or ctx ends, the test ends with an error and its
// logs are not complete: LoadGen knows no failures.
func (l LoadGen) Run(ctx context.Context, t Test, make Maker) error {
	audit, err := t.writeAudit()
	if err != nil {
		return err
	}
	if audit != "" {
		defer os.Remove(audit)
	}

	// The first clip that fails stops the interpreter, and with it the wait for its next line.
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	p, err := l.start(ctx)
	if err != nil {
		return err
	}
	run := &running{process: p, make: make, stop: stop, places: newPlaces(l.AtOnce)}
	err = run.talk(ctx, t.settings(audit))

	// What the clips' goroutines say comes first: LoadGen's end follows from it.
	if err != nil {
		stop(err)
	}
	run.clips.Wait()
	p.in.Close()
	if werr := p.cmd.Wait(); err == nil && werr != nil {
		err = fmt.Errorf("LoadGen has ended: %w", werr)
	}
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return err
}

// process is the interpreter with LoadGen in it.
type process struct {
	cmd *exec.Cmd
	out *bufio.Scanner

	mu sync.Mutex // of in
	in io.WriteCloser
}

// start starts the interpreter. It is stopped when ctx ends.
func (l LoadGen) start(ctx context.Context) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, l.Python, "-c", tools.MLPerf)} //nolint:gosec // theirs
	p.cmd.Stderr = l.Log

	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot run LoadGen: %w; --python names a Python 3 interpreter", err)
	}
	// A line may be long, but not so long that a process that goes wrong fills the memory.
	p.out = bufio.NewScanner(out)
	p.out.Buffer(nil, lineMax)
	return p, nil
}

// send sends a line.
func (p *process) send(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	// Clips that end at the same time answer one after the other. A line takes microseconds.
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err = p.in.Write(append(b, '\n'))
	return err
}

// running is a test while it runs.
type running struct {
	*process
	make   Maker
	stop   context.CancelCauseFunc
	places chan struct{} // of clips at once
	clips  sync.WaitGroup
}

// newPlaces returns places for so many clips at once, one at least.
func newPlaces(n int) chan struct{} { return make(chan struct{}, max(1, n)) }

// talk says what the test is to do, and starts the clips that LoadGen asks for, until it ends.
func (r *running) talk(ctx context.Context, settings map[string]any) error {
	// A process that ends at once says why before it is told anything.
	sent := r.send(settings)
	for r.out.Scan() {
		var l line
		if err := json.Unmarshal(r.out.Bytes(), &l); err != nil {
			return fmt.Errorf("LoadGen says %.128q, not a line of JSON", r.out.Text())
		}

		switch {
		case l.Missing != "":
			return fmt.Errorf("%s has no LoadGen (%s); %[1]s -m pip install %[3]s installs it, or --python "+
				"names an interpreter that has it", r.cmd.Path, l.Error, l.Missing)
		case l.Error != "":
			return errors.New("LoadGen: " + l.Error)
		case l.End:
			return nil
		}

		// The ids are LoadGen's addresses in memory: 64 bits, more than a float of JSON would keep.
		for _, q := range l.Issue {
			r.clips.Go(func() { r.clip(ctx, q[0], int(q[1])) })
		}
	}
	return fmt.Errorf("LoadGen has ended before its test: %w", cmp.Or(r.out.Err(), sent, io.EOF))
}

// clip makes one clip and says so. The first that fails ends the test.
func (r *running) clip(ctx context.Context, id uint64, index int) {
	// LoadGen has begun to count: waiting here is a part of the clip's latency, as it should be.
	select {
	case r.places <- struct{}{}:
		defer func() { <-r.places }()
	case <-ctx.Done():
		return
	}
	data, err := r.make(ctx, index)
	if err == nil {
		err = r.send(line{ID: id, Data: data})
	}
	if err != nil {
		r.stop(fmt.Errorf("cannot make the clip of prompt %d: %w", index+1, err))
	}
}

// settings are what LoadGen is told. What is not lowered is not mentioned, so that the rules that
// come with it hold.
func (t Test) settings(audit string) map[string]any {
	over := map[string]any{"min_query_count": t.least(t.Scenario, t.Mode)}
	if t.MinDuration != MinDuration {
		over["min_duration_ms"] = t.MinDuration.Milliseconds()
	}
	// The rules have LoadGen take as many samples as the task has prompts.
	if n := t.total(t.Mode); n < offlineMin {
		over["performance_sample_count_override"] = n
	}
	if t.TargetQPS > 0 {
		over["offline_expected_qps"] = t.TargetQPS
	}
	return map[string]any{"scenario": t.Scenario, "mode": t.Mode, "model": Model,
		"total": t.total(t.Mode), "outdir": t.Dir, "user_conf": t.UserConf, "audit_conf": audit,
		"overrides": over}
}

// auditConf is what compliance/TEST04/audit.config says: the same sample, the fourth, in each
// query.
const auditConf = "*.%[1]s.mode = 2\n*.%[1]s.performance_issue_unique = 0\n" +
	"*.%[1]s.performance_issue_same = 1\n*.%[1]s.performance_issue_same_index = %d\n"

// writeAudit writes the settings of the compliance test, which LoadGen takes from a file alone;
// "" for another test.
func (t Test) writeAudit() (path string, err error) {
	if t.Mode != TEST04 {
		return "", nil
	}
	path = filepath.Join(t.Dir, "audit.config")
	index := min(3, t.total(t.Mode)-1)
	return path, os.WriteFile(path, fmt.Appendf(nil, auditConf, t.Scenario, index), 0o644)
}
