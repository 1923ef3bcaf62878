package cli

import (
	"fmt"
	"io"
	"math"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/plan"
	"github.com/longtake/longtake/internal/terminal"
	"github.com/longtake/longtake/internal/topology"
)

// placing is a clip that is planned on the shards of a cluster; without sites, on shards of which
// nothing is known.
type placing struct {
	m     job.Model
	s     job.Spec
	sites []topology.Site
}

// sitesOf returns registered shards as placement sees them.
func sitesOf(nodes []schema.Node) []topology.Site {
	var out []topology.Site
	for _, n := range nodes {
		if n.State == "draining" || n.State == "drained" {
			continue // it gets no new work
		}
		out = append(out, topology.Site{Name: n.Name, Process: n.Process, Host: n.Host, Rack: n.Rack,
			Speed: n.Speed, Measured: n.Speed, Memory: n.Memory, Rates: n.Rates})
	}
	return out
}

// predict fills in what steps are predicted to take, and marks the mesh of the least time, where
// that can be known.
func (p placing) predict(plans []planLine, options []partition.Option, shards int) {
	if !plan.Predictable(p.m, p.s, p.sites) || len(p.sites) < shards {
		return
	}

	best, least := -1, math.Inf(1)
	for i := range plans {
		s := p.s
		s.Mesh, s.Shards = options[i].Mesh, 0
		c, ok := plan.Place(p.m, s, p.sites, shards, nil)
		if !ok {
			continue
		}

		plans[i].StepSeconds, plans[i].Where = c.Step.Time, topology.Where(p.on(c), job.WhereLimit)
		if c.Step.Time < least {
			best, least = i, c.Step.Time
		}
	}

	for i := range plans {
		plans[i].Chosen = best < 0 && plans[i].Chosen || i == best
	}
}

// on returns the sites of a choice by rank.
func (p placing) on(c topology.Choice) (out []topology.Site) {
	for _, i := range c.Sites {
		out = append(out, p.sites[i])
	}
	return out
}

// printBest says what a clip gets that asks for no number of shards, of up to so many: that may be
// fewer, where more would wait for each other.
func (p placing) printBest(w io.Writer, shards int) {
	c, ok := plan.Place(p.m, p.s, p.sites, shards, nil)
	if !ok {
		return
	}
	on := p.on(c)
	terminal.Printf(w, "of up to %s, where a job names no number, it runs on %s: %s (%s)\n",
		count(shards, "shard"), topology.Where(on, job.WhereLimit), c.Mesh, c.Step)
	if how := topology.Spread(c.Mesh, on); how != "" {
		terminal.Printf(w, "there %s\n", how)
	}
}

// time is the predicted time of a step for the table.
func (p planLine) time() string {
	if p.StepSeconds == 0 {
		return dash("")
	}
	return fmt.Sprintf("%.3g s", p.StepSeconds)
}
