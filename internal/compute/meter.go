package compute

import "fmt"

// AllocUnit is the size in bytes that devices and Meter round allocations up to, as cuMemAlloc
// does.
const AllocUnit = 256

// Meter is a Device that counts memory and computes nothing: Alloc and Free work, though nothing is
// behind the memory, packed weights are their shapes, and operations return at once. Code that runs
// on a Meter first knows how much a device must have before it asks one. It belongs to one
// goroutine.
type Meter struct {
	// Like is the device whose operands are counted, see Rounder, and whose ConvBytes; nil: one
	// without operands, which writes what norms in front of convolutions give.
	Like Device

	now  int64 // bytes that are allocated
	peak int64 // the most that now has been
}

var (
	_ Device  = (*Meter)(nil)
	_ Rounder = (*Meter)(nil)
)

// meteredMemory is memory of a Meter; each has an address of its own, by which code tells one from
// another.
type meteredMemory struct {
	n       int   // elements
	operand int64 // bytes of an operand, 0 for memory that is none
}

// Len returns the number of elements.
func (m *meteredMemory) Len() int { return m.n }

// Operand implements OperandMemory.
func (m *meteredMemory) Operand() bool { return m.operand > 0 }

func (m *meteredMemory) bytes() int64 {
	bytes := 4 * int64(m.n)
	if m.Operand() {
		bytes = m.operand
	}
	return (bytes + AllocUnit - 1) / AllocUnit * AllocUnit
}

// Peak returns the most bytes that were allocated at the same time. Weights do not count.
func (m *Meter) Peak() int64 { return m.peak }

// Alloc counts n float32 elements, rounded up to AllocUnit. It fails for a negative n only.
func (m *Meter) Alloc(n int) (Memory, error) {
	if n < 0 {
		return nil, fmt.Errorf("cannot allocate %d elements", n)
	}
	return m.count(&meteredMemory{n: n}), nil
}

// OperandBytes implements Rounder, as the device that m is like.
func (m *Meter) OperandBytes(rows, cols, headDim int, t DType) int64 {
	return OperandBytes(m.Like, rows, cols, headDim, t)
}

// AllocOperand counts an operand.
func (m *Meter) AllocOperand(rows, cols, headDim int, t DType) (Memory, error) {
	return m.count(&meteredMemory{rows * cols, m.OperandBytes(rows, cols, headDim, t)}), nil
}

// count counts memory and returns it.
func (m *Meter) count(mem *meteredMemory) Memory {
	m.now += mem.bytes()
	m.peak = max(m.peak, m.now)
	return mem
}

// Free stops counting memory that Alloc of the same Meter returned.
func (m *Meter) Free(mem Memory) { m.now -= mem.(*meteredMemory).bytes() }

// meteredLinear is a Linear that has no values.
type meteredLinear struct{ out, in int }

// Dims implements Linear.
func (l meteredLinear) Dims() (out, in int) { return l.out, l.in }

// Part implements Linear.
func (l meteredLinear) Part(lo, hi int) Linear { return meteredLinear{hi - lo, l.in} }

// meteredConv is a Conv that has no values.
type meteredConv ConvShape

// Shape implements Conv.
func (c meteredConv) Shape() ConvShape { return ConvShape(c) }

// PackLinear implements Device; w and bias are not looked at.
func (m *Meter) PackLinear(_, _ []float32, out, in int, _ DType) (Linear, error) {
	return meteredLinear{out, in}, nil
}

// PackConv implements Device; w and bias are not looked at.
func (m *Meter) PackConv(_, _ []float32, s ConvShape) (Conv, error) { return meteredConv(s), nil }

// Vector implements Device.
func (m *Meter) Vector(v []float32) (Vector, error) { return &meteredMemory{n: len(v)}, nil }

// Name implements Device.
func (m *Meter) Name() string { return "a meter of memory" }

// Close implements Device and does nothing.
func (m *Meter) Close() error { return nil }

// Sync implements Device and does nothing.
func (m *Meter) Sync() error { return nil }

// Download implements Device and does nothing.
func (m *Meter) Download([]float32, Mat) error { return nil }

// DownloadBF16 implements Device and does nothing.
func (m *Meter) DownloadBF16([]byte, Mat) error { return nil }

// Upload implements Device and does nothing.
func (m *Meter) Upload(Mat, []float32) {}

// UploadBF16 implements Device and does nothing.
func (m *Meter) UploadBF16(Mat, []byte) {}

// Linear implements Device and does nothing.
func (m *Meter) Linear(Mat, Mat, Linear, Epilogue) {}

// LayerNorm implements Device and does nothing.
func (m *Meter) LayerNorm(Mat, Mat, Norm) {}

// RMSNorm implements Device and does nothing.
func (m *Meter) RMSNorm(Mat, Mat, Vector, float32, *Rope) {}

// ChannelNorm implements Device and does nothing.
func (m *Meter) ChannelNorm(Mat, Mat, Vector, Activation) {}

// Attention implements Device and does nothing.
func (m *Meter) Attention(Mat, Mat, Mat, Mat, AttentionArgs) {}

// Conv implements Device and does nothing.
func (m *Meter) Conv(Volume, Volume, Conv, ConvArgs) {}

// ConvBytes implements Device.
func (m *Meter) ConvBytes(x Volume, s ConvShape, a ConvArgs) int64 {
	if m.Like == nil {
		return NormedBytes(x, s, a)
	}
	return m.Like.ConvBytes(x, s, a)
}

// AddMeans implements Device and does nothing.
func (m *Meter) AddMeans(Volume, Volume, Block) {}

// AddRepeated implements Device and does nothing.
func (m *Meter) AddRepeated(Volume, Volume, Block) {}

// Activate implements Device and does nothing.
func (m *Meter) Activate(Mat, Mat, Activation) {}

// AddVector implements Device and does nothing.
func (m *Meter) AddVector(Mat, Mat, Vector) {}

// Add implements Device and does nothing.
func (m *Meter) Add(Mat, Mat, Mat) {}

// Copy implements Device and does nothing.
func (m *Meter) Copy(Mat, Mat) {}
