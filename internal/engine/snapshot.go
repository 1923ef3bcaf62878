package engine

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/longtake/longtake/internal/diffusion"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/tensor/safetensors"
)

// A checkpoint is a safetensors file of tensors F32 [tokens, token width]: "0" is the latent of the
// clip, "1" and so on are what the scheduler keeps, which may cover one window alone. Its metadata
// (job, step, attempt) make it an object of this job alone: two jobs never share one in the store.

// state is what a rank has after a step, as a copy: the tensors of a checkpoint, as far as the rank
// holds them.
type state struct {
	covers  []partition.Range // of each tensor: the tokens of the clip that it has
	tensors []tokenTensor
}

// wholeState is the state of a denoising loop over all that the rank holds.
func (r *run) wholeState(x []float32, sched diffusion.Scheduler) state {
	var s state
	for i, v := range append([][]float32{x}, sched.State()...) {
		s.covers = append(s.covers, partition.Range{Hi: r.layout.Tokens()})
		s.tensors = append(s.tensors, r.heldTensor(r.checkpoints.clone(i, v)))
	}
	return s
}

// heldTensor is a tensor over the clip's tokens of which this rank has the values x of those it
// holds.
func (r *run) heldTensor(x []float32) tokenTensor {
	return tokenTensor{r.checkpoints.kept, func(t partition.Range) []float32 {
		at := r.windows.Place(t)
		return x[at.Lo:at.Hi]
	}}
}

// gather brings the state of all ranks together on rank 0, in a file that then waits to be stored.
// The error is this rank's alone: where rank 0 cannot write, it receives and drops what the others
// send.
func (c *checkpointer) gather(done int, since time.Time, s state) error {
	r := c.r
	if r.Rank != 0 {
		return r.gather(c.ctx, r.direct, done, opCheckpoint, s.tensors, nil)
	}

	// Values go to their places in the file as they come, in any order.
	f, places, failed := c.createFile(done, s)
	width := r.e.form.TokenWidth()
	err := r.gather(c.ctx, r.direct, done, opCheckpoint, s.tensors, &chunkSink{
		take: func(i int, t partition.Range, v []float32) error {
			if failed != nil {
				return failed
			}
			at := places[strconv.Itoa(i)] + int64(4*width*(t.Lo-s.covers[i].Lo))
			_, err := f.WriteAt(tensor.Bytes(v), at)
			return err
		}, flush: func(partition.Range) error { return nil }})
	if err != nil {
		if f != nil {
			snapshot{file: f}.discard()
		}
		return err
	}

	c.handOver(snapshot{done, since, f})
	return nil
}

// handOver gives a snapshot to the writer, and to previews. One goroutine at a time calls it.
func (c *checkpointer) handOver(s snapshot) {
	// Only this goroutine sends, so there is room once the snapshot before is out.
	select {
	case old := <-c.waiting:
		old.discard()
	default:
	}
	if c.previews != nil {
		c.previews.offer(s.step, s.file.Name()) // before the writer removes the file
	}
	c.waiting <- s
}

// saveBlocks begins a checkpoint of a causal clip after `done` steps, on rank 0: of the blocks in a
// file of tokens, which are all that there is.
func (c *checkpointer) saveBlocks(done int, since time.Time, tokens *os.File) {
	if !c.due(done) {
		return
	}

	n := (done + 1) / (c.r.Plan.Spec.Steps + 1) * c.r.layout.WindowTokens()
	f, places, err := c.createFile(done, state{covers: []partition.Range{{Hi: n}}})
	if err == nil {
		size := int64(4 * n * c.r.e.form.TokenWidth())
		_, err = io.Copy(io.NewOffsetWriter(f, places["0"]), io.NewSectionReader(tokens, 0, size))
	}

	if c.gatherErr = err; err != nil {
		if f != nil {
			snapshot{file: f}.discard()
		}
		c.warn(err)
		return
	}
	c.handOver(snapshot{done, since, f})
}

// createFile begins the file of a checkpoint; places are where its tensors begin. The file is nil
// where it could not be created.
func (c *checkpointer) createFile(done int, s state) (f *os.File, places map[string]int64,
	err error) {
	if f, err = c.r.tempFile("checkpoint-*"); err != nil {
		return nil, nil, err
	}
	shapes := map[string]tensor.Shape{}
	for i, cover := range s.covers {
		shapes[strconv.Itoa(i)] = tensor.Shape{cover.Len(), c.r.e.form.TokenWidth()}
	}
	places, err = safetensors.Blank(f, shapes, map[string]string{"job": string(c.r.Plan.Job),
		"step": strconv.Itoa(done), "attempt": fmt.Sprint(c.r.Plan.Attempt)})
	return f, places, err
}
