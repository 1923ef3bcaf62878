package compute

import (
	"errors"
	"fmt"

	"github.com/longtake/longtake/internal/tensor"
)

// ErrMemory is what a Device refuses for lack of memory: less at a time may fit.
var ErrMemory = errors.New("out of memory")

// Device runs the operations of the models. Implementations: internal/cpu, internal/cuda.
type Device interface {
	// Name describes the device to people, for instance "cpu: 2 threads, generic".
	Name() string
	// Close stops workers and frees everything the device holds.
	Close() error

	// Alloc returns zeroed memory for n float32 elements, ErrMemory if there is not so much left.
	Alloc(n int) (Memory, error)
	// Free gives memory back when the operations issued so far are done; using it in later ones is a
	// programming error.
	Free(Memory)
	// Upload copies src, dense row-major [dst.Rows, dst.Cols], into dst.
	Upload(dst Mat, src []float32)
	// Download copies src into dst, dense row-major, after all earlier operations are done.
	Download(dst []float32, src Mat) error
	// DownloadBF16 is Download rounded to bfloat16, two bytes per element, little-endian.
	DownloadBF16(dst []byte, src Mat) error
	// UploadBF16 is Upload of what DownloadBF16 gives.
	UploadBF16(dst Mat, src []byte)
	// Sync waits until every operation issued so far is done.
	Sync() error

	// PackLinear prepares a weight [out, in] (row-major, as torch.nn.Linear) and a bias [out] or
	// nil, for products whose inputs are of type t. Sizes that do not match are an error; the
	// slices are copied.
	PackLinear(w, bias []float32, out, in int, t DType) (Linear, error)
	// PackConv prepares a convolution weight [out, in, kt, kh, kw] and a bias [out] or nil.
	PackConv(w, bias []float32, s ConvShape) (Conv, error)
	// Vector prepares a row of parameters (a norm's gain or bias, a modulation table).
	Vector(v []float32) (Vector, error)

	// Linear computes dst = ep(x·Wᵀ + b). x: [n, in], dst: [n, out]. dst may be ep.Residual
	// or ep.Mul, and must not overlap x.
	Linear(dst, x Mat, w Linear, ep Epilogue)
	// LayerNorm normalises every row over its width; see Norm. dst may be x.
	LayerNorm(dst, x Mat, p Norm)
	// RMSNorm scales every row by 1/sqrt(mean(x²)+eps), then by gain (nil leaves it out), then
	// rotates pairs when rope is not nil. x: [n, d]. dst may be x.
	RMSNorm(dst, x Mat, gain Vector, eps float32, rope *Rope)
	// ChannelNorm computes x / max(|x|₂, 1e-12) * sqrt(C) * gain per row, then act: the RMS norm
	// of Wan's VAE (WanRMS_norm). dst may be x.
	ChannelNorm(dst, x Mat, gain Vector, act Activation)
	// Attention computes softmax(scale·q·kᵀ + bias)·v head by head. q, dst: [nq, heads·hd];
	// k, v: [nk, heads·hd]. dst must not overlap q, k or v.
	Attention(dst, q, k, v Mat, a AttentionArgs)
	// Conv computes a causal 3D convolution; see ConvArgs. dst must not overlap x.
	Conv(dst Volume, x Volume, w Conv, a ConvArgs)
	// Activate computes dst = act(x). dst may be x.
	Activate(dst, x Mat, act Activation)
	// AddVector computes dst[i,:] = x[i,:] + v. dst may be x.
	AddVector(dst, x Mat, v Vector)
	// Add computes dst = a + b element by element. dst may be a or b.
	Add(dst, a, b Mat)
	// Copy copies src to dst (same Rows and Cols, any strides; no overlap).
	Copy(dst, src Mat)
}

// HostMemory is offered by devices whose memory is the host's; it saves the copy of Download.
type HostMemory interface {
	// Floats views memory that the same device allocated.
	Floats(Memory) []float32
}

// PartialAttention is offered by devices that can attend to the keys a part at a time, for keys
// that arrive or are kept in pieces. The result is that of Attention up to rounding; its bits
// depend on where the keys are cut and on the order in which the parts are merged.
type PartialAttention interface {
	// AttentionPart is Attention over some of the keys. lse [nq, heads] receives the logarithm of the
	// sum of the exponentials of each query's logits. LastKeyBias belongs to the part with the last
	// key, RelBias is the columns of the part: from its first key on, nq + nk - 1 of them.
	AttentionPart(dst, lse, q, k, v Mat, a AttentionArgs)
	// MergeAttention makes dst and lse those of the union of two parts that share no key, of which
	// they are one and o and l the other. dst, o: [nq, heads·hd]; lse, l: [nq, heads]; no overlap.
	MergeAttention(dst, lse, o, l Mat)
}

// Copier is offered by devices that copy to and from the host beside their computing.
type Copier interface {
	// Copies opens copies beside the operations that are issued from here on.
	Copies() Copies
}

// Copies are under way beside operations. One goroutine opens and ends them and issues what runs
// beside them.
type Copies interface {
	// Download begins to copy src, as the operations issued so far leave it, to dst: dense, row-major,
	// in type t, little-endian. What it returns fills dst; it is to be called once, on any goroutine,
	// and no operation may write src before it has returned.
	Download(dst []byte, src Mat, t DType) func() error
	// Upload copies what Download, or Giver.Give, gives to dst, which no operation may touch that is
	// issued after Copies and before End. A ticket that is not valid is an error.
	Upload(dst Mat, src []byte, t DType) error
	// End has later operations wait for the uploads.
	End()
}

// Giver is offered by Copies of devices that hand matrices to other devices of their process
// without the host.
type Giver interface {
	// Give is Download for a device of this process: its Upload takes the ticket in place of the
	// bytes, once, before the device that gave has opened the Copies after the next.
	Give(src Mat, t DType) (ticket []byte, err error)
}

// IsTicket reports whether b is a ticket. Tickets have an odd number of bytes, as no matrix has.
func IsTicket(b []byte) bool { return len(b)%2 == 1 }

// Stored is offered by devices that take weights as a file holds them: nothing of a weight's size
// is made on the host.
type Stored interface {
	// PackStored is PackLinear of a weight whose rows follow each other in parts.
	PackStored(parts []tensor.Tensor, bias []float32, out, in int, t DType) (Linear, error)
}

// Reserver is offered by devices that set memory aside before it is needed.
type Reserver interface {
	// Reserve sees to it that so many bytes can be allocated, in pieces whose sizes are rounded up to
	// Unit. ErrMemory says that there are not so many; how many there are is in the text.
	Reserve(bytes int64) error
}

// Workspace is offered by devices whose operations take memory beside what they are given, which
// the device keeps for the next ones.
type Workspace interface {
	// LinearBytes returns how much a Linear of x [rows, in] takes.
	LinearBytes(rows, in, out int, t DType) int64
	// AttentionBytes returns how much an Attention over so many keys takes.
	AttentionBytes(keys, heads, headDim int, t DType) int64
}

// DType is the type of what a product multiplies. Sums, and what lies between products, are
// float32.
type DType uint8

// The types of products.
const (
	FP32 DType = iota
	BF16       // bfloat16, rounded to nearest, ties to even
)

// String returns the name that users give: fp32 or bf16.
func (t DType) String() string {
	if t == BF16 {
		return "bf16"
	}
	return "fp32"
}

// ParseDType returns the type that users call name; "" is fp32.
func ParseDType(name string) (DType, error) {
	switch name {
	case "", "fp32":
		return FP32, nil
	case "bf16":
		return BF16, nil
	}
	return 0, fmt.Errorf("dtype is %q; allowed: fp32, bf16", name)
}

// Activation is an elementwise function applied by an epilogue.
type Activation uint8

// The activations that the models use.
const (
	Identity Activation = iota
	GELUTanh            // 0.5x(1+tanh(sqrt(2/pi)(x+0.044715x³)))
	SiLU                // x·sigmoid(x)
)

// Epilogue is what a Linear does to y = x·Wᵀ + b before it is stored, in this order:
// y = Act(y); y *= Mul; y *= Gate row; y += Residual. Zero values leave a step out.
type Epilogue struct {
	Act      Activation
	Mul      *Mat    // [n, out]
	Gate     *RowVec // [groups, out]
	Residual *Mat    // [n, out]
}

// RowVec gives every row of a matrix one of a few vectors: row i uses M's row Index[i], or row 0
// when Index is nil. It carries modulation, whose rows differ where timesteps do.
type RowVec struct {
	M     Mat
	Index []int32
}

// Norm is a layer norm over a row: n = (x-mean)/sqrt(var+eps) (biased variance), then
// n*Gain+Bias when Gain is set, then n*(1+Scale)+Shift when Scale is set.
type Norm struct {
	Eps          float32
	Gain, Bias   Vector
	Scale, Shift *RowVec
}

// Rope rotates each head's pairs (x[2i], x[2i+1]) by the row's angles:
// x' = (x0 c - x1 s, x0 s + x1 c). Cos and Sin: [n, hd/2], the same for every head.
type Rope struct {
	HeadDim  int
	Cos, Sin Mat
}

// AttentionArgs: Heads divides the width; Scale is positive; LastKeyBias is added to the logits of
// the last key (the log of how many identical padded keys it stands for). RelBias, when set, is
// [heads, nq+nk-1] and adds RelBias[h, j-i+nq-1] to the logit of query i and key j (UMT5's relative
// positions). DType is that of both products.
type AttentionArgs struct {
	Heads       int
	Scale       float32
	LastKeyBias float32
	RelBias     *Mat
	DType       DType
}

// ConvShape is the shape of a convolution's weight.
type ConvShape struct{ Out, In, KT, KH, KW int }

// Volume is a clip of T frames of H x W voxels; Mat holds [T·H·W, C] rows in (t, h, w) order.
type Volume struct {
	Mat
	T, H, W int
}

// ConvArgs: in time the input is FrontPad zero frames, then Prev's frames, then x's, and nothing is
// padded beyond that; output frames are StrideT input frames apart (0: 1):
// dst.T = (FrontPad + Prev.T + x.T - KT) / StrideT + 1. In space the input is zero-padded by KH/2
// and KW/2 (odd kernels keep the size). With Upsample each frame is first doubled in height and
// width (nearest), never materialised: dst.H = 2·x.H. With Downsample, which excludes Upsample,
// outputs are two voxels apart and zeros follow on the right and below only (WanResample):
// output (h, w) reads from (2h, 2w) on, dst.H = x.H / 2. Residual [dst.Rows, Out], when set, is
// added at the end; it may be dst. Prev, when set, holds the frames that come before x's (a causal
// cache), of x's size, and is doubled with them.
type ConvArgs struct {
	Prev       *Volume
	FrontPad   int
	StrideT    int
	Upsample   bool
	Downsample bool
	Residual   *Mat
}
