// Package source looks at the files that clips are made from, pictures, latents and videos: a
// coordinator at what it receives, the command line at what it is about to send.
package source

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/media"
	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/tensor/safetensors"
	"github.com/longtake/longtake/internal/userfile"
)

// Max bounds the file, in bytes: the latents of ten minutes of 480p have 1 GB.
const Max = 1 << 30

// latentsHeaderMax bounds the header of latents, in bytes: that of one tensor has about a hundred.
const latentsHeaderMax = 64 << 10

// Allowed says what files a field takes.
func Allowed(field job.Field) string {
	if takesVideo(field) {
		return media.VideoAllowed
	}
	switch field.Role {
	case job.RoleLoRA:
		return LoRAAllowed
	case job.RoleLatent:
		return LatentAllowed
	}
	if field.Role != job.RoleStart {
		return media.PictureAllowed
	}
	return media.PictureAllowed + ", or latents (safetensors, as variant=latents of a " +
		"video's content)"
}

// File is an open file that a clip is made from. It comes from Open or Inspect, which have looked
// at all of its bytes.
type File struct {
	*os.File
	// What a request calls it, for errors; and what it says of it. The input's Object is known where
	// Open has read the file whole; a coordinator learns it when it stores the bytes.
	field job.Field
	input job.Input
	// Of latents, [1, channels, frames, rows, columns]; nil for a picture.
	shape tensor.Shape
	clip  clip   // of a video
	drop  func() // what Close calls besides; nil: nothing
}

// Close closes the file.
func (f *File) Close() error {
	err := f.File.Close()
	if f.drop != nil {
		f.drop()
	}
	return err
}

// Open opens and inspects a file of the user's for a field, and describes its bytes. One that is
// too large, or not what the field takes, is a *job.FieldError. The caller closes it. A folder of
// pictures, for a field that takes a video, becomes a zip.
func Open(ctx context.Context, field job.Field, path string) (_ *File, err error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() && takesVideo(field) {
		return openFolder(ctx, field, path)
	}
	f, err := userfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if info, err := f.Stat(); err != nil || info.Size() > Max {
		return nil, cmp.Or(err, wrong(field, fmt.Sprintf("a file of more than %d bytes", Max),
			Allowed(field)))
	}

	s, err := Inspect(ctx, field, f)
	if err != nil {
		return nil, err
	}
	s.input.Object, err = artifact.Describe(ctx, f)
	return s, err
}

// Inspect finds out what f, which is for a field, is, wherever its offset stands. A file that is
// neither a picture that can be decoded nor, for a start, latents of finite numbers is a
// *job.FieldError. f stays the caller's to close.
func Inspect(ctx context.Context, field job.Field, f *os.File) (*File, error) {
	switch field.Role {
	case job.RoleLoRA:
		return inspectLoRA(field, f)
	case job.RoleLatent:
		return inspectLatent(field, f)
	}
	head := make([]byte, 512)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}

	// The frames of a video are looked at by Request, which knows how many are needed.
	if takesVideo(field) {
		return &File{File: f, field: field,
			input: job.Input{Role: field.Role, Kind: job.KindFrames}}, nil
	}

	// What does not begin like a picture is taken for latents: their format has no signature.
	if media.PictureKind(head[:n]) == "" {
		if field.Role != job.RoleStart {
			return nil, wrong(field, "a file of another kind", Allowed(field))
		}
		return inspectLatents(field, f, head[:n])
	}

	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	_, err = media.ReadPicture(ctx, f)
	if errors.Is(err, media.ErrPicture) {
		return nil, wrong(field, fmt.Sprintf("%.200v", err), Allowed(field))
	}
	return &File{File: f, field: field, input: job.Input{Role: field.Role, Kind: job.KindImage}}, err
}

// inspectLatents reads a safetensors file, which begins with the length of its header. The length
// is looked at first: another file has a number there that is no length at all.
func inspectLatents(field job.Field, file *os.File, head []byte) (*File, error) {
	if len(head) < 8 || binary.LittleEndian.Uint64(head) > latentsHeaderMax {
		return nil, wrong(field, "a file of another kind", Allowed(field))
	}
	f, err := safetensors.Open(file.Name())
	if err != nil {
		return nil, wrong(field, "a file of another kind", Allowed(field))
	}
	defer f.Close()

	// A batch of one clip, with the frames of the latent, which are fewer than the clip's.
	x, err := f.Tensor("latents")
	if err != nil || x.DType != tensor.F32 || len(x.Shape) != 5 || x.Shape[0] != 1 {
		return nil, wrong(field, "a safetensors file of something else",
			"one with latents, F32 [1, channels, frames, height, width]")
	}
	if at, v := x.FirstNotFinite(); at >= 0 {
		return nil, wrong(field, fmt.Sprintf("latents with %v at %d", v, at), "values that are finite")
	}
	return &File{File: file, field: field, shape: x.Shape,
		input: job.Input{Role: field.Role, Kind: job.KindLatents, Latents: x.Shape[2]}}, nil
}

// IsImage reports whether the file is a picture.
func (f *File) IsImage() bool { return f.input.Kind == job.KindImage }

// Request returns r for a clip of model m that is made from f, too. After latents, what r says of
// the length is what is added, and comes back as the length of the whole clip. Latents of another
// model's channels, or of another size than r says, are a *job.FieldError. What r leaves out of a
// clip that is made from a video follows from that.
func (f *File) Request(ctx context.Context, r job.Request, m job.Model) (job.Request, error) {
	if f.IsFrames() {
		return f.requestFrames(ctx, r, m)
	}

	in := f.input
	if f.IsImage() {
		in.Latents = m.PictureLatents(in.Role)
	}
	r.Inputs = append(slices.Clip(r.Inputs), in)
	if f.shape == nil {
		return r.Settle(m)
	}
	if f.shape[1] != m.LatentChannels {
		return r, wrong(f.field, fmt.Sprintf("a latent of %d channels", f.shape[1]),
			fmt.Sprintf("%d, as this model has", m.LatentChannels))
	}
	return r.Extend(m, f.shape[4]*m.SpatialScale, f.shape[3]*m.SpatialScale)
}

// wrong says that the file is not one that the field takes.
func wrong(field job.Field, what, allowed string) error {
	return &job.FieldError{Field: field.Name, Value: what, Allowed: allowed}
}
