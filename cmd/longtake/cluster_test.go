package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/longtake/longtake/internal/golden"
)

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

// idle waits until so many shards have nothing to do.
func (b binaries) idle(t *testing.T, url string, n int) {
	t.Helper()
	until(t, "all shards to be idle", func() bool {
		nodes := b.longtake(t, "LONGTAKE_URL="+url, "node", "list")
		return strings.Count(nodes, " idle ") == n
	})
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
	b.idle(t, url, len(shards))

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
		t.Logf("attempt %d: %s; resumes at step %d", i+1, a.Reason, a.Step)
		if a.Step == 0 {
			t.Errorf("attempt %d left no checkpoint", i+1)
		}
	}
}
