package cpu

import "github.com/longtake/longtake/internal/compute"

// blocks is how a fine volume and a coarse one lie in their matrices; see compute.Block.
type blocks struct {
	compute.Block
	high, wide int // size of a coarse frame
	missing    int // frames of the first block that the fine volume lacks
	share      int // fine values of a coarse one
}

// newBlocks describes volumes that check.Blocks has passed.
func newBlocks(fine, coarse compute.Volume, b compute.Block) blocks {
	return blocks{b, coarse.H, coarse.W, b.Missing(fine, coarse), b.Share(fine, coarse)}
}

// AddMeans adds to each value of a coarse volume the mean of its share of a fine one; see
// compute.Block.
func (d *Device) AddMeans(coarse, fine compute.Volume, b compute.Block) {
	const op = "AddMeans"
	check.Blocks(op, fine, coarse, b)
	o := inOut(op, coarse.Mat, coarse.Mat)
	o.other, o.blocks = viewOf(op, "the fine volume", fine.Mat), newBlocks(fine, coarse, b)
	o.row = (*rowwise).addMeans
	d.each(o)
}

// addMeans adds to coarse voxel i. Each mean is summed in the order of the share.
func (o *rowwise) addMeans(_ *worker, i int) {
	g := &o.blocks
	x, y, t := i%g.wide, i/g.wide%g.high, i/(g.wide*g.high)

	// The fine values begin with those of channel 0, a voxel after the other.
	out, per := o.out.row(i), float32(g.share)
	channel, voxel := 0, 0

	for c := range out {
		sum := float32(0)
		for range g.share {
			frame := t*g.Frames + voxel/(g.Side*g.Side) - g.missing
			if frame >= 0 {
				row := frame*g.high*g.Side + y*g.Side + voxel/g.Side%g.Side
				sum += o.other.row(row*g.wide*g.Side + x*g.Side + voxel%g.Side)[channel]
			}
			if voxel++; voxel == g.Voxels() {
				channel, voxel = channel+1, 0
			}
		}
		out[c] += sum / per
	}
}

// AddRepeated adds each value of a coarse volume to all of its share of a fine one; see
// compute.Block.
func (d *Device) AddRepeated(fine, coarse compute.Volume, b compute.Block) {
	const op = "AddRepeated"
	check.Blocks(op, fine, coarse, b)
	o := inOut(op, fine.Mat, fine.Mat)
	o.other, o.blocks = viewOf(op, "the coarse volume", coarse.Mat), newBlocks(fine, coarse, b)
	o.row = (*rowwise).addRepeated
	d.each(o)
}

// addRepeated adds to fine voxel i.
func (o *rowwise) addRepeated(_ *worker, i int) {
	g := &o.blocks
	wide, high := g.wide*g.Side, g.high*g.Side
	x, y, frame := i%wide, i/wide%high, i/(wide*high)+g.missing
	in := o.other.row((frame/g.Frames*g.high+y/g.Side)*g.wide + x/g.Side)

	// Of the share that channel 0 of the voxel is in; a channel further, it is Voxels values further.
	at := (frame%g.Frames*g.Side+y%g.Side)*g.Side + x%g.Side
	from := at / g.share
	at -= from * g.share

	out := o.out.row(i)
	for c := range out {
		out[c] += in[from]
		for at += g.Voxels(); at >= g.share; at -= g.share {
			from++
		}
	}
}
