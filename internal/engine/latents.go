package engine

import (
	"fmt"
	"os"

	"github.com/longtake/longtake/internal/diffusion"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/tensor/safetensors"
)

// latentWriter writes a clip's latent as diffusers returns it for output_type="latent", chunk by
// chunk: a safetensors file with `latents` F32 [1, C, T, H, W].
type latentWriter struct {
	file     *os.File
	at       int64 // of the tensor
	channels int
	grid     partition.Grid
	chunk    []float32 // [C, frames, H, W] of the chunk that is being written
	frames   partition.Range
}

func (r *run) newLatentWriter(f *os.File) (*latentWriter, error) {
	g, c := r.grid, r.e.folder.Transformer.InChannels
	places, err := safetensors.Blank(f, map[string]tensor.Shape{"latents": {1, c, g.T, g.H, g.W}}, nil)
	if err != nil {
		return nil, err
	}
	return &latentWriter{file: f, at: places["latents"], channels: c, grid: g}, nil
}

func (f *latentWriter) perFrame() int { return f.grid.H / f.grid.PH * (f.grid.W / f.grid.PW) }

// begin writes a given latent of fewer frames, the clip's first ones.
func (f *latentWriter) begin(z *latentFile) error {
	n := 4 * z.t * z.n
	for c := range f.channels {
		at := f.at + int64(4*c*f.grid.T*z.n)
		if _, err := f.file.WriteAt(z.x.Data[c*n:(c+1)*n], at); err != nil {
			return fmt.Errorf("cannot write the latents: %w", err)
		}
	}
	return nil
}

// put takes tokens of a chunk, which is one of whole frames.
func (f *latentWriter) put(tokens partition.Range, values []float32) {
	per := f.perFrame()
	lo, hi := tokens.Lo/per*f.grid.PT, (tokens.Hi+per-1)/per*f.grid.PT
	if f.chunk == nil {
		f.frames = partition.Range{Lo: lo, Hi: lo}
	}
	if hi > f.frames.Hi || lo < f.frames.Lo {
		f.grow(partition.Range{Lo: min(lo, f.frames.Lo), Hi: max(hi, f.frames.Hi)})
	}
	g := f.grid
	g.T = f.frames.Len()
	diffusion.Scatter(f.chunk, values, f.channels, g, tokens.Plus(-f.frames.Lo/g.PT*per))
}

// grow makes room for more frames of the chunk.
func (f *latentWriter) grow(frames partition.Range) {
	plane := f.grid.H * f.grid.W
	chunk := make([]float32, f.channels*frames.Len()*plane)
	for c := range f.channels {
		old := f.chunk[c*f.frames.Len()*plane : (c+1)*f.frames.Len()*plane]
		copy(chunk[(c*frames.Len()+f.frames.Lo-frames.Lo)*plane:], old)
	}
	f.chunk, f.frames = chunk, frames
}

// flush writes the chunk.
func (f *latentWriter) flush(partition.Range) error {
	plane := f.grid.H * f.grid.W
	n := f.frames.Len() * plane
	for c := range f.channels {
		at := f.at + int64(4*(c*f.grid.T+f.frames.Lo)*plane)
		if _, err := f.file.WriteAt(tensor.Bytes(f.chunk[c*n:(c+1)*n]), at); err != nil {
			return fmt.Errorf("cannot write the latents: %w", err)
		}
	}
	f.chunk, f.frames = nil, partition.Range{}
	return nil
}
