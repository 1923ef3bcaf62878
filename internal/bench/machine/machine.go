// Package machine measures the CPU of the machine that it runs on, as a device that package perf
// predicts clips for: what passes and decodings take, on all cores by one rank and on one core each
// by several, and what clips take beside that.
//
// Machines are noisy, so that each item is timed many times, a little at a time, in rounds that
// take turns, and what is hardly disturbed counts. A median would be that of the machine and of all
// that runs beside: it says what clips take today, and not what they take on such a machine.
package machine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/bench"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/engine"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/perf"
	"github.com/longtake/longtake/internal/shard"
)

// Clip is a clip that was made on this machine.
type Clip struct {
	job.Result
	Total float64 // seconds from its placement to its end
}

// Runner makes a clip with the model in a folder, on so many ranks with so many threads each, which
// exchange what processes of a host do. It makes the clip twice, at least, and returns the last
// one: the first loads the model, connects ranks and has memory set aside.
type Runner func(ctx context.Context, dir string, ranks, threads int, r job.Request) (Clip, error)

// Gauges are what times passes, with all that it needs loaded: all cores for one rank, and one core
// for each of as many.
type Gauges struct {
	cores       int
	bandwidth   float64
	types       []compute.DType
	whole, each []*bench.Gauge
}

// Open loads what is timed, in some types. The caller closes it.
func Open(types ...compute.DType) (*Gauges, error) {
	f, err := shard.OpenModel("")
	if err != nil {
		return nil, err
	}
	defer f.Close()

	g := &Gauges{cores: runtime.NumCPU(), types: types, bandwidth: bench.Bandwidth()}
	for _, t := range types {
		whole, err := bench.NewGauge(f, t, 1, g.cores)
		if err != nil {
			return nil, err
		}
		g.whole = append(g.whole, whole)
		if g.cores == 1 {
			continue
		}
		each, err := bench.NewGauge(f, t, g.cores, 1)
		if err != nil {
			return nil, err
		}
		g.each = append(g.each, each)
	}
	return g, nil
}

// Close frees what was loaded.
func (g *Gauges) Close() (err error) {
	for _, x := range append(g.whole, g.each...) {
		if e := x.Close(); e != nil {
			err = e
		}
	}
	return err
}

// Measure returns the machine as a device, without what clips take beside what they compute, in
// some seconds for each type and ten rounds.
func (g *Gauges) Measure(ctx context.Context, rounds int) (perf.Device, error) {
	d, err := perf.Find("cpu")
	if err != nil {
		return d, err
	}

	// What of a machine cannot be measured, such as its watts, stays what the data sheet has.
	host, _ := os.Hostname()
	d.Name, d.Aliases, d.Cores, d.Bandwidth = "this-cpu", nil, g.cores, g.bandwidth
	d.Source = fmt.Sprintf("measured: longtake bench device on %.64s, %s", host,
		time.Now().UTC().Format(time.DateOnly))
	d.Link, d.Host = d.Bandwidth/2, d.Bandwidth/2
	d.Peak, d.Efficiency = map[string]float64{}, map[string]perf.Efficiency{}
	d.Shared = map[string]perf.Efficiency{}
	if _, d.Memory, err = shard.RateCPU(job.Model{Heads: 1, HeadDim: 1}, 1, 1); err != nil {
		return d, err
	}

	// One rank on all cores and ranks of a core each are different programs as far as caches and
	// waiting for the slowest thread go, so that both are measured.
	for i, t := range g.types {
		got, err := g.whole[i].Measure(ctx, rounds)
		if err != nil {
			return d, err
		}

		peak := got.Peak
		d.Overhead.Encode = got.Encode
		var shared bench.Gauged
		if g.cores > 1 {
			if shared, err = g.each[i].Measure(ctx, rounds); err != nil {
				return d, err
			}
			peak = max(peak, shared.Peak*float64(g.cores))
		}

		// The parts are of one peak, that of all cores.
		d.Peak[t.String()] = peak
		e, off, err := perf.Fit(peak, d.Bandwidth, got.Passes, got.Decodings)
		if err != nil {
			return d, err
		}
		d.Efficiency[t.String()], d.Overhead.Error = e, max(d.Overhead.Error, off)

		// A core's part of it is what the others leave while they do the same.
		if g.cores > 1 {
			n := float64(g.cores)
			e, off, err = perf.Fit(peak/n, d.Bandwidth/n, shared.Passes, shared.Decodings)
			if err != nil {
				return d, err
			}
			d.Shared[t.String()], d.Overhead.Error = e, max(d.Overhead.Error, off)
		}
	}

	// With a single core nothing is shared in another way.
	if g.cores == 1 {
		d.Shared = nil
	}
	return d, nil
}

// sized is a model and the ranks and the clip to try it with.
type sized struct {
	model                        bench.Synthetic
	ranks, width, height, frames int
}

// The models and clips by which is measured what clips take beside what they compute: hardly
// anything to compute, many messages, many bytes.
var overheads = []sized{
	{bench.Synthetic{Heads: 4, HeadDim: 16, FFNDim: 64, Layers: 1}, 1, 128, 96, 33},
	{bench.Synthetic{Heads: 4, HeadDim: 16, FFNDim: 64, Layers: 8}, 2, 64, 64, 5},
	{bench.Synthetic{Heads: 8, HeadDim: 32, FFNDim: 64, Layers: 4}, 2, 128, 128, 33},
}

// What a small clip takes beyond its prediction is put down to one part after the other: to steps
// where there is one rank, to messages where these are small, and else to their bytes. So each
// part also has what those after it take of its clip, which is little.

// Overheads measures what clips take beside what they compute, and by how much longer they compute
// than what was gauged, by making some in a folder that is empty.
func Overheads(ctx context.Context, d *perf.Device, dir string, make Runner) error {
	for i, o := range overheads {
		// All steps count, so that a few dozen are enough for a median.
		c, err := try(ctx, d.Cores, filepath.Join(dir, fmt.Sprint(i)), o,
			job.Mesh{CFG: 1, Ulysses: o.ranks}, 24, make)
		if err != nil {
			return err
		}
		of := []*float64{&d.Overhead.Step, &d.Overhead.Message, &d.Overhead.Byte}[i]
		if err := c.solve(d, of); err != nil {
			return err
		}
		if i > 0 {
			continue
		}

		d.Overhead.Text = c.Seconds[job.StageText]
		d.Overhead.Fixed = c.Total
		for _, v := range c.Seconds {
			d.Overhead.Fixed -= v
		}
		d.Overhead.Fixed = max(0, d.Overhead.Fixed)
		if err := scaleToClips(ctx, d, dir, make); err != nil {
			return err
		}

		// Of the step the tiny clip's passes have a little more now.
		if err := c.solve(d, of); err != nil {
			return err
		}
	}
	return nil
}

// tried is a clip that was made to measure the machine.
type tried struct {
	Clip
	m     job.Model
	s     job.Spec
	mesh  job.Mesh
	ranks int
}

// try makes a clip with a model that it writes into a folder. Its ranks share the cores, as those
// of a host do.
func try(ctx context.Context, cores int, dir string, o sized, mesh job.Mesh, steps int,
	make Runner) (c tried, err error) {
	c = tried{mesh: mesh, ranks: o.ranks}
	if err := o.model.Write(dir); err != nil {
		return c, err
	}
	if c.m, err = Describe(dir); err != nil {
		return c, err
	}

	seed := uint64(1)
	r := job.Request{Prompt: "a red ball", Seed: &seed, Steps: &steps, Width: &o.width,
		Height: &o.height, Frames: &o.frames, Mesh: mesh}
	if c.s, err = c.m.Resolve(r, nil); err != nil {
		return c, err
	}
	c.Clip, err = make(ctx, dir, o.ranks, max(1, cores/o.ranks), r)
	return c, err
}

// predict predicts the clip on a device.
func (c *tried) predict(d perf.Device) (perf.Prediction, error) {
	how, err := perf.FindProfile("")
	if err != nil {
		return perf.Prediction{}, err
	}
	nodes := slices.Repeat([]perf.Node{{Device: d, Host: "here"}}, c.ranks)
	return perf.Predict(c.m, c.s, c.mesh, perf.Pool{Nodes: nodes}, how)
}

// solve sets one of the device's overheads so that a step is predicted to take as long as it was
// measured to: a step is linear in each of them.
func (c *tried) solve(d *perf.Device, of *float64) error {
	const unit = 1e-6
	*of = 0
	before, err := c.predict(*d)
	if err != nil {
		return err
	}
	*of = unit
	after, err := c.predict(*d)
	*of = max(0, c.StepSeconds-before.Step) / ((after.Step - before.Step) / unit)
	return err
}

// Describe describes the model in a folder.
func Describe(dir string) (job.Model, error) {
	f, err := model.Open(dir)
	if err != nil {
		return job.Model{}, err
	}
	defer f.Close()
	return engine.Describe(f)
}
