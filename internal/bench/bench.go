package bench

import (
	"fmt"
	"math"
	"time"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/cpu"
	"github.com/longtake/longtake/internal/model"
)

// Row is what was measured of one item.
type Row struct {
	Name    string  `json:"name"`
	DType   string  `json:"dtype"`
	Threads int     `json:"threads"`
	Seconds float64 `json:"seconds"`
	GFLOPS  float64 `json:"gflops,omitempty"`       // per second; 0: not counted
	Peak    float64 `json:"of_peak,omitempty"`      // share of the peak that was measured beside it
	Peer    float64 `json:"peer_seconds,omitempty"` // of the same item and type; 0: nobody asked
	// Ratio is Seconds over the peer's, in the peer's better type where Best is set.
	Ratio float64 `json:"ratio,omitempty"`
	Best  bool    `json:"against_best,omitempty"`
	Note  string  `json:"note,omitempty"` // what the peer says of its time, or why it has none

	peak float64 // floating-point operations per second
}

// item is one thing to time on a device.
type item struct {
	name  string
	flops float64
	best  bool // compare with the peer's better type
	// start prepares a run; what it gives back is run again and again, then stopped.
	start func(e *env, t compute.DType) (run func() error, stop func(), err error)
	types []compute.DType
	one   bool // also on one thread
}

// env is where items run.
type env struct {
	folder *model.Folder
	dev    compute.Device
}

var both = []compute.DType{compute.FP32, compute.BF16}

// Config says what to time.
type Config struct {
	Folder  *model.Folder // of the demo model
	Threads int
	Rounds  int
	Peer    *Peer // nil: nobody to compare with
	// Clip makes the demo clip in a process of its own; nil leaves it out.
	Clip   func(t compute.DType) error
	Report func(Row)
}

// Run times every item and reports each as soon as it is known.
func Run(c Config) error {
	all := items(c.Folder.Transformer)
	if c.Clip != nil {
		all = append(all, clip(c.Clip))
	}
	for _, it := range all {
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

// item times one item in its types, taking turns with the peer.
func (c Config) item(it item, threads int) (err error) {
	dev, err := cpu.New(threads)
	if err != nil {
		return err
	}
	defer dev.Close()
	rows := make([]Row, len(it.types))
	peers := make([]float64, len(it.types))
	for i, t := range it.types {
		rows[i] = Row{Name: it.name, DType: t.String(), Threads: threads, Best: it.best,
			Seconds: math.Inf(1)}
		peers[i] = math.Inf(1)
	}
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

// measure times an item for a while and keeps the least time, and the greatest peak.
func (r *Row) measure(it item, f *model.Folder, dev *cpu.Device, t compute.DType) error {
	const atLeast, least = 300 * time.Millisecond, 2
	run, stop, err := it.start(&env{f, dev}, t)
	if err != nil {
		return err
	}
	defer stop()
	if err := run(); err != nil { // the first one fills caches and scratch
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

func (r *Row) compare(it item, peer, least float64) {
	r.GFLOPS = it.flops / r.Seconds / 1e9
	if r.peak > 0 {
		r.Peak = it.flops / r.Seconds / r.peak
	}
	if math.IsInf(peer, 1) {
		return
	}
	r.Peer, r.Ratio = peer, r.Seconds/peer
	if it.best {
		r.Ratio = r.Seconds / least
	}
}
