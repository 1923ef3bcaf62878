package shard

import (
	"fmt"

	"github.com/longtake/longtake/internal/coord/wire"
	"github.com/longtake/longtake/internal/diffusion"
	"github.com/longtake/longtake/internal/media"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/partition"
)

// Bounds of a preview: what it need not exceed to be seen, and cannot to be sent.
const (
	previewFrames = 64
	previewSide   = 192 // pixels that small latents are enlarged to
	zoomMin       = 2
	zoomMax       = 16
)

// previews reports whether rank 0 makes any.
func (r *run) previews() bool {
	return r.Plan.PreviewEvery > 0 && r.Preview != nil && r.Rank.Rank == 0 &&
		len(r.e.folder.Defaults.LatentRGB.Factors) > 0
}

// show hands a checkpoint's snapshot to the one that makes previews, if enough steps have passed
// since the last; a newer one takes the place of one that waits.
func (s *saver) show(snap snapshot) {
	every, last := s.r.Plan.PreviewEvery, snap.step == s.r.Plan.Spec.Steps
	if !s.r.previews() || s.shown > 0 && snap.step < s.shown+every && !last {
		return
	}
	s.shown = snap.step
	select { // only this goroutine sends
	case <-s.views:
	default:
	}
	s.views <- snap
}

// view publishes previews until the saver is closed.
func (s *saver) view() {
	for {
		select {
		case <-s.ctx.Done():
			return
		case snap := <-s.views:
			data, err := s.r.preview(snap)
			if err == nil {
				err = s.r.Preview(s.ctx, snap.step, data)
			}
			if err != nil && s.ctx.Err() == nil {
				s.r.note("cannot publish a preview", err)
			}
		}
	}
}

// preview makes an animation of what the clip is on its way to be.
func (r *run) preview(snap snapshot) ([]byte, error) {
	s, g := r.Plan.Spec, r.grid
	frames := g.T / g.PT // of tokens
	per, width := g.Tokens()/frames, r.e.dit.TokenWidth()
	tokens := snap.clean(s.Scheduler, s.Steps)
	millis := 1000 * r.e.folder.VAE.TemporalScale() * g.PT
	for every := (frames + previewFrames - 1) / previewFrames; every <= frames; every *= 2 {
		var pictures []media.Frame
		for t := 0; t < frames; t += every {
			pictures = append(pictures, r.paint(tokens[t*per*width:(t+1)*per*width]))
		}
		data, err := media.Animate(pictures, max(1, millis*every/s.FPS))
		if err != nil || len(data) <= wire.PreviewLimit {
			return data, err
		}
	}
	return nil, fmt.Errorf("one frame of %dx%d takes more than %d bytes", g.W, g.H, wire.PreviewLimit)
}

// paint makes a picture of the tokens of one frame, [tokens, width].
func (r *run) paint(tokens []float32) media.Frame {
	g, channels := r.grid, r.e.folder.Transformer.InChannels
	g.T = g.PT
	latent := make([]float32, channels*g.T*g.H*g.W)
	diffusion.Scatter(latent, tokens, channels, g, partition.Range{Hi: g.Tokens()})
	return paintLatent(latent, g, r.e.folder.Defaults.LatentRGB)
}

// clean returns the tokens of the clean latent as far as it is known: UniPC keeps the last
// prediction of it, the newest first. Euler keeps none, so there the latent itself has to do.
func (s snapshot) clean(scheduler string, steps int) []float32 {
	if scheduler == diffusion.KindUniPC && len(s.whole) > 1 && s.step < steps {
		return s.whole[1]
	}
	return s.whole[0]
}

// paintLatent makes a picture of the first frame of a latent [C, T, H, W], each pixel a square.
func paintLatent(latent []float32, g partition.Grid, l model.LatentRGB) media.Frame {
	zoom := min(max((previewSide+max(g.H, g.W)-1)/max(g.H, g.W), zoomMin), zoomMax)
	plane := g.H * g.W
	small, rgb := make([]float32, 3*plane), make([]uint8, 3*plane)
	for i := range plane {
		copy(small[3*i:], l.Bias[:])
		for c, factors := range l.Factors {
			v := latent[c*g.T*plane+i]
			for k, f := range factors {
				small[3*i+k] += float32(f * v)
			}
		}
	}
	media.ToRGB(rgb, small)
	return enlarge(rgb, g.W, g.H, zoom)
}

// enlarge turns each pixel of [h, w, 3] into a square of zoom pixels a side.
func enlarge(rgb []uint8, w, h, zoom int) media.Frame {
	f := media.Frame{W: w * zoom, H: h * zoom, RGB: make([]uint8, 0, 3*w*h*zoom*zoom)}
	for y := range f.H {
		for x := range f.W {
			at := 3 * (y/zoom*w + x/zoom)
			f.RGB = append(f.RGB, rgb[at:at+3]...)
		}
	}
	return f
}
