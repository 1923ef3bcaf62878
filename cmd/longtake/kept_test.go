package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/golden"
)

// footprint is what a coordinator takes at one moment.
type footprint struct {
	jobs                     int // finished so far
	log, snapshots, objects  int64
	memory, goroutines, kept int
}

const keptMark, keptEnd = "<!-- made by make kept -->", "<!-- end of what make kept made -->"

// TestJobsThatAreForgotten makes many small clips on a coordinator that keeps few, and looks at what
// it takes: after the first tenth nothing grows with their number. With LONGTAKE_LONG it makes 2,000
// and keeps 200, otherwise 50 and 5; LONGTAKE_KEPT_REPORT says into which file the figures go.
func TestJobsThatAreForgotten(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and starts processes")
	}
	total := 50
	if os.Getenv("LONGTAKE_LONG") != "" {
		total = 2000
	}
	d := &diskTest{t: t, disk: t.TempDir(), b: build(t), http: "127.0.0.1:0", nats: "127.0.0.1:0",
		args: []string{"--limits-kept", fmt.Sprint(total / 10)}}
	d.start()
	for _, name := range []string{"a", "b"} {
		d.b.start(t, "shard", "--control", "nats://"+d.nats, "--name", name, "--threads", "1", "--model",
			golden.Root("testdata", "golden", "tiny3"))
	}
	until(t, "two shards", func() bool {
		_, text := d.ask(http.MethodGet, "/v1/nodes", "")
		return strings.Count(string(text), `"idle"`) == 2
	})
	var seen []footprint
	for i := range 10 {
		d.makeMany(i*total/10, total/10)
		until(t, "what is not needed to be deleted", func() bool { return d.trash() == 0 })
		seen = append(seen, d.takes((i+1)*total/10))
		t.Logf("%+v", seen[i])
	}
	d.judgeGrowth(seen)
	d.reportKept(seen)
	d.c.stop()
}

// makeMany makes clips of different seeds, four at a time.
func (d *diskTest) makeMany(first, n int) {
	d.t.Helper()
	var wg sync.WaitGroup
	var next atomic.Int64
	for range 4 {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n) && !d.t.Failed(); i = next.Add(1) - 1 {
				id := d.create(first + int(i))
				for late := time.Now().Add(deadline); d.video(id).Details.State != "completed"; {
					if time.Sleep(20 * time.Millisecond); time.Now().After(late) {
						d.t.Errorf("clip %s does not end: %+v", id, d.video(id))
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

// create makes a clip of a seed, as small as there is one.
func (d *diskTest) create(seed int) string {
	body := fmt.Sprintf(`{"prompt":"x","size":"32x32","num_frames":1,"num_inference_steps":1,"seed":%d}`,
		seed)
	for late := time.Now().Add(deadline); ; time.Sleep(50 * time.Millisecond) {
		code, text := d.ask(http.MethodPost, "/v1/videos", body)
		var v struct{ ID string }
		if json.Unmarshal(text, &v) == nil && v.ID != "" {
			return v.ID
		}
		if time.Now().After(late) {
			d.t.Errorf("no job is taken: %d, %s", code, text)
			return ""
		}
	}
}

// trash counts the objects that are to be deleted still.
func (d *diskTest) trash() int {
	_, text := d.ask(http.MethodGet, "/v1/cluster/snapshot", "")
	var snap struct{ Trash []struct{} }
	if err := json.Unmarshal(text, &snap); err != nil {
		return -1
	}
	return len(snap.Trash)
}

// takes looks at what the coordinator takes of the disk and of memory.
func (d *diskTest) takes(jobs int) footprint {
	f := footprint{jobs: jobs, memory: d.c.status("VmRSS"), goroutines: int(d.metric("go_goroutines")),
		kept: int(d.metric("longtake_jobs_kept"))}
	for path, n := range map[string]*int64{"raft.db": &f.log, "snapshots": &f.snapshots,
		"nats": &f.objects} {
		// Files come and go while they are counted.
		_ = filepath.WalkDir(filepath.Join(d.disk, "data", path),
			func(_ string, e fs.DirEntry, err error) error {
				if err != nil || e.IsDir() {
					return nil
				}
				if info, err := e.Info(); err == nil {
					*n += info.Size()
				}
				return nil
			})
	}
	return f
}

// metric reads a gauge.
func (d *diskTest) metric(name string) (v float64) {
	_, text := d.ask(http.MethodGet, "/metrics", "")
	for line := range strings.Lines(string(text)) {
		if n, ok := strings.CutPrefix(line, name+" "); ok {
			fmt.Sscan(n, &v)
		}
	}
	return v
}

// judgeGrowth wants the second half of the clips to take no more than the first did, but for some
// slack: files are cut off and memory is given back now and then.
func (d *diskTest) judgeGrowth(seen []footprint) {
	d.t.Helper()
	half, last := footprint{}, seen[len(seen)-1]
	for _, f := range seen[:len(seen)/2] {
		half.log, half.snapshots = max(half.log, f.log), max(half.snapshots, f.snapshots)
		half.objects, half.memory = max(half.objects, f.objects), max(half.memory, f.memory)
		half.goroutines = max(half.goroutines, f.goroutines)
	}
	if last.kept > last.jobs/10 {
		d.t.Errorf("%d jobs are kept of %d", last.kept, last.jobs)
	}
	for what, v := range map[string][3]int64{
		"raft.db":    {half.log, last.log, 16 << 20},
		"snapshots":  {half.snapshots, last.snapshots, 2 << 20},
		"objects":    {half.objects, last.objects, 12 << 20},
		"memory, MB": {int64(half.memory), int64(last.memory), 32},
		"goroutines": {int64(half.goroutines), int64(last.goroutines), 32},
	} {
		if was, is, slack := v[0], v[1], v[2]; is > was+was/4+slack {
			d.t.Errorf("%s: %d with all clips, up to %d with half of them", what, is, was)
		}
	}
}

// reportKept puts the figures into a file where that is asked for.
func (d *diskTest) reportKept(seen []footprint) {
	var b strings.Builder
	fmt.Fprintf(&b, "\n| Clips made | Jobs kept | raft.db | Snapshots | Object store | Memory | Goroutines |\n"+
		"|---|---|---|---|---|---|---|\n")
	for _, f := range seen {
		mb := func(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
		fmt.Fprintf(&b, "| %d | %d | %s | %s | %s | %d MB | %d |\n", f.jobs, f.kept, mb(f.log),
			mb(f.snapshots), mb(f.objects), f.memory, f.goroutines)
	}
	d.t.Logf("\n%s", b.String())
	path := os.Getenv("LONGTAKE_KEPT_REPORT")
	if path == "" || d.t.Failed() {
		return
	}
	path = filepath.Join(golden.Root("."), path)
	before, rest, ok := strings.Cut(string(file(d.t, path)), keptMark+"\n")
	_, after, ok2 := strings.Cut(rest, "\n"+keptEnd)
	if !ok || !ok2 {
		d.t.Fatalf("%s has no lines %s and %s", path, keptMark, keptEnd)
	}
	text := before + keptMark + "\n" + b.String() + "\n" + keptEnd + after
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		d.t.Fatal(err)
	}
}
