package cpu

import "unsafe"

// operands are the pointers of a finishing, nil for a step that is left out.
type operands struct{ bias, mul, gate, residual *float32 }

func (f *finishing) operands(n int) operands {
	return operands{first(f.bias, n), first(f.mul, n), first(f.gate, n), first(f.residual, n)}
}

// first returns a pointer to the first of at least n elements, nil for a nil slice.
func first(v []float32, n int) *float32 {
	if v != nil {
		_ = v[:n]
	}
	return unsafe.SliceData(v)
}

// checkTile panics when a tile of scores, or what is added to it, is too short.
func checkTile(p []float32, rows int, add []float32, step int) {
	if add != nil {
		_ = add[:(rows-1)*step+keyTile]
	}
	_ = p[:rows*keyTile]
}
