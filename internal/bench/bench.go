package bench

import (
	"fmt"
	"math"
	"time"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/cpu"
	"github.com/longtake/longtake/internal/model"
)

// Row is what was measured of one item in one type. It is a line of "longtake bench --json".
type Row struct {
	Name    string  `json:"name"`
	DType   string  `json:"dtype"`
	Threads int     `json:"threads"`                // 0 on a GPU
	Seconds float64 `json:"seconds"`                // of a run, the least
	GFLOPS  float64 `json:"gflops,omitempty"`       // per second; 0: not counted
	Peak    float64 `json:"of_peak,omitempty"`      // share of the peak that was measured with it
	Peer    float64 `json:"peer_seconds,omitempty"` // of the same item and type; 0: nobody asked
	// Ratio is Seconds over the peer's, in the peer's better type where Best is set.
	Ratio float64 `json:"ratio,omitempty"`
	Best  bool    `json:"against_best,omitempty"`
	// Bandwidth is in 1e9 bytes a second, of items that move bytes; Memory is the most bytes of the
	// device that an item had at once, weights included; 0: not known.
	Bandwidth float64 `json:"gb_per_second,omitempty"`
	Memory    int64   `json:"memory_bytes,omitempty"`
	// Note is what the peer says of its time, or why it has none.
	Note string `json:"note,omitempty"`

	// peak is what was measured, or is known, of the device, in floating-point operations per second;
	// 0: unknown.
	peak float64
}

// item is one thing to time on a device. The peer times the same operation under the same name, on
// values and in a layout of its own.
type item struct {
	name  string  // as the peer knows it
	flops float64 // floating-point operations of a run; 0: not counted
	bytes float64 // that a run moves; 0: not counted
	ready bool    // start has run a part of it, so that the first run counts
	best  bool    // compare with the peer's better type
	// start loads what a run needs. run is called again and again, then stop frees everything.
	start func(e *env, t compute.DType) (run func() error, stop func(), err error)
	types []compute.DType // to time the item in
	one   bool            // also on one thread
}

// env is where items run. On the CPU every item has a device of its own, on a GPU all share one.
type env struct {
	folder *model.Folder // of the demo model; nil on a GPU, whose items need none
	dev    compute.Device
}

// both is the types of items that are timed in either.
var both = []compute.DType{compute.FP32, compute.BF16}

// Config says what to time on the CPU.
type Config struct {
	Folder  *model.Folder // of the demo model
	Threads int           // of the device; items that scale badly run on one as well
	Rounds  int           // turns of each side
	Peer    *Peer         // nil: nothing to compare with
	// Clip makes the demo clip in a process of its own; nil leaves it out.
	Clip   func(t compute.DType) error
	Report func(Row) // gets each row as soon as it is measured
}

// Run times every item, in the order of the report. It stops at the first error, which names the
// item.
func Run(c Config) error {
	all := items(c.Folder.Transformer)
	// A whole clip comes last: it takes longest, and may be interrupted.
	if c.Clip != nil {
		all = append(all, clip(c.Clip))
	}

	for _, it := range all {
		// One thread shows the kernel, all of them the machine.
		threads := []int{c.Threads}
		if it.one && c.Threads > 1 {
			threads = []int{1, c.Threads}
		}
		for _, n := range threads {
			if err := c.item(it, n); err != nil {
				return fmt.Errorf("%s: %w", it.name, err)
			}
		}
	}
	return nil
}

// item times one item in its types on a device of its own, taking turns with the peer. Turns are
// taken in one process after the other, never at the same time, so that neither side loses cores to
// the other.
func (c Config) item(it item, threads int) (err error) {
	// A new device per item: its scratch must not profit from the item before.
	dev, err := cpu.New(threads)
	if err != nil {
		return err
	}
	defer dev.Close()

	// Infinity is a time that was not measured: any other is less.
	rows := make([]Row, len(it.types))
	peers := make([]float64, len(it.types))
	for i, t := range it.types {
		rows[i] = Row{Name: it.name, DType: t.String(), Threads: threads, Best: it.best,
			Seconds: math.Inf(1)}
		peers[i] = math.Inf(1)
	}

	// The peer and we take turns in every type, so that both see the same states of the machine.
	for range c.Rounds {
		for i, t := range it.types {
			if c.Peer != nil {
				took, err := c.Peer.Time(it.name, t.String(), threads)
				if err != nil {
					return err
				}
				peers[i] = min(peers[i], took.Seconds)
			}
			if err := rows[i].measure(it, c.Folder, dev, t); err != nil {
				return err
			}
		}
	}

	least := math.Inf(1)
	for _, s := range peers {
		least = min(least, s)
	}
	for i := range rows {
		rows[i].compare(it, peers[i], least)
		c.Report(rows[i])
	}
	return nil
}

// measure runs an item for at least 300 ms and twice, and keeps the least time seen so far. The
// peak is measured right after it, and the greatest kept, so that both are of the same state of the
// machine. The least time is taken, not the mean: noise of other processes only ever adds.
func (r *Row) measure(it item, f *model.Folder, dev *cpu.Device, t compute.DType) error {
	const atLeast, least = 300 * time.Millisecond, 2
	run, stop, err := it.start(&env{f, dev}, t)
	if err != nil {
		return err
	}
	defer stop()

	// The first run fills caches and scratch, and does not count.
	if err := run(); err != nil {
		return err
	}

	began := time.Now()
	for n := 0; n < least || time.Since(began) < atLeast; n++ {
		start := time.Now()
		if err := run(); err != nil {
			return err
		}
		r.Seconds = min(r.Seconds, time.Since(start).Seconds())
	}

	for range 3 {
		r.peak = max(r.peak, dev.Peak(t))
	}
	return nil
}

// compare fills in the figures that follow from the times: peer is the peer's in the row's type,
// and least its time in its better type. An infinite time was not measured. A share of the peak
// above 1 is possible, as the clock of a CPU may rise between the two measurements.
func (r *Row) compare(it item, peer, least float64) {
	r.GFLOPS, r.Bandwidth = it.flops/r.Seconds/1e9, it.bytes/r.Seconds/1e9
	if r.peak > 0 {
		r.Peak = it.flops / r.Seconds / r.peak
	}
	if math.IsInf(peer, 1) {
		return
	}

	// Users choose a type freely, so a whole clip is held to the peer's faster one.
	r.Peer, r.Ratio = peer, r.Seconds/peer
	if it.best {
		r.Ratio = r.Seconds / least
	}
}
