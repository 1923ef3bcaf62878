package vae

import (
	"slices"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/partition"
)

// A band is some rows of a frame. A 3 x 3 convolution needs one more row on either side, so the
// further a layer is from the output, the more rows a band reads. Where a band ends inside the
// frame, a convolution sees zeros in place of the next row, and its outermost row is wrong. reads
// counts such rows in, and crop cuts them off before the next layer. Every row that is left has the
// bits that it has in the whole frame.

// band decodes one band of a frame, from the output of the middle block on. Bands of one stream run
// in turn and share its buffers; each has caches of its own.
type band struct {
	runner
	reads    []partition.Range // the rows that each step reads; see Decoder.reads
	step     int               // the next of reads
	stepsDue int               // how many steps the current latent frame goes through
	lo       int               // the frame's row that the activations begin with, at their resolution

	hostCaches [][]float32 // the caches while another band runs; nil for one not yet used
}

// offload moves the caches to the host, which has more memory, so that another band may run.
func (b *band) offload() error {
	for i, c := range b.caches {
		if c.T == 0 {
			continue
		}
		if b.hostCaches[i] == nil {
			b.hostCaches[i] = make([]float32, c.Rows*c.Cols)
		}
		if err := b.dev.Download(b.hostCaches[i], c.Mat); err != nil {
			return err
		}
	}
	b.arena.Free()
	return nil
}

// reload brings the caches back to the device. An error is kept in the runner.
func (b *band) reload() {
	for i, host := range b.hostCaches {
		if host == nil {
			continue
		}
		m := b.arena.Mat(b.caches[i].Rows, b.caches[i].Cols)
		if b.failed() {
			return
		}
		b.dev.Upload(m, host)
		b.caches[i].Mat = m
	}
}

// reads lists the rows of the frame that each step reads to make the given rows of a latent of h
// rows, at the step's resolution. A step is a residual, an upsampling, or the last convolution; the
// rows of the result come last. Rows are counted from the output back.
func (d *Decoder) reads(h int, rows partition.Range) []partition.Range {
	// The rows at full resolution, one more on either side for the last convolution, and so on.
	scale := d.scale()
	r := partition.Range{Lo: rows.Lo * scale, Hi: rows.Hi * scale}
	out := []partition.Range{r}

	r = widen(r, 1, h*scale)
	out = append(out, r)
	for _, u := range slices.Backward(d.ups) {
		// Upsampling doubles the rows, then convolves 3 x 3.
		if u.spatial != nil {
			r = widen(r, 1, h*scale)
			r = partition.Range{Lo: r.Lo / 2, Hi: (r.Hi + 1) / 2}
			scale /= 2
			out = append(out, r)
		}

		// A residual has two convolutions.
		for range u.res {
			r = widen(r, 2, h*scale)
			out = append(out, r)
		}
	}

	slices.Reverse(out)
	return out
}

// Cost returns the multiplications that decoding the given rows of a latent frame takes, of any
// frame but the clip's first. It includes the middle block, which every band runs on the whole
// frame, and the rows that bands read around their own. Ranks compare it to decide whether
// splitting a frame pays.
func (d *Decoder) Cost(h, w int, rows partition.Range) float64 {
	conv := func(c compute.Conv) float64 { return float64(products(c.Shape())) }
	var sum float64
	wide, frames, reads := float64(w), 1.0, d.reads(h, rows)

	// The middle block and conv_in, over the whole frame: convolutions, then attention's products.
	dim, pixels := float64(d.mid.attn.dim), float64(h*w)
	sum += pixels * (conv(d.convIn.conv) + d.mid.res[0].cost() + d.mid.res[1].cost())
	sum += pixels * (4*dim*dim + 2*pixels*dim)

	// Up-blocks, over the rows that each step reads and all frames of the latent frame.
	for _, u := range d.ups {
		for i := range u.res {
			sum += u.res[i].cost() * frames * wide * float64(reads[i].Len())
		}
		reads = reads[len(u.res):]

		if u.spatial == nil {
			continue
		}
		if u.temporal != nil {
			sum += conv(u.temporal.conv) * frames * wide * float64(reads[0].Len())
			frames *= 2
		}

		wide *= 2
		sum += conv(u.spatial) * frames * wide * float64(2*reads[0].Len())
		reads = reads[1:]
	}
	return sum + conv(d.convOut.conv)*frames*wide*float64(reads[0].Len())
}

// cost returns the multiplications for one pixel.
func (r *residual) cost() float64 {
	n := products(r.conv1.conv.Shape()) + products(r.conv2.conv.Shape())
	if r.shortcut != nil {
		n += r.in * r.out
	}
	return float64(n)
}

// products returns the multiplications of a convolution for one pixel of its output.
func products(s compute.ConvShape) int { return s.Out * s.In * s.KT * s.KH * s.KW }

// widen adds n rows on either side, as far as the frame has them.
func widen(r partition.Range, n, rows int) partition.Range {
	return partition.Range{Lo: max(r.Lo-n, 0), Hi: min(r.Hi+n, rows)}
}

// crop keeps the rows of x that the next step reads, and counts the step.
func (b *band) crop(x compute.Volume) compute.Volume {
	r := b.reads[b.step]
	lo := r.Lo - b.lo
	if b.failed() || r.Len() == x.H {
		b.step++
		return x
	}
	b.step, b.lo = b.step+1, r.Lo
	return b.bufs.rows(x, lo, r.Len())
}

// stopsHere reports whether the current latent frame, one of the warm-up, has gone as far as it is
// needed.
func (b *band) stopsHere() bool { return b.step == b.stepsDue }

// up runs block u as far as it is due, with time doubled if double is set, and adds its repeated
// input where it has a shortcut.
func (b *band) up(x compute.Volume, u *upBlock, double bool) compute.Volume {
	if !u.shortcut {
		return b.upsample(x, u, double)
	}

	in, lo := x, b.lo
	b.bufs.kept = in
	x = b.upsample(x, u, double)
	b.bufs.kept = compute.Volume{}
	if x.W == in.W || b.failed() { // it stopped before the upsampling
		return x
	}

	// Frame by frame: the block's layers may have cropped rows on the way. Time that is not doubled
	// is the clip's first frame, of whose block the fine volume has the last frame alone.
	lo, rows, frames := b.lo/2-lo, x.H/2, x.T/in.T
	for t := range in.T {
		at, n := (t*in.H+lo)*in.W, x.H*x.W
		coarse := compute.Volume{Mat: in.RowRange(at, at+rows*in.W), T: 1, H: rows, W: in.W}
		fine := compute.Volume{Mat: x.RowRange(t*frames*n, (t+1)*frames*n), T: frames, H: x.H, W: x.W}
		b.dev.AddRepeated(fine, coarse, u.block)
	}
	return x
}

// upsample runs the layers of block u: its residuals, then upsampling in time, if double is set,
// and in space. [T, H, W, C] becomes [2T, 2H, 2W], with half of the channels in Wan 2.1.
func (b *band) upsample(x compute.Volume, u *upBlock, double bool) compute.Volume {
	for i := range u.res {
		if b.stopsHere() {
			return x
		}
		x = b.residual(b.crop(x), &u.res[i])
	}

	if u.spatial == nil || b.stopsHere() {
		return x
	}
	x = b.crop(x)
	if u.temporal != nil && double {
		x = b.doubleFrames(x, u.temporal)
	}

	// The convolution repeats pixels as it reads them, so that no enlarged copy of x is written.
	out := b.bufs.volume(x.T, 2*x.H, 2*x.W, u.spatial.Shape().Out, x)
	if b.failed() {
		return x
	}
	b.conv(out, x, u.spatial, compute.ConvArgs{Upsample: true})
	b.lo *= 2
	return out
}

// doubleFrames makes two frames of each. The convolution gives both next to each other in its
// channels, [T·H·W, 2·C]; they are then copied apart to [2T·H·W, C].
func (b *band) doubleFrames(x compute.Volume, c *causal) compute.Volume {
	n, ch := x.H*x.W, x.Cols
	pairs := b.bufs.like(x, 2*ch) // [T·H·W, 2·C]
	b.causal(pairs, x, *c, nil, nil)
	out := b.bufs.volume(2*x.T, x.H, x.W, ch, pairs)
	if b.failed() {
		return x
	}
	for t := range x.T {
		src := pairs.RowRange(t*n, (t+1)*n) // frames 2t and 2t+1
		b.dev.Copy(out.RowRange(2*t*n, (2*t+1)*n), src.ColRange(0, ch))
		b.dev.Copy(out.RowRange((2*t+1)*n, (2*t+2)*n), src.ColRange(ch, 2*ch))
	}
	return out
}
