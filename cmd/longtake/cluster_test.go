package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
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

// binaries are what `make build` makes, in a folder of the test's own.
type binaries struct{ dir string }

func build(t *testing.T, flags ...string) binaries {
	t.Helper()
	dir := t.TempDir()
	args := append([]string{"build", "-o", dir + "/"}, append(flags, "./cmd/...")...)
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir, cmd.Env = golden.Root("."), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return binaries{dir}
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
	d := &program{t: t, cmd: exec.Command(filepath.Join(b.dir, name), args...),
		logs: make(chan string, 1024)}
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
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
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

// TestACoordinatorAndThreeShardsAsProcesses makes a clip on four processes that equals the one made
// in a single process. Then the coordinator is killed: it forgets neither the clip nor the waiting
// job, which runs as soon as the fourth shard comes.
func TestACoordinatorAndThreeShardsAsProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and starts processes")
	}
	b, dir, model := build(t), t.TempDir(), golden.Root("testdata", "golden", "tiny3")
	clip := []string{"generate", "-p", "a blue car", "--size", "32x32", "--frames", "5", "--steps", "3",
		"--seed", "5", "--shards", "3"}
	b.longtake(t, "", append(clip, "--model", model, "-o", dir+"/one.webm", "--save-latents",
		dir+"/one.safetensors")...)

	data := t.TempDir()
	coordinator := func(http, nats string) *program {
		return b.start(t, "coordinator", "--config", golden.Root("configs", "coordinator.yaml"),
			"--data", data, "--http-listen", http, "--nats-listen", nats)
	}
	c := coordinator("127.0.0.1:0", "127.0.0.1:0")
	serving := `msg=serving http=http://(\S+) nats=nats://(\S+)`
	at := c.find(serving)
	url := "http://" + at[0]
	shard := func(name string) *program {
		return b.start(t, "shard", "--config", golden.Root("configs", "shard.yaml"), "--name", name,
			"--control", "nats://"+at[1], "--model", model, "--threads", "1")
	}
	shards := []*program{shard("a"), shard("b"), shard("c")}
	env := "LONGTAKE_URL=" + url
	b.longtake(t, env, append(clip, "-o", dir+"/many.webm", "--save-latents",
		dir+"/many.safetensors")...)
	for _, kind := range []string{".webm", ".safetensors"} {
		if !bytes.Equal(file(t, dir+"/one"+kind), file(t, dir+"/many"+kind)) {
			t.Errorf("one process and four made another %s", kind)
		}
	}
	done := strings.Fields(strings.Split(b.longtake(t, env, "job", "list"), "\n")[1])[0]
	waiting := post(t, url, `{"prompt":"x","size":"32x32","num_frames":5,"num_inference_steps":2,
		"seed":1,"shards":4}`)

	c.kill()
	c = coordinator(at[0], at[1])
	c.find(serving)
	b.longtake(t, env, "job", "fetch", done, "-o", dir+"/again.webm")
	if !bytes.Equal(file(t, dir+"/again.webm"), file(t, dir+"/one.webm")) {
		t.Error("the clip is another after the restart")
	}
	if s := b.longtake(t, env, "job", "status", waiting); !strings.Contains(s, "queued") {
		t.Errorf("the waiting job is %s", s)
	}
	shards = append(shards, shard("d"))
	until(t, "the job that waited", func() bool {
		return strings.Contains(b.longtake(t, env, "job", "status", waiting), "completed")
	})
	for _, d := range append(shards, c) {
		d.stop()
	}
}

// TestMemoryOfAShard makes twenty clips of the demo's size on two shards. Neither may ever hold
// more than its weights and 600 MB, nor more after the last clip than after the third.
func TestMemoryOfAShard(t *testing.T) {
	if os.Getenv("LONGTAKE_LONG") == "" {
		t.Skip("takes minutes: set LONGTAKE_LONG")
	}
	b := build(t)
	c := b.start(t, "coordinator", "--data", t.TempDir(), "--http-listen", "127.0.0.1:0",
		"--nats-listen", "127.0.0.1:0")
	at := c.find(`msg=serving http=(\S+) nats=(\S+)`)
	var shards []*program
	for _, name := range []string{"a", "b"} {
		shards = append(shards, b.start(t, "shard", "--control", at[1], "--name", name,
			"--threads", "1"))
	}
	early := make([]int, len(shards))
	for i := range 20 {
		b.longtake(t, "LONGTAKE_URL="+at[0], "generate", "-p", fmt.Sprintf("a red ball, %d", i),
			"--steps", "2", "--shards", "2", "-o", filepath.Join(t.TempDir(), "x.webm"))
		for k, s := range shards {
			now, peak := s.status("VmRSS"), s.status("VmHWM")
			if weights := 60; peak > weights+600 {
				t.Errorf("clip %d: a shard held %d MB", i, peak)
			}
			if i == 4 { // when a clip ends and its memory goes back is chance; the peak is not
				early[k] = peak
			}
			if i == 19 && peak > early[k]+max(16, early[k]/10) {
				t.Errorf("a shard grew from %d MB to %d MB", early[k], peak)
			}
			t.Logf("clip %d, shard %d: %d MB now, %d MB at most", i, k, now, peak)
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

// TestAKilledCoordinatorStopsNoClip kills the only coordinator in the middle of a clip: the steps go
// on without it, and the one that comes back gets the clip.
func TestAKilledCoordinatorStopsNoClip(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and starts processes")
	}
	b, model, data := build(t), golden.Root("testdata", "golden", "tiny3"), t.TempDir()
	serving := `msg=serving http=http://(\S+) nats=nats://(\S+)`
	c := b.start(t, "coordinator", "--data", data, "--http-listen", "127.0.0.1:0", "--nats-listen",
		"127.0.0.1:0")
	at := c.find(serving)
	for i := range 2 {
		b.start(t, "shard", "--name", fmt.Sprintf("s%d", i), "--control", "nats://"+at[1], "--model",
			model, "--threads", "1").find(`msg=registered`)
	}
	url := "http://" + at[0]
	id := post(t, url, `{"prompt":"a blue car","size":"64x64","num_frames":33,
		"num_inference_steps":200,"seed":5,"mesh":"cfg=1,ulysses=2"}`)
	until(t, "progress", func() bool { return get(t, url, id).Details.Done >= 5 })
	c.kill()
	b.start(t, "coordinator", "--data", data, "--http-listen", at[0], "--nats-listen",
		at[1]).find(serving)
	var v video
	until(t, "the clip", func() bool {
		v = get(t, url, id)
		return v.Details.State == "completed" || v.Details.State == "failed"
	})
	if v.Details.State != "completed" || v.Details.Attempt != 1 {
		t.Errorf("%+v", v)
	}
}

// TestKilledShardsLoseNoClip kills three of five shards with SIGKILL and stops one with SIGSTOP, one
// after the other in the middle of a clip. The last one finishes it, to the bytes of a calm run, and
// every attempt goes on from where the one before was, give or take the step under way.
func TestKilledShardsLoseNoClip(t *testing.T) {
	killShards(t, `{"prompt":"a blue car","size":"96x96","num_frames":33,"num_inference_steps":250,
		"seed":5,"mesh":"cfg=2,ulysses=2"}`)
}

// TestKilledShardsLoseNoLongClip is the same for one whose windows are shared out.
func TestKilledShardsLoseNoLongClip(t *testing.T) {
	killShards(t, `{"prompt":"a blue car","size":"48x32","num_frames":137,"num_inference_steps":150,
		"seed":5,"mesh":"window=4","window":6,"overlap":2}`)
}

func killShards(t *testing.T, body string) {
	if testing.Short() {
		t.Skip("builds and starts processes")
	}
	b, model := build(t), golden.Root("testdata", "golden", "tiny3")
	c := b.start(t, "coordinator", "--data", t.TempDir(), "--http-listen", "127.0.0.1:0",
		"--nats-listen", "127.0.0.1:0")
	at := c.find(`msg=serving http=http://(\S+) nats=nats://(\S+)`)
	url := "http://" + at[0]
	shards := make([]*program, 5)
	for i := range shards {
		shards[i] = b.start(t, "shard", "--name", fmt.Sprintf("s%d", i), "--control", "nats://"+at[1],
			"--model", model, "--threads", "1")
		shards[i].find(`msg=registered`)
	}
	final := func(id string) video {
		var v video
		until(t, "the clip", func() bool {
			v = get(t, url, id)
			return v.Details.State != "queued" && v.Details.State != "running"
		})
		if v.Details.State != "completed" {
			t.Fatalf("%+v", v)
		}
		return v
	}
	calm := final(post(t, url, body)).Details.Result.Latents

	id := post(t, url, body)
	last, seen := 0, 0
	for i, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGKILL,
		syscall.SIGKILL} {
		until(t, "progress", func() bool {
			d := get(t, url, id).Details
			if d.State == "completed" {
				t.Fatalf("the clip was done before shard %d was to die: %+v", i, d)
			}
			if d.Attempt <= last || d.Saved <= seen {
				return false
			}
			last, seen = d.Attempt, d.Saved
			return true
		})
		if err := shards[i].cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		t.Logf("%v to shard %d after the checkpoint of step %d", signal, i, seen)
	}
	v := final(id)
	t.Logf("%d windows of the last attempt's first step were taken over", v.Details.Result.Reused)
	if v.Details.Result.Latents != calm {
		t.Errorf("latents %.12s, undisturbed %.12s", v.Details.Result.Latents, calm)
	}
	if len(v.Details.Attempts) < 4 {
		t.Fatalf("%+v", v.Details.Attempts)
	}
	shards[1].cmd.Process.Signal(syscall.SIGCONT) // it wakes up, and finds that the job is over
	until(t, "the stopped shard to come back", func() bool {
		nodes := b.longtake(t, "LONGTAKE_URL="+url, "node", "list")
		return regexp.MustCompile(`(?m)^s1 .*idle`).MatchString(nodes)
	})
	for i, a := range v.Details.Attempts {
		t.Logf("attempt %d: %s; goes on from step %d", i+1, a.Reason, a.Step)
		if a.Step == 0 {
			t.Errorf("attempt %d left no checkpoint", i+1)
		}
	}
}
