package api

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/media"
	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/tensor/safetensors"
	"github.com/longtake/longtake/internal/userfile"
)

// inputMax bounds what a clip starts from, in bytes: the latents of ten minutes of 480p have 1 GB.
const inputMax = 1 << 30

const inputAllowed = media.PictureAllowed + ", or latents (safetensors, as variant=latents of a " +
	"video's content)"

// Input is a file that a clip starts from: a picture or latents.
type Input struct {
	name  string // of its field, at a server
	url   string // to be fetched
	fetch *fetcher
	file  *os.File
	slots <-chan struct{} // one of which it takes at a server; nil: none
	start job.Source
	shape tensor.Shape // of latents, [1, C, T, h, w]
}

// OpenInput reads a file that a clip is to start from. One that is neither a picture nor latents is
// a *job.FieldError. The caller closes it.
func OpenInput(ctx context.Context, path string) (_ *Input, err error) {
	f, err := userfile.Open(path)
	if err != nil {
		return nil, err
	}
	in := &Input{file: f}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if info, err := f.Stat(); err != nil || info.Size() > inputMax {
		return nil, cmp.Or(err, error(&job.FieldError{Field: job.SourceField,
			Value: fmt.Sprintf("a file of more than %d bytes", inputMax), Allowed: inputAllowed}))
	}
	if err := in.inspect(ctx); err != nil {
		return nil, err
	}
	in.start.Object, err = artifact.Describe(ctx, f)
	return in, err
}

// Close closes the file.
func (in *Input) Close() error { return in.file.Close() }

// IsImage reports whether the input is a picture.
func (in *Input) IsImage() bool { return in.start.Kind == job.SourceImage }

// drop removes a temporary file; of nothing, it does nothing.
func (in *Input) drop() {
	if in != nil {
		(&reference{file: in.file}).drop()
		<-in.slots
	}
}

// inspect finds out what the file is.
func (in *Input) inspect(ctx context.Context) error {
	head := make([]byte, 512)
	n, err := in.file.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if media.PictureKind(head[:n]) == "" {
		return in.inspectLatents(head[:n])
	}
	if _, err := in.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	_, err = media.ReadPicture(ctx, in.file)
	if errors.Is(err, media.ErrPicture) {
		return &job.FieldError{Field: job.SourceField, Value: fmt.Sprintf("%.200v", err),
			Allowed: inputAllowed}
	}
	in.start = job.Source{Kind: job.SourceImage, Latents: 1}
	return err
}

// latentsHeaderMax bounds the header of latents, in bytes: that of one tensor has about a hundred.
const latentsHeaderMax = 64 << 10

func (in *Input) inspectLatents(head []byte) error {
	if len(head) < 8 || binary.LittleEndian.Uint64(head) > latentsHeaderMax {
		return &job.FieldError{Field: job.SourceField, Value: "a file of another kind",
			Allowed: inputAllowed}
	}
	f, err := safetensors.Open(in.file.Name())
	if err != nil {
		return &job.FieldError{Field: job.SourceField, Value: "a file of another kind",
			Allowed: inputAllowed}
	}
	defer f.Close()
	x, err := f.Tensor("latents")
	if err != nil || x.DType != tensor.F32 || len(x.Shape) != 5 || x.Shape[0] != 1 {
		return &job.FieldError{Field: job.SourceField, Value: "a safetensors file of something else",
			Allowed: "one with latents, F32 [1, channels, frames, height, width]"}
	}
	if at, v := x.FirstNotFinite(); at >= 0 {
		return &job.FieldError{Field: job.SourceField, Value: fmt.Sprintf("latents with %v at %d", v, at),
			Allowed: "values that are finite"}
	}
	in.start = job.Source{Kind: job.SourceLatents, Latents: x.Shape[2]}
	in.shape = x.Shape
	return nil
}

// Request returns r for a clip of model m that starts from in. After latents, r's Seconds and
// Frames are what is added.
func (in *Input) Request(r job.Request, m job.Model) (job.Request, error) {
	r.Source = in.start
	if in.IsImage() {
		return r.Settle(m)
	}
	if in.shape[1] != m.LatentChannels {
		return r, &job.FieldError{Field: job.SourceField,
			Value:   fmt.Sprintf("a latent of %d channels", in.shape[1]),
			Allowed: fmt.Sprintf("%d, as this model has", m.LatentChannels)}
	}
	return r.Extend(m, in.shape[4]*m.SpatialScale, in.shape[3]*m.SpatialScale)
}
