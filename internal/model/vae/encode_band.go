package vae

import (
	"slices"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/partition"
)

// reads lists the rows of a frame of so many that each step reads to make the given rows of the
// middle block's input, at the step's resolution. A step is conv_in, a residual, or a downsampling;
// the rows of the result come last. Rows are counted from the output back, as in Decoder.reads.
func (e *Encoder) reads(rows int, r partition.Range) []partition.Range {
	high := rows >> (len(e.downs) - 1) // rows at the resolution of r
	out := []partition.Range{r}
	for _, d := range slices.Backward(e.downs) {
		// Row y of the result is made of rows 2y to 2y+2.
		if d.spatial != nil {
			high *= 2
			r = partition.Range{Lo: 2 * r.Lo, Hi: min(2*r.Hi+1, high)}
			out = append(out, r)
		}

		// A residual has two convolutions.
		for range d.res {
			r = widen(r, 2, high)
			out = append(out, r)
		}
	}

	out = append(out, widen(r, 1, high))
	slices.Reverse(out)
	return out
}

// down runs a block, [T, H, W] to [T/2, H/2, W/2], and adds its averaged input where it has a
// shortcut. first says whether the frame is the clip's first, which stands alone.
func (b *band) down(x compute.Volume, d *downBlock, first bool) compute.Volume {
	if !d.shortcut {
		return b.downsample(x, d, first)
	}
	in, lo := x, b.lo
	b.bufs.kept = in
	x = b.downsample(x, d, first)
	b.bufs.kept = compute.Volume{}
	if b.failed() {
		return x
	}

	// Of the input, the rows that the result stands for.
	side := d.block.Side
	fine := b.bufs.rows(in, b.lo*side-lo, x.H*side, x)
	if !b.failed() {
		b.dev.AddMeans(x, fine, d.block)
	}
	return x
}

// downsample runs a block's residuals and the downsampling after them. Time is halved from the
// second group on; the temporal convolution then also sees the last frame of the group before.
func (b *band) downsample(x compute.Volume, d *downBlock, first bool) compute.Volume {
	for i := range d.res {
		x = b.residual(b.crop(x), &d.res[i])
	}
	if d.spatial == nil {
		return x
	}

	x = b.crop(x)
	small := b.bufs.volume(x.T, x.H/2, x.W/2, x.Cols, x)
	if b.failed() {
		return x
	}
	b.conv(small, x, d.spatial, compute.ConvArgs{Downsample: true})
	b.lo /= 2

	if d.temporal == nil {
		return small
	}
	return b.halveFrames(small, d.temporal, first)
}

// halveFrames makes one frame of two, unless it is the clip's first.
func (b *band) halveFrames(x compute.Volume, c *causal, first bool) compute.Volume {
	cache, out := b.cache(c.cache, 1, x), x
	if !first {
		out = b.bufs.volume(x.T/2, x.H, x.W, x.Cols, x)
	}
	if b.failed() {
		return x
	}
	if !first {
		b.conv(out, x, c.conv, compute.ConvArgs{Prev: &cache, StrideT: 2})
	}
	b.remember(cache, x, nil)
	return out
}
