package perf

import (
	"cmp"
	"errors"
	"fmt"
	"math"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/plan"
	"github.com/longtake/longtake/internal/topology"
)

// Link is what lies between two devices.
type Link struct {
	Bytes   float64 // a second and direction that arrive; 0: not known
	Latency float64 // seconds until a message of any size arrives
}

// Node is where a rank runs.
type Node struct {
	Device Device
	// Host and Rack are equal for nodes that share one; an empty host is one of its own.
	Host, Rack string
}

// Pool is a set of devices and the links between them.
type Pool struct {
	Nodes []Node
	// Inside is the link between devices of a host; where its rate is 0, that of the device itself,
	// as far as a profile reaches it. Network is between hosts, all devices of one sharing it, and
	// Racks between racks; 0: what topology takes for a link that is not known.
	Inside, Network, Racks Link
}

// Delays returns how long messages take on the pool's links: inside a host as given, in seconds,
// where the pool does not say, and between racks as long as between hosts.
func (p Pool) Delays(inside float64) topology.Delays {
	near, far := cmp.Or(p.Inside.Latency, inside), p.Network.Latency
	return topology.Delays{Process: near, Host: near, Net: far, Far: cmp.Or(p.Racks.Latency, far)}
}

// Prediction is what a clip is predicted to take. Times are in seconds.
type Prediction struct {
	// Total is the sum of the stages: text, denoise, decode, encode, and start for whatever a program
	// does once for each clip.
	Total  float64
	Stages map[string]float64
	// Step is a denoising step: Compute, Exposed for activations that nothing hides, and Velocities
	// between passes, add up to it. Linear, Attention and MemoryBound make up Compute, with Waiting
	// for weights and for the host.
	Step                                    float64
	Compute, Exposed, Velocities            float64
	Linear, Attention, MemoryBound, Waiting float64
	// MemoryPerShard is what the first rank needs.
	MemoryPerShard plan.Memory
	// BytesInside and BytesBetween are what all ranks send in a step, within hosts and between them.
	BytesInside, BytesBetween float64
	// Operations are the floating-point operations of the clip; MFU is what part of the peak of all
	// devices they are.
	Operations, MFU float64
	// Limit is what most of the time goes by: compute, memory, the name of a bus, network, decode, or
	// start.
	Limit string
	// Error is the relative standard error of Total.
	Error float64
}

// Predict returns what a clip takes on a mesh whose rank r is on the pool's node r, with a program.
// It is an error if the model's cost is not known, the mesh cannot run the clip, or a device has no
// peak in the clip's type.
func Predict(m job.Model, s job.Spec, mesh job.Mesh, p Pool, how Profile) (Prediction, error) {
	if err := plan.Check(m, s, mesh); err != nil {
		return Prediction{}, fmt.Errorf("mesh is %v; allowed: %w", mesh, err)
	}
	w, known := plan.Work(m, s)
	if !known {
		return Prediction{}, errors.New("cannot predict: the model does not say what it computes")
	}
	if len(p.Nodes) != mesh.Size() {
		return Prediction{}, fmt.Errorf("%d nodes for mesh %v; allowed: %d", len(p.Nodes), mesh,
			mesh.Size())
	}

	c := clip{m: m, s: s, mesh: mesh, pool: p, how: how, w: w, pass: partition.PassOf(mesh, w.Load),
		runs: partition.RunsOf(mesh, w.Load, nil)}
	c.countRanks()
	c.w.Waits, c.w.Ring = how.Waits, how.Ring
	for rank, n := range p.Nodes {
		site, r, err := c.site(n, rank%mesh.Ulysses)
		if err != nil {
			return Prediction{}, err
		}
		c.sites, c.rates = append(c.sites, site), append(c.rates, r)
	}
	return c.predict(), nil
}

// clip is a prediction in work.
type clip struct {
	m      job.Model
	s      job.Spec
	mesh   job.Mesh
	pool   Pool
	how    Profile
	w      topology.Work
	pass   partition.Pass
	runs   []int            // windows of each group
	crowds map[string]crowd // of hosts
	sites  []topology.Site
	rates  []rank
}

// rank is what a pass takes on a rank, in seconds.
type rank struct {
	linear, attention, memory, waiting float64
	idle                               float64 // of waiting, for kernels that the host has not issued
	decoder, text                      float64 // of whole frames, and of the prompts
	step                               float64 // beside passes, in each step
}

func (r rank) computing() float64 { return r.linear + r.attention + r.memory }

// predict adds up.
func (c *clip) predict() Prediction {
	c.measure()
	step := topology.Predict(c.w, c.mesh, c.sites)
	step.Compute, step.Time = step.Compute+c.rates[0].step, step.Time+c.rates[0].step
	out := Prediction{Step: step.Time, Compute: step.Compute, Exposed: step.Exposed,
		Velocities: step.Velocities, MemoryPerShard: plan.MemoryOf(c.m, c.s, c.mesh),
		Error: c.how.Error}
	c.breakDown(&out)
	out.BytesInside, out.BytesBetween = c.bytes()

	// The stages come one after the other.
	steps := float64(c.s.TotalSteps())
	text := c.how.Text
	for _, r := range c.rates {
		text = max(text, c.how.Text+r.text)
	}
	out.Stages = map[string]float64{"start": c.how.Fixed, "text": text,
		"denoise": steps * out.Step, "decode": c.decode(),
		"encode": c.how.Encode * float64(c.s.Width*c.s.Height) * float64(c.s.Frames)}
	for _, stage := range []string{"start", "text", "denoise", "decode", "encode"} {
		out.Total += out.Stages[stage]
	}

	out.Operations = steps*float64(c.w.Passes())*(c.w.Linear+c.w.Attention) + c.m.DecodeWork(c.s)

	peak := 0.
	for _, n := range c.pool.Nodes {
		peak += n.Device.Peak[c.dtype(n.Device)]
	}
	out.MFU = out.Operations / out.Total / peak
	out.Limit = c.limit(out, step)
	return out
}

// measure puts what was measured of the first rank's device in the place of what the profile has:
// that rank also encodes the clip.
func (c *clip) measure() {
	o := c.pool.Nodes[0].Device.Overhead
	if o == (Overhead{}) || c.how.Name != Longtake {
		return
	}
	c.how.Fixed, c.how.Text, c.how.Encode, c.how.Error = o.Fixed, o.Text, o.Encode, o.Error

	// The encoder is one more thread beside those that decode the next frames, which have so much
	// less of the cores; the last frames have nothing beside them.
	d, _ := c.shared(c.pool.Nodes[0], c.on(c.pool.Nodes[0]).all)
	threads := d.Peak[c.dtype(d)] / c.pool.Nodes[0].Device.OneCore().Peak[c.dtype(d)]
	last := float64(c.m.TemporalScale) / float64(c.s.Frames)
	c.how.Encode *= min(1, max(1/threads, last))
}

// breakDown says what the slowest rank's computing consists of.
func (c *clip) breakDown(out *Prediction) {
	slowest := c.rates[0]
	for _, r := range c.rates {
		if r.computing()+r.waiting > slowest.computing()+slowest.waiting {
			slowest = r
		}
	}
	scale := out.Compute / (slowest.computing() + slowest.waiting)
	out.Linear, out.Attention = scale*slowest.linear, scale*slowest.attention
	out.MemoryBound, out.Waiting = scale*slowest.memory, scale*slowest.waiting
}

// limit names what takes the most of a clip. Products and attention count together, as more of the
// same devices helps both; a link counts with what is waited for, not with what it carries.
func (c *clip) limit(p Prediction, step topology.Step) string {
	link := c.pool.Nodes[0].Device.Bus
	if step.Limit > topology.Host || len(c.crowds) > 1 && !step.Travels {
		link = "network"
	}
	steps := float64(c.s.TotalSteps())

	name, most := "compute", steps*(p.Linear+p.Attention)
	for _, o := range []struct {
		name string
		took float64
	}{{"memory", steps * p.MemoryBound}, {link, steps * (p.Exposed + p.Velocities)},
		{"start", p.Stages["start"] + p.Stages["text"] + steps*p.Waiting},
		{"decode", p.Stages["decode"] + p.Stages["encode"]}} {
		if o.took > most {
			name, most = o.name, o.took
		}
	}
	return name
}

// bytes returns what ranks send each other in a step, within hosts and between them.
func (c *clip) bytes() (inside, between float64) {
	count := func(from, to int, n float64) {
		if topology.Between(c.sites[from], c.sites[to]) <= topology.Host {
			inside += n
		} else {
			between += n
		}
	}

	// A group makes the passes of its windows and branches.
	u := c.mesh.Ulysses
	branches := float64(int(c.w.Passes()) / c.w.Count() / c.mesh.CFG)
	for r := range c.sites {
		first := r - r%u
		passes := float64(c.runs[r/u/c.mesh.CFG]) * branches
		for v := range u {
			if v != r%u {
				count(r, first+v, passes*float64(c.pass.Bytes(r%u, v)))
			}
		}
	}

	for _, p := range partition.Velocities(c.mesh, c.w.Load, nil) {
		count(p.From, p.To, float64(p.Bytes))
	}
	return inside, between
}

// dtype is the type of linear layers on a device: that of the clip, or else the program's own. CPUs
// that have no bfloat16 multiply in float32, whatever a program does on GPUs.
func (c *clip) dtype(d Device) string {
	t := cmp.Or(c.s.DType, c.how.DType)
	if _, known := d.Peak[t]; !known && d.Arch == cpuArch {
		return "fp32"
	}
	return t
}

// halfWave is the part of the units that has nothing to do in the last wave of tiles.
const halfWave = 0.5

// waves returns by how much so many tiles take longer than their operations.
func waves(units int, tiles float64) float64 {
	return 1 + halfWave*float64(units)/math.Max(tiles, 1)
}
