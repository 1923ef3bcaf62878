package engine

import (
	"fmt"
	"os"
	"time"

	"github.com/longtake/longtake/internal/diffusion"
	"github.com/longtake/longtake/internal/media"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/tensor/safetensors"
)

// Bounds of a preview: what it need not exceed to be seen, and cannot to be sent.
const (
	previewFrames = 32
	previewShare  = 32 // of the time, previews take one part in so many, on one core
	previewSide   = 96 // pixels that small latents are enlarged to
	previewRest   = 2 * time.Second
	zoomMin       = 2
	zoomMax       = 16
)

// previews reports whether rank 0 makes any.
func (r *run) previews() bool {
	_, shows := r.host.(Previewer)
	return r.Plan.PreviewEvery > 0 && shows && r.Rank == 0 &&
		len(r.e.folder.Defaults.LatentRGB.Factors) > 0
}

// show hands a checkpoint's file to the one that makes previews, if enough steps have passed since
// the last; a newer one takes the place of one that waits.
func (s *saver) show(step int, f *os.File) {
	every, last := s.r.Plan.PreviewEvery, step == s.r.Plan.Spec.TotalSteps()
	if !s.r.previews() || s.shown > 0 && step < s.shown+every && !last {
		return
	}
	tensors, err := safetensors.Open(f.Name())
	if err != nil {
		s.r.host.Warn("cannot make a preview", err)
		return
	}
	s.shown = step
	select { // only this goroutine sends
	case old := <-s.views:
		old.tensors.Close()
	default:
	}
	s.views <- sketch{step, tensors}
}

// sketch is a checkpoint to make a preview of.
type sketch struct {
	step    int
	tensors *safetensors.File // nil: none
}

func (k sketch) close() {
	if k.tensors != nil {
		k.tensors.Close()
	}
}

// view publishes previews until the saver is closed. One that took a while is followed by
// previewShare times as long without any, though not by more than previewRest, which people would
// take for a halt, and not before the last step's. What comes meanwhile waits, and the newest of it
// is next. publish returns what making one took.
func (s *saver) view(publish func(sketch) time.Duration) {
	var next sketch          // step 0: none
	rest := time.NewTimer(0) // until it fires there is none
	defer rest.Stop()
	resting := true
	for {
		select {
		case <-s.ctx.Done():
			next.close()
			return
		case k := <-s.views:
			next.close()
			next = k
		case <-rest.C:
			resting = false
		}
		if next.step == 0 || resting && next.step < s.r.Plan.Spec.TotalSteps() {
			continue
		}
		took := publish(next)
		next = sketch{}
		resting = true
		rest.Reset(min(previewShare*took, previewRest))
	}
}

// publish makes a preview and sends it. It returns what making it took.
func (s *saver) publish(k sketch) time.Duration {
	since := time.Now()
	data, err := s.r.preview(k)
	k.close()
	took := time.Since(since)
	if err == nil {
		err = s.r.host.(Previewer).PublishPreview(s.ctx, k.step, data)
	}
	if err != nil && s.ctx.Err() == nil {
		s.r.host.Warn("cannot publish a preview", err)
	}
	return took
}

// preview makes an animation of what the clip is on its way to be.
func (r *run) preview(k sketch) ([]byte, error) {
	s, g := r.Plan.Spec, r.grid
	frames := g.T / g.PT // of tokens
	tokens, err := r.clean(k)
	if err != nil {
		return nil, err
	}
	millis := 1000 * r.e.folder.VAE.TemporalScale() * g.PT
	shown, seconds := s.FPS.Fraction()
	for every := (frames + previewFrames - 1) / previewFrames; every <= frames; every *= 2 {
		var pictures []media.Frame
		for t := r.layout.Windows(0)[0].Lo; t < frames; t += every { // what is given is known
			p, err := r.paint(tokens, t)
			if err != nil {
				return nil, err
			}
			pictures = append(pictures, p)
		}
		data, err := media.Animate(pictures, max(1, millis*every*seconds/shown))
		if err != nil || len(data) <= r.PreviewBytesMax {
			return data, err
		}
	}
	return nil, fmt.Errorf("one frame of %dx%d takes more than %d bytes", g.W, g.H, r.PreviewBytesMax)
}

// clean returns the tokens of the clean latent as far as it is known: UniPC keeps the last
// prediction of it, the newest first. Euler keeps none, and where windows are made one after the
// other it is of one of them alone, so there the latent itself has to do.
func (r *run) clean(k sketch) (tensor.Tensor, error) {
	name := "0"
	if r.Plan.Spec.Scheduler == diffusion.KindUniPC && !r.layout.Extend && k.tensors.Has("1") &&
		k.step < r.Plan.Spec.Steps {
		name = "1"
	}
	return k.tensors.Tensor(name)
}

// paint makes a picture of frame t of tokens, [tokens, width].
func (r *run) paint(tokens tensor.Tensor, t int) (media.Frame, error) {
	g, channels := r.grid, r.e.folder.Transformer.InChannels
	size := len(tokens.Data) / (g.T / g.PT)
	g.T = g.PT
	row := tensor.Tensor{DType: tokens.DType, Shape: tensor.Shape{size / tokens.DType.Size()},
		Data: tokens.Data[t*size : (t+1)*size]}
	v, err := row.Float32()
	if err != nil {
		return media.Frame{}, err
	}
	latent := make([]float32, channels*g.T*g.H*g.W)
	diffusion.Scatter(latent, v, channels, g, partition.Range{Hi: g.Tokens()})
	return paintLatent(latent, g, r.e.folder.Defaults.LatentRGB)
}

// paintLatent makes a picture of the first frame of a latent [C, T, H, W], each pixel a square.
func paintLatent(latent []float32, g partition.Grid, l model.LatentRGB) (media.Frame, error) {
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
	if err := media.ToRGB(rgb, small); err != nil {
		return media.Frame{}, err
	}
	return enlarge(rgb, g.W, g.H, zoom), nil
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
