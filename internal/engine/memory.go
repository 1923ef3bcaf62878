package engine

import (
	"fmt"
	"slices"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/partition"
)

// reserve has the device set aside what text and denoising will hold, so that a clip that does not
// fit is refused before anything is computed, and no step asks for memory. The decoder makes do
// with what there is.
func (r *run) reserve() error {
	dev, ok := r.e.dev.Main.(compute.Reserver)
	if !ok && r.MemoryMax == 0 {
		return nil
	}
	need := r.memory()
	if !ok {
		return r.fits(need)
	}
	if err := dev.Reserve(need); err != nil {
		return fmt.Errorf("this rank's part of the clip needs %.1f GiB of the device; more ranks, or a "+
			"smaller clip, need less on each: %w", float64(need)/(1<<30), err)
	}
	return nil
}

// fits refuses a clip of which this rank's part is larger than the memory of its machine: a process
// that tried would be killed.
func (r *run) fits(need int64) error {
	need += 4 * job.CopiesHeld * int64(r.held.Values())
	if need <= r.MemoryMax {
		return nil
	}
	return fmt.Errorf("this rank's part of the clip needs %.1f GiB of memory, and there are %.1f; "+
		"more ranks, or a smaller clip, need less on each", float64(need)/(1<<30),
		float64(r.MemoryMax)/(1<<30))
}

// memory returns the bytes of the device that text and denoising hold at a time.
func (r *run) memory() int64 {
	first, encode := r.layout.Windows(0), int64(0)
	longest := slices.MaxFunc(first, func(a, b partition.Range) int { return a.Len() - b.Len() })
	need := r.e.dit.SequenceBytes(r.windowGrid(longest), r.group.Rank(), r.layout.Split(longest),
		r.headRanges())
	for _, b := range r.branches() {
		tokens := 0
		for _, p := range r.prompts(b) {
			ids, _ := r.e.tokenize(p.text)
			tokens = max(tokens, len(ids))
		}
		kept := 1
		if len(r.prompts(b)) > 1 {
			kept = min(textsKept, len(first))
		}
		held, work := r.e.dit.TextBytes(tokens)
		need += int64(kept) * held
		encode = max(encode, work, r.e.text.Bytes(tokens))
	}
	return need + encode
}
