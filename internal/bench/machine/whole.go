package machine

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"

	"github.com/longtake/longtake/internal/bench"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/perf"
)

// What is gauged is one pass or one decoding, again and again: caches hold what it needs, its
// memory is the kernel's no more, and nothing else is under way. In a clip one kind of work follows
// another, memory is new after each, and frames are encoded while the next are decoded. So whole
// clips say by how much longer all takes there: one on all cores, and one of two ranks that share
// them. How parts compare to each other is left as it was gauged.

// wholes are the models and clips of those. They take about as long to denoise as to decode.
var wholes = []sized{
	{bench.Synthetic{Heads: 8, HeadDim: 64, FFNDim: 1536, Layers: 4}, 1, 128, 112, 21},
	{bench.Synthetic{Heads: 8, HeadDim: 64, FFNDim: 1536, Layers: 4}, 2, 112, 96, 21},
}

// scaleToClips makes the clips of wholes and has the device take as long as they did. What a clip
// takes beside passes and decoding has to be known.
func scaleToClips(ctx context.Context, d *perf.Device, dir string, make Runner) error {
	gauged := *d
	for i, o := range wholes {
		of := &d.Efficiency
		if o.ranks > 1 {
			of = &d.Shared // ranks of other numbers of cores lie between these two
		}
		if *of == nil {
			return nil // a single core
		}

		// Two ranks have a branch of guidance each, so that they exchange next to nothing.
		c, err := try(ctx, d.Cores, filepath.Join(dir, fmt.Sprint("whole", i)), o,
			job.Mesh{CFG: o.ranks, Ulysses: 1}, 10, make)
		if err != nil {
			return err
		}
		got, err := c.predict(gauged)
		if err != nil {
			return err
		}
		beside := d.Overhead.Step + got.Exposed + got.Velocities
		pass := (c.StepSeconds - beside) / (got.Step - beside)
		decode := c.Seconds[job.StageDecode] / got.Stages[string(job.StageDecode)]

		*of = maps.Clone(*of)
		for t, e := range *of {
			(*of)[t] = e.Slower(pass, decode)
		}
	}
	return nil
}
