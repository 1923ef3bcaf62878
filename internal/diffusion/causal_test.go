package diffusion

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/partition"
)

// TestCausalLevelsEqualTheReference compares timesteps and noise levels bit by bit.
func TestCausalLevelsEqualTheReference(t *testing.T) {
	for _, name := range []string{"causal_sink", "causal_short", "causal_window"} {
		g := golden.Open(t, name)
		var timesteps []float64
		var shift float64
		var warp bool
		g.Meta("timesteps", &timesteps)
		g.Meta("shift", &shift)
		g.Meta("warp", &warp)
		got, err := CausalLevels(timesteps, shift, warp)
		if err != nil {
			t.Fatal(err)
		}
		for i, l := range got {
			if l.Timestep != g.Floats("timesteps")[i] || l.Sigma != g.Floats("sigmas")[i] {
				t.Errorf("%s: level %d is %v, the reference has %v, %v", name, i, l,
					g.Floats("timesteps")[i], g.Floats("sigmas")[i])
			}
		}
		if !slices.Equal(causalSigmas(float32(shift), float32(shift-1)), g.Floats("table")) {
			t.Errorf("%s: the table of noise levels differs", name)
		}
	}
	for _, bad := range []struct {
		timesteps []float64
		shift     float64
		warp      bool
	}{{nil, 5, true}, {[]float64{1001}, 5, true}, {[]float64{0}, 5, false}, {[]float64{2.5}, 5, true},
		{[]float64{500}, 0, true}} {
		if _, err := CausalLevels(bad.timesteps, bad.shift, bad.warp); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

// TestTheSchedulerOfCausalFoldersIsRead wants it to count as Euler's, and a table of noise levels
// that no causal model was trained on to be refused.
func TestTheSchedulerOfCausalFoldersIsRead(t *testing.T) {
	c, err := ParseSchedulerConfig([]byte(`{"_class_name": "SelfForcingFlowMatchScheduler",
		"num_inference_steps": 1000, "shift": 5.0, "sigma_min": 0.0, "extra_one_step": true}`))
	if err != nil || c.Kind() != KindEuler || c.FlowShift != 5 || len(c.Ignored) > 0 {
		t.Errorf("%+v, %v", c, err)
	}
	_, err = ParseSchedulerConfig([]byte(`{"_class_name": "SelfForcingFlowMatchScheduler",
		"reverse_sigmas": true}`))
	if err == nil {
		t.Error("reversed noise levels are taken")
	}
}

// TestCausalNoiseIsOneStream draws the blocks of clips of any size, some of them passed over, and
// wants what whole draws give, whose last values depend on their number.
func TestCausalNoiseIsOneStream(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := partition.Grid{T: rapid.IntRange(1, 3).Draw(t, "t"), H: rapid.IntRange(1, 4).Draw(t, "h"),
			W: rapid.IntRange(1, 5).Draw(t, "w"), PT: 1, PH: 1, PW: 1}
		channels := rapid.IntRange(1, 4).Draw(t, "channels")
		blocks := rapid.IntRange(1, 5).Draw(t, "blocks")
		const adds = 2
		n := NewCausalNoise(NewGenerator(11), channels, g, blocks, adds)
		from, own := rapid.IntRange(0, blocks-1).Draw(t, "from"), partition.Range{Hi: g.Tokens()}

		gen, whole := NewGenerator(11), make([]float32, blocks*n.values())
		gen.Stream(len(whole), func(at int, run []float32) { copy(whole[at:], run) })
		for b := range blocks {
			add := make([][]float32, adds)
			for i := range add {
				add[i] = make([]float32, n.values())
				gen.Stream(n.values(), func(at int, run []float32) { copy(add[i][at:], run) })
			}
			if b < from {
				n.Pass()
				continue
			}
			x, added := n.Block(own)
			want := n.take(whole[b*n.values():(b+1)*n.values()], own)
			if !slices.Equal(x, want) {
				t.Fatalf("block %d of %d x %d values begins with other noise", b, blocks, n.values())
			}
			for i := range add {
				if !slices.Equal(added[i], n.take(add[i], own)) {
					t.Fatalf("step %d of block %d adds other noise", i+1, b)
				}
			}
		}
	})
}

// causal makes clips of four blocks, on one rank, with a model that adds up what Context was told.
func causal(t *testing.T, made map[int][]float32, after func(done int) error) *Causal {
	t.Helper()
	const channels, blocks = 2, 4
	g := partition.Grid{T: 3 * blocks, H: 2, W: 2, PT: 1, PH: 2, PW: 2}
	line := g.Timeline(3, 0, false)
	line.Extend = true
	block := g
	block.T = 3
	levels, err := CausalLevels([]float64{1000, 500}, 5, true)
	if err != nil {
		t.Fatal(err)
	}
	var past float32
	return &Causal{Layout: partition.Layout{Timeline: line, Mesh: partition.Mesh{CFG: 1, Ulysses: 1}},
		Levels: levels, Noise: NewCausalNoise(NewGenerator(7), channels, block, blocks, 1),
		Velocity: func(_ context.Context, p Pass, x, v []float32) error {
			for i := range x {
				v[i] = x[i]/2 + past + p.Timestep/1000
			}
			return nil
		},
		Context: func(_ context.Context, _, _ int, x []float32) error {
			past = past/2 + x[0]
			return nil
		},
		Made: func(_ context.Context, b int) ([]float32, error) { return slices.Clone(made[b]), nil },
		OnBlock: func(_ context.Context, b int, x []float32) error {
			made[b] = slices.Clone(x)
			return nil
		},
		OnStep: func(done int, _ time.Duration) error { return after(done) }}
}

// TestCausalResumesAtAnyBlock stops a clip after each of its steps, and wants another one to go on
// from the blocks that are made, to the same values.
func TestCausalResumesAtAnyBlock(t *testing.T) {
	want, steps := map[int][]float32{}, []int(nil)
	if err := causal(t, want, func(done int) error {
		steps = append(steps, done)
		return nil
	}).Run(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	const total = 4*(2+1) - 1 // the last block keeps no keys and values
	if len(steps) != total || steps[total-1] != total || slices.Equal(want[0], want[3]) {
		t.Fatalf("steps %v of %d", steps, total)
	}

	stop := errors.New("enough")
	for at := 1; at < total; at++ {
		made := map[int][]float32{}
		err := causal(t, made, func(done int) error {
			if done == at {
				return stop
			}
			return nil
		}).Run(t.Context(), 0)
		if !errors.Is(err, stop) {
			t.Fatal(err)
		}
		again := causal(t, made, func(int) error { return nil })
		if err := again.Run(t.Context(), len(made)); err != nil {
			t.Fatal(err)
		}
		for b := range want {
			if !slices.Equal(made[b], want[b]) {
				t.Errorf("stopped after step %d: block %d differs", at, b)
			}
		}
	}
}
