package partition

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// ranksMax bounds the ranks of one job.
const ranksMax = 1024

// floatBytes is the size of a latent value or a velocity on its way between ranks.
const floatBytes = 4 // of what guidance exchanges

// Load is the work that a mesh has to carry: one clip on one model.
type Load struct {
	Timeline
	Heads, HeadDim, Layers int  // of the transformer
	TokenWidth             int  // latent values of a token
	Guided                 bool // whether a step computes two branches
	ElementBytes           int  // of an activation on its way between ranks; 0: 4

	// Fits tells whether ranks have the memory for a mesh; Choose prefers those for which they have.
	// nil: all of them.
	Fits func(Mesh) bool
}

// Traffic is what all ranks together send each other in one denoising step, in bytes.
type Traffic struct {
	Activations int64 // between the ranks that share a sequence
	Guidance    int64 // velocities, between the branches
	Seams       int64 // velocities, where windows overlap
}

// Sum returns the total, in bytes.
func (t Traffic) Sum() int64 { return t.Activations + t.Guidance + t.Seams }

// Bytes returns what the ranks of a mesh send in the first step, exactly, with the uneven ranges
// that Even makes. What a rank sends to itself is not counted. The seams of clips with very many
// windows are an estimate (see estimateSeams). m must pass Check.
func Bytes(m Mesh, l Load) Traffic {
	t := withoutSeams(m, l)
	layout := Layout{Timeline: l.Timeline, Mesh: m}
	t.Seams = layout.estimateSeams() * int64(l.TokenWidth) * floatBytes
	return t
}

// withoutSeams is Bytes except for Seams, which takes lists of ranges to count.
func withoutSeams(m Mesh, l Load) Traffic {
	windows := int64(l.Count())
	t := Traffic{Activations: windows * l.branches() * perPass(m, l)}
	if m.CFG == 2 {
		values := windows * int64(l.WindowTokens()) * int64(l.TokenWidth)
		t.Guidance = 2 * values * floatBytes
	}
	return t
}

// Passes returns how many passes through the model the first step takes, over all ranks: one for
// each window and branch.
func (l Load) Passes() int64 { return int64(l.Count()) * l.branches() }

// branches returns how many passes a window takes.
func (l Load) branches() int64 {
	if l.Guided {
		return 2
	}
	return 1
}

// perPass returns the bytes that one pass of one window through the model moves: in each layer two
// all-to-alls of DeepSpeed Ulysses.
func perPass(m Mesh, l Load) int64 {
	tokens, heads := Even(l.WindowTokens(), m.Ulysses), Even(l.Heads, m.Ulysses)
	var pairs int64 // token-heads that leave their rank, one way
	for r := range tokens {
		pairs += int64(tokens[r].Len()) * int64(l.Heads-heads[r].Len())
	}

	// A token-head that leaves its rank does so for q, k and v, and its output returns.
	const ways = 4 // q, k and v to the heads' ranks, the output back
	element := int64(cmp.Or(l.ElementBytes, 4))
	return pairs * int64(l.HeadDim) * ways * int64(l.Layers) * element
}

// passes measures the time of a step: the passes that the busiest group runs one after the other,
// times the ranks of the mesh, divided by those that share each pass. Among meshes of one count of
// ranks, less is faster; it tells them apart where windows do not divide evenly among groups.
func passes(m Mesh, l Load) int64 {
	windows := l.Count()
	most := (windows + m.Windows() - 1) / m.Windows()
	return int64(most) * l.branches() * int64(m.Windows())
}

// Check returns nil if a mesh can run a load. The error says what is allowed; the caller, who knows
// where the mesh comes from, adds what was given.
func Check(m Mesh, l Load) error {
	if m.CFG < 1 || m.CFG > 2 {
		return fmt.Errorf("cfg 1, or 2 with guidance")
	}

	if m.CFG == 2 && !l.Guided {
		return fmt.Errorf("cfg 1, as long as guidance_scale is not above 1")
	}

	if most := l.sharersMost(); m.Ulysses < 1 || m.Ulysses > most {
		return fmt.Errorf("ulysses from 1 to %d (the model has %d heads and the clip %d tokens; "+
			"each rank needs one of either)", most, l.Heads, l.WindowTokens())
	}

	if most := l.windowsMost(); m.Window < 0 || m.Window > most {
		return fmt.Errorf("window from 1 to %d, the windows of this clip", most)
	}
	return nil
}

// sharersMost returns the most ranks that can share a sequence: each needs a token and a head.
func (l Load) sharersMost() int { return min(l.Heads, l.WindowTokens()) }

// windowsMost returns the most groups that can share the windows at every step. A step whose seams
// are moved has as many windows as the first step, or one more.
func (l Load) windowsMost() int { return l.Count() }

// meshes lists the meshes of exactly this many ranks that pass Check, those with the fewest groups
// of windows first.
func meshes(ranks int, l Load) []Mesh {
	var out []Mesh
	sharers, branches := l.sharersMost(), int(l.branches())
	for w := range min(ranks, l.windowsMost()) {
		for cfg := 1; cfg <= branches; cfg++ {
			// A whole number of sharers, or no mesh.
			m := Mesh{CFG: cfg, Ulysses: ranks / (w + 1) / cfg}
			if w > 0 {
				m.Window = w + 1
			}
			if ranks%((w+1)*cfg) == 0 && m.Ulysses >= 1 && m.Ulysses <= sharers {
				out = append(out, m)
			}
		}
	}
	return out
}

// slack is by which factor the busiest rank's work may exceed the least possible, for the sake of
// fewer bytes.
const slack = 1.2

// Choose returns the mesh of exactly this many ranks that moves the fewest bytes, of those whose
// busiest rank has at most slack times the least to compute. If there is no such mesh, the error
// says which nearest counts have one; the caller adds the count that was given.
func Choose(ranks int, l Load) (Mesh, error) {
	candidates := meshes(ranks, l)
	if len(candidates) == 0 {
		return Mesh{}, fmt.Errorf("%s (%d heads, %d tokens cannot be shared by %d)",
			nearest(ranks, l), l.Heads, l.WindowTokens(), ranks)
	}

	// What does not fit is taken where nothing does: then the caller finds out, and says why.
	if l.Fits != nil {
		if fit := slices.DeleteFunc(slices.Clone(candidates),
			func(m Mesh) bool { return !l.Fits(m) }); len(fit) > 0 {
			candidates = fit
		}
	}

	least := passes(candidates[0], l)
	for _, m := range candidates {
		least = min(least, passes(m, l))
	}

	best, fewest := Mesh{}, int64(math.MaxInt64)
	for _, m := range slices.Backward(candidates) { // those with the fewest other bytes come last
		if float64(passes(m, l)) > slack*float64(least) || withoutSeams(m, l).Sum() > fewest {
			continue
		}
		if n := Bytes(m, l).Sum(); n <= fewest { // of equal ones the first in the list wins
			best, fewest = m, n
		}
	}
	return best, nil
}

// nearest names the counts below and above ranks that some mesh has.
func nearest(ranks int, l Load) string {
	var out []string
	if below := countWithMesh(min(ranks-1, ranksMax), -1, l); below > 0 {
		out = append(out, fmt.Sprint(below))
	}
	if above := countWithMesh(ranks+1, 1, l); above > 0 {
		out = append(out, fmt.Sprint(above))
	}
	return strings.Join(out, " or ")
}

// countWithMesh returns the first count from ranks on, in steps of +1 or -1, that some mesh has; 0
// if there is none.
func countWithMesh(ranks, step int, l Load) int {
	for most := ranksMost(l); ranks > 0 && (step < 0 || ranks <= most); ranks += step {
		if len(meshes(ranks, l)) > 0 {
			return ranks
		}
	}
	return 0
}

// ChooseUpTo returns the mesh of the most ranks, at most limit, that some mesh has; among those,
// the one that moves the fewest bytes. limit is at least 1, which every load can run on.
func ChooseUpTo(limit int, l Load) Mesh {
	most := min(limit, ranksMost(l))
	if m, err := Choose(countWithMesh(most, -1, l), l); err == nil {
		return m
	}
	return Mesh{CFG: 1, Ulysses: 1}
}

// ranksMost returns an upper bound on the ranks of a mesh that passes Check.
func ranksMost(l Load) int {
	return min(ranksMax, 2*l.sharersMost()*l.windowsMost())
}

// Option is a mesh that Choose weighed, for people to compare.
type Option struct {
	Mesh   Mesh
	Bytes  Traffic // per step, over all ranks
	Passes int     // that the busiest rank runs in a step
	Best   bool    // whether Choose picks it
}

// Explain lists the meshes of exactly this many ranks with their bytes, with the chosen one marked.
// The error is that of Choose.
func Explain(ranks int, l Load) ([]Option, error) {
	best, err := Choose(ranks, l)
	if err != nil {
		return nil, err
	}
	var out []Option
	for _, m := range meshes(ranks, l) {
		n := int(passes(m, l)) / m.Windows() / m.CFG
		out = append(out, Option{m, Bytes(m, l), n, m == best})
	}
	return out, nil
}
