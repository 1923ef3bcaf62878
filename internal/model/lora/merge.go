package lora

import (
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/longtake/longtake/internal/tensor"
)

// Scaled is a LoRA and how strongly it is applied: 1 as it was trained, 0 not at all; negative
// scales reverse its effect.
type Scaled struct {
	File  *File
	Scale float64
}

// Set is a list of LoRAs that are added to a transformer's weights, in order. It implements
// model.Overlay, and is safe for concurrent use.
type Set []Scaled

// Changes implements model.Overlay.
func (s Set) Changes(weight string) bool {
	for _, l := range s {
		if l.Scale != 0 && l.File.changes[weight] != nil {
			return true
		}
	}
	return false
}

// Change implements model.Overlay: it adds every LoRA's change to the values of a weight, in place.
// Rows are shared out to all cores; each value is computed by itself, so their number changes
// nothing.
func (s Set) Change(weight string, w []float32) error {
	for _, l := range s {
		c := l.File.changes[weight]
		if c == nil || l.Scale == 0 {
			continue
		}
		if err := c.add(w, l.Scale); err != nil {
			return fmt.Errorf("%s: %w", weight, err)
		}
	}
	return nil
}

// add adds scale times the change to w [out, in].
func (c *change) add(w []float32, scale float64) error {
	factor := float32(scale * c.factor)
	if c.down.Data != nil {
		a, b, err := c.factors()
		if err != nil {
			return err
		}
		addProduct(w, a, b, c.down.Shape[0], factor)
	}
	if c.full.Data == nil {
		return nil
	}

	d, err := c.full.Float32()
	if err != nil {
		return err
	}
	for i, v := range d {
		w[i] += float32(v * factor)
	}
	return nil
}

// factors returns A and B with alpha / rank in them. The reference halves B as often as it doubles
// A, which changes no bit of the product, and rounds both to the file's type.
func (c *change) factors() (a, b []float32, err error) {
	if a, err = c.down.Float32(); err != nil {
		return nil, nil, err
	}
	if b, err = c.up.Float32(); err != nil || !c.hasAlpha {
		return a, b, err
	}

	onDown, onUp := c.alpha/float64(c.down.Shape[0]), 1.0
	for onDown > 0 && onDown*2 < onUp {
		onDown, onUp = onDown*2, onUp/2
	}
	times(a, float32(onDown), c.down.DType)
	times(b, float32(onUp), c.up.DType)
	return a, b, nil
}

// times multiplies values in place and rounds them to a type, as its tensors do.
func times(v []float32, by float32, t tensor.DType) {
	if by == 1 {
		return
	}
	for i := range v {
		v[i] = rounded(v[i]*by, t)
	}
}

// rounded returns the value of a type that is nearest to x, ties to even.
func rounded(x float32, t tensor.DType) float32 {
	bits := math.Float32bits(x)
	switch t {
	case tensor.BF16:
		return math.Float32frombits((bits + 0x7fff + bits>>16&1) &^ 0xffff)
	case tensor.F16:
		// Below 2^-14 halves are multiples of 2^-24; adding and taking away 1.5·2^(23-24) rounds to
		// those. Above, ten bits of the fraction stay.
		if exp := int(bits>>23&0xff) - 127; exp < -14 {
			const magic = 1.5 / 2
			return float32(x+magic) - magic
		}
		return math.Float32frombits((bits + 0xfff + bits>>13&1) &^ 0x1fff)
	}
	return x
}

// rowsAtOnce is how many rows of a weight a core takes at a time.
const rowsAtOnce = 16

// addProduct adds factor·B·A to w [out, in], with A [rank, in] and B [out, rank].
func addProduct(w, a, b []float32, rank int, factor float32) {
	in, out := len(a)/rank, len(b)/rank

	// Each goroutine takes the next rows until there are no more.
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), (out+rowsAtOnce-1)/rowsAtOnce) {
		wg.Go(func() {
			sum := make([]float32, in)
			for {
				hi := int(next.Add(rowsAtOnce))
				for o := hi - rowsAtOnce; o < min(hi, out); o++ {
					addRow(w[o*in:(o+1)*in], sum, a, b[o*rank:(o+1)*rank], factor)
				}
				if hi >= out {
					return
				}
			}
		})
	}
	wg.Wait()
}

// addRow adds factor·b·A to a row w [in]; b is [rank], A [rank, in], and sum [in] is scratch
// memory.
func addRow(w, sum, a, b []float32, factor float32) {
	clear(sum)
	k, in := 0, len(sum)
	for ; k+4 <= len(b); k += 4 {
		addTerms(sum, (*[4]float32)(b[k:]), a[k*in:], a[(k+1)*in:], a[(k+2)*in:], a[(k+3)*in:])
	}
	for ; k < len(b); k++ {
		for i, y := range a[k*in : (k+1)*in] {
			sum[i] = fused(b[k], y, sum[i])
		}
	}

	for i := range w {
		w[i] += float32(sum[i] * factor)
	}
}

// addTerms adds four terms, one after the other, to each sum: fewer loads and stores than one by
// one.
func addTerms(sum []float32, b *[4]float32, a0, a1, a2, a3 []float32) {
	n := len(sum)
	a0, a1, a2, a3 = a0[:n], a1[:n], a2[:n], a3[:n]
	for i, s := range sum {
		s = fused(b[0], a0[i], s)
		s = fused(b[1], a1[i], s)
		s = fused(b[2], a2[i], s)
		sum[i] = fused(b[3], a3[i], s)
	}
}

// fused multiplies and adds with one rounding, as the processors do on which the reference runs: a
// product of two float32 is exact in float64.
func fused(x, y, sum float32) float32 { return float32(float64(x)*float64(y) + float64(sum)) }

// Key names a set for caches: LoRAs by the hash of their bytes, in order, with their scales. Sets
// of one key change weights alike. sums has the SHA-256 of each file, in hex.
func Key(sums []string, scales []float64) string {
	var b strings.Builder
	for i, sum := range sums {
		if scales[i] != 0 {
			bits := binary.BigEndian.AppendUint64(nil, math.Float64bits(scales[i]))
			fmt.Fprintf(&b, "%s:%x;", sum, bits)
		}
	}
	return b.String()
}
