package diffusion

import "math"

// The constants of MT19937 (Matsumoto & Nishimura 1998): words of state, distance of the word that
// each is combined with, and the polynomial of its twist.
const (
	twisterWords = 624
	twisterShift = 397
	twisterMask  = 0x9908b0df
)

// fillBlock is the number of values that torch's vectorised fill makes from uniform ones at a time.
const fillBlock = 16

// Generator draws what torch.Generator("cpu") draws after manual_seed: MT19937, and on it torch's
// rules for normal values and permutations (ATen/native/cpu/DistributionTemplates.h). A clip's
// noise is thus the same as the reference pipeline's for its seed. It is not safe for concurrent
// use; a copy draws the same values from there on.
type Generator struct {
	state [twisterWords]uint32 // words drawn from next on, and used ones before
	next  int                  // index into state
	// spare is the second value of the last Box-Muller pair of a short draw, if not yet used.
	spare    float64
	hasSpare bool
	stop     func() bool // see StopWhen
}

// NewGenerator returns a generator seeded like torch.Generator("cpu").manual_seed(seed). Like torch
// it uses the low 32 bits of the seed only.
func NewGenerator(seed uint64) *Generator {
	g := &Generator{next: twisterWords}
	g.state[0] = uint32(seed)
	for i := 1; i < twisterWords; i++ {
		p := g.state[i-1]
		g.state[i] = 1812433253*(p^p>>30) + uint32(i)
	}
	return g
}

// Stream draws the values of torch.randn(n) in float32 and passes them to f in runs, each with the
// index of its first value. It keeps none, so that a long clip's noise never has to be in memory as
// a whole. f must not keep a run; without f the values are only passed over, which is faster.
//
// As in torch, the values depend on n: fewer than 16 are drawn one by one, more in blocks of 16. If
// n is not a multiple of 16, the last 16 values are drawn again, so the last run replaces values of
// those before it.
func (g *Generator) Stream(n int, f func(at int, values []float32)) {
	if n < fillBlock {
		for i := range n {
			v := [1]float32{float32(g.normal())}
			if f != nil {
				f(i, v[:])
			}
		}
		return
	}

	// Whole blocks of 16.
	at := 0
	for ; at+fillBlock <= n; at += fillBlock {
		if at%stopEvery == 0 && g.stop != nil && g.stop() {
			return
		}
		g.block(at, f)
	}

	// The rest: torch draws as many words, does not use them, and makes the last 16 values again.
	if at == n {
		return
	}
	for range n - at {
		g.uint32()
	}
	g.block(n-fillBlock, f)
}

// StopWhen sets a function that Stream asks every stopEvery values, since the noise of a long clip
// takes seconds. Once it returns true, Stream returns early, and what is drawn after that is
// meaningless.
func (g *Generator) StopWhen(stop func() bool) { g.stop = stop }

// stopEvery is how many values are drawn between two calls of stop.
const stopEvery = 1 << 20

// block draws a run of 16 values; without f it only advances the generator.
func (g *Generator) block(at int, f func(at int, values []float32)) {
	var run [fillBlock]float32
	for i := range run {
		run[i] = g.uniform32()
	}
	if f != nil {
		boxMuller(run[:])
		f(at, run[:])
	}
}

// Randperm returns torch.randperm(n), for n below 2^32/20; above that, torch draws by another rule.
func (g *Generator) Randperm(n int) []int64 {
	out := make([]int64, n)
	for i := range out {
		out[i] = int64(i)
	}
	for i := range n - 1 {
		j := i + int(g.uint32())%(n-i)
		out[i], out[j] = out[j], out[i]
	}
	return out
}

// boxMuller turns 16 uniform values into normal ones in place: values j and j+8 make a pair.
func boxMuller(block []float32) {
	const half = fillBlock / 2
	for j := range half {
		u1, u2 := 1-block[j], block[j+half]
		radius := float32(math.Sqrt(float64(-2 * float32(math.Log(float64(u1))))))
		theta := float32(2*math.Pi) * u2
		sin, cos := math.Sincos(float64(theta))
		block[j], block[j+half] = radius*float32(cos), radius*float32(sin)
	}
}

// normal draws one value by Box-Muller in float64, and keeps the pair's other value for the next
// call.
func (g *Generator) normal() float64 {
	if g.hasSpare {
		g.hasSpare = false
		return g.spare
	}
	u1, u2 := g.uniform64(), g.uniform64()
	radius := math.Sqrt(-2 * math.Log1p(-u2))
	sin, cos := math.Sincos(2 * math.Pi * u1)
	g.spare, g.hasSpare = radius*sin, true
	return radius * cos
}

// uniform32 draws from [0, 1) in steps of 2^-24, all that a float32 resolves.
func (g *Generator) uniform32() float32 {
	return float32(g.uint32()&(1<<24-1)) / (1 << 24)
}

// uniform64 draws from [0, 1) in steps of 2^-53; the first word is the high one.
func (g *Generator) uniform64() float64 {
	hi := uint64(g.uint32())
	return float64((hi<<32|uint64(g.uint32()))&(1<<53-1)) / (1 << 53)
}

// uint32 returns the twister's next word, tempered.
func (g *Generator) uint32() uint32 {
	if g.next == twisterWords {
		g.twist()
	}
	y := g.state[g.next]
	g.next++
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

// twist makes the next 624 words, each from the top bit of one word, the rest of the next and one
// 397 words on.
func (g *Generator) twist() {
	s := &g.state
	for i := range s {
		y := s[i]&(1<<31) | s[(i+1)%twisterWords]&(1<<31-1)
		s[i] = s[(i+twisterShift)%twisterWords] ^ y>>1 ^ -(y&1)&twisterMask
	}
	g.next = 0
}
