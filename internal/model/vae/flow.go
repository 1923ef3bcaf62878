package vae

import (
	"math"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/model"
)

// history is how many frames a causal convolution looks back.
const history = 2

// room is the memory of a stream's activations: three buffers, which is as many as any layer has
// in use at once. They grow with the first frames and are reused from then on.
type room struct {
	dev  compute.Device
	bufs [3]compute.Memory
	stop func() error // asked before each layer; nil: never
	err  error
}

// volume returns room for activations in a buffer that none of the volumes in use lies in. What is
// there is not zeroed.
func (r *room) volume(t, h, w, c int, used ...compute.Volume) compute.Volume {
	if r.err == nil && r.stop != nil {
		r.err = r.stop()
	}
	i, n := r.unused(used), t*h*w*c
	if r.err == nil && (r.bufs[i] == nil || r.bufs[i].Len() < n) {
		r.release(i)
		r.bufs[i], r.err = r.dev.Alloc(n)
	}
	if r.err != nil {
		return compute.Volume{}
	}
	return compute.Volume{Mat: compute.NewMat(r.bufs[i], t*h*w, c), T: t, H: h, W: w}
}

func (r *room) unused(used []compute.Volume) int {
	for i, b := range r.bufs {
		taken := false
		for _, u := range used {
			taken = taken || b != nil && u.Mem == b
		}
		if !taken {
			return i
		}
	}
	panic("vae: a layer holds every buffer")
}

// like returns room for volumes of x's extent with c channels, apart from x and others in use.
func (r *room) like(x compute.Volume, c int, used ...compute.Volume) compute.Volume {
	return r.volume(x.T, x.H, x.W, c, append(used, x)...)
}

func (r *room) release(i int) {
	if r.bufs[i] != nil {
		r.dev.Free(r.bufs[i])
		r.bufs[i] = nil
	}
}

func (r *room) free() {
	for i := range r.bufs {
		r.release(i)
	}
}

// flow runs layers on frames that come group by group. After an error its operations do nothing.
type flow struct {
	dev    compute.Device
	room   *room
	keep   *model.Arena     // the caches
	caches []compute.Volume // per causal convolution, the last frames of its input
}

func newFlow(dev compute.Device, r *room, caches int) flow {
	return flow{dev: dev, room: r, keep: model.NewArena(dev), caches: make([]compute.Volume, caches)}
}

func (f *flow) err() error {
	if err := f.keep.Err(); err != nil {
		return err
	}
	return f.room.err
}

func (f *flow) failed() bool { return f.err() != nil }

// cache returns convolution i's history of n frames like x's, zeros the first time.
func (f *flow) cache(i, n int, x compute.Volume) compute.Volume {
	if f.caches[i].T == 0 {
		f.caches[i] = compute.Volume{Mat: f.keep.Mat(n*x.H*x.W, x.Cols), T: n, H: x.H, W: x.W}
	}
	return f.caches[i]
}

// causal convolves x, preceded by the frames cached from earlier calls (zeros at the start), into
// out, and caches x's last ones.
func (f *flow) causal(out, x compute.Volume, c causal, residual *compute.Mat) {
	if f.failed() {
		return
	}
	cache := f.cache(c.cache, history, x)
	if f.failed() {
		return
	}
	f.dev.Conv(out, x, c.conv, compute.ConvArgs{Prev: &cache, Residual: residual})
	f.remember(cache, x)
}

// remember moves x's last frames into a cache.
func (f *flow) remember(cache, x compute.Volume) {
	n, keep := x.H*x.W, cache.T-x.T
	if keep > 0 {
		f.dev.Copy(cache.RowRange(0, keep*n), cache.RowRange(x.T*n, cache.T*n))
		f.dev.Copy(cache.RowRange(keep*n, cache.T*n), x.Mat)
		return
	}
	f.dev.Copy(cache.Mat, x.RowRange((x.T-cache.T)*n, x.T*n))
}

// residual may overwrite x.
func (f *flow) residual(x compute.Volume, r *residual) compute.Volume {
	norm := f.room.like(x, r.in)
	h := f.room.like(x, r.out, norm)
	if f.failed() {
		return x
	}
	f.dev.ChannelNorm(norm.Mat, x.Mat, r.norm1, compute.SiLU)
	f.causal(h, norm, r.conv1, nil)
	sum := x
	if r.shortcut != nil {
		sum = f.room.like(x, r.out, h)
	}
	if f.failed() {
		return x
	}
	if r.shortcut != nil {
		f.dev.Linear(sum.Mat, x.Mat, r.shortcut, compute.Epilogue{})
	}
	f.dev.ChannelNorm(h.Mat, h.Mat, r.norm2, compute.SiLU)
	f.causal(sum, h, r.conv2, &sum.Mat)
	return sum
}

// attention lets the pixels of each frame attend to each other. It overwrites x.
func (f *flow) attention(x compute.Volume, a *attention) compute.Volume {
	norm := f.room.like(x, a.dim)
	qkv := f.room.like(x, 3*a.dim, norm)
	if f.failed() {
		return x
	}
	n := x.H * x.W
	f.dev.ChannelNorm(norm.Mat, x.Mat, a.norm, compute.Identity)
	f.dev.Linear(qkv.Mat, norm.Mat, a.qkv, compute.Epilogue{})
	args := compute.AttentionArgs{Heads: 1, Scale: float32(1 / math.Sqrt(float64(a.dim)))}
	for t := range x.T {
		m := qkv.RowRange(t*n, (t+1)*n)
		f.dev.Attention(norm.RowRange(t*n, (t+1)*n), m.ColRange(0, a.dim),
			m.ColRange(a.dim, 2*a.dim), m.ColRange(2*a.dim, 3*a.dim), args)
	}
	f.dev.Linear(x.Mat, norm.Mat, a.proj, compute.Epilogue{Residual: &x.Mat})
	return x
}

func (f *flow) middle(x compute.Volume, m *middle) compute.Volume {
	x = f.residual(x, &m.res[0])
	x = f.attention(x, &m.attn)
	return f.residual(x, &m.res[1])
}
