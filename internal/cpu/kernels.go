package cpu

import (
	"fmt"
	"math"
	"os"
	"strings"

	"github.com/longtake/longtake/internal/compute"
)

// kernels is what the operations need of one instruction set, and the tiles it works on. Sets agree
// with each other up to rounding; within a set an element's bits depend on nothing but its row and
// column. Slices must be as long as the sizes say: a set in assembly checks that once per call.
// Functions keep no state and may be called concurrently.
type kernels struct {
	name string // as LONGTAKE_CPU calls the set
	// mr and nr are the rows and columns of the micro-kernel's tile; the last panel of a matrix has
	// half columns where that is enough.
	mr, nr, half int
	// rowsMost and depth are the rows and the steps of k that a task of a product works on at
	// once; they change speed, never bits.
	rowsMost, depth int

	// gemm computes rows of c [rows, width], ld apart: c = a·b, or c += a·b when add is set. Width is
	// nr or half; b [runs·n, width] is a panel. Step k of the left matrix lies in run k/n, whose n
	// steps start, for row r, at the pointer at[(r/mr*runs + k/n)*mr + r%mr]. Pointers, and rows of c,
	// are there for whole groups of mr rows: it may compute the last one whole.
	gemm microTile
	// transpose computes dst[k*stride+i] = rows[i][k] for k < n, lanes rows at a time.
	transpose func(dst []float32, stride int, rows []*float32, n int)

	// finish computes dst = act(y+bias)·mul·gate + residual for rows of n elements; nil slices leave a
	// step out. dst may be y, mul or residual.
	finish func(dst, y []float32, rows, n int, f *finishing)

	// softmax works on the scores p [keyTile, nr] of n keys, a query to a column: it multiplies them
	// by scale, which is positive, adds bias[at-key+query] (nil: nothing), and turns them into
	// probabilities against the running maximum, which it updates in s.
	softmax softmaxFunc
	// blend computes out = out·shrink + tile, both [?, nr]; divide out = out / sums.
	blend  func(out, tile []float32, s *running)
	divide func(out []float32, s *running)
	// bf16 is how the set multiplies in bfloat16.
	bf16 bf16Kernels
	// widen turns bfloat16 into float32, whole cache lines of it: weights that are bfloat16 in their
	// file, or where a unit is one number, are kept in two bytes.
	widen func(dst []float32, x []uint16)

	// sum adds x, squares adds (x-mean)², both in float64.
	sum     func(x []float32) float64
	squares func(x []float32, mean float64) float64
	// normalise computes y = (x-mean)·inverse, then y·gain+bias, then y·(1+scale)+shift; nil slices
	// leave a step out.
	normalise func(dst, x []float32, f *normalising)
	// rotate rotates the pairs of every head of y by the angles of a row.
	rotate func(y, cos, sin []float32)

	// peak does turns of a loop of multiply-adds on registers and returns the floating-point
	// operations of a turn; nil where there is none.
	peak func(turns int) float64
}

// bf16Kernels is how a set multiplies bfloat16 with sums in float32. Inputs are kept in units of
// four bytes: pairs of bfloat16 where the machine multiplies those, one number rounded to bfloat16
// elsewhere. Counts of k, widths of rows and strides are in units.
type bf16Kernels struct {
	per  int // steps of k in a unit
	gemm microTile
	// softmax leaves probabilities in units: rows of per keys.
	softmax softmaxFunc
	// narrow rounds x to ceil(len(x)/per) units; dst may be x.
	narrow func(dst, x []float32)
	peak   func(turns int) float64
}

// units returns how many units n steps of k take.
func (l *bf16Kernels) units(n int) int { return ceil(n, l.per) }

// microTile is the type of kernels.gemm.
type microTile = func(c []float32, ld, rows, width int, at []*float32, runs, n int, b []float32,
	next prefetch, add bool)

// softmaxFunc is the type of kernels.softmax.
type softmaxFunc = func(p []float32, n int, scale float32, bias []float32, at int, s *running)

// finishing is the arguments of kernels.finish: an epilogue for some rows. Steps are the elements
// from one row to the next; all rows share the bias, and with a step of 0 the gate as well.
type finishing struct {
	bias, mul, gate, residual                    []float32
	dstStep, yStep, mulStep, gateStep, residStep int
	act                                          compute.Activation
}

// normalising is the arguments of kernels.normalise, the second pass of a norm over a row.
type normalising struct {
	mean, inverse            float64 // inverse is what a centred element is multiplied by
	gain, bias, scale, shift []float32
}

// running is the state of the running softmax of up to 32 queries. The assembly knows its layout
// (gen/attention.go). Sets scale most each in their own way; nobody else reads it.
type running struct {
	most   [32]float32 // the largest score so far
	shrink [32]float32 // the factor by which the last tile of keys scaled down the earlier ones
	sums   [32]float32 // of the exponentials
}

// reset starts over: no key has been seen.
func (r *running) reset() {
	*r = running{}
	for i := range r.most {
		r.most[i] = float32(math.Inf(-1))
	}
}

// candidate is a set of kernels in this build, whether or not the machine can run it.
type candidate struct {
	*kernels
	lacks string // a feature that the set needs and the machine lacks, "" when it can run
}

// chooseKernels picks the best set that the machine runs, or the one that LONGTAKE_CPU names.
func chooseKernels() (*kernels, error) {
	want, names := os.Getenv("LONGTAKE_CPU"), []string{}
	for _, c := range append(candidates(), candidate{kernels: &generic}) {
		switch {
		case want == "" && c.lacks == "":
			return c.kernels, nil
		case want == c.name && c.lacks != "":
			return nil, fmt.Errorf("LONGTAKE_CPU is %q, but this machine lacks %s", want, c.lacks)
		case want == c.name:
			return c.kernels, nil
		}
		names = append(names, c.name)
	}
	return nil, fmt.Errorf("LONGTAKE_CPU is %q; allowed: %s", want, strings.Join(names, ", "))
}

// padded returns how many columns n take in panels.
func (k *kernels) padded(n int) int {
	whole := n / k.nr * k.nr
	if rest := n - whole; rest > k.half {
		return whole + k.nr
	} else if rest > 0 {
		return whole + k.half
	}
	return whole
}

// roundUp returns n rounded up to a multiple of to.
func roundUp(n, to int) int { return (n + to - 1) / to * to }

// split returns the size of the fewest equal parts of n, none above most; both are multiples of to.
func split(n, most, to int) int {
	return roundUp(ceil(n, max(1, ceil(n, most))), to)
}
