package bench

import (
	"context"
	"fmt"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/collective/mem"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/diffusion"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/model/umt5"
	"github.com/longtake/longtake/internal/model/wan"
	"github.com/longtake/longtake/internal/partition"
)

// perToken is layers with a timestep for each token, as clips have that go on from a picture in
// TI2V-5B, or from earlier latents: the first latent frame is at timestep 0.
func (s shape) perToken(name string, n int, g partition.Grid) item {
	it, cfg := s.layers(name, n, g), s.config(n)
	it.start = func(e *env, t compute.DType) (func() error, func(), error) {
		p, err := newPasses(e, cfg, weightsOf("transformer", cfg.Shapes()), g,
			random(wan.TextTokens*cfg.TextDim), t)
		if err != nil {
			return nil, nil, err
		}

		// One latent frame of the clip is given.
		index := make([]int32, g.Tokens())
		for i := range index[:g.Tokens()/g.T] {
			index[i] = 1
		}
		p.at = wan.Timesteps{Values: []float32{500, 0}, Index: index}
		return p.run, p.free, nil
	}
	return it
}

// guided is a step of denoising from end to end on one rank: the latent goes up and the velocity
// down for both branches, then guidance and the solver run on the host.
func (s shape) guided(name string, n int, g partition.Grid) item {
	it, cfg := s.layers(name, n, g), s.config(n)
	it.flops *= 2
	it.start = func(e *env, t compute.DType) (func() error, func(), error) {
		p, err := newPasses(e, cfg, weightsOf("transformer", cfg.Shapes()), g,
			random(wan.TextTokens*cfg.TextDim), t)
		if err != nil {
			return nil, nil, err
		}
		return (&steps{passes: p, v: make([]float32, len(p.v))}).run, p.free, nil
	}
	return it
}

// steps are steps of denoising, one after the other.
type steps struct {
	*passes
	solver diffusion.Scheduler
	v      []float32 // the conditional velocity, then the guided one
}

// stepsOfClip is how many steps there are before the solver begins anew.
const stepsOfClip = 50

// run is the next step. A new clip begins where the last one has ended.
func (s *steps) run() error {
	if s.solver == nil || s.solver.Done() == stepsOfClip {
		// Of another class than UniPC's, so that its settings are the defaults.
		cfg := diffusion.SchedulerConfig{Class: diffusion.ClassEuler, TrainTimesteps: 1000}
		var err error
		s.solver, err = diffusion.NewScheduler(diffusion.KindUniPC, stepsOfClip, 3, cfg)
		if err != nil {
			return err
		}
		s.x = random(len(s.x))
	}

	// Both branches are told the same timestep and differ in the text, which costs the same.
	i := s.solver.Done()
	s.at = wan.Timesteps{Values: s.solver.Timesteps()[i : i+1]}
	if err := s.passes.run(); err != nil {
		return err
	}

	copy(s.v, s.passes.v)
	if err := s.passes.run(); err != nil {
		return err
	}

	diffusion.Guide(s.v, s.v, s.passes.v, 5)
	return s.solver.Step(i, s.x, s.v)
}

// passes are forward passes of a transformer on one rank, through the same code as in a clip.
type passes struct {
	s    *wan.Sequence
	text *wan.Text
	x, v []float32     // noise that goes in, the velocity that comes out
	at   wan.Timesteps // at first the one in the middle of the schedule
}

// newPasses loads a transformer and takes the memory of a pass over g. text is [tokens, text
// width], not yet embedded.
func newPasses(e *env, cfg model.TransformerConfig, w *model.Weights, g partition.Grid,
	text []float32, dt compute.DType) (*passes, error) {
	t, err := wan.Load(e.dev, cfg, w, dt)
	if err != nil {
		return nil, err
	}

	p := &passes{at: wan.Timesteps{Values: []float32{500}}}
	if p.text, err = t.Text(text); err != nil {
		return nil, err
	}
	group, err := collective.NewGroup(mem.NewWorld(1, mem.Options{})[0], []int{0})
	if err != nil {
		return nil, err
	}

	// One rank holds all tokens and all heads.
	all := partition.Even(g.Tokens(), 1)
	p.s, err = t.NewSequence(g, group, all, partition.Even(cfg.NumAttentionHeads, 1))
	if err != nil {
		return nil, err
	}
	n := g.Tokens() * t.TokenWidth()
	p.x, p.v = random(n), make([]float32, n)
	return p, nil
}

// run is one pass.
func (p *passes) run() error {
	return p.s.Forward(context.Background(), collective.Tag{}, p.x, p.v, p.at, p.text)
}

// free gives the device's memory back.
func (p *passes) free() {
	p.s.Free()
	p.text.Free()
}

// wanText is the configuration of UMT5-XXL, but for its vocabulary, which takes no time.
var wanText = model.TextEncoderConfig{VocabSize: 64, DModel: 4096, DKV: 64, DFF: 10240,
	NumLayers: 24, NumHeads: 64, RelativeAttentionNumBuckets: 32, RelativeAttentionMaxDistance: 128,
	LayerNormEpsilon: 1e-6}

// encodedText is the encoding of one prompt of so many tokens, from ids to embeddings on the host.
// Products are 2·n·(4·d·inner + 3·d·ff) operations a layer, attention 4·n·n·inner.
func encodedText(cfg model.TextEncoderConfig, tokens int) item {
	n, d, inner := float64(tokens), float64(cfg.DModel), float64(cfg.NumHeads*cfg.DKV)
	return item{
		name: fmt.Sprintf("umt5 %d wide %d layers %d tokens", cfg.DModel, cfg.NumLayers, tokens),
		flops: float64(cfg.NumLayers) * (2*n*(4*d*inner+3*d*float64(cfg.DFF)) +
			4*n*n*inner),
		types: []compute.DType{compute.BF16},
		start: func(e *env, t compute.DType) (func() error, func(), error) {
			enc, err := umt5.Load(e.dev, cfg, weightsOf("text_encoder", cfg.Shapes()), t)
			if err != nil {
				return nil, nil, err
			}

			// Ids may repeat: rows of the embedding are read on the host, one for each.
			prompt := make([]int32, tokens)
			for i := range prompt {
				prompt[i] = int32(i % cfg.VocabSize) //nolint:gosec // below the vocabulary
			}

			return func() error {
				_, err := enc.Encode(context.Background(), [][]int32{prompt})
				return err
			}, func() {}, nil
		},
	}
}
