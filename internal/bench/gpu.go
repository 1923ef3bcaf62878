package bench

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"

	"github.com/longtake/longtake/internal/compute"
)

// Clocked is a device with a clock of its own.
type Clocked interface {
	compute.Device
	// Elapsed returns how long the device takes for what f issues, without the time to issue it.
	Elapsed(f func() error) (time.Duration, error)
}

// GPU says what to time on a GPU.
type GPU struct {
	Device Clocked
	Other  compute.Device // another GPU; nil: there is none
	Tiny   bool           // sizes that show that everything runs, and nothing else
	Only   *regexp.Regexp // of the names of items to time; nil: all
	Rounds int            // how often each item is timed; the least time counts
	Peer   *Peer          // nil: nothing to compare with
	Report func(Row)      // gets each row as soon as it is measured
}

// wants reports whether the item of a name is to be timed.
func (g GPU) wants(name string) bool { return g.Only == nil || g.Only.MatchString(name) }

// Run times every item that is wanted, then copies that overlap products, and copies from GPU to
// GPU where there are two. An item that the peer cannot time has the peer's reason as its note.
func (g GPU) Run() error {
	for _, it := range g.items() {
		if !g.wants(it.name) {
			continue
		}
		for _, t := range it.types {
			r, err := g.row(it, t)
			if err != nil {
				return fmt.Errorf("cannot time %s in %s: %w", it.name, t, err)
			}
			g.Report(r)
		}
	}

	return g.copies()
}

// copies times those of a rank's activations for a layer of Wan 2.1 1.3B, as far as they are
// wanted.
func (g GPU) copies() error {
	rows, width, side := g.copySizes()
	if name := overlapName(rows, width); g.wants(name) {
		r, err := g.overlapRow(rows, width, side)
		if err != nil {
			return fmt.Errorf("cannot time %s: %w", name, err)
		}
		g.Report(r)
	}

	if name := peerCopyName(rows, width); g.Other != nil && g.wants(name) {
		r, err := g.peerCopyRow(rows, width)
		if err != nil {
			return fmt.Errorf("cannot time %s: %w", name, err)
		}
		g.Report(r)
	}
	return nil
}

// row times an item in a type, here and by the peer.
func (g GPU) row(it item, t compute.DType) (Row, error) {
	r := Row{Name: it.name, DType: t.String()}
	memory := g.memory()
	var err error
	if r.Seconds, err = g.measure(it, t); err != nil {
		return r, err
	}
	r.Memory = memory()

	peer := math.Inf(1)
	if g.Peer != nil {
		// A peer that runs out of memory, say, still times the next item.
		taken, err := g.Peer.Time(it.name, t.String(), 0)
		if r.Note = taken.Note; err != nil {
			r.Note = err.Error()
		} else {
			peer = taken.Seconds
		}
	}
	// A GPU that is not in the table has no share of its peak reported.
	if p, ok := PeakOf(g.Device.Name()); ok {
		r.peak = p.Of(t)
	}
	r.compare(it, peer, peer)
	r.describe(it)
	return r, nil
}

// describe adds to the note what has no column in tables.
func (r *Row) describe(it item) {
	var more []string
	if it.bytes > 0 {
		more = append(more, fmt.Sprintf("%.3g GB/s", r.Bandwidth))
	}
	if r.Memory >= 1e9 { // what may decide whether a clip fits
		more = append(more, fmt.Sprintf("%.3g GB of memory", float64(r.Memory)/1e9))
	}
	if r.Note != "" {
		more = append(more, r.Note)
	}
	r.Note = strings.Join(more, "; ")
}

// measure returns the least time of a run in seconds. As many runs as fill 0.1 s follow each other
// without a wait between them, so that what is measured is not how long it takes to issue them.
func (g GPU) measure(it item, t compute.DType) (float64, error) {
	const atLeast, runsMost = 0.1, 200 // seconds
	run, stop, err := it.start(&env{dev: g.Device}, t)
	if err != nil {
		return 0, err
	}
	defer stop()

	// The first run takes memory and loads kernels; the second one says how many fill the time.
	if !it.ready {
		if err := run(); err != nil {
			return 0, err
		}
	}

	once, err := g.Device.Elapsed(run)
	if err != nil || once > slow {
		return once.Seconds(), err
	}
	runs := 1
	if !g.Tiny {
		runs = int(min(max(atLeast/once.Seconds(), 1), runsMost))
	}

	least := math.Inf(1)
	for range g.Rounds {
		took, err := g.Device.Elapsed(func() error {
			for range runs {
				if err := run(); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
		least = min(least, took.Seconds()/float64(runs))
	}
	return least, nil
}

// slow is how long a run takes that is not repeated: noise of milliseconds does not show in it, and
// time on a GPU is dear.
const slow = 3 * time.Second

// Peak is what a GPU can do at most.
type Peak struct {
	name       string  // a part of the device's name
	fp32, bf16 float64 // TFLOP/s in float32 and in bfloat16
}

// Of returns the peak of products of a type in floating-point operations per second: fused
// multiply-adds of float32, or tensor cores with float32 sums and dense operands of bfloat16.
func (p Peak) Of(t compute.DType) float64 {
	if t == compute.BF16 {
		return p.bf16 * 1e12
	}
	return p.fp32 * 1e12
}

// peaks are those of NVIDIA's data sheets and architecture whitepapers, without sparsity, by what
// the driver calls a GPU. A name stands before the names that are parts of it.
var peaks = []Peak{
	{"H200", 66.9, 989.4}, {"GH200", 66.9, 989.4}, {"H100 PCIe", 51.2, 756.4},
	{"H100 NVL", 60.3, 835.5}, {"H100", 66.9, 989.4}, {"A100", 19.5, 312}, {"A40", 37.4, 149.7},
	{"A30", 10.3, 165}, {"A10", 31.2, 125}, {"L40S", 91.6, 362}, {"L40", 90.5, 181},
	{"L4", 30.3, 121}, {"RTX 4090", 82.6, 165.2}, {"RTX 3090", 35.6, 71.2},
}

// PeakOf returns the peak of the GPU that a device's name contains; false for one that is not
// in the table.
func PeakOf(device string) (Peak, bool) {
	if Emulated(device) {
		return Peak{}, false
	}
	for _, p := range peaks {
		if strings.Contains(device, p.name) {
			return p, true
		}
	}
	return Peak{}, false
}

// Emulated reports whether a device's name is that of the emulated GPU (kernels/emu). Its times
// mean nothing, and it has no peak.
func Emulated(device string) bool { return strings.Contains(device, "Emulated") }
