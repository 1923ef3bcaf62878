package convert

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/longtake/longtake/internal/tensor"
)

// readable are the types of values that can be converted.
var readable = []tensor.DType{tensor.F32, tensor.BF16, tensor.F16, tensor.F8E4M3, tensor.F8E5M2}

// pieceValues is how many values are converted at a time: memory does not grow with a weight.
const pieceValues = 1 << 20

// write writes a weight's values as type to, piece by piece, until ctx ends.
func (w weight) write(ctx context.Context, out io.Writer, to tensor.DType) error {
	size, n := w.t.DType.Size(), w.t.Shape.Elements()
	row := n
	if len(w.scale) > 1 {
		row = n / len(w.scale)
	}

	for at := 0; at < n; at += pieceValues {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}

		// Values of the right type are copied as they are.
		end := min(n, at+pieceValues)
		data := w.t.Data[at*size : end*size]
		if w.t.DType != to || w.scale != nil {
			v, err := decode(w.t.DType, data)
			if err != nil {
				return err
			}
			for i := range v {
				if w.scale != nil {
					v[i] *= w.scale[min((at+i)/row, len(w.scale)-1)]
				}
			}
			data = encode(to, v)
		}
		if _, err := out.Write(data); err != nil {
			return err
		}
	}
	return nil
}

// decode returns values of a type as float32, which all of readable convert to exactly.
func decode(t tensor.DType, data []byte) ([]float32, error) {
	table := (*[256]float32)(nil)
	switch t {
	case tensor.F8E4M3:
		table = &e4m3
	case tensor.F8E5M2:
		table = &e5m2
	default:
		n := len(data) / t.Size()
		return tensor.Tensor{DType: t, Shape: tensor.Shape{n}, Data: data}.Float32()
	}
	v := make([]float32, len(data))
	for i, b := range data {
		v[i] = table[b]
	}
	return v, nil
}

// encode returns float32 values as F32, or as BF16 rounded to nearest, ties to even.
func encode(t tensor.DType, v []float32) []byte {
	if t == tensor.F32 {
		return tensor.Bytes(v)
	}
	b := make([]byte, 0, 2*len(v))
	for _, f := range v {
		bits := math.Float32bits(f)
		if f == f { // a NaN might be rounded to an infinity
			bits += 0x7fff + bits>>16&1
		}
		b = binary.LittleEndian.AppendUint16(b, uint16(bits>>16))
	}
	return b
}

// The values of the 8-bit types by their bits: those of "FP8 Formats for Deep Learning"
// (Micikevicius et al. 2022). E4M3 has no infinities and one NaN of each sign.
var e4m3, e5m2 = small(4, 3, 7, false), small(5, 2, 15, true)

// small lists the values of a type with so many bits of exponent and fraction.
func small(exponent, fraction, bias int, infinities bool) (table [256]float32) {
	for b := range table {
		e, f := b>>fraction&(1<<exponent-1), b&(1<<fraction-1)

		// Below the least exponent there is no leading one.
		v := math.Ldexp(float64(f)/float64(int(1)<<fraction), 1-bias) // subnormal
		switch top := e == 1<<exponent-1; {
		case top && infinities && f == 0:
			v = math.Inf(1)
		case top && (infinities || f == 1<<fraction-1):
			v = math.NaN()
		case e > 0:
			v = math.Ldexp(1+float64(f)/float64(int(1)<<fraction), e-bias)
		}
		if b >= 128 {
			v = -v
		}
		table[b] = float32(v)
	}
	return table
}

// parseDType reads the name of a type that a component may be written in; keep is its own.
func parseDType(name string) (t tensor.DType, keep bool, err error) {
	switch name {
	case "", "bf16":
		return tensor.BF16, false, nil
	case "fp32":
		return tensor.F32, false, nil
	case "keep":
		return 0, true, nil
	}
	return 0, false, fmt.Errorf("dtype is %.40q; allowed: bf16, fp32, keep", name)
}
