package engine

import (
	"context"
	"fmt"

	"github.com/longtake/longtake/internal/model/vae"
	"github.com/longtake/longtake/internal/tensor"
)

// frameEncoder turns frames into latents with the VAE's encoder, on the device that decodes. Few
// clips start from frames, so the encoder is loaded for those that do and dropped afterwards.
type frameEncoder struct{ encoder *vae.Encoder }

// loadEncoder loads the VAE's encoder, or ends soon after ctx does. Clips may be encoded with it
// one after the other: a picture, a video, its masked part.
func (e *Engine) loadEncoder(ctx context.Context) (*frameEncoder, error) {
	weights, err := e.weights(ctx, "vae")
	if err != nil {
		return nil, err
	}
	encoder, err := vae.LoadEncoder(e.dev.Decode, e.folder.VAE, weights)
	if err != nil {
		return nil, err
	}
	return &frameEncoder{encoder}, nil
}

// encode encodes a clip of n frames of height h and width w, in pixels. fill writes frame i,
// [h, w, 3] with values in -1..1, over what the frame before it in the group left; take is given
// latent frame t, [C, h', w'], normalised as the transformer sees it, to keep. A single group of
// frames is in memory at a time, however long the clip is. Once ctx ends, encode does before the
// next layer.
//
// n is 1 and any number of the VAE's temporal scale; another one is an error, as is a size that the
// VAE cannot halve. Latents that are not finite are a *tensor.NotFiniteError.
func (f *frameEncoder) encode(ctx context.Context, h, w, n int,
	fill func(i int, frame []float32) error, take func(t int, latent []float32) error) error {
	stream, err := f.encoder.NewStream(h, w)
	if err != nil {
		return err
	}
	defer stream.Free()
	stream.StopWhen(func() error { return context.Cause(ctx) })

	var memory [][]float32 // of the frames of a group, used by all groups
	for t, i := 0, 0; i < n; t++ {
		group := stream.Group()
		if i+group > n {
			return fmt.Errorf("cannot encode %d frames; allowed: 1 and any number of %d", n, group)
		}
		for len(memory) < group {
			memory = append(memory, make([]float32, h*w*3))
		}

		for _, frame := range memory[:group] {
			if err := fill(i, frame); err != nil {
				return err
			}
			i++
		}

		latent, err := stream.Next(memory[:group])
		if err == nil {
			err = tensor.CheckFinite(fmt.Sprintf("latent frame %d", t+1), latent)
		}
		if err == nil {
			err = take(t, latent)
		}
		if err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}
