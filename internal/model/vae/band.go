package vae

import (
	"slices"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/partition"
)

// A band is some rows of a frame. A 3x3 convolution needs a row more on either side, so the further
// a layer is from the output, the more rows a band reads. Where a band ends inside the frame, a
// convolution sees zeros in place of the next row and spoils its outermost row; reads counts such
// rows in, and they are cut off before the next layer. Thus every row that counts has the bits it
// has in the whole frame.

// band decodes one band behind the middle block, which sees the whole frame.
type band struct {
	flow
	reads []partition.Range // see Decoder.reads
	step  int               // the next of reads
	due   int               // steps that the latent frame at hand goes through
	lo    int               // the first row of what is being decoded

	parked [][]float32 // the caches, while they are in the host's memory
}

// park moves the caches to the host, which has more memory, so that another band may run.
func (b *band) park() error {
	for i, c := range b.caches {
		if c.T == 0 {
			continue
		}
		if b.parked[i] == nil {
			b.parked[i] = make([]float32, c.Rows*c.Cols)
		}
		if err := b.dev.Download(b.parked[i], c.Mat); err != nil {
			return err
		}
	}
	b.keep.Free()
	return nil
}

// unpark brings the caches back.
func (b *band) unpark() {
	for i, host := range b.parked {
		if host == nil {
			continue
		}
		m := b.keep.Mat(b.caches[i].Rows, b.caches[i].Cols)
		if b.failed() {
			return
		}
		b.dev.Upload(m, host)
		b.caches[i].Mat = m
	}
}

// reads lists the rows of the frame that each step reads to make the given rows of the latent, at
// the step's resolution: per block its residuals, then its upsampling; then the last convolution.
// The rows of the result come last.
func (d *Decoder) reads(h int, rows partition.Range) []partition.Range {
	scale := d.cfg.SpatialScale()
	r := partition.Range{Lo: rows.Lo * scale, Hi: rows.Hi * scale}
	out := []partition.Range{r}
	r = widen(r, 1, h*scale)
	out = append(out, r)
	for _, u := range slices.Backward(d.ups) {
		if u.spatial != nil {
			r = widen(r, 1, h*scale)
			r = partition.Range{Lo: r.Lo / 2, Hi: (r.Hi + 1) / 2}
			scale /= 2
			out = append(out, r)
		}
		for range u.res {
			r = widen(r, 2, h*scale)
			out = append(out, r)
		}
	}
	slices.Reverse(out)
	return out
}

// Cost returns the multiplications that the given rows of a latent frame take, of any but the
// first, those of the middle block and of the rows around them included.
func (d *Decoder) Cost(h, w int, rows partition.Range) float64 {
	conv := func(c compute.Conv) float64 { return float64(products(c.Shape())) }
	var sum float64
	wide, frames, reads := float64(w), 1.0, d.reads(h, rows)
	dim, pixels := float64(d.mid.attn.dim), float64(h*w)
	sum += pixels * (conv(d.convIn.conv) + d.mid.res[0].cost() + d.mid.res[1].cost())
	sum += pixels * (4*dim*dim + 2*pixels*dim)
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

// cost returns the multiplications for a pixel.
func (r *residual) cost() float64 {
	n := products(r.conv1.conv.Shape()) + products(r.conv2.conv.Shape())
	if r.shortcut != nil {
		n += r.in * r.out
	}
	return float64(n)
}

func products(s compute.ConvShape) int { return s.Out * s.In * s.KT * s.KH * s.KW }

// widen adds n rows on either side, as far as there are any.
func widen(r partition.Range, n, rows int) partition.Range {
	return partition.Range{Lo: max(r.Lo-n, 0), Hi: min(r.Hi+n, rows)}
}

// crop keeps the rows of x that the next step reads.
func (b *band) crop(x compute.Volume) compute.Volume {
	r := b.reads[b.step]
	lo := r.Lo - b.lo
	if b.failed() || r.Len() == x.H {
		b.step++
		return x
	}
	b.step, b.lo = b.step+1, r.Lo
	if x.T == 1 {
		m := x.RowRange(lo*x.W, (lo+r.Len())*x.W)
		return compute.Volume{Mat: m, T: 1, H: r.Len(), W: x.W}
	}
	out := b.room.volume(x.T, r.Len(), x.W, x.Cols, x)
	if b.failed() {
		return x
	}
	for t := range x.T {
		at, n := (t*x.H+lo)*x.W, r.Len()*x.W
		b.dev.Copy(out.RowRange(t*n, (t+1)*n), x.RowRange(at, at+n))
	}
	return out
}

// rests reports whether the latent frame at hand goes no further.
func (b *band) rests() bool { return b.step == b.due }

// up runs a block's residuals and the upsampling behind them, as far as they are due. Time is
// doubled where the block does so and double is set.
func (b *band) up(x compute.Volume, u *upBlock, double bool) compute.Volume {
	for i := range u.res {
		if b.rests() {
			return x
		}
		x = b.residual(b.crop(x), &u.res[i])
	}
	if u.spatial == nil || b.rests() {
		return x
	}
	x = b.crop(x)
	if u.temporal != nil && double {
		x = b.doubleFrames(x, u.temporal)
	}
	out := b.room.volume(x.T, 2*x.H, 2*x.W, u.spatial.Shape().Out, x)
	if b.failed() {
		return x
	}
	b.dev.Conv(out, x, u.spatial, compute.ConvArgs{Upsample: true})
	b.lo *= 2
	return out
}

// doubleFrames makes two frames of each: the convolution gives both side by side in its channels.
func (b *band) doubleFrames(x compute.Volume, c *causal) compute.Volume {
	n, ch := x.H*x.W, x.Cols
	pairs := b.room.like(x, 2*ch) // [T·H·W, 2·C]
	b.causal(pairs, x, *c, nil)
	out := b.room.volume(2*x.T, x.H, x.W, ch, pairs)
	if b.failed() {
		return x
	}
	for t := range x.T {
		src := pairs.RowRange(t*n, (t+1)*n)
		b.dev.Copy(out.RowRange(2*t*n, (2*t+1)*n), src.ColRange(0, ch))
		b.dev.Copy(out.RowRange((2*t+1)*n, (2*t+2)*n), src.ColRange(ch, 2*ch))
	}
	return out
}
