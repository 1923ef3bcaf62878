package plan

import (
	"slices"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/topology"
)

// Work returns what a step of a job computes and sends, false where the model's cost is not known.
// Attention that leaves tokens out, and steps that are skipped, count in full.
func Work(m job.Model, s job.Spec) (topology.Work, bool) {
	load := Load(m, s)
	n := load.WindowTokens()
	all, linear := m.PassWorkOver(n, keys(m, s, load)), m.PassWorkOver(n, 0)
	d := float64(m.Heads * m.HeadDim)
	return topology.Work{Load: load, Linear: linear, Attention: all - linear,
		Projection: 2 * float64(n) * d * d * float64(m.Layers),
		Memory:     func(mesh job.Mesh) int64 { return MemoryOf(m, s, mesh).Least() }}, all > 0
}

// Predictable reports whether placing a job on sites is a matter of what lies between them: they
// are on several hosts, and the time of a step can be predicted. Elsewhere Mesh counts bytes.
func Predictable(m job.Model, s job.Spec, sites []topology.Site) bool {
	unknown := func(o topology.Site) bool { return o.Speed <= 0 }
	_, known := Work(m, s)
	return known && topology.Hosts(sites) > 1 && !slices.ContainsFunc(sites, unknown)
}

// Place chooses the mesh of a job and the sites of its ranks, together, where that is Predictable:
// the mesh that the job asks for, one of the number of shards that it asks for, or of up to most
// ranks. first tells which sites may have rank 0; nil: all. It returns false where nothing that was
// asked for fits, which Mesh then explains.
func Place(m job.Model, s job.Spec, sites []topology.Site, most int,
	first func(site int) bool) (topology.Choice, bool) {
	if !Predictable(m, s, sites) || s.Mesh != (job.Mesh{}) && Check(m, s, s.Mesh) != nil {
		return topology.Choice{}, false
	}
	w, _ := Work(m, s)
	ask := topology.Ask{Mesh: s.Mesh, Ranks: s.Shards, Most: most, First: first}
	return topology.Choose(w, sites, ask)
}
