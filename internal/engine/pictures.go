package engine

import (
	"context"
	"fmt"
	"image"
	"io"
	"os"

	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/media"
	"github.com/longtake/longtake/internal/model"
	vision "github.com/longtake/longtake/internal/model/clip"
	"github.com/longtake/longtake/internal/tensor"
)

// sharePictures fills the embeddings of the clip's pictures, where the transformer sees them. Rank
// 0 makes them, or has them from an earlier attempt, and the others receive them.
func (r *run) sharePictures(ctx context.Context) error {
	if !r.e.form.SeesPictures() {
		return nil
	}
	n := len(r.seenInputs()) * r.e.folder.ImageEncoder.Tokens() * r.e.folder.ImageEncoder.HiddenSize

	var embeds []float32
	if r.Rank == 0 {
		if embeds = r.keptPart(ctx, job.PartPictures, n); embeds == nil {
			var err error
			if embeds, err = r.encodePictures(ctx); err != nil {
				return fmt.Errorf("cannot look at this picture: %w", err)
			}
			r.keepInBackground(job.PartPictures, embeds, r.e.folder.ImageEncoder.HiddenSize)
		}
	}

	embeds, err := r.shareFirst(ctx, collective.Tag{Op: opPictures}, embeds, n, "pictures")
	if err != nil {
		return err
	}
	r.conditions.embeds = embeds
	return tensor.CheckFinite("the pictures' embeddings", embeds)
}

// picturesBytes returns the bytes of the device that the pictures hold which the transformer sees,
// and those that making them takes on top, for a moment.
func (r *run) picturesBytes() (held, work int64) {
	if !r.e.form.SeesPictures() {
		return 0, 0
	}
	c := r.e.folder.ImageEncoder
	held, work = r.e.form.PicturesBytes(len(r.seenInputs()) * c.Tokens())
	if r.Rank == 0 {
		work = max(work, vision.Bytes(c))
	}
	return held, work
}

// seenInputs lists the inputs that the transformer sees as pictures, in their order.
func (r *run) seenInputs() (roles []job.Role) {
	for _, role := range []job.Role{job.RoleStart, job.RoleLast} {
		if in, ok := r.Plan.Spec.Input(role); ok && in.Kind == job.KindImage {
			roles = append(roles, role)
		}
	}
	return roles
}

// encodePictures returns the embeddings of the clip's pictures, one after the other. They are seen
// whole, whatever the clip's proportions. The image encoder is loaded for it and given back to the
// pool afterwards.
func (r *run) encodePictures(ctx context.Context) ([]float32, error) {
	dev, f := r.e.dev.Main, r.e.folder
	encoder, err := acquire(ctx, r.e, dev, model.ImageEncoder, compute.FP32,
		func(w *model.Weights) (*vision.Encoder, error) { return vision.Load(dev, f.ImageEncoder, w) })
	if err != nil {
		return nil, err
	}
	defer r.e.drop(model.ImageEncoder)

	var all []float32
	for _, role := range r.seenInputs() {
		img, err := r.readPicture(ctx, role)
		if err != nil {
			return nil, err
		}

		embeds, err := encoder.On(dev).Encode(vision.Pixels(media.FrameOf(img), f.ImageProcessor))
		if err != nil {
			return nil, err
		}
		all = append(all, embeds...)
	}
	return all, nil
}

// readPicture returns the picture that has a role.
func (r *run) readPicture(ctx context.Context, role job.Role) (img *image.RGBA, err error) {
	in, ok := r.Plan.Spec.Input(role)
	if !ok {
		return nil, fmt.Errorf("the job has no picture of role %s", role)
	}
	err = r.withTempFile(func(f *os.File) error {
		if err := r.copyObject(ctx, f, 0, in.Object); err != nil {
			return err
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		img, err = media.ReadPicture(ctx, f)
		return err
	})
	return img, err
}
