package engine

import (
	"fmt"

	"github.com/longtake/longtake/internal/diffusion"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/model"
)

// Describe tells what the control plane needs to know of a model to check a request and to plan. It
// reads no weight: the fingerprint is of their names and shapes alone.
func Describe(f *model.Folder) (job.Model, error) {
	sum, err := f.Outline()
	if err != nil {
		return job.Model{}, err
	}
	sched, err := diffusion.ParseSchedulerConfig(f.Scheduler)
	if err != nil {
		return job.Model{}, err
	}

	// Without a window of the folder's own it is what the model was trained on, with a quarter of
	// overlap, in whole tokens.
	t, d := f.Transformer, f.Defaults
	if d.Window == 0 {
		d.Window = f.VAE.LatentFrames(d.Frames)
		d.Window -= d.Window % t.PatchSize[0]
		d.Overlap = d.Window / 4
		d.Overlap -= d.Overlap % t.PatchSize[0]
	}

	memory, err := measure(f)
	if err != nil {
		return job.Model{}, err
	}
	m := job.Model{Name: f.Name(), Fingerprint: sum, Heads: t.NumAttentionHeads,
		HeadDim: t.AttentionHeadDim, Layers: t.NumLayers, Patch: t.PatchSize,
		LatentChannels: t.OutChannels, TemporalScale: f.VAE.TemporalScale(),
		SpatialScale: f.VAE.SpatialScale(), MaxTokens: model.TokensLimit,
		MaxPositions: t.RopeMaxSeqLen, Extends: d.Extend,
		Notices: f.Notices(sched.Ignored), Words: d.Words, LowerCase: d.LowerCase,
		Cost: job.Cost{FFNDim: t.FFNDim, Decode: f.VAE.DecodeWork(), Pixels: largest(d.Sizes),
			ControlLayers: len(t.VaceLayers), Memory: memory},
		Defaults: job.Defaults{Width: d.Sizes[0][0], Height: d.Sizes[0][1], Frames: d.Frames,
			MaxFrames: d.MaxFrames, Window: d.Window, Overlap: d.Overlap, Steps: d.Steps,
			FPS: job.Rate(d.FPS), GuidanceScale: d.GuidanceScale, GuidanceScale2: d.GuidanceScale2,
			FlowShift: sched.FlowShift, Scheduler: sched.Kind(), Preset: d.Preset}}
	if p := f.Pipeline; p.Boundary != nil {
		m.Experts = job.Experts{Boundary: *p.Boundary * float64(sched.TrainTimesteps),
			First: p.Has(model.FirstExpert), Second: p.Has(model.SecondExpert)}
	}
	m.Takes = takes(f)
	if c := d.Causal; c != nil {
		m.Causal = &job.Causal{Block: c.Block, Window: c.Window, Sink: c.Sink, Timesteps: c.Timesteps,
			Shift: c.Shift, Warp: c.Warp}
		m.Takes.FirstImage = false
	}
	if err := m.Check(); err != nil {
		return job.Model{}, fmt.Errorf("cannot use model %s: %w", f.Name(), err)
	}
	return m, nil
}

// takes says which inputs a model takes. Pictures of an image-to-video model are a condition beside
// the latent; with embeddings of pictures, it takes as many as it has positions for.
func takes(f *model.Folder) job.Takes {
	t := f.Transformer
	n := t.InChannels - t.OutChannels
	expand, class := f.Pipeline.ExpandTimesteps, f.Pipeline.Class
	return job.Takes{Control: class == model.Control,
		Video:      class == model.TextToVideo || class == model.VideoToVideo,
		FirstImage: f.Defaults.Extend || n > 0 || expand, NeedsImage: n > 0,
		LastImage: n > 0 && (t.ImageDim == 0 || t.PosEmbedSeqLen > 0), NeedsLast: t.PosEmbedSeqLen > 0,
		FirstGiven: expand, Condition: n}
}

// largest returns the pixels of the largest of sizes.
func largest(sizes [][2]int) int {
	most := 0
	for _, s := range sizes {
		most = max(most, s[0]*s[1])
	}
	return most
}
