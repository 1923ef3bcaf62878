package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/tensor/safetensors"
)

// DamagedError says that the plan's checkpoint is gone or cannot be read. The next attempt has to
// resume from an older one, or start from the beginning.
type DamagedError struct{ Err error }

// Error implements error.
func (e *DamagedError) Error() string { return "the checkpoint cannot be used: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *DamagedError) Unwrap() error { return e.Err }

// resume loads the plan's checkpoint into x, the values of the held tokens; restore takes the count
// of steps done and what the scheduler kept of the tokens that this rank computes. It returns that
// count, 0 where the plan has no checkpoint. A checkpoint that cannot be used is a *DamagedError.
func (r *run) resume(ctx context.Context, x []float32,
	restore func(done int, state [][]float32) error) (int, error) {
	c := r.Plan.Resume
	if c.Step == 0 {
		return 0, nil
	}

	return c.Step, r.withTempFile(func(f *os.File) error {
		if err := r.fetchCheckpoint(ctx, f, c.Object); err != nil {
			return err
		}
		if err := r.loadCheckpoint(f.Name(), c.Step, x, restore); err != nil {
			return &DamagedError{err}
		}
		return nil
	})
}

// fetchCheckpoint copies a checkpoint to an empty file. One that is gone or damaged is a
// *DamagedError.
func (r *run) fetchCheckpoint(ctx context.Context, f *os.File, o job.Object) error {
	err := r.copyObject(ctx, f, 0, o)
	if errors.Is(err, artifact.ErrDamaged) || errors.Is(err, artifact.ErrNotFound) {
		return &DamagedError{err}
	}
	if err != nil {
		return fmt.Errorf("cannot read the checkpoint: %w", err)
	}
	return nil
}

// loadCheckpoint reads from a checkpoint's file what this rank holds, whichever mesh has written
// it.
func (r *run) loadCheckpoint(path string, step int, x []float32,
	restore func(done int, state [][]float32) error) error {
	f, err := safetensors.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()

	// The file has the tokens of the clip in their order, whichever ranks gave them.
	held := r.layout.Held(r.Rank)
	if err := r.readRows(f, 0, r.layout.Tokens(), held, x); err != nil {
		return err
	}

	// The scheduler's tensors cover the clip, or the window that was being made.
	cover := partition.Range{Hi: r.layout.Tokens()}
	if r.layout.Extend && len(f.Names()) > 1 {
		w, _ := r.position(step)
		cover = r.layout.TokensOf(r.layout.Windows(0)[w])
		held = []partition.Range{r.layout.Own(0, r.Rank, w)}
	}
	var rows []partition.Range
	tokens := 0
	for _, h := range held {
		rows, tokens = append(rows, h.Plus(-cover.Lo)), tokens+h.Len()
	}

	var kept [][]float32
	for i := 1; i < len(f.Names()); i++ {
		v := make([]float32, tokens*r.e.form.TokenWidth())
		if err := r.readRows(f, i, cover.Len(), rows, v); err != nil {
			return err
		}
		kept = append(kept, v)
	}
	return restore(step, kept)
}

// readRows copies ranges of rows of tensor i, which must be F32 [total, token width], to dst.
func (r *run) readRows(f *safetensors.File, i, total int, ranges []partition.Range,
	dst []float32) error {
	t, err := f.Tensor(strconv.Itoa(i))
	if err != nil {
		return err
	}
	width := r.e.form.TokenWidth()
	if !t.Shape.Equal(tensor.Shape{total, width}) || t.DType != tensor.F32 {
		return fmt.Errorf("tensor %d is %v %v, want F32 [%d %d]", i, t.DType, t.Shape, total, width)
	}

	bytes := tensor.Bytes(dst)
	for _, rows := range ranges {
		n := copy(bytes, t.Data[4*width*rows.Lo:4*width*rows.Hi])
		bytes = bytes[n:]
	}
	return nil
}
