package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/cpu"
	"github.com/longtake/longtake/internal/media"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/model/vae"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/perf"
)

// gauged is a pass that a gauge times. Together they differ in every respect that the time of a
// pass depends on, so that each can be told from the others.
type gauged struct{ layers, heads, dim, ffn, tokens int }

var gaugedPasses = []gauged{
	{8, 8, 32, 896, 48}, {4, 4, 32, 512, 192}, {3, 8, 32, 896, 216}, {2, 8, 32, 896, 864},
	{2, 6, 64, 1536, 384}, {2, 4, 128, 2048, 256}, {1, 12, 64, 3072, 512}, {2, 4, 32, 512, 1536},
	{1, 4, 64, 1024, 1024}, {1, 2, 128, 512, 1536}, {6, 4, 64, 512, 96}, {8, 8, 32, 896, 216},
}

// gaugedDecodings are latent frames, their rows and columns, and the width of the decoder.
var gaugedDecodings = [][4]int{{1, 8, 8, 16}, {3, 8, 8, 16}, {1, 8, 14, 16}, {3, 16, 16, 16},
	{2, 4, 4, 48}, {3, 8, 8, 32}}

// What is encoded is what the decoder makes of so many latent frames, rows and columns of noise.
const encodedLatents, encodedSide = 3, 16

// Long passes would say no more: what they consist of is proportional to what short ones do, and a
// round over all of them is to take a second, as the machine changes its speed between rounds.

// Gauge times a machine's CPU in what clips consist of, again and again: the speed of a machine
// that others use drifts. What it needs is loaded once.
type Gauge struct {
	DType   compute.DType
	threads int
	copies  []*gaugeCopy
	// What was timed so far is kept: a machine that others use is seldom idle for as long as a round
	// takes, and each item needs some moments of its own.
	peak float64
	took [][]float64 // runs so far, by item
}

// gaugeCopy is one of several that run at the same time, as ranks do that share a machine.
type gaugeCopy struct {
	dev       *cpu.Device
	passes    []*passes
	decodings []func() error
	held      []perf.TimedDecoding // what each decodes, without its time
	encode    func() error
	pixels    float64 // that it encodes
}

// NewGauge loads what is timed, for so many ranks at a time with so many threads each. The caller
// closes it.
func NewGauge(f *model.Folder, dtype compute.DType, ranks, threads int) (*Gauge, error) {
	g := &Gauge{DType: dtype, threads: threads}
	for range ranks {
		c := &gaugeCopy{}
		g.copies = append(g.copies, c)
		if err := c.load(f, dtype, threads); err != nil {
			return nil, errors.Join(err, g.Close())
		}
	}
	return g, nil
}

// load makes the transformers and decoders.
func (c *gaugeCopy) load(f *model.Folder, dtype compute.DType, threads int) (err error) {
	if c.dev, err = cpu.New(threads); err != nil {
		return err
	}
	e := &env{folder: f, dev: c.dev}

	// Weights and inputs are random: times do not depend on values, as long as they are finite.
	for _, p := range gaugedPasses {
		cfg := f.Transformer
		cfg.NumLayers, cfg.NumAttentionHeads, cfg.AttentionHeadDim = p.layers, p.heads, p.dim
		cfg.FFNDim = p.ffn
		g := partition.Grid{T: 1, H: 2, W: 2 * p.tokens, PT: 1, PH: 2, PW: 2}

		// A short prompt, as people write them.
		const text = 8
		pass, err := newPasses(e, cfg, weightsOf("transformer", cfg.Shapes()), g,
			random(text*cfg.TextDim), dtype)
		if err != nil {
			return err
		}
		c.passes = append(c.passes, pass)
	}

	for _, s := range gaugedDecodings {
		cfg := f.VAE
		cfg.BaseDim = s[3]
		d, err := vae.Load(c.dev, cfg, weightsOf("vae", cfg.Shapes()))
		if err != nil {
			return err
		}
		held, err := heldByDecoder(cfg)
		if err != nil {
			return err
		}
		places := float64(s[1] * s[2])
		c.held = append(c.held, perf.TimedDecoding{Work: cfg.DecodeWork() * places,
			Bytes: held * places, Latents: s[0]})

		frame := random(s[1] * s[2] * cfg.ZDim)
		c.decodings = append(c.decodings, func() error {
			stream, err := d.NewStream(s[1], s[2])
			if err != nil {
				return err
			}
			defer stream.Free()

			// As clips do, so that the same layers begin as late as they can.
			if err := stream.Reserve(s[0]); err != nil {
				return err
			}
			for range s[0] {
				if _, err := stream.Next(frame); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return c.loadEncoder(f)
}

// loadEncoder decodes what is encoded: how long that takes depends on what it is.
func (c *gaugeCopy) loadEncoder(f *model.Folder) error {
	d, err := vae.Load(c.dev, f.VAE, weightsOf("vae", f.VAE.Shapes()))
	if err != nil {
		return err
	}
	stream, err := d.NewStream(encodedSide, encodedSide)
	if err != nil {
		return err
	}
	defer stream.Free()

	var frames [][]float32
	for range encodedLatents {
		next, err := stream.Next(random(encodedSide * encodedSide * f.VAE.ZDim))
		if err != nil {
			return err
		}
		frames = append(frames, next...)
	}

	// As rank 0 of a clip does, from values to bytes to a file.
	side := encodedSide * f.VAE.SpatialScale()
	c.pixels = float64(len(frames) * side * side)
	o := media.Options{Width: side, Height: side, FPS: 16, Frames: len(frames)}
	c.encode = func() error {
		enc, err := media.NewEncoder(media.WebM, io.Discard, o)
		if err != nil {
			return err
		}
		defer enc.Abort()
		rgb := make([]uint8, 3*side*side)
		for _, v := range frames {
			if err := media.ToRGB(rgb, v); err != nil {
				return err
			}
			if err := enc.Add(media.Frame{W: side, H: side, RGB: rgb}); err != nil {
				return err
			}
		}
		return enc.Close()
	}
	return nil
}

// Close frees what was loaded.
func (g *Gauge) Close() (err error) {
	for _, c := range g.copies {
		for _, p := range c.passes {
			p.free()
		}
		if c.dev != nil {
			err = errors.Join(err, c.dev.Close())
		}
	}
	return err
}

// Gauged is what a gauge has timed.
type Gauged struct {
	Peak      float64 // floating-point operations per second of a rank
	Passes    []perf.TimedPass
	Decodings []perf.TimedDecoding
	Encode    float64 // seconds of a pixel, on one core
}

// Measure times everything in so many rounds. Of all runs of an item, those of earlier calls, too,
// the fastest tenth counts: what else runs on the machine takes some of the others' time, and never
// makes one faster.
func (g *Gauge) Measure(ctx context.Context, rounds int) (out Gauged, err error) {
	if g.took == nil {
		g.took = make([][]float64, len(gaugedPasses)+len(gaugedDecodings)+1)
	}
	took := g.took
	for range rounds {
		if ctx.Err() != nil {
			return out, context.Cause(ctx)
		}
		g.peak = max(g.peak, g.multiply())
		for i := range took {
			seconds, err := g.together(i)
			if err != nil {
				return out, err
			}
			took[i] = append(took[i], seconds...)
		}
	}

	for i, p := range gaugedPasses {
		out.Passes = append(out.Passes, perf.TimedPass{Layers: p.layers, Heads: p.heads,
			HeadDim: p.dim, FFNDim: p.ffn, Tokens: p.tokens, Seconds: undisturbed(took[i])})
	}
	for i, d := range g.copies[0].held {
		d.Seconds = undisturbed(took[len(gaugedPasses)+i])
		out.Decodings = append(out.Decodings, d)
	}
	out.Peak = g.peak
	out.Encode = undisturbed(took[len(took)-1]) / g.copies[0].pixels
	return out, nil
}

// heldByDecoder returns the bytes that a decoder holds for each place of a latent frame.
func heldByDecoder(cfg model.VAEConfig) (float64, error) {
	const h, w, latents = 64, 8, 3

	// It is large enough for the rows around a band not to matter, and has no weights.
	d, err := vae.Load(&compute.Meter{}, cfg, model.Unread("vae", cfg.Shapes()))
	if err != nil {
		return 0, err
	}
	s, err := d.NewStream(h, w)
	if err != nil {
		return 0, err
	}
	n, err := s.Bytes(latents)
	return float64(n) / (h * w), err
}

// undisturbed returns what the fastest tenth takes at most, and sorts. The fastest of all would be
// one that found the other copies idle for a moment, or a clock that was higher than it stays.
func undisturbed(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/10]
}

// multiply returns the peak of one of the copies, while all are at work.
func (g *Gauge) multiply() (least float64) {
	var wg sync.WaitGroup
	all := make([]float64, len(g.copies))
	for i, c := range g.copies {
		wg.Go(func() { all[i] = c.dev.Peak(g.DType) })
	}
	wg.Wait()
	return slices.Max(all)
}

// together runs an item on all copies at once, until the slowest has had its time, and returns what
// each run took.
func (g *Gauge) together(item int) ([]float64, error) {
	const atLeast = 20 * time.Millisecond
	took, errs := make([][]float64, len(g.copies)), make([]error, len(g.copies))
	var wg sync.WaitGroup

	// Each run is timed by itself, so that one that was interrupted harms no other.
	for i, c := range g.copies {
		run := c.item(item)
		wg.Go(func() {
			for begin := time.Now(); len(took[i]) == 0 || time.Since(begin) < atLeast; {
				start := time.Now()
				if errs[i] = run(); errs[i] != nil {
					return
				}
				took[i] = append(took[i], time.Since(start).Seconds())
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("cannot time the CPU: %w", err)
	}
	return slices.Concat(took...), nil
}

// item returns what is timed: passes, decodings, and the encoder.
func (c *gaugeCopy) item(i int) func() error {
	if i < len(c.passes) {
		return c.passes[i].run
	}
	if i -= len(c.passes); i < len(c.decodings) {
		return c.decodings[i]
	}
	return c.encode
}

// Bandwidth measures what all cores together read and write of memory, in bytes per second.
func Bandwidth() (best float64) {
	const size, rounds = 128 << 20, 4
	cores := runtime.NumCPU()
	from, to := make([][]byte, cores), make([][]byte, cores)
	for i := range from {
		from[i], to[i] = make([]byte, size), make([]byte, size)
	}

	// The first round maps the pages, so that it is hardly ever the best.
	for range rounds {
		start := time.Now()
		var wg sync.WaitGroup
		for i := range from {
			wg.Go(func() { copy(to[i], from[i]) })
		}
		wg.Wait()
		best = max(best, float64(2*size*cores)/time.Since(start).Seconds())
	}
	return best
}
