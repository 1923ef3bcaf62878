package scenario

import (
	"fmt"
	"strings"
	"time"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/perf"
	"github.com/longtake/longtake/internal/sim"
)

// times predicts what an attempt takes on devices of the pool, by rank, as longtake plan would for
// a pool of just these devices. Equal clips on devices that lie alike take the same, and are
// predicted once: a day has thousands of attempts, and some dozens of kinds.
func (p *Plan) times(s job.Spec, m job.Mesh, on []int) sim.Times {
	key := p.key(s, m, on)
	if t, ok := p.known[key]; ok {
		return t
	}

	pool := p.Pool
	pool.Nodes = make([]perf.Node, len(on))
	for rank, i := range on {
		pool.Nodes[rank] = p.Pool.Nodes[i]
	}

	model, _ := p.Models.Named(s.Model)
	found, err := perf.Predict(model, s, m, pool, p.How)
	if err != nil {
		// Make has checked what it can; the coordinators place nothing that perf cannot predict.
		panic(fmt.Sprintf("scenario: %v", err))
	}
	seconds := func(v float64) time.Duration { return time.Duration(v * float64(time.Second)) }
	t := sim.Times{Text: seconds(found.Stages["start"] + found.Stages["text"]),
		Step: seconds(found.Step), Decode: seconds(found.Stages["decode"]),
		Encode: seconds(found.Stages["encode"]), Decoders: 1}

	if p.How.Shares {
		t.Decoders = len(on)
	}
	p.known[key] = t
	return t
}

// key is equal where times are: for a clip's form, a mesh, and which ranks share a host or a rack.
func (p *Plan) key(s job.Spec, m job.Mesh, on []int) string {
	var b strings.Builder
	fmt.Fprint(&b, s.Model, s.Width, "x", s.Height, "x", s.Frames, " ", s.TotalSteps(), s.DType,
		s.GuidanceScale, s.GuidanceScale2, s.Window, s.Overlap, m)

	hosts, racks := map[string]int{}, map[string]int{}
	for _, i := range on {
		n := p.Pool.Nodes[i]
		fmt.Fprint(&b, "|", n.Device.Name, number(hosts, n.Host), ",", number(racks, n.Rack))
	}
	return b.String()
}

// number gives labels numbers in the order in which they come: how hosts are called makes no
// difference, only which ranks share one.
func number(seen map[string]int, label string) int {
	n, ok := seen[label]
	if !ok {
		n = len(seen)
		seen[label] = n
	}
	return n
}
