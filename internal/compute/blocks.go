package compute

import "fmt"

// Block relates a fine volume to a coarse one, in which one voxel stands for Frames x Side x Side
// of the fine one. The values of a block's fine voxels are counted in the order (channel, frame,
// row, column); the same number of them in a row, the share, belongs to each channel of the coarse
// voxel. Wan 2.2's VAE so changes resolution and width without a weight (diffusers' AvgDown3D and
// DupUp3D).
type Block struct {
	Frames, Side int // from 1
}

// Voxels returns the fine voxels of a block.
func (b Block) Voxels() int { return b.Frames * b.Side * b.Side }

// Share returns how many fine values belong to a value of the coarse volume.
func (b Block) Share(fine, coarse Volume) int { return fine.Cols * b.Voxels() / coarse.Cols }

// Missing returns how many of the first block's frames the fine volume lacks: a clip's first frame
// stands alone.
func (b Block) Missing(fine, coarse Volume) int { return coarse.T*b.Frames - fine.T }

// Blocks checks that blocks relate two volumes: sizes, and a whole share.
func (c Checker) Blocks(op string, fine, coarse Volume, b Block) {
	if b.Frames < 1 || b.Side < 1 || coarse.Cols < 1 || fine.Cols*b.Voxels()%coarse.Cols != 0 {
		panic(fmt.Sprintf("%s: %s: blocks of %d x %d x %d relate %d channels to %d", c, op, b.Frames,
			b.Side, b.Side, fine.Cols, coarse.Cols))
	}
	missing := b.Missing(fine, coarse)
	if fine.H != coarse.H*b.Side || fine.W != coarse.W*b.Side || missing < 0 || missing >= b.Frames {
		panic(fmt.Sprintf("%s: %s: blocks of %d x %d x %d relate %d x %d x %d voxels to %d x %d x %d",
			c, op, b.Frames, b.Side, b.Side, fine.T, fine.H, fine.W, coarse.T, coarse.H, coarse.W))
	}
	c.Size(op, "the fine volume", fine.Mat, fine.T*fine.H*fine.W, fine.Cols)
	c.Size(op, "the coarse volume", coarse.Mat, coarse.T*coarse.H*coarse.W, coarse.Cols)
	c.Apart(op, "the fine volume", "the coarse volume", fine.Mat, coarse.Mat)
}
