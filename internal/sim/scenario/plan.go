package scenario

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/longtake/longtake/internal/coord/core"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/perf"
	"github.com/longtake/longtake/internal/plan"
	"github.com/longtake/longtake/internal/sim"
	"github.com/longtake/longtake/internal/topology"
)

// Plan is a scenario with its devices and models, ready to run.
type Plan struct {
	*Scenario
	Pool   perf.Pool
	Models job.Models // by Cluster.Models
	How    perf.Profile

	setup sim.Setup
	known map[string]sim.Times // by clip and place
}

// Make checks a scenario against its pool and models, and draws what happens. Nothing is simulated
// yet: an error is one of the scenario, in one line with its key.
func Make(s *Scenario, pool perf.Pool, models job.Models) (*Plan, error) {
	// Flags may have changed what was read.
	if err := s.check(); err != nil {
		return nil, err
	}
	how, err := perf.FindProfile(s.Cluster.Profile)
	if err != nil {
		return nil, fmt.Errorf("cluster.%w", err)
	}
	p := &Plan{Scenario: s, Pool: pool, Models: slices.Clone(models), How: how,
		known: map[string]sim.Times{}}

	// Shards on GPUs make bfloat16 the default of their models.
	for i := range p.Models {
		if t := how.DType; job.HasDType(nil, t) && pool.Nodes[0].Device.Peak[t] > 0 {
			p.Models[i].Defaults.DType = t
		}
	}

	k := s.Coordinators
	p.setup = sim.Setup{Seed: s.Seed, Length: time.Duration(s.Duration), Rest: time.Duration(s.Rest),
		Models: p.Models, Room: s.Cluster.Room, Members: k.Members, CheckpointEvery: k.CheckpointEvery,
		Limits: core.Limits{Queued: k.Queued, Kept: k.Kept, Nodes: max(1024, len(pool.Nodes))},
		Timing: core.Timing{LostAfter: time.Duration(k.LostAfter), Yield: time.Duration(k.Yield),
			HungAfter: time.Duration(k.HungAfter), Tick: time.Duration(k.Tick)},
		Begin: begin, Save: save, Load: time.Duration(s.Cluster.Load),
		Restart: time.Duration(s.Cluster.Boot), Times: p.times}

	// Requests are checked against the models, and incidents against the hosts.
	if err := p.machines(); err != nil {
		return nil, err
	}
	if err := p.requests(); err != nil {
		return nil, err
	}
	return p, p.incidents()
}

// What ranks take to find each other, and a checkpoint to be stored, on no device in particular.
const (
	begin = 300 * time.Millisecond
	save  = 300 * time.Millisecond
)

// machines are the devices of the pool, each with a process of its own, as shards of several GPUs
// have one for each. The last hosts may join later.
func (p *Plan) machines() error {
	hosts := p.hosts()
	if later := p.Cluster.Later.Hosts; later > 0 && later >= len(hosts) {
		return fmt.Errorf("cluster.later.hosts is %d; allowed: 0 to %d, less than there are", later,
			len(hosts)-1)
	}

	late := map[int]bool{} // devices of hosts that join
	for _, on := range hosts[len(hosts)-p.Cluster.Later.Hosts:] {
		for _, i := range on {
			late[i] = true
		}
	}

	for i, n := range p.Pool.Nodes {
		d := n.Device
		t := p.Models[0].Defaults.DType
		if d.Peak[t] == 0 {
			t = "fp32"
		}
		inside := p.Pool.Inside.Bytes
		if inside == 0 {
			inside = d.Link * p.How.Links[d.Bus]
		}

		// What a shard would say of itself. Links have rates, so that nobody measures them.
		m := sim.Machine{Name: fmt.Sprintf("%s-%d", n.Host, i), Device: d.Name, Host: n.Host,
			Rack: n.Rack, Memory: d.Memory, DTypes: job.DTypes,
			Speed: d.Peak[t] * p.How.Efficiency(d, t).Linear,
			Rates: topology.Rates{Process: inside, Host: inside, Net: p.Pool.Network.Bytes,
				Far: p.Pool.Racks.Bytes},
			Delays: p.Pool.Delays(p.How.Delay)}

		if m.Rates.Net == 0 {
			m.Rates.Net = topology.Defaults.Net
		}
		if m.Rates.Far == 0 {
			m.Rates.Far = m.Rates.Net
		}
		if late[i] {
			m.From = time.Duration(p.Cluster.Later.At)
		}
		p.setup.Machines = append(p.setup.Machines, m)
	}
	return nil
}

// hosts lists the numbers of the devices of each host, in the order of the pool. A device without a
// host is one of its own.
func (p *Plan) hosts() (out [][]int) {
	at := map[string]int{}
	for i, n := range p.Pool.Nodes {
		h, seen := at[n.Host]
		if !seen || n.Host == "" {
			h = len(out)
			at[n.Host], out = h, append(out, nil)
		}
		out[h] = append(out[h], i)
	}
	return out
}

// stream returns random numbers for one purpose, so that what is drawn for another one does not
// shift them.
func (p *Plan) stream(n uint64) *rand.Rand { return rand.New(rand.NewPCG(p.Seed, n)) }

// Streams of random numbers.
const (
	streamArrivals = iota + 1
	streamClasses
	streamFaults // and behind it one for each fault
)

// requests draws when which class of clip is asked for. Classes are checked first, each once, so
// that a wrong one is known before tens of thousands of requests are made of it.
func (p *Plan) requests() error {
	var classes []job.Request
	var cumulated []float64
	sum := 0.0
	for i, c := range p.Clips {
		r, err := p.request(c)
		if err != nil {
			return fmt.Errorf("clips[%d].%s", i, inKeys(err))
		}

		sum += c.Share
		classes, cumulated = append(classes, r), append(cumulated, sum)
	}

	// Each job has a seed of its own, as equal clips would share objects.
	rng := p.stream(streamClasses)
	for i, at := range p.arrivals() {
		class := sort.SearchFloat64s(cumulated, rng.Float64()*sum)
		class = min(class, len(p.Clips)-1)
		r, seed := classes[class], uint64(i+1)
		r.Seed = &seed
		p.setup.Requests = append(p.setup.Requests, sim.Request{At: at, Class: class, Request: r})
	}
	return nil
}

// inKeys says an error of a request in the keys of a class.
func inKeys(err error) string {
	text := strings.NewReplacer("num_frames", "frames", "num_inference_steps", "steps",
		"guidance_scale", "guidance").Replace(err.Error())
	if strings.HasPrefix(text, "width ") || strings.HasPrefix(text, "height ") {
		return "size: " + text
	}
	return text
}

// request is what a client of a class asks for. It is checked as the API would check it, but for
// the limit on how long a clip may take: whoever plans for long clips has set that.
func (p *Plan) request(c Class) (job.Request, error) {
	at := slices.Index(p.Cluster.Models, c.Model)
	if at < 0 {
		return job.Request{}, fmt.Errorf("model is %.60q; allowed: one of cluster.models", c.Model)
	}
	m := p.Models[at]
	if m.Takes.NeedsImage || m.Takes.NeedsLast {
		return job.Request{}, fmt.Errorf("model is %.60q, which takes a picture; allowed: models that "+
			"make clips of words", c.Model)
	}

	r := job.Request{Prompt: "a clip", Size: c.Size, Shards: c.Shards, Priority: c.Priority,
		Team: c.Team, Model: m.Name, GuidanceScale: c.Guidance, Force: true}
	if c.Frames != 0 {
		r.Frames = &c.Frames
	}
	if c.Seconds != 0 {
		r.Seconds = &c.Seconds
	}
	if c.Steps != 0 {
		r.Steps = &c.Steps
	}
	r, err := r.Settle(m)
	if err != nil {
		return r, err
	}
	s, err := m.Resolve(r, nil)
	if err != nil {
		return r, err
	}
	if c.Shards > len(p.Pool.Nodes) {
		return r, fmt.Errorf("shards is %d; allowed: up to %d, which there are", c.Shards,
			len(p.Pool.Nodes))
	}
	if c.Shards > 0 {
		_, err = plan.Mesh(m, s, c.Shards, 0)
	}
	if err != nil {
		return r, fmt.Errorf("shards is %d; allowed: %w", c.Shards, err)
	}
	return r, nil
}

// arrivals draws the times of requests. How many are expected until a moment is a straight line in
// each part of the day; requests come where that line passes sums of exponential numbers.
func (p *Plan) arrivals() (out []time.Duration) {
	a := p.Arrivals
	weights := a.Day
	if len(weights) == 0 {
		weights = []float64{1}
	}
	sum := 0.0
	for _, w := range weights {
		sum += w
	}

	length := time.Duration(p.Duration).Seconds()
	part := length / float64(len(weights))
	rng := p.stream(streamArrivals)

	// next is how many requests are expected until the next one comes.
	next := func() float64 {
		if a.Process == even {
			return 1
		}
		return rng.ExpFloat64()
	}

	// passed is how many requests are expected before a part of the day.
	passed, due := 0.0, next()
	if a.Process == even {
		due /= 2
	}
	for i, w := range weights {
		rate := float64(a.Rate) * w / sum * float64(len(weights))
		for rate > 0 && due < passed+rate*part {
			at := float64(i)*part + (due-passed)/rate
			if d := time.Duration(at * float64(time.Second)); d >= time.Duration(a.After) {
				out = append(out, d)
			}
			due += next()
		}
		passed += rate * part
	}
	return out
}

// incidents draws faults, and lays out what operators do. A fault of a host hits all of its devices
// at once. Where it falls does not depend on what is there at the moment, as in life: one that hits
// a machine that is down does nothing.
func (p *Plan) incidents() error {
	hosts := p.hosts()
	for i, f := range p.Faults {
		rng := p.stream(streamFaults + uint64(i))
		for _, at := range p.faultTimes(f, rng) {
			x := sim.Incident{At: at, Kind: sim.Kind(f.Kind), Factor: f.Factor,
				For: max(time.Duration(rng.ExpFloat64()*float64(f.For)), time.Second)}
			if x.Kind == sim.Crash { // the process has to boot
				x.For = max(x.For, time.Duration(p.Cluster.Boot))
			}

			on := rng.IntN(len(p.Pool.Nodes))
			switch {
			case x.Kind == sim.Leader:
			case f.Scope == host:
				x.Machines = hosts[on%len(hosts)]
			default:
				x.Machines = []int{on}
			}
			p.setup.Incidents = append(p.setup.Incidents, x)
		}
	}

	for i, o := range p.Operations {
		if o.First < 0 || o.Hosts < 1 || o.First+o.Hosts > len(hosts) {
			return fmt.Errorf("operations[%d] is of %d hosts from host %d on; allowed: of hosts 0 to %d", i,
				o.Hosts, o.First, len(hosts)-1)
		}

		for h := range o.Hosts {
			p.setup.Incidents = append(p.setup.Incidents, sim.Incident{Kind: sim.Kind(o.Kind),
				At: time.Duration(o.At) + time.Duration(h)*time.Duration(o.Every), For: time.Duration(o.For),
				Within: time.Duration(o.Within), Machines: hosts[o.First+h]})
		}
	}
	return nil
}

// faultTimes draws when a fault happens: as often as it says, at times of which all are alike, or
// with exponential times between two of them.
func (p *Plan) faultTimes(f Fault, rng *rand.Rand) (out []time.Duration) {
	length := float64(p.Duration)
	for range f.Count {
		out = append(out, time.Duration(rng.Float64()*length))
	}
	if f.Rate > 0 {
		mean := float64(time.Second) / float64(f.Rate)
		at := rng.ExpFloat64() * mean
		for at < length && len(out) < eventsMost {
			out = append(out, time.Duration(at))
			at += rng.ExpFloat64() * mean
		}
	}
	return out
}
