package transporttest

import (
	"math/rand/v2"
	"slices"
	"sync"
)

// Fault harms frames at random, the same way for the same seed and order of frames. The rates are
// probabilities in 0..1 and their sum is at most 1.
type Fault struct {
	Seed      uint64
	Drop      float64
	Duplicate float64
	Corrupt   float64 // one bit is flipped, or the end cut off
	Delay     float64 // the frame leaves after up to 8 later ones, so order changes
}

const delayMax = 8 // frames

// Intercept returns the rule as a function of a frame that gives what to publish instead of it.
// It keeps no reference to the frame and may be called from several goroutines.
func (f Fault) Intercept() func(frame []byte) [][]byte {
	b := &breaker{Fault: f, rng: rand.New(rand.NewPCG(f.Seed, 1))}
	return b.frame
}

// breaker is a Fault at work.
type breaker struct {
	Fault
	mu   sync.Mutex
	rng  *rand.Rand
	held []held
}

// held is a frame that leaves after some more.
type held struct {
	frame []byte
	after int
}

func (b *breaker) frame(frame []byte) [][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append(b.harm(frame), b.due()...)
}

func (b *breaker) harm(frame []byte) [][]byte {
	x := b.rng.Float64()
	for i, rate := range []float64{b.Drop, b.Duplicate, b.Corrupt, b.Delay} {
		if x -= rate; x >= 0 {
			continue
		}
		switch i {
		case 0:
			return nil
		case 1:
			return [][]byte{frame, slices.Clone(frame)}
		case 2:
			return [][]byte{b.corrupt(slices.Clone(frame))}
		}
		b.held = append(b.held, held{slices.Clone(frame), 1 + b.rng.IntN(delayMax)})
		return nil
	}
	return [][]byte{frame}
}

func (b *breaker) corrupt(frame []byte) []byte {
	at := b.rng.IntN(len(frame))
	if b.rng.IntN(4) == 0 {
		return frame[:at]
	}
	frame[at] ^= 1 << b.rng.IntN(8)
	return frame
}

// due returns the held frames whose time has come.
func (b *breaker) due() (out [][]byte) {
	b.held = slices.DeleteFunc(b.held, func(h held) bool {
		if h.after > 0 {
			return false
		}
		out = append(out, h.frame)
		return true
	})
	for i := range b.held {
		b.held[i].after--
	}
	return out
}
