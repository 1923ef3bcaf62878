package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/collective"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/latents"
	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/tensor/safetensors"
)

// Parts are what attempts keep besides checkpoints: embeddings and latents of pictures, the
// finished latents and the first seconds of the clip. The plan lists them by their names of package
// job. A part is never needed: one that is lost or damaged is made again.

const (
	partReadTime   = 10 * time.Second // after which making a part again is the faster way
	partRecordTime = 5 * time.Second  // for the host to record one
)

// keepsParts reports whether the ranks record parts: where checkpoints are written.
func (r *run) keepsParts() bool { return r.Plan.CheckpointEvery > 0 }

// recordPart records a stored object as a part of the job. It waits a little for the host; where
// the coordinators have no leader for longer, the work goes on without the part.
func (r *run) recordPart(ctx context.Context, name string, o job.Object) error {
	if !r.keepsParts() {
		return nil
	}
	short, cancel := context.WithTimeout(ctx, partRecordTime)
	defer cancel()
	err := RetryStore(short, func() error { return r.host.KeepPart(short, name, o) })
	if err != nil {
		err = fmt.Errorf("cannot record it: %w", err)
	}
	return err
}

// recordLatents records the finished latents, which are stored.
func (r *run) recordLatents(ctx context.Context, o job.Object) {
	if err := r.recordPart(ctx, job.PartLatents, o); err != nil && ctx.Err() == nil {
		r.host.Warn("cannot keep the latents", err)
	}
}

// keepInBackground stores values [rows, width] as a part while the rank goes on. The values must
// not change any more.
func (r *run) keepInBackground(name string, values []float32, width int) {
	if !r.keepsParts() {
		return
	}
	r.background.Go(func() {
		// The metadata make the object one of this job alone, which is deleted with the job.
		var b bytes.Buffer
		meta := map[string]string{"job": string(r.Plan.Job), "part": name}
		t := map[string]tensor.Tensor{"part": tensor.FromFloat32(values, len(values)/width, width)}
		err := safetensors.Write(&b, t, meta)

		var o job.Object
		if err == nil {
			o, err = r.storePart(r.backgroundCtx, bytes.NewReader(b.Bytes()))
		}
		if err == nil {
			err = r.recordPart(r.backgroundCtx, name, o)
		}
		if err != nil && r.backgroundCtx.Err() == nil {
			r.host.Warn("cannot keep part "+name, err)
		}
	})
}

// keptPart returns the n values of a part that an earlier attempt has kept; nil if there is none,
// or it cannot be used, of which the host is warned.
func (r *run) keptPart(ctx context.Context, name string, n int) []float32 {
	o, ok := r.Plan.Parts[name]
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, partReadTime)
	defer cancel()

	// A part is another attempt's work, perhaps another version's, so nothing of it is trusted.
	data, err := r.readObject(ctx, o)
	var v []float32
	if err == nil {
		v, err = parsePart(data, n)
	}
	if err == nil {
		err = tensor.CheckFinite("it", v)
	}
	if err != nil {
		r.warnDamaged(name, err)
		return nil
	}
	return v
}

// keepFile stores a file as a part. It is not worth the clip, so the host is warned where that
// fails.
func (r *run) keepFile(ctx context.Context, name string, f *os.File) {
	if !r.keepsParts() {
		return
	}
	o, err := r.storePart(ctx, f)
	if err == nil {
		err = r.recordPart(ctx, name, o)
	}
	if err != nil && ctx.Err() == nil {
		r.host.Warn("cannot keep part "+name, err)
	}
}

// copyKept copies a part that an earlier attempt has kept to an empty file, and reports whether it
// is there and good; check looks at the file. Otherwise the file is empty again.
func (r *run) copyKept(ctx context.Context, name string, f *os.File, check func() error) bool {
	o, ok := r.Plan.Parts[name]
	if !ok {
		return false
	}
	err := r.copyObject(ctx, f, 0, o)
	if err == nil {
		err = check()
	}
	if err != nil {
		r.warnDamaged(name, err)
		_ = truncate(f, 0) // or writing it says so
	}
	return err == nil
}

// parsePart reads the n values of a part's only tensor.
func parsePart(data []byte, n int) ([]float32, error) {
	f, err := safetensors.Parse(data)
	if err != nil {
		return nil, err
	}
	t, err := f.Tensor("part")
	if err != nil {
		return nil, err
	}
	v, err := t.Float32()
	if err == nil && len(v) != n {
		err = fmt.Errorf("tensor part has %d values, want %d", len(v), n)
	}
	return v, err
}

// warnDamaged warns of a part that cannot be used: what takes its place is stored under its name.
func (r *run) warnDamaged(name string, err error) {
	r.host.Warn("part "+name+" is made again", err)
}

// finishKept makes the clip from latents that an earlier attempt has kept, without text and
// denoising. ok is false, on all ranks, where there are none that can be read.
func (r *run) finishKept(ctx context.Context) (res job.Result, ok bool, err error) {
	if _, kept := r.Plan.Parts[job.PartLatents]; !kept {
		return res, false, nil
	}

	if r.Rank != 0 {
		b, err := r.Transport.Recv(ctx, 0, collective.Tag{Op: opLatentsKept})
		if ok = len(b) == 1 && b[0] == 1; ok && err == nil {
			err = r.awaitDecodeOrder(ctx)
		}
		return res, ok, err
	}

	err = r.withTempFile(func(f *os.File) error {
		if ok, err = r.readKeptLatents(ctx, f); err != nil {
			return err
		}
		if err := r.announceKept(ctx, ok); err != nil || !ok {
			return err
		}
		res.Latents = r.Plan.Parts[job.PartLatents]
		return r.makeVideo(ctx, f.Name(), &res)
	})
	return res, ok, err
}

// announceKept tells the other ranks whether the clip is made from kept latents.
func (r *run) announceKept(ctx context.Context, ok bool) error {
	verdict := byte(0)
	if ok {
		verdict = 1
	}
	for peer := 1; peer < r.Transport.Size(); peer++ {
		err := r.Transport.Send(ctx, peer, collective.Tag{Op: opLatentsKept}, []byte{verdict})
		if err != nil {
			return err
		}
	}
	return nil
}

// readKeptLatents copies the kept latents to a file; ok is false if they are gone or damaged.
func (r *run) readKeptLatents(ctx context.Context, f *os.File) (ok bool, err error) {
	err = r.copyObject(ctx, f, 0, r.Plan.Parts[job.PartLatents])
	lost := errors.Is(err, artifact.ErrDamaged) || errors.Is(err, artifact.ErrNotFound)
	if err != nil && !lost {
		return false, fmt.Errorf("cannot read the latents of an earlier attempt: %w", err)
	}

	if err == nil {
		var z *latents.File
		if z, err = r.openLatents(f.Name(), r.grid.T); err == nil {
			return true, z.Close()
		}
	}
	r.warnDamaged(job.PartLatents, err)
	return false, nil
}

// openLatents opens a latent of the clip's size with so many latent frames.
func (r *run) openLatents(path string, frames int) (*latents.File, error) {
	g := r.grid
	g.T = frames
	return latents.Open(path, r.e.folder.Transformer.OutChannels, g)
}
