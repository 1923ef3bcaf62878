package advise

import (
	"fmt"

	"github.com/longtake/longtake/internal/fleet"
	"github.com/longtake/longtake/internal/plan"
)

// why says in a clause why an option is not the fastest.
func why(c Clip, p Pool, o Option, all []Option, fastest int) string {
	if !o.Fits {
		return fmt.Sprintf("does not fit: needs %s of %s", plan.Bytes(o.MemoryPerShard.Least()),
			plan.Bytes(o.Has))
	}

	// Times that are as good as equal are decided by the number of devices.
	best := all[fastest]
	ranks, more := o.Mesh.Size(), best.Mesh.Size()
	switch {
	case o.Total <= alike*best.Total && ranks > more:
		return fmt.Sprintf("no faster, on %d devices more", ranks-more)
	case o.Total <= alike*best.Total:
		return "as fast"
	case ranks < more: // it is slower for that alone
		return fmt.Sprintf("is on %d devices fewer", more-ranks)
	}
	return p.slower(c, o, best)
}

// slower says what an option of as many devices, or more, loses its time by: the part that is the
// most above that of the best one. One reason is enough to know what to change; all of them are in
// the figures of --json.
func (p Pool) slower(c Clip, o, best Option) string {
	steps := float64(c.Spec.TotalSteps())
	most, text := 0., "computes longer"

	// Stages that are the same for all meshes cancel out.
	for _, part := range []struct {
		lost float64
		text string
	}{
		{steps * (o.Compute - best.Compute), p.uneven(c, o)},
		{steps * (o.Exposed - best.Exposed), fmt.Sprintf("waits %.0f %% of a step for %s",
			100*o.Exposed/o.Step, p.link(o))},
		{steps * (o.Velocities - best.Velocities), fmt.Sprintf(
			"velocities travel for %.0f %% of a step over %s", 100*o.Velocities/o.Step, p.link(o))},
		{o.Stages["decode"] - best.Stages["decode"], "decodes longer"},
	} {
		if part.lost > most {
			most, text = part.lost, part.text
		}
	}
	return text
}

// uneven says what makes the busiest rank of an option busier than others.
func (p Pool) uneven(c Clip, o Option) string {
	// What is not shared evenly waits for the rank that has one more.
	heads, u := c.Model.Heads, o.Mesh.Ulysses
	load := plan.Load(c.Model, c.Spec)
	windows, groups := load.Count(), o.Mesh.Windows()
	switch {
	case heads%u != 0:
		return fmt.Sprintf("%d heads over %d ranks: the busiest has %d", heads, u,
			(heads+u-1)/u)
	case windows%groups != 0:
		return fmt.Sprintf("%d windows over %d groups: the busiest has %d", windows, groups,
			(windows+groups-1)/groups)
	case len(p.Devices()) > 1:
		return "waits for slower devices"
	}
	return "computes longer, in smaller pieces"
}

// links are what people call the links of devices.
var links = map[string]string{"nvlink": "NVLink", "pcie": "PCI Express", "xgmi": "xGMI",
	"memory": "memory"}

// link names what activations of an option wait for.
func (p Pool) link(o Option) string {
	if o.BytesBetween > 0 {
		return "the network"
	}
	return links[p.Nodes[o.Nodes[0]].Device.Bus]
}

// LimitText says what an option spends most of its time by.
func (p Pool) LimitText(o Option) string {
	switch bus := p.Nodes[o.Nodes[0]].Device.Bus; o.Limit {
	case "compute":
		return "computing: linear layers and attention"
	case "memory":
		return "the bandwidth of its memory"
	case "network":
		return "the network between hosts"
	case "decode":
		return "decoding and encoding"
	case "start":
		return "starting: texts, and issuing kernels"
	case bus:
		return links[bus]
	}
	return o.Limit
}

// What is a pool that is not there, and what the clip would take on it.
type What struct {
	Change  string
	Fastest Option
}

// Ifs predicts the clip on changes of a pool: a network twice as fast where an option sends
// something over it, and one more host. Pools of other origin than a fleet have none.
func Ifs(c Clip, p Pool, o Option, of func(fleet.Pool) (Pool, error)) (out []What, err error) {
	if p.Fleet == nil {
		return nil, nil
	}
	try := func(change string, changed fleet.Pool) error {
		q, err := of(changed)
		if err != nil {
			return err
		}

		options, err := Options(c, q, 0)
		if err != nil {
			return err
		}

		for _, o := range options {
			if o.Fastest {
				out = append(out, What{change, o})
			}
		}
		return nil
	}

	// Nothing waits for a network over which nothing is sent.
	if o.BytesBetween > 0 {
		if err := try("a network twice as fast", p.Fleet.Faster(2)); err != nil {
			return nil, err
		}
	}
	larger := p.Fleet.Larger()
	if larger.Check() != nil { // it is as large as a pool may be
		return out, nil
	}

	change := "one more host"
	if p.Fleet.Network.Bytes == 0 {
		change += " over 10g"
	}
	return out, try(change, larger)
}
