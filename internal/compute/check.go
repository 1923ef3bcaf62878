package compute

import "fmt"

// Checker holds the arguments of operations to Device's contract, so that every device refuses the
// same calls with the same words. Its value is the name of the device's kind, "cpu" for instance.
// Methods panic with the kind, the operation and what is wrong, because a wrong shape is a
// programming error; they look at shapes alone, never at values.
type Checker string

// Shape checks that a matrix is well formed: no negative size, and rows that do not overlap.
func (c Checker) Shape(op, name string, m Mat) {
	if m.Rows < 0 || m.Cols < 0 || m.Off < 0 || m.Rows > 1 && m.Stride < m.Cols {
		panic(fmt.Sprintf("%s: %s: %s is a broken matrix: %d x %d, offset %d, stride %d",
			c, op, name, m.Rows, m.Cols, m.Off, m.Stride))
	}
}

// Inside checks that a matrix with elements ends within its memory.
func (c Checker) Inside(op, name string, m Mat) {
	if end := m.Off + (m.Rows-1)*m.Stride + m.Cols; end > m.Mem.Len() {
		panic(fmt.Sprintf("%s: %s: %s ends at element %d of %d", c, op, name, end, m.Mem.Len()))
	}
}

// Size checks that a matrix is rows x cols.
func (c Checker) Size(op, name string, m Mat, rows, cols int) {
	if m.Rows != rows || m.Cols != cols {
		panic(fmt.Sprintf("%s: %s: %s is %d x %d, want %d x %d",
			c, op, name, m.Rows, m.Cols, rows, cols))
	}
}

// Apart checks that two matrices share no element. Matrices in the same memory with different
// strides are not judged.
func (c Checker) Apart(op, aName, bName string, a, b Mat) {
	if a.Mem == nil || a.Mem != b.Mem || a.Rows*a.Cols == 0 || b.Rows*b.Cols == 0 ||
		a.Stride != b.Stride || a.Stride == 0 {
		return
	}
	// One after the other in memory.
	if a.Off+(a.Rows-1)*a.Stride+a.Cols <= b.Off || b.Off+(b.Rows-1)*b.Stride+b.Cols <= a.Off {
		return
	}
	// Next to each other in the same rows.
	aCol, bCol := a.Off%a.Stride, b.Off%b.Stride
	if aCol+a.Cols <= bCol || bCol+b.Cols <= aCol {
		return
	}
	panic(fmt.Sprintf("%s: %s: %s overlaps %s", c, op, aName, bName))
}

// Activation checks that an activation is one of those that exist.
func (c Checker) Activation(op string, act Activation) {
	if act > GELU {
		panic(fmt.Sprintf("%s: %s: activation %d is unknown", c, op, act))
	}
}

// RowVec checks that r, which is not nil, has a vector for each of so many rows.
func (c Checker) RowVec(op, name string, r *RowVec, rows int) {
	if r.M.Rows < 1 || r.Index != nil && len(r.Index) != rows {
		panic(fmt.Sprintf("%s: %s: %s has %d vectors and %d indices for %d rows",
			c, op, name, r.M.Rows, len(r.Index), rows))
	}
	for i, g := range r.Index {
		if g < 0 || int(g) >= r.M.Rows {
			panic(fmt.Sprintf("%s: %s: %s: row %d wants vector %d of %d",
				c, op, name, i, g, r.M.Rows))
		}
	}
}

// Rope checks that the heads of r, which is not nil, divide a width into pairs.
func (c Checker) Rope(op string, r *Rope, width int) {
	if r.HeadDim < 2 || r.HeadDim%2 != 0 || width%r.HeadDim != 0 {
		panic(fmt.Sprintf("%s: %s: rope's head dim %d does not divide width %d into pairs",
			c, op, r.HeadDim, width))
	}
}

// Attention checks the heads, the scale, the type and the lists of keys, and that dst shares
// nothing with what is read.
func (c Checker) Attention(op string, dst, q, k, v Mat, a AttentionArgs) {
	if a.Heads < 1 || q.Cols%a.Heads != 0 || q.Cols == 0 || k.Rows < 1 || !(a.Scale > 0) {
		panic(fmt.Sprintf("%s: %s: %d heads over width %d, %d keys, scale %g",
			c, op, a.Heads, q.Cols, k.Rows, a.Scale))
	}
	if a.DType != a.DType.Rest() {
		panic(fmt.Sprintf("%s: %s: attention in %v", c, op, a.DType))
	}
	if a.Tiles != nil && !a.Tiles.fits(q.Rows, k.Rows) {
		panic(fmt.Sprintf("%s: %s: the lists of keys are not for %d queries and %d keys",
			c, op, q.Rows, k.Rows))
	}
	c.Apart(op, "dst", "q", dst, q)
	c.Apart(op, "dst", "k", dst, k)
	c.Apart(op, "dst", "v", dst, v)
}

// Conv checks the frames of a convolution, and that dst has the size that follows from them.
func (c Checker) Conv(op string, dst, x Volume, s ConvShape, a ConvArgs) {
	if a.FrontPad < 0 || a.StrideT < 0 || x.H < 1 || x.W < 1 || a.Upsample && a.Downsample {
		panic(fmt.Sprintf("%s: %s: %+v, frames of %d x %d", c, op, a, x.H, x.W))
	}
	if p := a.Prev; p != nil && (p.H != x.H || p.W != x.W) {
		panic(fmt.Sprintf("%s: %s: Prev has frames of %d x %d, x of %d x %d",
			c, op, p.H, p.W, x.H, x.W))
	}
	t, h, w := a.OutSize(s, x)
	if dst.T != t || dst.H != h || dst.W != w || t < 1 {
		panic(fmt.Sprintf("%s: %s: dst is %d x %d x %d, want %d x %d x %d",
			c, op, dst.T, dst.H, dst.W, t, h, w))
	}
	c.Apart(op, "dst", "x", dst.Mat, x.Mat)
}

// OutSize returns the frames, height and width of what Conv makes of x; the frames are below 1
// where the input has too few.
func (a ConvArgs) OutSize(s ConvShape, x Volume) (t, h, w int) {
	frames, stride := x.T+a.FrontPad, max(a.StrideT, 1)
	if a.Prev != nil {
		frames += a.Prev.T
	}
	t = (frames - s.KT + stride) / stride
	h, w = x.H, x.W
	if a.Downsample {
		return t, h / 2, w / 2
	}
	if a.Upsample {
		h, w = 2*h, 2*w
	}
	return t, h + s.KH/2*2 - s.KH + 1, w + s.KW/2*2 - s.KW + 1
}

// CheckWeight returns an error unless a weight [out, in] has so many values, both sizes are
// positive, and bias is nil or has one value per output.
func CheckWeight(values int, bias []float32, out, in int, t DType) error {
	if out < 1 || in < 1 || values != out*in {
		return fmt.Errorf("weight has %d values, want %d x %d, both positive", values, out, in)
	}
	if bias != nil && len(bias) != out {
		return fmt.Errorf("bias has %d values, want %d", len(bias), out)
	}
	if t > FP8 {
		return fmt.Errorf("type %d is unknown", t)
	}
	return nil
}

// TapsFirst returns a weight [out, in, kt, kh, kw] rearranged to [out, kt, kh, kw, in], the order
// in which devices read voxels. It refuses shapes beyond 65,536 and weights of another size.
func (s ConvShape) TapsFirst(w []float32) ([]float32, error) {
	const most = 1 << 16 // so that products of sizes stay far from overflow
	for _, n := range []int{s.Out, s.In, s.KT, s.KH, s.KW} {
		if n < 1 || n > most {
			return nil, fmt.Errorf("shape is %+v; allowed: 1 to %d each", s, most)
		}
	}
	taps := s.KT * s.KH * s.KW
	k := s.In * taps
	if len(w) != s.Out*k {
		return nil, fmt.Errorf("weight has %d values, want %+v", len(w), s)
	}

	out := make([]float32, len(w))
	for at := 0; at < len(w); at += k {
		for in := range s.In {
			for tap, v := range w[at+in*taps : at+(in+1)*taps] {
				out[at+tap*s.In+in] = v
			}
		}
	}
	return out, nil
}
