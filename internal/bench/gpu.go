package bench

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/partition"
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
	var err error
	if r.Seconds, err = g.measure(it, t); err != nil {
		return r, err
	}

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
	return r, nil
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
	if err := run(); err != nil {
		return 0, err
	}

	once, err := g.Device.Elapsed(run)
	if err != nil {
		return 0, err
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

const (
	passItem    = "wan 1.3B pass 32760 tokens" // the item from which the page derives a step's time
	blocksTimed = 4                            // enough that the rest of a pass hardly counts
)

// clip480 is the latent of 81 frames of 832 x 480, the default clip of Wan 2.1: 32,760 tokens.
var clip480 = partition.Grid{T: 21, H: 60, W: 104, PT: 1, PH: 2, PW: 2}

// Names lists the items in the order in which Run times them. The last is for machines with two
// GPUs.
func (g GPU) Names() []string {
	var out []string
	for _, it := range g.items() {
		out = append(out, it.name)
	}
	rows, width, _ := g.copySizes()
	return append(out, overlapName(rows, width), peerCopyName(rows, width))
}

// copySizes returns the rows and the width of what is copied, and the side of the products beside.
func (g GPU) copySizes() (rows, width, side int) {
	if g.Tiny {
		return 30, 70, 40
	}
	return clip480.Tokens(), wan13.heads * wan13.dim, 4096
}

// items lists what is timed: products and attention of Wan's sizes, then blocks and a whole pass.
func (g GPU) items() []item {
	if g.Tiny {
		return tinyItems()
	}
	var out []item

	// Square products, by which GPUs are commonly compared.
	for _, s := range []int{1024, 2048, 4096, 8192} {
		out = append(out, inBF16(gemm(s, s, s)))
	}

	// The products of a layer for a clip at 480p: attention's output, q, k and v as one, and both of
	// the feed-forward.
	for _, w := range []shape{wan13, wan14} {
		d := w.heads * w.dim
		for _, s := range [][2]int{{d, d}, {d, 3 * d}, {d, w.inner}, {w.inner, d}} {
			out = append(out, inBF16(gemm(clip480.Tokens(), s[0], s[1])))
		}
	}

	// Attention of both head widths over ever longer sequences, up to a clip's.
	for _, dim := range []int{64, 128} {
		for tokens := 1024; tokens <= 32768; tokens *= 2 {
			out = append(out, inBF16(attention(tokens, 12, dim)))
		}
	}

	return append(out, inFP32(gemm(4096, 4096, 4096)), inFP32(attention(4096, 12, 128)),
		wan13.layers("wan 1.3B 4 blocks 32760 tokens", blocksTimed, clip480),
		wan14.layers("wan 14B 4 blocks 32760 tokens", blocksTimed, clip480),
		wan13.layers(passItem, 30, clip480))
}

// tinyItems are one of each kind, for the emulated GPU.
func tinyItems() []item {
	// Sizes that fill no tile, so that edges run as well.
	small := shape{heads: 3, dim: 64, inner: 96, text: 32}
	g := partition.Grid{T: 2, H: 4, W: 6, PT: 1, PH: 2, PW: 2}
	a, b := gemm(70, 40, 50), attention(70, 2, 64)
	a.types, b.types = both, both
	return []item{a, b, small.layers("wan 192 wide 2 blocks 12 tokens", 2, g)}
}

// inBF16 limits an item to bfloat16.
func inBF16(it item) item {
	it.types = []compute.DType{compute.BF16}
	return it
}

// inFP32 limits an item to float32.
func inFP32(it item) item {
	it.types = []compute.DType{compute.FP32}
	return it
}

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
