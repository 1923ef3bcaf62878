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

// meanSpeed is a running mean of the device's speed in passes through the model, in multiplications
// and additions a second. Heartbeats carry it, so that the leader predicts how long clips take.
type meanSpeed struct {
	mu        sync.Mutex
	perSecond float64
}

// passWeight is the weight of one pass in the mean: about the last 64 passes count.
const passWeight = 1. / 64

// add takes a pass into the mean.
func (s *meanSpeed) add(operations float64, took time.Duration) {
	if took <= 0 {
		return
	}

	// The first pass counts fully.
	now := operations / took.Seconds()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.perSecond == 0 {
		s.perSecond = now
	}
	s.perSecond += passWeight * (now - s.perSecond)
}

// mean returns 0 before the first pass.
func (s *meanSpeed) mean() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.perSecond
}

const (
	rateTime = 10 * time.Millisecond // a product that takes as long is long enough to be measured
	rateRows = 4096                  // of the largest product that is tried
)

// rate measures how many multiplications and additions a device makes in a second, in products with
// a weight of the model: a first guess, until clips have been made. 0 where a product fails.
func rate(dev compute.Device, w compute.Linear) float64 {
	out, in := w.Dims()
	// Small products are bound by their overhead, so rows grow until one takes long enough.
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

// product times one product of a weight with so many rows.
func product(dev compute.Device, w compute.Linear, rows int) (time.Duration, error) {
	out, in := w.Dims()
	arena := model.NewArena(dev)
	defer arena.Free()
	x, y := arena.Mat(rows, in), arena.Mat(rows, out)
	if err := errors.Join(arena.Err(), dev.Sync()); err != nil {
		return 0, err
	}

	// The weight is packed and the memory allocated: only the product counts.
	start := time.Now()
	dev.Linear(y, x, w, compute.Epilogue{})
	err := dev.Sync()
	return time.Since(start), err
}

// RateCPU returns what a shard on this machine's CPU would register, without loading the model:
// about how many multiplications and additions so many threads make in a second, and how many bytes
// a clip may take where so many shards share the memory; 0: not known.
func RateCPU(m job.Model, threads, sharers int) (speed float64, memory int64, err error) {
	dev, err := cpu.New(threads)
	if err != nil {
		return 0, 0, err
	}
	defer dev.Close()

	// The largest product of a block stands for the model.
	dim, ffn := m.Heads*m.HeadDim, max(1, m.Cost.FFNDim)
	w, err := dev.PackLinear(make([]float32, dim*ffn), nil, ffn, dim, compute.FP32)
	if err != nil {
		return 0, 0, err
	}
	return rate(dev, w), memoryLeft(sharers), nil
}
