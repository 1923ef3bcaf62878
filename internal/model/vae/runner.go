package vae

import (
	"math"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/model"
)

// history is how many earlier frames a causal convolution of 3 frames looks back at.
const history = 2

// buffers is the device memory of a stream's activations: three buffers, as many as any layer uses
// at once, and one for what is kept. They grow during the first latent frames and are reused from
// then on. The first error, of the device or of stop, is kept.
type buffers struct {
	dev  compute.Device    // that the buffers are on
	mem  [4]compute.Memory // nil until first used
	kept compute.Volume    // a block's input, which is needed after its layers; empty: none
	stop func() error      // asked before each layer; nil: never
	err  error             // the first of the device or of stop
}

// volume returns memory for activations [t·h·w, c], in a buffer that none of the volumes in use
// lies in. What it holds is not zeroed. After an error it is empty.
func (b *buffers) volume(t, h, w, c int, used ...compute.Volume) compute.Volume {
	if b.err == nil && b.stop != nil {
		b.err = b.stop()
	}
	i, n := b.unused(used), t*h*w*c
	if b.err == nil && (b.mem[i] == nil || b.mem[i].Len() < n) {
		b.release(i)
		b.mem[i], b.err = b.dev.Alloc(n)
	}
	if b.err != nil {
		return compute.Volume{}
	}
	return compute.Volume{Mat: compute.NewMat(b.mem[i], t*h*w, c), T: t, H: h, W: w}
}

// unused returns the index of a buffer that none of the given volumes lies in.
func (b *buffers) unused(used []compute.Volume) int {
	for i, m := range b.mem {
		taken := m != nil && b.kept.Mem == m
		for _, u := range used {
			taken = taken || m != nil && u.Mem == m
		}
		if !taken {
			return i
		}
	}
	panic("vae: a layer holds every buffer")
}

// work returns memory for what the device makes of the input of a convolution, in a buffer that
// none of the volumes in use lies in; nil where it makes nothing.
func (b *buffers) work(x compute.Volume, w compute.Conv, a compute.ConvArgs,
	used ...compute.Volume) compute.Memory {
	n := int((b.dev.ConvBytes(x, w.Shape(), a) + 3) / 4)
	if n == 0 {
		return nil
	}
	return b.volume(1, 1, 1, n, append(used, x)...).Mem
}

// like returns memory for activations of x's frames, rows and columns with c channels, in another
// buffer than x and the volumes in use.
func (b *buffers) like(x compute.Volume, c int, used ...compute.Volume) compute.Volume {
	return b.volume(x.T, x.H, x.W, c, append(used, x)...)
}

// rows returns n rows of each frame of x, from row lo on. Those of a single frame are contiguous
// and are viewed; of several frames they are copied to a buffer that no volume in use lies in.
func (b *buffers) rows(x compute.Volume, lo, n int, used ...compute.Volume) compute.Volume {
	if n == x.H {
		return x
	}
	if x.T == 1 {
		return compute.Volume{Mat: x.RowRange(lo*x.W, (lo+n)*x.W), T: 1, H: n, W: x.W}
	}

	out := b.volume(x.T, n, x.W, x.Cols, append(used, x)...)
	if b.err != nil {
		return x
	}
	for t := range x.T {
		at, size := (t*x.H+lo)*x.W, n*x.W
		b.dev.Copy(out.RowRange(t*size, (t+1)*size), x.RowRange(at, at+size))
	}
	return out
}

// release frees one buffer.
func (b *buffers) release(i int) {
	if b.mem[i] != nil {
		b.dev.Free(b.mem[i])
		b.mem[i] = nil
	}
}

// free frees all buffers; they are allocated again when used.
func (b *buffers) free() {
	for i := range b.mem {
		b.release(i)
	}
}

// runner runs layers on frames that come group by group, with a cache for each causal convolution.
// After an error its operations do nothing, so that a forward pass needs one check of err.
type runner struct {
	dev    compute.Device
	bufs   *buffers         // shared by the runners of a stream, which take turns
	arena  *model.Arena     // the memory of the caches
	caches []compute.Volume // per causal convolution, the last frames of its input
}

// newRunner returns a runner with empty caches, as at the start of a clip.
func newRunner(dev compute.Device, b *buffers, caches int) runner {
	return runner{dev: dev, bufs: b, arena: model.NewArena(dev),
		caches: make([]compute.Volume, caches)}
}

// err returns the first error of allocating caches or activations, or of stop.
func (run *runner) err() error {
	if err := run.arena.Err(); err != nil {
		return err
	}
	return run.bufs.err
}

func (run *runner) failed() bool { return run.err() != nil }

// cache returns the cache of convolution i: the last n frames of its input, like those of x. Its
// first use allocates it, as zeros, which stand for the frames before the clip.
func (run *runner) cache(i, n int, x compute.Volume) compute.Volume {
	if run.caches[i].T == 0 {
		run.caches[i] = compute.Volume{Mat: run.arena.Mat(n*x.H*x.W, x.Cols), T: n, H: x.H, W: x.W}
	}
	return run.caches[i]
}

// conv convolves x into out, which is another buffer.
func (run *runner) conv(out, x compute.Volume, w compute.Conv, a compute.ConvArgs) {
	if run.failed() {
		return
	}

	// The residual may be in a third buffer; caches have memory of their own.
	used := []compute.Volume{out}
	if a.Residual != nil {
		used = append(used, compute.Volume{Mat: *a.Residual})
	}
	a.Work = run.bufs.work(x, w, a, used...)
	if !run.failed() {
		run.dev.Conv(out, x, w, a)
	}
}

// causal convolves x, preceded by the frames cached from earlier calls, into out, and then caches
// the last frames of x. norm, if not nil, is applied to x before both. residual, if not nil, is
// added to the result; it may be out itself.
func (run *runner) causal(out, x compute.Volume, c causal, norm *compute.ChannelNorm,
	residual *compute.Mat) {
	if run.failed() {
		return
	}
	cache := run.cache(c.cache, history, x)
	run.conv(out, x, c.conv, compute.ConvArgs{Prev: &cache, Norm: norm, Residual: residual})
	if !run.failed() {
		run.remember(cache, x, norm)
	}
}

// remember moves the last frames of x into a cache, normed where norm is not nil. If x has fewer
// frames than the cache, the cache keeps its newest ones in front of them.
func (run *runner) remember(cache, x compute.Volume, norm *compute.ChannelNorm) {
	n, kept := x.H*x.W, max(0, cache.T-x.T)
	if kept > 0 {
		run.dev.Copy(cache.RowRange(0, kept*n), cache.RowRange(x.T*n, cache.T*n))
	}
	to, from := cache.RowRange(kept*n, cache.T*n), x.RowRange((x.T-cache.T+kept)*n, x.T*n)
	if norm != nil {
		run.dev.ChannelNorm(to, from, norm.Gain, norm.Act)
		return
	}
	run.dev.Copy(to, from)
}

// residual runs a WanResidualBlock, [T·H·W, in] to [T·H·W, out]. It may overwrite x, unless that is
// kept.
func (run *runner) residual(x compute.Volume, r *residual) compute.Volume {
	h := run.bufs.like(x, r.out)
	run.causal(h, x, r.conv1, &compute.ChannelNorm{Gain: r.norm1, Act: compute.SiLU}, nil)

	// What the result is added to: x itself, in place if possible, or its projection to the new
	// width.
	out, sum := x, x
	if r.shortcut != nil || x.Mem == run.bufs.kept.Mem {
		out = run.bufs.like(x, r.out, h)
	}
	if run.failed() {
		return x
	}
	if r.shortcut != nil {
		run.dev.Linear(out.Mat, x.Mat, r.shortcut, compute.Epilogue{})
		sum = out
	}

	run.causal(out, h, r.conv2, &compute.ChannelNorm{Gain: r.norm2, Act: compute.SiLU}, &sum.Mat)
	return out
}

// attention runs a WanAttentionBlock: the pixels of each frame attend to each other. It overwrites
// x.
func (run *runner) attention(x compute.Volume, a *attention) compute.Volume {
	norm := run.bufs.like(x, a.dim)
	qkv := run.bufs.like(x, 3*a.dim, norm)
	if run.failed() {
		return x
	}

	n := x.H * x.W
	run.dev.ChannelNorm(norm.Mat, x.Mat, a.norm, compute.Identity)
	run.dev.Linear(qkv.Mat, norm.Mat, a.qkv, compute.Epilogue{})

	// One call per frame: q, k and v are columns of [H·W, 3·dim].
	args := compute.AttentionArgs{Heads: 1, Scale: float32(1 / math.Sqrt(float64(a.dim)))}
	for t := range x.T {
		m := qkv.RowRange(t*n, (t+1)*n)
		run.dev.Attention(norm.RowRange(t*n, (t+1)*n), m.ColRange(0, a.dim),
			m.ColRange(a.dim, 2*a.dim), m.ColRange(2*a.dim, 3*a.dim), args)
	}

	run.dev.Linear(x.Mat, norm.Mat, a.proj, compute.Epilogue{Residual: &x.Mat})
	return x
}

// middle runs a WanMidBlock.
func (run *runner) middle(x compute.Volume, m *middle) compute.Volume {
	x = run.residual(x, &m.res[0])
	x = run.attention(x, &m.attn)
	return run.residual(x, &m.res[1])
}
