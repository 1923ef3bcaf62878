package engine

import (
	"errors"
	"fmt"
	"slices"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/partition"
)

// reserve makes the device set aside what text and denoising will hold, so that a clip that does
// not fit is refused before anything is computed, and no step asks for memory. A device without
// memory of its own is held to MemoryMax. The decoder is not counted: it makes do with what there
// is.
func (r *run) reserve() error {
	dev, ok := r.e.dev.Main.(compute.Reserver)
	if !ok && r.MemoryMax == 0 {
		return nil
	}
	need := r.memoryNeeded()
	if !ok {
		return r.checkMemory(need)
	}

	err := dev.Reserve(need)
	if errors.Is(err, compute.ErrMemory) && r.e.maySwap() {
		r.e.swapExperts("a clip needs the memory of one")
		err = dev.Reserve(need)
	}
	if err != nil {
		return fmt.Errorf("this rank's part of the clip needs %.1f GiB of the device; more ranks, or a "+
			"smaller clip, need less on each: %w", float64(need)/(1<<30), err)
	}
	return nil
}

// checkMemory refuses a clip of which this rank's part is larger than the memory of its machine:
// the kernel would kill the process. need is what the device holds; the rank itself holds several
// copies of the latent.
func (r *run) checkMemory(need int64) error {
	tokens := r.valuesHeld() / r.e.form.TokenWidth()
	need += 4 * int64(job.CopiesHeld*r.valuesHeld())
	need += 4 * int64(tokens*(r.e.form.ControlWidth()+r.e.form.ConditionWidth()))
	if need <= r.MemoryMax {
		return nil
	}
	return fmt.Errorf("this rank's part of the clip needs %.1f GiB of memory, and there are %.1f; "+
		"more ranks, or a smaller clip, need less on each", float64(need)/(1<<30),
		float64(r.MemoryMax)/(1<<30))
}

// valuesHeld returns how many values of the latent the rank holds: of a causal clip those of a
// block.
func (r *run) valuesHeld() int {
	if r.causal() {
		return r.layout.Own(0, r.Rank, 0).Len() * r.e.form.TokenWidth()
	}
	return r.windows.Values()
}

// memoryNeeded returns the bytes of the device that text and denoising hold at a time.
func (r *run) memoryNeeded() int64 {
	windows := r.layout.Windows(0)
	longest := slices.MaxFunc(windows, func(a, b partition.Range) int { return a.Len() - b.Len() })
	need := r.sequenceBytes(longest)

	// Each branch keeps its texts through all steps; encoding them needs memory once, before.
	encode := r.e.text.Bytes(r.tokenize(r.texts()))
	for _, b := range r.branches() {
		tokens := 0
		for _, p := range r.prompts(b) {
			ids, _ := r.e.tokenize(p)
			tokens = max(tokens, len(ids))
		}
		blends := 1
		if len(r.prompts(b)) > 1 {
			blends = min(blendsKept, len(windows))
		}
		held, work := r.e.form.TextBytes(tokens)
		need += int64(blends) * held
		encode = max(encode, work)
	}
	if tiles, err := r.windowTiles(longest); err == nil && tiles != nil {
		need += 4 * int64(len(tiles.Flat()))
	}
	need += r.residualBytes(longest)
	held, work := r.picturesBytes()
	return need + held + max(encode, work)
}

// sequenceBytes returns what the sequence of a window holds, with the keys and values that blocks
// of a causal clip keep.
func (r *run) sequenceBytes(window partition.Range) int64 {
	grid, tokens, rank := r.windowGrid(window), r.layout.Split(window), r.group.Rank()
	if r.causal() {
		return r.e.form.CausalBytes(grid, rank, tokens, r.headRanges(), r.reach())
	}
	return r.e.form.SequenceBytes(grid, rank, tokens, r.headRanges())
}
