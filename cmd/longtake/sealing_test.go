package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/pki"
	"github.com/longtake/longtake/internal/pki/pkitest"
)

// sealingVar is LONGTAKE_NET of make bench-net.
const sealingVar = "LONGTAKE_NET"

// TestCostOfSealing is the second half of make bench-net: what a denoising step takes in a locked
// cluster beside one in an open cluster, each of a coordinator and two shards in processes of their
// own, with one thread. They make the same clip in turn. The ratios of times are medians of those
// of neighbours; that of the shards' CPU time is of all clips, and says more on a machine that is
// busy.
func TestCostOfSealing(t *testing.T) {
	if os.Getenv(sealingVar) == "" {
		t.Skip(sealingVar + " is not set")
	}
	const rounds = 9
	ca, b := pkitest.NewTestAuthority(t, "bench"), build(t)
	for _, transport := range []string{"auto", "nats", "direct"} {
		open := twoShards(t, b, nil, transport)
		locked := twoShards(t, b, ca, transport)
		for _, mesh := range []job.Mesh{{CFG: 2, Ulysses: 1}, {CFG: 1, Ulysses: 2}} {
			var ratios, steps []float64
			var cpu [2]time.Duration
			for i := range rounds + 1 {
				before := [2]time.Duration{open.cpu(t), locked.cpu(t)}
				pair, took := [2]*pairOfShards{open, locked}, [2]float64{}
				for j := range pair { // each is the first in turn
					took[(i+j)%2] = pair[(i+j)%2].stepTime(t, mesh)
				}
				x, y := took[0], took[1]
				if i > 0 { // the first ones load the model
					ratios, steps = append(ratios, y/x), append(steps, x)
					cpu[0] += open.cpu(t) - before[0]
					cpu[1] += locked.cpu(t) - before[1]
				}
			}
			slices.Sort(ratios)
			slices.Sort(steps)
			t.Logf("| %s | %s | %.1f ms | %.3f | %.3f to %.3f | %.3f |", transport, mesh,
				1e3*steps[rounds/2], ratios[rounds/2], ratios[rounds/4], ratios[rounds*3/4],
				cpu[1].Seconds()/cpu[0].Seconds())
		}
	}
}

// pairOfShards is a cluster.
type pairOfShards struct {
	c      *coord.Coordinator
	shards [2]*program
}

// twoShards starts a cluster with certificates of a CA, or an open one.
func twoShards(t *testing.T, b binaries, ca *pkitest.Authority, transport string) *pairOfShards {
	t.Helper()
	cfg := coord.Config{Data: t.TempDir(), NATS: coord.NATSConfig{Listen: "127.0.0.1:0"}}
	if ca != nil {
		cfg.Identity = ca.Identity(t, pki.RoleCoordinator, "c1", "127.0.0.1")
	}
	c, err := coord.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	p := &pairOfShards{c: c}
	for i := range p.shards {
		name := fmt.Sprint("s", i)
		args := []string{"--name", name, "--control", c.ClientURL(), "--threads", "1",
			"--data-transport", transport, "--model", golden.Root("models", "demo")}
		if ca != nil {
			args = append(args, "--tls-dir", ca.Dir(t, pki.RoleShard, name, time.Hour))
		}
		p.shards[i] = b.start(t, "shard", args...)
	}
	for late := time.Now().Add(deadline); ; time.Sleep(50 * time.Millisecond) {
		if nodes, err := c.Nodes(t.Context()); err == nil && len(nodes) == 2 {
			return p
		}
		if time.Now().After(late) {
			t.Fatal("the shards have not registered")
		}
	}
}

// stepTime makes a clip on both shards and returns the seconds of a step, of the median one.
func (p *pairOfShards) stepTime(t *testing.T, mesh job.Mesh) float64 {
	t.Helper()
	c := p.c
	seed, steps := uint64(1), 12
	r, err := c.Create(t.Context(), job.Request{Prompt: "A Red Ball over the sea", Seed: &seed,
		Steps: &steps, Mesh: mesh})
	if err != nil {
		t.Fatal(err)
	}
	views, err := c.Watch(t.Context(), r.ID)
	if err != nil {
		t.Fatal(err)
	}
	var last coord.View
	for last = range views {
	}
	if last.State != job.Completed || last.Attempt != 1 {
		t.Fatalf("the clip is %s: %s", last.State, cmp.Or(last.Error, last.Waiting))
	}
	return last.Result.StepSeconds
}

// cpu returns the time that both shards have computed; in ticks of 10 ms.
func (p *pairOfShards) cpu(t *testing.T) (sum time.Duration) {
	t.Helper()
	for _, s := range p.shards {
		text := string(file(t, fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid)))
		f := strings.Fields(text[strings.LastIndex(text, ")")+1:])
		for _, ticks := range f[11:13] { // utime and stime
			n, err := strconv.Atoi(ticks)
			if err != nil {
				t.Fatal(err)
			}
			sum += time.Duration(n) * 10 * time.Millisecond
		}
	}
	return sum
}
