package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/longtake/longtake/internal/diffusion"
	"github.com/longtake/longtake/internal/latents"
	"github.com/longtake/longtake/internal/media"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/tensor/safetensors"
)

const (
	// previewFrames is how many pictures a preview has at most; of longer clips it has fewer.
	previewFrames = 32
	// previewRatio bounds what previews cost: of rank 0's time on one core, one part in so many.
	previewRatio = 32
	// previewPause is the longest pause after a preview: people would take a longer one for a halt.
	previewPause = 2 * time.Second
)

// previewer shows people what becomes of a clip, from the checkpoints of rank 0. It has one
// goroutine, run; offer is called by the one that gathers checkpoints.
type previewer struct {
	r        *run
	ctx      context.Context
	offered  chan savedState // of one: the latest that was offered
	lastStep int             // of the last one offered; 0: none
}

// savedState is the file of a checkpoint, open for a preview. Its receiver closes it.
type savedState struct {
	step    int
	tensors *safetensors.File // nil: none
}

func (s savedState) close() {
	if s.tensors != nil {
		s.tensors.Close()
	}
}

// newPreviewer returns nil where the plan or the host wants no previews, or the model has no
// colours for its latents.
func (r *run) newPreviewer(ctx context.Context) *previewer {
	_, shows := r.host.(Previewer)
	if r.Plan.PreviewEvery == 0 || !shows || len(r.e.folder.Defaults.LatentRGB.Factors) == 0 {
		return nil
	}
	return &previewer{r: r, ctx: ctx, offered: make(chan savedState, 1)}
}

// offer hands over the file of a checkpoint, which may be removed afterwards, if enough steps have
// passed since the last one; it takes the place of one that still waits.
func (p *previewer) offer(step int, path string) {
	final := step == p.r.Plan.Spec.TotalSteps()
	if p.lastStep > 0 && step < p.lastStep+p.r.Plan.PreviewEvery && !final {
		return
	}
	tensors, err := safetensors.Open(path)
	if err != nil {
		p.r.host.Warn("cannot make a preview", err)
		return
	}
	p.lastStep = step

	// Only this goroutine sends, so there is room once the one before is out.
	select {
	case old := <-p.offered:
		old.close()
	default:
	}
	p.offered <- savedState{step, tensors}
}

// run publishes previews until ctx ends. After each it pauses for previewRatio times as long as
// that one took to make, at most previewPause. States that come in a pause replace each other, and
// the latest is next; the last step's ends the pause. publish returns how long making the preview
// took.
func (p *previewer) run(publish func(savedState) time.Duration) {
	var next savedState       // step 0: none
	pause := time.NewTimer(0) // fires when there is no pause
	defer pause.Stop()
	pausing := true

	for {
		select {
		case <-p.ctx.Done():
			next.close()
			return
		case s := <-p.offered:
			next.close()
			next = s
		case <-pause.C:
			pausing = false
		}
		if next.step == 0 || pausing && next.step < p.r.Plan.Spec.TotalSteps() {
			continue
		}

		took := publish(next)
		next = savedState{}
		pausing = true
		pause.Reset(min(previewRatio*took, previewPause))
	}
}

// publish makes a preview and sends it. It returns how long making it took, which sending does not
// count in.
func (p *previewer) publish(s savedState) time.Duration {
	start := time.Now()
	picture, err := p.r.preview(s)
	s.close()
	took := time.Since(start)

	if err == nil {
		err = p.r.host.(Previewer).PublishPreview(p.ctx, s.step, picture)
	}
	if err != nil && p.ctx.Err() == nil {
		p.r.host.Warn("cannot publish a preview", err)
	}
	return took
}

// close lets go of a state that nobody took. It must follow the end of run.
func (p *previewer) close() {
	select {
	case s := <-p.offered:
		s.close()
	default:
	}
}

// preview makes an animation of the clip as far as it can be told from a checkpoint: with as many
// frames as keep it within PreviewBytesMax.
func (r *run) preview(s savedState) ([]byte, error) {
	g := r.denoised
	tokens, err := r.clearestTokens(s)
	if err != nil {
		return nil, err
	}
	frames := tokens.Shape[0] / r.layout.PerFrame // of a causal clip those that are made

	millis := 1000 * r.e.folder.VAE.TemporalScale() * g.PT // for one frame a second
	fps, per := r.Plan.Spec.FPS.Fraction()
	for every := (frames + previewFrames - 1) / previewFrames; every <= frames; every *= 2 {
		var pictures []media.Frame
		// Frames before the first window were given, and reference pictures are no part of the clip.
		for t := max(r.layout.Windows(0)[0].Lo, r.references()); t < frames; t += every {
			p, err := r.paintFrame(tokens, t, frames)
			if err != nil {
				return nil, err
			}
			pictures = append(pictures, p)
		}

		data, err := media.Animate(pictures, max(1, millis*every*per/fps))
		if err != nil || len(data) <= r.PreviewBytesMax {
			return data, err
		}
	}
	return nil, fmt.Errorf("one frame of %dx%d takes more than %d bytes", g.W, g.H,
		r.PreviewBytesMax)
}

// clearestTokens returns the tokens [tokens, width] that show the clip best. UniPC keeps its latest
// prediction of the clean latent, as the first of its tensors. Euler keeps none, and where windows
// are made one after the other that tensor covers one of them, so there the noisy latent has to do.
func (r *run) clearestTokens(s savedState) (tensor.Tensor, error) {
	name := "0"
	if r.Plan.Spec.Scheduler == diffusion.KindUniPC && !r.layout.Extend && r.layout.Given == 0 &&
		s.tensors.Has("1") && s.step < r.Plan.Spec.TotalSteps() {
		name = "1"
	}
	return s.tensors.Tensor(name)
}

// paintFrame makes a picture of frame t of tokens [tokens, width] of so many frames: of its first
// latent frame, where a token spans several.
func (r *run) paintFrame(tokens tensor.Tensor, t, frames int) (media.Frame, error) {
	g, channels := r.denoised, r.e.folder.Transformer.OutChannels
	size := len(tokens.Data) / frames
	g.T = g.PT

	// A frame's tokens lie side by side.
	row := tensor.Tensor{DType: tokens.DType, Shape: tensor.Shape{size / tokens.DType.Size()},
		Data: tokens.Data[t*size : (t+1)*size]}
	v, err := row.Float32()
	if err != nil {
		return media.Frame{}, err
	}
	latent := make([]float32, channels*g.T*g.H*g.W)
	diffusion.Scatter(latent, v, channels, g, partition.Range{Hi: g.Tokens()})
	return latents.Paint(latent, g, r.e.folder.Defaults.LatentRGB)
}
