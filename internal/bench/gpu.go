package bench

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/partition"
)

// Clocked is a device that knows how long it takes for what it is given.
type Clocked interface {
	compute.Device
	// Elapsed returns how long the device takes for what f issues.
	Elapsed(f func() error) (time.Duration, error)
}

// GPU says what to time on a GPU.
type GPU struct {
	Device Clocked
	Other  compute.Device // another GPU; nil: there is none
	Tiny   bool           // sizes that show that everything runs, and nothing else
	Rounds int
	Peer   *Peer // nil: nobody to compare with
	Report func(Row)
}

// Run times every item and reports each as soon as it is known. An item that the peer cannot time
// has its reason as the note.
func (g GPU) Run() error {
	for _, it := range g.items() {
		for _, t := range it.types {
			r, err := g.row(it, t)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", it.name, t, err)
			}
			g.Report(r)
		}
	}
	rows, width, side := clip480.Tokens(), wan13.heads*wan13.dim, 4096
	if g.Tiny {
		rows, width, side = 30, 70, 40
	}
	r, err := g.overlapRow(rows, width, side)
	if err != nil {
		return fmt.Errorf("%s: %w", r.Name, err)
	}
	g.Report(r)
	if g.Other == nil {
		return nil
	}
	if r, err = g.handRow(rows, width); err != nil {
		return fmt.Errorf("%s: %w", r.Name, err)
	}
	g.Report(r)
	return nil
}

func (g GPU) row(it item, t compute.DType) (Row, error) {
	r := Row{Name: it.name, DType: t.String()}
	var err error
	if r.Seconds, err = g.measure(it, t); err != nil {
		return r, err
	}
	peer := math.Inf(1)
	if g.Peer != nil {
		taken, err := g.Peer.Time(it.name, t.String(), 0)
		if r.Note = taken.Note; err != nil {
			r.Note = err.Error()
		} else {
			peer = taken.Seconds
		}
	}
	if p, ok := PeakOf(g.Device.Name()); ok {
		r.peak = p.Of(t)
	}
	r.compare(it, peer, peer)
	return r, nil
}

// measure returns the least time of a run. Runs follow each other for a while without a wait
// between them, so that what is measured is not how long it takes to issue them.
func (g GPU) measure(it item, t compute.DType) (float64, error) {
	const atLeast, runsMost = 0.1, 200 // seconds
	run, stop, err := it.start(&env{dev: g.Device}, t)
	if err != nil {
		return 0, err
	}
	defer stop()
	if err := run(); err != nil { // takes memory
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

// Names of items that the page speaks of.
const (
	passItem    = "wan 1.3B pass 32760 tokens"
	blocksTimed = 4 // what is beside them in a pass takes little then
)

// clip480 is the latent of 81 frames of 832 x 480: 32,760 tokens.
var clip480 = partition.Grid{T: 21, H: 60, W: 104, PT: 1, PH: 2, PW: 2}

func (g GPU) items() []item {
	if g.Tiny {
		return tinyItems()
	}
	var out []item
	for _, s := range []int{1024, 2048, 4096, 8192} {
		out = append(out, low(gemm(s, s, s)))
	}
	for _, w := range []shape{wan13, wan14} {
		d := w.heads * w.dim
		for _, s := range [][2]int{{d, d}, {d, 3 * d}, {d, w.inner}, {w.inner, d}} {
			out = append(out, low(gemm(clip480.Tokens(), s[0], s[1])))
		}
	}
	for _, dim := range []int{64, 128} {
		for tokens := 1024; tokens <= 32768; tokens *= 2 {
			out = append(out, low(attention(tokens, 12, dim)))
		}
	}
	return append(out, full(gemm(4096, 4096, 4096)), full(attention(4096, 12, 128)),
		wan13.layers("wan 1.3B 4 blocks 32760 tokens", blocksTimed, clip480),
		wan14.layers("wan 14B 4 blocks 32760 tokens", blocksTimed, clip480),
		wan13.layers(passItem, 30, clip480))
}

// tinyItems are one of each kind.
func tinyItems() []item {
	small := shape{heads: 3, dim: 64, inner: 96, text: 32}
	g := partition.Grid{T: 2, H: 4, W: 6, PT: 1, PH: 2, PW: 2}
	a, b := gemm(70, 40, 50), attention(70, 2, 64)
	a.types, b.types = both, both
	return []item{a, b, small.layers("wan 192 wide 2 blocks 12 tokens", 2, g)}
}

// low and full are an item in bfloat16 and in float32 alone.
func low(it item) item {
	it.types = []compute.DType{compute.BF16}
	return it
}

func full(it item) item {
	it.types = []compute.DType{compute.FP32}
	return it
}

// Peak is what a GPU can do at most, in floating-point operations per second.
type Peak struct {
	name      string
	fp32, low float64
}

// Of returns the peak of products of a type: fused multiply-adds of float32, and tensor cores with
// float32 sums and dense operands.
func (p Peak) Of(t compute.DType) float64 {
	if t == compute.BF16 {
		return p.low * 1e12
	}
	return p.fp32 * 1e12
}

// peaks are those of NVIDIA's data sheets and architecture whitepapers, without sparsity, by what
// the driver calls a GPU; a name comes before those that it contains.
var peaks = []Peak{
	{"H200", 66.9, 989.4}, {"GH200", 66.9, 989.4}, {"H100 PCIe", 51.2, 756.4},
	{"H100 NVL", 60.3, 835.5}, {"H100", 66.9, 989.4}, {"A100", 19.5, 312}, {"A40", 37.4, 149.7},
	{"A30", 10.3, 165}, {"A10", 31.2, 125}, {"L40S", 91.6, 362}, {"L40", 90.5, 181},
	{"L4", 30.3, 121}, {"RTX 4090", 82.6, 165.2}, {"RTX 3090", 35.6, 71.2},
}

// PeakOf returns the peak of the GPU that a device's name speaks of; false where it is not known.
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

// Emulated reports whether a device's name is that of the emulated GPU; its times mean nothing.
func Emulated(device string) bool { return strings.Contains(device, "Emulated") }
