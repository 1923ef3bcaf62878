package latents

import (
	"fmt"
	"os"

	"github.com/longtake/longtake/internal/diffusion"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/tensor/safetensors"
)

// Writer writes a clip's latent from tokens, which come in chunks of whole frames: Put takes the
// tokens of a chunk in any order, Flush writes the chunk. It holds one chunk at a time.
type Writer struct {
	file     *os.File
	at       int64 // of the tensor's first byte in the file
	channels int
	grid     partition.Grid

	chunk  []float32       // [C, frames, H, W] of the chunk that is being put together
	frames partition.Range // the latent frames that chunk has
}

// NewWriter begins an empty file: it writes the header, with some metadata, and makes the file as
// long as it will be. The file stays the caller's.
func NewWriter(f *os.File, channels int, g partition.Grid, meta map[string]string) (*Writer,
	error) {
	shape := tensor.Shape{1, channels, g.T, g.H, g.W}
	places, err := safetensors.Blank(f, map[string]tensor.Shape{tensorName: shape}, meta)
	if err != nil {
		return nil, err
	}
	return &Writer{file: f, at: places[tensorName], channels: channels, grid: g}, nil
}

// Begin copies the first frames of the clip from a latent that has no others. Chunks that were, or
// will be, flushed must not have any of them.
func (w *Writer) Begin(first *File) error {
	n := 4 * first.frames * first.plane
	for c := range w.channels {
		at := w.at + int64(4*c*w.grid.T*first.plane)
		if _, err := w.file.WriteAt(first.x.Data[c*n:(c+1)*n], at); err != nil {
			return fmt.Errorf("cannot write the latents: %w", err)
		}
	}
	return nil
}

// PutFrame writes latent frame t, [C, H, W], to its place in the file.
func (w *Writer) PutFrame(t int, values []float32) error {
	plane := w.grid.H * w.grid.W
	for c := range w.channels {
		at := w.at + int64(4*(c*w.grid.T+t)*plane)
		if _, err := w.file.WriteAt(tensor.Bytes(values[c*plane:(c+1)*plane]), at); err != nil {
			return fmt.Errorf("cannot write the latents: %w", err)
		}
	}
	return nil
}

// Put takes the values [tokens, width] of some tokens of the chunk; tokens are numbered through the
// clip.
func (w *Writer) Put(tokens partition.Range, values []float32) {
	perFrame := w.grid.H / w.grid.PH * (w.grid.W / w.grid.PW)
	lo, hi := tokens.Lo/perFrame*w.grid.PT, (tokens.Hi+perFrame-1)/perFrame*w.grid.PT

	if w.chunk == nil {
		w.frames = partition.Range{Lo: lo, Hi: lo}
	}
	if hi > w.frames.Hi || lo < w.frames.Lo {
		w.grow(partition.Range{Lo: min(lo, w.frames.Lo), Hi: max(hi, w.frames.Hi)})
	}

	g := w.grid
	g.T = w.frames.Len()
	diffusion.Scatter(w.chunk, values, w.channels, g, tokens.Plus(-w.frames.Lo/g.PT*perFrame))
}

// grow makes room for more frames of the chunk.
func (w *Writer) grow(frames partition.Range) {
	plane := w.grid.H * w.grid.W
	chunk := make([]float32, w.channels*frames.Len()*plane)
	for c := range w.channels {
		old := w.chunk[c*w.frames.Len()*plane : (c+1)*w.frames.Len()*plane]
		copy(chunk[(c*frames.Len()+w.frames.Lo-frames.Lo)*plane:], old)
	}
	w.chunk, w.frames = chunk, frames
}

// Flush writes the chunk's frames to their places in the file, and begins the next chunk.
func (w *Writer) Flush() error {
	plane := w.grid.H * w.grid.W
	n := w.frames.Len() * plane
	for c := range w.channels {
		at := w.at + int64(4*(c*w.grid.T+w.frames.Lo)*plane)
		if _, err := w.file.WriteAt(tensor.Bytes(w.chunk[c*n:(c+1)*n]), at); err != nil {
			return fmt.Errorf("cannot write the latents: %w", err)
		}
	}
	w.chunk, w.frames = nil, partition.Range{}
	return nil
}
