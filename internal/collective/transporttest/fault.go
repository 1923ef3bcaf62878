package transporttest

import (
	"math/rand/v2"
	"slices"
	"sync"
)

// Fault harms frames at random, in the same way for the same seed and order of frames. The rates
// are probabilities from 0 to 1, and their sum is at most 1.
type Fault struct {
	Seed uint64
	// Drop is of frames that never leave.
	Drop float64
	// Duplicate is of frames that leave twice.
	Duplicate float64
	// Corrupt is of frames of which one bit is flipped, or the end cut off.
	Corrupt float64
	// Delay is of frames that leave after up to delayMax later ones, so that their order changes.
	Delay float64
}

// delayMax is how many later frames may overtake a delayed one.
const delayMax = 8

// Intercept returns a function of a frame that returns what to publish in its place. It keeps no
// reference to the frame and may be called from several goroutines. The order in which goroutines
// publish is not fixed, so a seed repeats the rates and the kinds of harm, not every frame's fate.
func (f Fault) Intercept() func(frame []byte) [][]byte {
	b := &breaker{Fault: f, rng: rand.New(rand.NewPCG(f.Seed, 1))}
	return b.frame
}

// breaker applies a Fault to the frames of one endpoint.
type breaker struct {
	Fault
	mu   sync.Mutex
	rng  *rand.Rand
	held []held // delayed frames
}

// held is a frame that leaves after some later ones.
type held struct {
	frame []byte
	after int
}

// frame returns what becomes of a frame, and the delayed ones that are due with it.
func (b *breaker) frame(frame []byte) [][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append(b.harm(frame), b.due()...)
}

// harm draws what becomes of a frame.
func (b *breaker) harm(frame []byte) [][]byte {
	x := b.rng.Float64()

	// The rates divide the range from 0 to 1; what lies above their sum leaves as it is.
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

// corrupt cuts one in four frames off and flips a bit of the others. A cut frame tests the check of
// lengths, a flipped bit that of checksums.
func (b *breaker) corrupt(frame []byte) []byte {
	at := b.rng.IntN(len(frame))
	if b.rng.IntN(4) == 0 {
		return frame[:at]
	}
	frame[at] ^= 1 << b.rng.IntN(8)
	return frame
}

// due returns the delayed frames that enough later ones have overtaken. Frames are counted, not
// timed: a delay that depended on the clock would make tests slow or flaky. A frame that nothing
// follows is never released, which to the receiver is a lost one.
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
