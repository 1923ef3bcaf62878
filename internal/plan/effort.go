package plan

import (
	"github.com/longtake/longtake/internal/job"
)

// Terms of what a clip takes, in the order of an Effort.
const (
	fixed     = iota // once for each rank: its order, texts, the model's ends, objects
	linear           // products of the busiest rank's passes
	attention        // and their attention
	passes           // each of them: starting kernels, waiting for others, checkpoints
	decode           // frames
	first            // the first frame, which decoders make by itself
	encode           // pixels, by rank 0
	terms
)

// Texts are not a term: they are of the same length for every prompt, up to what is cut off. Nor is
// what ranks send: it goes with their tokens, as products do, and waiting for it with passes.

// Effort is what a clip takes of one rank, in terms whose prices a Calibration finds: counts, and
// for what is known in operations, the seconds that these take at the nodes' rated speed.
type Effort [terms]float64

// EffortOf returns what a clip takes of each rank of a mesh whose slowest node has a speed in
// multiply-adds per second; false where the model's cost or the speed is not known. Ranks wait for
// each other, so that the busiest one is what counts. Attention that leaves tokens out, and steps
// that are skipped, count in full.
func EffortOf(m job.Model, s job.Spec, mesh job.Mesh, speed float64) (e Effort, known bool) {
	if m.Cost.FFNDim == 0 || speed <= 0 || mesh.Size() < 1 {
		return e, false
	}
	load := Load(m, s)
	n := load.WindowTokens()
	all, products := m.PassWorkOver(n, keys(m, s, load)), m.PassWorkOver(n, 0)

	// Passes are shared by the groups of ranks, and the tokens of each by the ranks of a group.
	groups := float64(mesh.Windows() * mesh.CFG)
	each := float64(s.TotalSteps()) * max(float64(load.Passes())/groups, 1)
	share := each / float64(mesh.Ulysses) / speed

	// Decoding is shared by all ranks; the work of the first frame is that of a fourth of a latent
	// frame, but what it costs beside that is its own.
	frame := m.Cost.Decode * float64(s.Height/m.SpatialScale*(s.Width/m.SpatialScale)) / speed /
		float64(mesh.Size())

	e = Effort{fixed: 1, linear: share * products, attention: share * (all - products), passes: each,
		decode: frame * float64(s.Frames) / float64(m.TemporalScale), first: frame,
		encode: float64(s.Width*s.Height) * float64(s.Frames)}
	return e, true
}
