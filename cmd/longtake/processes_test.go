package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/golden"
)

const deadline = 60 * time.Second // of anything that a test waits for

// binaries are what `make build` makes, in a folder of their own.
type binaries struct{ dir string }

// builds are the folders of what was built, by the flags; builtIn is where they are, until all
// tests have run.
var (
	builds  = map[string]binaries{}
	builtIn string
)

func TestMain(m *testing.M) {
	code := m.Run()
	os.RemoveAll(builtIn)
	os.Exit(code)
}

// build returns all programs, which are built once for all tests. Flags are for the coordinator
// alone: no tag changes the others.
func build(t *testing.T, flags ...string) binaries {
	t.Helper()
	t.Setenv("XDG_CONFIG_HOME", t.TempDir()) // of the local key
	key := strings.Join(flags, " ")
	if b, ok := builds[key]; ok {
		return b
	}
	if builtIn == "" {
		var err error
		if builtIn, err = os.MkdirTemp("", "longtake-build-"); err != nil {
			t.Fatal(err)
		}
	}

	b, programs := binaries{filepath.Join(builtIn, key)}, "./cmd/..."
	if key != "" {
		plain := build(t)
		programs = "./cmd/coordinator"
		for _, name := range []string{"longtake", "shard"} {
			err := errors.Join(os.MkdirAll(b.dir, 0o700),
				os.Link(filepath.Join(plain.dir, name), filepath.Join(b.dir, name)))
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	args := []string{"build", "-ldflags=-s -w", "-o", b.dir + "/"}
	args = append(append(args, flags...), programs)
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir, cmd.Env = golden.Root("."), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	builds[key] = b
	return b
}

// tags returns a tag and those of GOFLAGS, of which a flag -tags would take the place.
func tags(tag string) string {
	for _, flag := range strings.Fields(os.Getenv("GOFLAGS")) {
		if more, ok := strings.CutPrefix(flag, "-tags="); ok {
			tag += "," + more
		}
	}
	return tag
}

// program is a running coordinator or shard.
type program struct {
	t    *testing.T
	cmd  *exec.Cmd
	logs chan string
	said *os.File // all of stderr
}

func (b binaries) start(t *testing.T, name string, args ...string) *program {
	t.Helper()
	return startProgram(t, filepath.Join(b.dir, name), args...)
}

// startProgram starts one that is not ours, which starts ours.
func startProgram(t *testing.T, path string, args ...string) *program {
	t.Helper()
	name := filepath.Base(path)
	d := &program{t: t, cmd: exec.Command(path, args...), logs: make(chan string, 1024)}
	d.cmd.Dir = t.TempDir()
	stderr, err := d.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if d.said, err = os.CreateTemp(logFolder(t), name+"-*.log"); err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(d.logs)
		defer d.said.Close()
		for s := bufio.NewScanner(io.TeeReader(stderr, d.said)); s.Scan(); {
			select {
			case d.logs <- s.Text():
			default: // nobody reads that far
			}
		}
	}()
	t.Cleanup(func() {
		if d.cmd.ProcessState == nil {
			d.end()
		}
	})
	return d
}

// logFolder is where daemons' logs go: LONGTAKE_LOGS, which stays, or the test's own.
func logFolder(t *testing.T) string {
	if dir := os.Getenv("LONGTAKE_LOGS"); dir != "" {
		return dir
	}
	return t.TempDir()
}

// end kills it. In a test that has failed it first says what it was doing, and the end of its log is
// shown.
func (d *program) end() {
	if !d.t.Failed() {
		d.kill()
		return
	}
	log := file(d.t, d.said.Name())
	d.t.Logf("%s %s said at last:\n%s", d.cmd.Path, d.cmd.Args[1:], log[max(0, len(log)-4000):])
	d.cmd.Process.Signal(syscall.SIGCONT) // one that was stopped
	d.cmd.Process.Signal(syscall.SIGQUIT) // the Go runtime writes all stacks
	kill := time.AfterFunc(5*time.Second, func() { d.cmd.Process.Kill() })
	defer kill.Stop()
	for range d.logs { // to the end of the log
	}
	d.cmd.Wait()
}

// find waits for a log line and returns the groups of the pattern in it.
func (d *program) find(pattern string) []string {
	d.t.Helper()
	re, late := regexp.MustCompile(pattern), time.After(deadline)
	for {
		select {
		case line, ok := <-d.logs:
			if !ok {
				d.t.Fatalf("%s ended before it logged %q", d.cmd.Path, pattern)
			}
			if m := re.FindStringSubmatch(line); m != nil {
				return m[1:]
			}
		case <-late:
			d.t.Fatalf("%s did not log %q", d.cmd.Path, pattern)
		}
	}
}

func (d *program) kill() {
	d.cmd.Process.Kill()
	d.cmd.Wait()
}

// stop asks it to end, as an operator does, and wants exit code 0.
func (d *program) stop() {
	d.t.Helper()
	d.cmd.Process.Signal(syscall.SIGTERM)
	if err := d.cmd.Wait(); err != nil {
		d.t.Errorf("%s on SIGTERM: %v", filepath.Base(d.cmd.Path), err)
	}
}

// longtake runs the CLI and wants it to succeed.
func (b binaries) longtake(t *testing.T, env string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*deadline) // it may be a whole benchmark
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(b.dir, "longtake"), args...)
	cmd.Env = append(os.Environ(), env)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("longtake %v: %v: %s", args, err, errs.String())
	}
	return string(out)
}

func file(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil || len(b) == 0 {
		t.Fatalf("%s: %d bytes, %v", path, len(b), err)
	}
	return b
}

// post creates a job and returns its ID.
func post(t *testing.T, url, body string) string {
	t.Helper()
	r, err := http.Post(url+"/v1/videos", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	var v struct{ ID string }
	if err != nil || json.Unmarshal(b, &v) != nil || v.ID == "" {
		t.Fatalf("%s: %s, %v", r.Status, b, err)
	}
	return v.ID
}

// until polls.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(deadline); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited for %s in vain", what)
		}
	}
}

// status reads a size in MB from /proc.
func (d *program) status(name string) int {
	d.t.Helper()
	text := string(file(d.t, fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid)))
	_, rest, _ := strings.Cut(text, name+":")
	var kb int
	if _, err := fmt.Sscan(rest, &kb); err != nil {
		d.t.Fatalf("%s: %v", name, err)
	}
	return kb / 1024
}

// video is what this test reads of GET /v1/videos/ID.
type video struct {
	Details struct {
		State    string `json:"state"`
		Stage    string `json:"stage"`
		Done     int    `json:"done"`
		Attempt  int    `json:"attempt"`
		Saved    int    `json:"checkpoint_step"`
		Waiting  string `json:"waiting"`
		Attempts []struct {
			Step   int    `json:"step"`
			Reason string `json:"reason"`
		} `json:"attempts_lost"`
		Result struct {
			Latents string `json:"latents_sha256"`
			Reused  int    `json:"windows_reused"`
		} `json:"result"`
	} `json:"longtake"`
}

func get(t *testing.T, url, id string) (v video) {
	t.Helper()
	r, err := http.Get(url + "/v1/videos/" + id)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if err := json.NewDecoder(r.Body).Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}
