package machine

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/longtake/longtake/internal/bench"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/perf"
)

// What is gauged is one pass or one decoding, again and again: caches hold what it needs, its
// memory is the kernel's no more, and nothing else is under way. In a clip one kind of work follows
// another, memory is new after each, and frames are encoded while the next are decoded. So whole
// clips say by how much longer all takes there: one on all cores, and one of two ranks that share
// them. How parts compare to each other is left as it was gauged.

// wholes are the models and clips of those, by the number of ranks less one. They take about as
// long to denoise as to decode.
var wholes = [2]struct {
	model                 bench.Synthetic
	width, height, frames int
}{
	{bench.Synthetic{Heads: 8, HeadDim: 64, FFNDim: 1536, Layers: 4}, 128, 112, 21},
	{bench.Synthetic{Heads: 8, HeadDim: 64, FFNDim: 1536, Layers: 4}, 112, 96, 21},
}

// scaleToClips makes the clips of wholes and has the device take as long as they did. What a clip
// takes beside passes and decoding has to be known.
func scaleToClips(ctx context.Context, d *perf.Device, dir string, make Runner) error {
	const steps = 10
	how, err := perf.FindProfile("")
	if err != nil {
		return err
	}

	gauged := *d
	for i, o := range wholes {
		ranks := i + 1
		if ranks > 1 && d.Shared == nil {
			return nil // a single core
		}
		path := filepath.Join(dir, fmt.Sprint("whole", i))
		if err := o.model.Write(path); err != nil {
			return err
		}
		m, err := Describe(path)
		if err != nil {
			return err
		}

		// Two ranks have a branch of guidance each, so that they exchange next to nothing.
		seed, steps := uint64(1), steps
		r := job.Request{Prompt: "a red ball", Seed: &seed, Steps: &steps, Width: &o.width,
			Height: &o.height, Frames: &o.frames, Mesh: job.Mesh{CFG: ranks, Ulysses: 1}}
		s, err := m.Resolve(r, nil)
		if err != nil {
			return err
		}
		clip, err := make(ctx, path, ranks, d.Cores/ranks, r)
		if err != nil {
			return err
		}

		nodes := slices.Repeat([]perf.Node{{Device: gauged, Host: "here"}}, ranks)
		got, err := perf.Predict(m, s, r.Mesh, perf.Pool{Nodes: nodes}, how)
		if err != nil {
			return err
		}
		beside := d.Overhead.Step + got.Exposed + got.Velocities
		pass := (clip.StepSeconds - beside) / (got.Step - beside)
		decode := clip.Seconds[job.StageDecode] / got.Stages[string(job.StageDecode)]

		// Ranks of other numbers of cores lie between these two.
		of := &d.Efficiency
		if ranks > 1 {
			of = &d.Shared
		}
		*of = maps.Clone(*of)
		for t, e := range *of {
			(*of)[t] = e.Slower(pass, decode)
		}
	}
	return nil
}
