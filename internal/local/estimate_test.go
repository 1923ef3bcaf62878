//go:build unix

package local

import (
	"context"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/api"
	"github.com/longtake/longtake/internal/api/client"
	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/plan"
	"github.com/longtake/longtake/internal/shard"
)

const (
	estimatesAsked = 20   // after three jobs
	estimatesOff   = 0.20 // the most that one may be off
)

// sized is a clip to be made: its size, frames, steps and guidance.
type sized struct{ width, height, frames, steps, guidance int }

// TestEstimatesOnThisMachine makes three clips of different sizes with the demo, asks for the
// estimates of twenty others, and makes these. It measures the machine as well as the estimates:
// run it, with LONGTAKE_LONG, where nothing else runs. The same is done with the process's CPU
// time, which other programs change less: what is off there is off because of the terms.
func TestEstimatesOnThisMachine(t *testing.T) {
	if os.Getenv("LONGTAKE_LONG") == "" {
		t.Skip("takes minutes of a quiet machine; set LONGTAKE_LONG")
	}
	for _, shards := range []int{1, 2} {
		c, m := estimating(t)
		made(t, c, sized{64, 64, 1, 2, 1}.request(shards)) // what happens once in a process
		var busy []plan.Sample
		for _, x := range []sized{{64, 64, 1, 4, 1}, {96, 96, 17, 8, 5}, {128, 128, 33, 4, 5}} {
			v, cpu := made(t, c, x.request(shards))
			busy = append(busy, sampleOf(t, m, v, cpu))
		}

		// What is asked for is drawn, the same each time, and all of it is asked before any is made.
		r := rand.New(rand.NewPCG(20, uint64(shards))) //nolint:gosec // 1 or 2
		var all []sized
		var expected []schema.Estimate
		for range estimatesAsked {
			x := sized{64 + 16*r.IntN(5), 64 + 16*r.IntN(5), 1 + 4*r.IntN(9), 2 + r.IntN(7),
				1 + 4*r.IntN(2)}
			e, err := c.Estimate(t.Context(), x.request(shards))
			if err != nil {
				t.Fatal(err)
			}
			all, expected = append(all, x), append(expected, e)
		}

		var off, offCPU []float64
		byCPU := plan.Calibrate(busy)
		for i, x := range all {
			v, cpu := made(t, c, x.request(shards))
			took, e := v.Details.Usage.DeviceSeconds, expected[i]
			want, _ := byCPU.Predict(sampleOf(t, m, v, cpu).Effort)
			wrong := e.DeviceSeconds/took - 1
			wrongCPU := want*float64(shards)/cpu - 1
			off, offCPU = append(off, math.Abs(wrong)), append(offCPU, math.Abs(wrongCPU))
			t.Logf("%d shards, %+v: %.3f device-seconds (+-%.0f %%), took %.3f: %+.1f %%; CPU %+.1f %%",
				shards, x, e.DeviceSeconds, 100*e.Error, took, 100*wrong, 100*wrongCPU)
			if math.Abs(wrong) > estimatesOff {
				t.Errorf("%+v: %.0f %% off; want up to %.0f %%", x, 100*wrong, 100*estimatesOff)
			}
		}
		slices.Sort(off)
		slices.Sort(offCPU)
		t.Logf("%d shards: off by %.1f %% in the median, %.1f %% at most; by CPU time %.1f and %.1f %%",
			shards, 100*off[len(off)/2], 100*off[len(off)-1], 100*offCPU[len(off)/2],
			100*offCPU[len(off)-1])
	}
}

// sampleOf is what a clip took by CPU time, of a rank.
func sampleOf(t *testing.T, m job.Model, v schema.Video, cpu float64) plan.Sample {
	t.Helper()
	d := v.Details
	mesh, err := plan.Mesh(m, d.Spec, d.Spec.Shards, 0)
	if err != nil || mesh.String() != d.Mesh {
		t.Fatalf("the mesh is %s, not %v: %v", d.Mesh, mesh, err)
	}
	ranks := float64(mesh.Size())
	e, _ := plan.EffortOf(m, d.Spec, mesh, 1e11)

	// The stages' parts of it are those of the time.
	part := cpu / d.Usage.DeviceSeconds
	return plan.Sample{Effort: e, Total: cpu / ranks, Denoise: part * d.Result.Seconds[job.StageDenoise],
		Decode: part * d.Result.Seconds[job.StageDecode],
		Write:  part * d.Result.Seconds[job.StageEncode]}
}

// estimating starts a cluster of two shards on this machine.
func estimating(t *testing.T) (*client.Client, job.Model) {
	t.Helper()
	l, err := Start(t.Context(), Config{Models: []shard.ModelDir{{}}, Shards: 2, Threads: 1,
		Transport: "nats", Listen: "127.0.0.1:0", Auth: api.OpenAuth(),
		Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	c, err := client.New(l.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c, l.Models()[0]
}

// request asks for the clip on a number of shards.
func (x sized) request(shards int) job.Request {
	return job.Request{Prompt: "a ball", Width: &x.width, Height: &x.height, Frames: &x.frames,
		Steps: &x.steps, GuidanceScale: new(float64(x.guidance)), Shards: shards}
}

// made makes a clip, and returns the CPU time of this process meanwhile, too, in seconds. It waits
// until all ranks have said what they used, which they do with their next heartbeats.
func made(t *testing.T, c *client.Client, r job.Request) (schema.Video, float64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	before := cpuTime(t)
	v, err := c.Create(ctx, r)
	if err == nil {
		v, err = c.Watch(ctx, v.ID, func(schema.Video) {})
	}
	cpu := cpuTime(t) - before

	for err == nil {
		var nodes []schema.Node
		if nodes, err = c.Nodes(ctx); !slices.ContainsFunc(nodes, func(n schema.Node) bool {
			return n.State != "idle"
		}) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err == nil {
		v, err = c.Get(ctx, v.ID)
	}
	if err != nil || v.Details.Result == nil || v.Details.Usage == nil {
		t.Fatalf("%+v, %v", v, err)
	}
	return v, cpu
}

// cpuTime is what this process has computed since its start, in seconds.
func cpuTime(t *testing.T) float64 {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}
