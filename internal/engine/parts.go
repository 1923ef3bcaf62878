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
	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/tensor/safetensors"
)

const (
	partReadTime = 10 * time.Second // for a part that is made again sooner than it is waited for
	partKeepTime = 5 * time.Second  // for the leader to record one
)

// keeps reports whether the ranks record parts: where checkpoints are written.
func (r *run) keeps() bool { return r.Plan.CheckpointEvery > 0 }

// keep records a stored object as a part of the job. It is waited for a little; where nobody leads
// for longer the work goes on without.
func (r *run) keep(ctx context.Context, name string, o job.Object) error {
	if !r.keeps() {
		return nil
	}
	short, cancel := context.WithTimeout(ctx, partKeepTime)
	defer cancel()
	err := RetryStore(short, func() error { return r.host.KeepPart(short, name, o) })
	if err != nil {
		err = fmt.Errorf("cannot record it: %w", err)
	}
	return err
}

// keepLatents records the finished latents.
func (r *run) keepLatents(ctx context.Context, o job.Object) {
	if err := r.keep(ctx, job.PartLatents, o); err != nil && ctx.Err() == nil {
		r.host.Warn("cannot keep the latents", err)
	}
}

// keepBeside stores values [rows, width] as a part, beside the computation.
func (r *run) keepBeside(name string, values []float32, width int) {
	if !r.keeps() {
		return
	}
	r.beside.Go(func() {
		var b bytes.Buffer
		meta := map[string]string{"job": string(r.Plan.Job), "part": name}
		t := map[string]tensor.Tensor{"part": tensor.FromFloat32(values, len(values)/width, width)}
		err := safetensors.Write(&b, t, meta)
		var o job.Object
		if err == nil {
			o, err = r.putBeside(r.besideCtx, bytes.NewReader(b.Bytes()))
		}
		if err == nil {
			err = r.keep(r.besideCtx, name, o)
		}
		if err != nil && r.besideCtx.Err() == nil {
			r.host.Warn("cannot keep part "+name, err)
		}
	})
}

// part returns the n values of a part that an earlier attempt has kept, nil if there is none that
// can be used.
func (r *run) part(ctx context.Context, name string, n int) []float32 {
	o, ok := r.Plan.Parts[name]
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, partReadTime)
	defer cancel()
	data, err := r.read(ctx, o)
	var v []float32
	if err == nil {
		v, err = values(data, "part", n)
	}
	if err == nil {
		err = tensor.CheckFinite("it", v)
	}
	if err != nil {
		r.spoilt(name, err)
		return nil
	}
	return v
}

// spoilt tells of a part that cannot be used: what takes its place is stored over it.
func (r *run) spoilt(name string, err error) { r.host.Warn("part "+name+" is made again", err) }

// values reads the n values of one tensor.
func values(data []byte, name string, n int) ([]float32, error) {
	f, err := safetensors.Parse(data)
	if err != nil {
		return nil, err
	}
	t, err := f.Tensor(name)
	if err != nil {
		return nil, err
	}
	v, err := t.Float32()
	if err == nil && len(v) != n {
		err = fmt.Errorf("tensor %s has %d values, want %d", name, len(v), n)
	}
	return v, err
}

// finished makes the clip from the latent that an earlier attempt has kept, if there is one that
// can be read: ok says so on all ranks.
func (r *run) finished(ctx context.Context) (res job.Result, ok bool, err error) {
	if _, kept := r.Plan.Parts[job.PartLatents]; !kept {
		return res, false, nil
	}
	if r.Rank != 0 {
		b, err := r.Transport.Recv(ctx, 0, collective.Tag{Op: opKept})
		if ok = len(b) == 1 && b[0] == 1; ok && err == nil {
			err = r.serve(ctx)
		}
		return res, ok, err
	}
	err = r.withFile(func(f *os.File) error {
		if ok, err = r.recall(ctx, f); err != nil {
			return err
		}
		if err := r.tellKept(ctx, ok); err != nil || !ok {
			return err
		}
		res.Latents = r.Plan.Parts[job.PartLatents]
		return r.complete(ctx, f.Name(), &res)
	})
	return res, ok, err
}

// tellKept tells the others whether there is a latent.
func (r *run) tellKept(ctx context.Context, ok bool) error {
	verdict := byte(0)
	if ok {
		verdict = 1
	}
	for peer := 1; peer < r.Transport.Size(); peer++ {
		err := r.Transport.Send(ctx, peer, collective.Tag{Op: opKept}, []byte{verdict})
		if err != nil {
			return err
		}
	}
	return nil
}

// recall reads the kept latent into a file; ok is false if it is gone or damaged.
func (r *run) recall(ctx context.Context, f *os.File) (ok bool, err error) {
	err = r.copyTo(ctx, f, r.Plan.Parts[job.PartLatents])
	lost := errors.Is(err, artifact.ErrDamaged) || errors.Is(err, artifact.ErrNotFound)
	if err != nil && !lost {
		return false, fmt.Errorf("cannot read the latents of an earlier attempt: %w", err)
	}
	if err == nil {
		var z *latentFile
		if z, err = r.openLatents(f.Name(), r.grid.T); err == nil {
			return true, z.file.Close()
		}
	}
	r.spoilt(job.PartLatents, err)
	return false, nil
}
