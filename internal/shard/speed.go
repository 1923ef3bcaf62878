package shard

import (
	"errors"
	"sync"
	"time"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/cpu"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/model"
)

// speed is a running mean of what the node has measured of its passes, in operations per second.
type speed struct {
	mu  sync.Mutex
	per float64
}

// measure takes a pass.
func (s *speed) measure(operations float64, took time.Duration) {
	if took <= 0 {
		return
	}
	now := operations / took.Seconds()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.per == 0 {
		s.per = now
	}
	s.per = (63*s.per + now) / 64
}

// mean returns 0 before the first pass.
func (s *speed) mean() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.per
}

// What a rating takes at least, and how many rows its products have at most.
const (
	rateTime = 10 * time.Millisecond
	rateRows = 4096
)

// rate measures how many multiplications and additions a device makes in a second, in products with
// a weight of the model: a first guess, until clips have been made. 0 where it cannot be told.
func rate(dev compute.Device, w compute.Linear) float64 {
	out, in := w.Dims()
	for rows := 64; ; rows *= 2 {
		took, err := product(dev, w, rows)
		switch {
		case err != nil:
			return 0
		case took >= rateTime || rows == rateRows:
			return 2 * float64(rows) * float64(in) * float64(out) / max(took.Seconds(), 1e-9)
		}
	}
}

// product times one product of so many rows.
func product(dev compute.Device, w compute.Linear, rows int) (time.Duration, error) {
	out, in := w.Dims()
	arena := model.NewArena(dev)
	defer arena.Free()
	x, y := arena.Mat(rows, in), arena.Mat(rows, out)
	if err := errors.Join(arena.Err(), dev.Sync()); err != nil {
		return 0, err
	}
	start := time.Now()
	dev.Linear(y, x, w, compute.Epilogue{})
	err := dev.Sync()
	return time.Since(start), err
}

// RateCPU returns how many multiplications and additions threads of this machine's CPU make in a
// second for a model, of which nothing needs to be loaded, and how many bytes a clip may take, each
// of so many shards; 0 is not known.
func RateCPU(m job.Model, threads, sharers int) (speed float64, memory int64, err error) {
	dev, err := cpu.New(threads)
	if err != nil {
		return 0, 0, err
	}
	defer dev.Close()
	dim, ffn := m.Heads*m.HeadDim, max(1, m.Cost.FFNDim)
	w, err := dev.PackLinear(make([]float32, dim*ffn), nil, ffn, dim, compute.FP32)
	if err != nil {
		return 0, 0, err
	}
	return rate(dev, w), room(sharers), nil
}
