package compute

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/longtake/longtake/internal/tensor"
)

// ErrMemory is in the chain of errors that a Device returns for lack of memory. The device still
// works, and a smaller request may fit.
var ErrMemory = errors.New("out of memory")

// Device runs the operations of the models. Implementations: internal/cpu, internal/cuda.
type Device interface {
	// Name describes the device to people, for instance "cpu: 2 threads, generic".
	Name() string
	// Close stops workers and frees everything the device holds.
	Close() error

	// Alloc returns zeroed memory for n float32 elements, or an error that is ErrMemory when there is
	// not enough left.
	Alloc(n int) (Memory, error)
	// Free returns memory once the operations issued so far are done. Using it in a later operation
	// is a programming error.
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
	//
	// With FP8, rows of both operands are rounded to bfloat16 and then to E4M3 times a scale of the
	// row's own: its largest magnitude / 448, or 0 where that is below 2^-100. What is rounded is the
	// number times 448 / the magnitude, both quotients in float32. Sums of products in float32 are
	// multiplied by the scale of x's row, then by that of the weight's.
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
	// ConvBytes returns the bytes of ConvArgs.Work that Conv needs; only the sizes of x and of Prev
	// matter, and whether Norm is set.
	ConvBytes(x Volume, s ConvShape, a ConvArgs) int64
	// AddMeans adds to each value of a coarse volume the mean of its share of a fine one; see Block.
	// Frames that the fine one lacks count as zeros. The volumes must not overlap.
	AddMeans(coarse, fine Volume, b Block)
	// AddRepeated adds each value of a coarse volume to all of its share of a fine one; see Block.
	// The volumes must not overlap.
	AddRepeated(fine, coarse Volume, b Block)
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

// StoredPacker is offered by devices that take weights in the format in which a file stores them,
// so that the host never holds a converted copy of a weight.
type StoredPacker interface {
	// PackStored is PackLinear for a weight whose rows are the concatenation of parts: the fused
	// projection of q, k and v is three tensors of the file. Sizes that do not match are an error.
	PackStored(parts []tensor.Tensor, bias []float32, out, in int, t DType) (Linear, error)
}

// Dropper is offered by devices that can free a packed weight before the garbage collector would.
type Dropper interface {
	// Drop frees a packed weight once the operations issued so far are done. Neither it nor a part of
	// it may be used afterwards; dropping it again does nothing.
	Drop(w Linear)
}

// FileBinder is offered by devices that multiply with weights where a file maps them, so that they
// take no memory: for those that are used rarely, and with few rows.
type FileBinder interface {
	// BindStored is StoredPacker's PackStored without a copy of parts, which have to stay readable
	// for as long as the Linear is used. It has the same bits.
	BindStored(parts []tensor.Tensor, bias []float32, out, in int, t DType) (Linear, error)
}

// Packer is offered by devices whose packed weights other devices can use as well.
type Packer interface {
	// Packing names how the device packs weights: those packed by one device are good for all that
	// return the same name. It depends on neither threads nor memory.
	Packing() string
}

// PackingOf returns dev's Packing, or "" where its weights are its own.
func PackingOf(dev Device) string {
	if p, ok := dev.(Packer); ok {
		return p.Packing()
	}
	return ""
}

// Reserver is offered by devices that can set memory aside before it is needed.
type Reserver interface {
	// Reserve makes sure that bytes more can be allocated, in pieces whose sizes are rounded up to
	// AllocUnit. An error that is ErrMemory says how much is free.
	Reserve(bytes int64) error
}

// Workspace is offered by devices whose operations need memory of their own, which the device keeps
// for the next operation. Plans of a job's memory add it to what the model allocates.
type Workspace interface {
	// LinearBytes returns the bytes that Linear of x [rows, in] with a weight [out, in] needs.
	LinearBytes(rows, in, out int, t DType) int64
	// AttentionBytes returns the bytes that Attention over so many keys needs, where keys and values
	// are operands or are not.
	AttentionBytes(keys, heads, headDim int, t DType, operands bool) int64
}

// DType is the type of the operands of matrix products. Their sums, and all activations between
// products, are float32.
type DType uint8

// The types of products.
const (
	FP32 DType = iota
	BF16       // bfloat16, rounded to nearest, ties to even
	// FP8 is E4M3 with scales, in linear layers alone (see PackLinear); Rest is that of all else.
	FP8
)

// dtypeNames are the names that users give, in the order in which they are shown: the one list of
// types that a job or a shard may ask for.
var dtypeNames = [...]string{FP32: "fp32", BF16: "bf16", FP8: "fp8"}

// DTypes returns all types, in the order in which they are shown.
func DTypes() (all []DType) {
	for t := range dtypeNames {
		all = append(all, DType(t)) //nolint:gosec // a few
	}
	return all
}

// DTypeNames returns the names of all types.
func DTypeNames() []string { return slices.Clone(dtypeNames[:]) }

// Rest returns the type of the products of a job of type t that are not in it: attention, small
// layers, and with them the activations that ranks exchange.
func (t DType) Rest() DType {
	if t == FP8 {
		return BF16
	}
	return t
}

// TypeLister is offered by devices that cannot multiply in every type.
type TypeLister interface {
	// DTypes returns the types that PackLinear takes.
	DTypes() []DType
}

// DTypesOf returns the types that a device multiplies in.
func DTypesOf(dev Device) []DType {
	if d, ok := dev.(TypeLister); ok {
		return d.DTypes()
	}
	return DTypes()
}

// String returns the name that users give: fp32, bf16 or fp8.
func (t DType) String() string {
	if int(t) < len(dtypeNames) {
		return dtypeNames[t]
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// ParseDType returns the type for the name that users give; "" is fp32. Any other name is an error
// that lists the allowed ones.
func ParseDType(name string) (DType, error) {
	if i := slices.Index(dtypeNames[:], cmp.Or(name, FP32.String())); i >= 0 {
		return DType(i), nil //nolint:gosec // a few
	}
	return 0, fmt.Errorf("dtype is %q; allowed: %s", name, strings.Join(dtypeNames[:], ", "))
}

// Activation is an elementwise function that an operation applies to its result.
type Activation uint8

// The activations that the models use.
const (
	Identity Activation = iota
	GELUTanh            // 0.5x(1+tanh(sqrt(2/pi)(x+0.044715x³)))
	SiLU                // x·sigmoid(x)
	GELU                // x·Φ(x), with Φ the normal distribution: 0.5x(1+erf(x/√2))
)

// Epilogue is what a Linear does to y = x·Wᵀ + b before it is stored, in this order:
// y = Act(y); y *= Mul; y *= Gate row; y += Residual. Zero values leave a step out.
type Epilogue struct {
	Act      Activation // before the factors
	Mul      *Mat       // [n, out]: the other half of a gated feed-forward
	Gate     *RowVec    // [groups, out]: the gate of an adaptive norm
	Residual *Mat       // [n, out]: the stream that the block adds to
}

// Rows returns the epilogue of rows [lo, hi) alone.
func (e Epilogue) Rows(lo, hi int) Epilogue {
	part := func(m *Mat) *Mat {
		if m == nil {
			return nil
		}
		r := m.RowRange(lo, hi)
		return &r
	}

	e.Mul, e.Residual = part(e.Mul), part(e.Residual)
	if e.Gate != nil && e.Gate.Index != nil {
		e.Gate = &RowVec{e.Gate.M, e.Gate.Index[lo:hi]}
	}
	return e
}

// RowVec assigns one of a few vectors to every row of a matrix: row i uses row Index[i] of M, or
// row 0 when Index is nil. It carries modulation, which differs between tokens where their
// timesteps do.
type RowVec struct {
	M     Mat     // [groups, width]
	Index []int32 // one entry per row, each below M.Rows
}

// Norm describes a layer norm over a row: n = (x-mean)/sqrt(var+eps) with the biased variance, then
// n*Gain+Bias when Gain is set, then n*(1+Scale)+Shift when Scale is set.
type Norm struct {
	Eps          float32 // added to the variance
	Gain, Bias   Vector  // learned parameters of the norm; Bias may be nil
	Scale, Shift *RowVec // modulation by the timestep; Shift may be nil
}

// Rope rotates each head's pairs (x[2i], x[2i+1]) by the row's angles, as rotary position
// embeddings do: x' = (x0 c - x1 s, x0 s + x1 c).
type Rope struct {
	HeadDim  int // even, and a divisor of the width
	Cos, Sin Mat // [n, HeadDim/2], the same for every head
}

// AttentionArgs are the parameters of Attention.
type AttentionArgs struct {
	Heads int     // divides the width
	Scale float32 // of the logits, positive: 1/sqrt(head dim) in most models
	// LastKeyBias is added to the logit of the last key: the logarithm of how many identical padded
	// keys it stands for.
	LastKeyBias float32
	// RelBias, when set, is [heads, nq+nk-1] and adds RelBias[h, j-i+nq-1] to the logit of query i
	// and key j: the relative positions of UMT5.
	RelBias *Mat
	DType   DType // of both products
	// Tiles, when set, lists the keys that queries attend to; nil: all keys.
	Tiles *KeyTiles
}

// ConvShape is the shape of a convolution's weight: output and input channels, and the kernel's
// extent in time, height and width.
type ConvShape struct{ Out, In, KT, KH, KW int }

// Volume is a clip of T frames of H x W voxels; Mat holds [T·H·W, C] rows in (t, h, w) order.
type Volume struct {
	Mat
	T, H, W int
}

// ConvArgs are the parameters of Conv, a convolution that is causal in time.
//
// In time the input is FrontPad zero frames, then Prev's frames, then x's, and nothing is padded
// after them: dst.T = (FrontPad + Prev.T + x.T - KT) / StrideT + 1. In space the input is
// zero-padded by KH/2 and KW/2, so odd kernels keep the size.
type ConvArgs struct {
	// Prev, when set, holds the frames that come before x's (a causal cache). They have x's size and
	// are upsampled with them.
	Prev *Volume
	// FrontPad is the number of zero frames before all others.
	FrontPad int
	// StrideT is the number of input frames from one output frame to the next; 0 means 1.
	StrideT int
	// Upsample doubles each frame's height and width first (nearest neighbour). The doubled frame is
	// never stored. dst.H = 2·x.H.
	Upsample bool
	// Downsample, which excludes Upsample, halves height and width: output (h, w) reads from
	// (2h, 2w) on, and zeros are padded on the right and below only, as diffusers' WanResample does.
	// dst.H = x.H / 2.
	Downsample bool
	// Residual, when set, is [dst.Rows, Out] and is added at the end; it may be dst.
	Residual *Mat
	// Norm, when set, is applied to x first. Prev's frames are taken as they are: a call before has
	// left them normed.
	Norm *ChannelNorm
	// Work, when set, is memory that the device may use, of ConvBytes at least. Without it the device
	// takes its own, keeps it, and fails for good where there is none.
	Work Memory
}

// ChannelNorm is what Device.ChannelNorm does in front of a convolution, to the same bits.
type ChannelNorm struct {
	Gain Vector // [In]
	Act  Activation
}

// NormedBytes is ConvBytes of devices that write what Norm gives before they convolve it.
func NormedBytes(x Volume, _ ConvShape, a ConvArgs) int64 {
	if a.Norm == nil {
		return 0
	}
	return 4 * int64(x.T*x.H*x.W) * int64(x.Cols)
}
