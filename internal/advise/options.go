package advise

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/perf"
	"github.com/longtake/longtake/internal/plan"
	"github.com/longtake/longtake/internal/price"
	"github.com/longtake/longtake/internal/topology"
)

// Clip is what is to be made, and by which program.
type Clip struct {
	Model job.Model
	Spec  job.Spec
	How   perf.Profile
}

// Option is a mesh for a clip on devices of a pool.
type Option struct {
	Mesh  job.Mesh
	Nodes []int // of the pool, by rank
	perf.Prediction
	// Has is the memory of the device that has the least, in bytes; 0: not known. Fits says whether
	// the clip fits, Swaps that it does with one of two transformers at a time.
	Has         int64
	Fits, Swaps bool
	// DeviceSeconds are those of all ranks, Cost is theirs by the pool's prices, without plans.
	DeviceSeconds float64
	Cost          price.Micro
	// Copies is how many clips the pool makes side by side in this way, PerHour how many an hour.
	Copies  int
	PerHour float64
	// Fastest has the least time, Most makes the most clips an hour; of those that fit, with the
	// fewest ranks where it makes no difference.
	Fastest, Most bool
	// Default is what a job gets that names no mesh.
	Default bool
	// Why says why it is not the fastest.
	Why string
}

// alike is by which factor times may differ without a difference. Predictions are nowhere near as
// exact, but for meshes of one pool their errors are mostly the same.
const alike = 1.01

// Options predicts the meshes of exactly so many ranks, or for 0 of all numbers that are worth a
// look, the most ranks first. It is an error if there is none, or if nothing can be predicted.
func Options(c Clip, p Pool, ranks int) ([]Option, error) {
	var out []Option
	for _, m := range meshes(plan.Load(c.Model, c.Spec), p, ranks) {
		o, err := option(c, p, m)
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	if len(out) == 0 {
		_, err := partition.Choose(ranks, plan.Load(c.Model, c.Spec))
		return nil, cmp.Or(err, fmt.Errorf("up to %d devices, which there are", len(p.Nodes)))
	}

	// The most ranks first, and of as many the fastest.
	slices.SortStableFunc(out, func(a, b Option) int {
		return cmp.Or(b.Mesh.Size()-a.Mesh.Size(), cmp.Compare(a.Total, b.Total))
	})
	fastest := best(out, func(o Option) float64 { return o.Total })
	if most := best(out, func(o Option) float64 { return 1 / o.PerHour }); most >= 0 {
		out[most].Most = true
	}

	if fastest >= 0 {
		out[fastest].Fastest = true
	}

	// What the scheduler would take by itself, and what all but the fastest lose by.
	chosen := scheduled(c, p, ranks)
	for i := range out {
		out[i].Default = out[i].Mesh == chosen
		if i != fastest {
			out[i].Why = why(c, p, out[i], out, fastest)
		}
	}
	return out, nil
}

// best returns the number of the option that fits and has the least of something, -1 if none fits.
func best(all []Option, of func(Option) float64) int {
	at, least := -1, math.Inf(1)
	for _, o := range all {
		if o.Fits {
			least = min(least, of(o))
		}
	}
	for i, o := range all {
		if o.Fits && of(o) <= alike*least && (at < 0 || o.Mesh.Size() < all[at].Mesh.Size()) {
			at = i
		}
	}
	return at
}

// Bounds of what is looked at: numbers of ranks up to which each counts, and meshes.
const (
	everyRanks = 16
	meshesMost = 160
)

// meshes lists those to look at: of so many ranks, or of up to all devices. Of large numbers they
// are the powers of two, whole hosts, and the most that a mesh has.
func meshes(l partition.Load, p Pool, ranks int) []job.Mesh {
	all := partition.Meshes(min(cmp.Or(ranks, len(p.Nodes)), len(p.Nodes)), l)
	most := 0
	for _, m := range all {
		most = max(most, m.Size())
	}

	// In between are meshes that a larger or a smaller one beats in all but rare cases.
	host := slices.Max(p.hosts())
	all = slices.DeleteFunc(all, func(m job.Mesh) bool {
		n := m.Size()
		if ranks > 0 {
			return n != ranks
		}
		return n > everyRanks && n != most && n&(n-1) != 0 && n%host != 0
	})

	// Of long clips there are very many; those of the fewest bytes of each number are the first.
	if len(all) > meshesMost {
		slices.SortStableFunc(all, func(a, b job.Mesh) int {
			return cmp.Or(b.Size()-a.Size(), a.Ulysses-b.Ulysses)
		})
		kept, of := all[:0], map[int]int{}
		for _, m := range all {
			if of[m.Size()]++; of[m.Size()] <= 3 {
				kept = append(kept, m)
			}
		}
		all = kept[:min(len(kept), meshesMost)]
	}
	return all
}

// option predicts one mesh.
func option(c Clip, p Pool, m job.Mesh) (Option, error) {
	o := Option{Mesh: m, Nodes: place(c, p, m)}
	part := p.part(o.Nodes)
	var err error
	if o.Prediction, err = perf.Predict(c.Model, c.Spec, m, part, c.How); err != nil {
		return o, err
	}

	for _, n := range part.Nodes {
		if o.Has == 0 || n.Device.Memory < o.Has {
			o.Has = n.Device.Memory
		}
	}
	o.Fits = o.Has == 0 || o.MemoryPerShard.Least() <= o.Has
	o.Swaps = o.Fits && o.Has > 0 && o.MemoryPerShard.Expert > 0 &&
		o.MemoryPerShard.Weights+o.MemoryPerShard.Denoise > o.Has

	o.DeviceSeconds = float64(m.Size()) * o.Total
	o.Cost = p.cost(c, o)
	if o.Fits {
		o.Copies, o.PerHour, err = copies(c, p, o)
	}
	return o, err
}

// place puts the ranks of a mesh on nodes: in their order within a host, else where a step takes
// the least time by the devices' peaks. It is the scheduler's own choice, so that a plan does not
// promise places that a job would not get.
func place(c Clip, p Pool, m job.Mesh) []int {
	w, known := plan.Work(c.Model, c.Spec)
	if p.Hosts() > 1 && known {
		w.Memory = nil // what does not fit is shown, too
		if choice, ok := topology.Choose(w, p.sites(), topology.Ask{Mesh: m}); ok {
			return choice.Sites
		}
	}

	nodes := make([]int, m.Size())
	for i := range nodes {
		nodes[i] = i
	}
	return nodes
}

// sites are the nodes as the scheduler sees them.
func (p Pool) sites() []topology.Site {
	sites := make([]topology.Site, len(p.Nodes))
	for i, n := range p.Nodes {
		inside := cmp.Or(p.Inside.Bytes, n.Device.Link)
		speed := cmp.Or(n.Device.Peak["bf16"], n.Device.Peak["fp32"])
		sites[i] = topology.Site{Process: n.Host, Host: n.Host, Rack: n.Rack, Speed: speed,
			Memory: n.Device.Memory, Rates: topology.Rates{Process: inside, Host: inside,
				Net: p.Network.Bytes, Far: p.Racks.Bytes},
			Delays: p.Delays(0)}
	}
	return sites
}

// scheduled returns the mesh that a job gets there which names none, as the scheduler chooses it; a
// zero one where there is none.
func scheduled(c Clip, p Pool, ranks int) job.Mesh {
	w, known := plan.Work(c.Model, c.Spec)
	if p.Hosts() > 1 && known {
		ask := topology.Ask{Ranks: ranks, Most: len(p.Nodes)}
		choice, _ := topology.Choose(w, p.sites(), ask)
		return choice.Mesh
	}

	// On one host bytes decide, among the meshes that fit on the device with the least memory.
	least := p.Nodes[0].Device.Memory
	for _, n := range p.Nodes {
		least = min(least, n.Device.Memory)
	}

	s := c.Spec
	s.Shards = ranks
	m, err := plan.Mesh(c.Model, s, len(p.Nodes), least)
	if err != nil {
		return job.Mesh{}
	}
	return m
}

// cost is what the sheet has for the device time of an option.
func (p Pool) cost(c Clip, o Option) price.Micro {
	// Devices of one kind share a line of the bill.
	if p.Sheet == nil {
		return 0
	}
	var uses []price.Use

	each := time.Duration(min(o.Total, 1e9) * float64(time.Second))
	for _, n := range o.Nodes {
		kind := p.kindOf(n)
		i := slices.IndexFunc(uses, func(u price.Use) bool { return u.Device == kind })
		if i < 0 {
			i, uses = len(uses), append(uses, price.Use{Device: kind})
		}
		uses[i].Time += each
	}
	return p.Sheet.Bill(price.Job{Model: c.Model.Name, Devices: uses}).Amount
}

// copies returns how many clips the pool makes side by side, each on as many devices as the option
// has, and how many an hour. Those of up to a host's devices are within one host, others on whole
// hosts. Where hosts differ, those of each kind count by their own time.
func copies(c Clip, p Pool, o Option) (n int, perHour float64, err error) {
	const hour = 3600
	ranks := o.Mesh.Size()
	first := 0
	for first < len(p.Nodes) {
		size, end := p.run(first)
		fit := (end - first) / size * (size / ranks)
		switch shares := p.Nodes[first].Device.Cores > 0; {
		case shares && ranks <= size: // a clip is predicted to have all cores of its host
			fit = (end - first) / size
		case ranks > size:
			fit = (end - first) / size / ((ranks + size - 1) / size)
		}
		// The option's own time is that of the devices it was predicted on.
		total, fits := o.Total, true
		if len(p.Devices()) > 1 && fit > 0 {
			if total, fits, err = alone(c, p, o.Mesh, first, size); err != nil {
				return 0, 0, err
			}
		}

		if fits {
			n, perHour = n+fit, perHour+float64(fit)*hour/total
		}
		first = end
	}

	// A clip over devices of several kinds is one, at least.
	if n == 0 {
		n, perHour = 1, hour/o.Total
	}
	return n, perHour, nil
}

// run returns how many devices the host of a node has, and where the hosts end that are like it.
func (p Pool) run(first int) (size, end int) {
	// First how many the host of that node has, then for how long hosts go on like that.
	at := p.Nodes[first]
	same := func(n perf.Node) bool { return n.Device.Name == at.Device.Name }
	for first+size < len(p.Nodes) && p.Nodes[first+size].Host == at.Host {
		if size++; at.Host == "" {
			break
		}
	}

	for end = first + size; end+size <= len(p.Nodes) && same(p.Nodes[end]); end += size {
		host := p.Nodes[end].Host
		if host != "" && (p.Nodes[end+size-1].Host != host ||
			end+size < len(p.Nodes) && p.Nodes[end+size].Host == host) {
			break // another number of devices
		}
	}
	return size, end
}

// alone predicts a mesh on nodes of one kind.
func alone(c Clip, p Pool, m job.Mesh, first, size int) (total float64, fits bool, err error) {
	nodes := make([]int, m.Size())
	for i := range nodes {
		nodes[i] = first + i
	}
	part := p.part(nodes)
	got, err := perf.Predict(c.Model, c.Spec, m, part, c.How)
	memory := part.Nodes[0].Device.Memory
	return got.Total, memory == 0 || got.MemoryPerShard.Least() <= memory, err
}
