package computetest

import (
	"testing"

	"github.com/longtake/longtake/internal/compute"
	"pgregory.net/rapid"
)

// blocksCase is a drawn pair of volumes that blocks relate: AddMeans adds the fine one to the
// coarse one, AddRepeated the other way round.
type blocksCase struct {
	placing
	block        compute.Block
	t, h, w      int // coarse frames and their size
	missing      int // frames that the fine volume lacks in front
	fineC        int // channels
	coarseC      int
	fine, coarse []float32
	means        bool // AddMeans
}

// drawBlocks draws a case: widths whose share is whole, more or less than a block's voxels.
func drawBlocks(t *rapid.T, means bool) *blocksCase {
	c := &blocksCase{
		placing: drawPlacing(t),
		block: compute.Block{Frames: rapid.IntRange(1, 3).Draw(t, "frames of a block"),
			Side: rapid.IntRange(1, 3).Draw(t, "side")},
		t: rapid.IntRange(1, 3).Draw(t, "t"), h: rapid.IntRange(1, 4).Draw(t, "h"),
		w: rapid.IntRange(1, 5).Draw(t, "w"), means: means,
	}
	c.missing = rapid.IntRange(0, c.block.Frames-1).Draw(t, "missing")

	// Any divisor of the fine values of a block is a width.
	c.fineC = drawSize(t, "fine channels", 20)
	var widths []int
	for n := 1; n <= c.fineC*c.block.Voxels(); n++ {
		if c.fineC*c.block.Voxels()%n == 0 {
			widths = append(widths, n)
		}
	}
	c.coarseC = rapid.SampledFrom(widths).Draw(t, "coarse channels")
	r := drawNumbers(t)
	c.fine = r.normal(c.fineRows()*c.fineC, 1)
	c.coarse = r.normal(c.t*c.h*c.w*c.coarseC, 1)
	return c
}

func (c *blocksCase) fineFrames() int { return c.t*c.block.Frames - c.missing }

func (c *blocksCase) fineRows() int {
	return c.fineFrames() * c.h * c.block.Side * c.w * c.block.Side
}

// run computes the operation on a device and returns what it added to.
func (c *blocksCase) run(t fataler, dev compute.Device) []float32 {
	t.Helper()
	r := c.on(t, dev)
	fine := compute.Volume{Mat: r.place(c.fine, c.fineRows(), c.fineC), T: c.fineFrames(),
		H: c.h * c.block.Side, W: c.w * c.block.Side}
	coarse := compute.Volume{Mat: r.place(c.coarse, c.t*c.h*c.w, c.coarseC), T: c.t, H: c.h, W: c.w}
	if c.means {
		dev.AddMeans(coarse, fine, c.block)
		return r.take(coarse.Mat, 0, coarse.Rows)
	}
	dev.AddRepeated(fine, coarse, c.block)
	return r.take(fine.Mat, 0, fine.Rows)
}

// want is the reference: every fine value with the coarse one whose share it is in.
func (c *blocksCase) want() []float64 {
	b, share := c.block, c.fineC*c.block.Voxels()/c.coarseC
	fine, coarse := widened(c.fine), widened(c.coarse)
	high, wide := c.h*b.Side, c.w*b.Side

	for i, v := range c.fine {
		row, ch := i/c.fineC, i%c.fineC
		f, y, x := row/(high*wide)+c.missing, row/wide%high, row%wide
		value := ((ch*b.Frames+f%b.Frames)*b.Side+y%b.Side)*b.Side + x%b.Side
		at := ((f/b.Frames*c.h+y/b.Side)*c.w+x/b.Side)*c.coarseC + value/share
		if c.means {
			coarse[at] += float64(v) / float64(share)
		} else {
			fine[i] += float64(c.coarse[at])
		}
	}

	if c.means {
		return coarse
	}
	return fine
}

// widened converts values to float64.
func widened(v []float32) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}

// blocks checks one of the operations against the reference, and that any number of threads gives
// the same bits.
func (s *suite) blocks(t *testing.T, means bool) {
	devs := s.devices(t)
	rapid.Check(t, func(t *rapid.T) {
		c := drawBlocks(t, means)
		got := c.run(t, devs[0])
		close(t, got, c.want(), s.tol)
		for i, dev := range devs[1:] {
			same(t, c.run(t, dev), got, "%d threads against 1", i+2)
		}
	})
}

// spoiledBlocks draws a case whose inputs can be spoiled.
func spoiledBlocks(means bool) func(*rapid.T) *spoiled {
	return func(t *rapid.T) *spoiled {
		c := drawBlocks(t, means)
		return &spoiled{[]input{{"fine", c.fine, false}, {"coarse", c.coarse, false}}, c.run}
	}
}
