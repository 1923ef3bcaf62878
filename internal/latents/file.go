package latents

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/tensor/safetensors"
)

// tensorName is the file's only tensor.
const tensorName = "latents"

// sumBytes is how much File.SHA256 sums between two looks at its context.
const sumBytes = 64 << 20

// File is a stored latent [1, C, T, H, W], mapped rather than read. The caller closes it.
type File struct {
	file     *safetensors.File
	x        tensor.Tensor
	channels int
	frames   int // T
	plane    int // H*W: the values of one channel of a frame
}

// Open opens a latent of so many channels whose T, H and W are those of a grid. A file that is not
// safetensors, or has another shape or type, is an error that says so.
func Open(path string, channels int, g partition.Grid) (*File, error) {
	file, err := safetensors.Open(path)
	if err != nil {
		return nil, err
	}

	x, err := file.Tensor(tensorName)
	if want := (tensor.Shape{1, channels, g.T, g.H, g.W}); err == nil &&
		(x.DType != tensor.F32 || !x.Shape.Equal(want)) {
		err = fmt.Errorf("the latents are %v %v, not F32 %v", x.DType, x.Shape, want)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &File{file, x, channels, g.T, g.H * g.W}, nil
}

// Close unmaps the file. Slices that Frame and Frames have returned stay valid: they are copies.
func (f *File) Close() error { return f.file.Close() }

// Frame returns latent frame t, [C, H, W].
func (f *File) Frame(t int) []float32 { return f.Frames(partition.Range{Lo: t, Hi: t + 1}) }

// Frames returns some latent frames, [C, frames, H, W].
func (f *File) Frames(r partition.Range) []float32 {
	out := make([]float32, f.channels*r.Len()*f.plane)
	to, size := tensor.Bytes(out), 4*r.Len()*f.plane

	// In the file a channel's frames lie side by side, the channels T frames apart.
	for c := range f.channels {
		at := 4 * (c*f.frames + r.Lo) * f.plane
		copy(to[c*size:(c+1)*size], f.x.Data[at:at+size])
	}
	return out
}

// SHA256 returns the hash of the latent's values, little-endian, in hexadecimal digits: what equal
// clips have in common, whatever made them. It ends with the cause of ctx when ctx ends.
func (f *File) SHA256(ctx context.Context) (string, error) {
	sum := sha256.New()
	for part := range slices.Chunk(f.x.Data, sumBytes) {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		sum.Write(part)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
