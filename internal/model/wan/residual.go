package wan

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/model"
)

// Residual is what all blocks together have added to a rank's own tokens in a pass. At a step near
// that one the blocks would add about the same, which TeaCache makes use of (Liu et al. 2024).
type Residual struct {
	sum   compute.Mat // [n, d]
	minus compute.Mat // [1, d], of -1
	arena *model.Arena
}

// NewResidual allocates one for the sequence's own tokens. It fails with compute.ErrMemory when the
// device lacks the memory. Free it after the last pass.
func (s *Sequence) NewResidual() (*Residual, error) {
	x := &Residual{arena: model.NewArena(s.t.dev)}
	x.allocate(s.own.Len(), s.t.cfg.Dim())
	if err := x.arena.Err(); err != nil {
		return nil, fmt.Errorf("cannot keep what blocks add to %d tokens: %w", s.own.Len(), err)
	}
	s.t.dev.Upload(x.minus, slices.Repeat([]float32{-1}, x.minus.Cols))
	return x, nil
}

// ResidualBytes returns the bytes of device memory that a Residual of n tokens takes.
func (t *Transformer) ResidualBytes(n int) int64 {
	m := &compute.Meter{}
	x := &Residual{arena: model.NewArena(m)}
	x.allocate(n, t.cfg.Dim())
	return m.Peak()
}

// allocate takes the memory for n tokens. ResidualBytes calls it too.
func (x *Residual) allocate(n, d int) { x.sum, x.minus = x.arena.Mat(n, d), x.arena.Mat(1, d) }

// Free gives the memory back to the device.
func (x *Residual) Free() { x.arena.Free() }

// keep sets the residual of the pass under way: hidden after all blocks, minus what they began
// with. That is one small product, and nothing has to hold it through the blocks: it is made again,
// with the same bits, and subtracted as it is stored.
func (s *Sequence) keep(x *Residual) {
	gate := compute.RowVec{M: x.minus}
	s.t.dev.Linear(x.sum, s.in, s.t.patch, compute.Epilogue{Gate: &gate, Residual: &s.hidden})
}

// ForwardWith is Forward without the blocks: what they add is taken from an earlier pass over the
// same tokens, of which x is the residual. It computes on this rank alone, so it needs no tag.
func (s *Sequence) ForwardWith(ctx context.Context, residual *Residual, x, v []float32,
	ts Timesteps) error {
	if err := s.begin(x, ts); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	dev := s.t.dev
	dev.Linear(s.hidden, s.in, s.t.patch, compute.Epilogue{Residual: &residual.sum})
	s.output()
	return dev.Download(v, s.out)
}

// StepDistances returns how far the projected embedding of each timestep is from that of the one
// before, relative to that one: the sum of the absolute differences by the sum of the absolute
// values; 0 for the first. They are the same on every rank.
func (s *Sequence) StepDistances(timesteps []float32) ([]float64, error) {
	width := 6 * s.t.cfg.Dim()
	distances := make([]float64, 0, len(timesteps))
	var before []float32 // the embedding of the timestep before

	for values := range slices.Chunk(timesteps, timestepsMax) {
		s.embedTime(Timesteps{Values: values})
		rows := make([]float32, len(values)*width)
		if err := s.t.dev.Download(rows, s.tproj); err != nil {
			return nil, err
		}
		for row := range slices.Chunk(rows, width) {
			distances = append(distances, distance(before, row))
			before = row
		}
	}
	return distances, nil
}

// distance is that of b from a, relative to a; 0 where there is no a.
func distance(a, b []float32) float64 {
	difference, size := 0., 0.
	for i, v := range a {
		difference += math.Abs(float64(b[i]) - float64(v))
		size += math.Abs(float64(v))
	}
	if size == 0 {
		return difference
	}
	return difference / size
}
