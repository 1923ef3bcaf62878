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

const floatBytes = 4 // of what guidance exchanges

// Load is what a mesh has to carry: one clip on one model.
type Load struct {
	Timeline
	Heads, HeadDim, Layers int
	TokenWidth             int  // latent values of a token
	Guided                 bool // two branches per step
	ElementBytes           int  // of an activation on its way; 0: 4
}

// Traffic is what all ranks together send to each other in a denoising step, in bytes.
type Traffic struct {
	Activations int64 // of the ranks that share a sequence
	Guidance    int64 // velocities between the branches
	Seams       int64 // velocities where windows overlap
}

// Sum returns all of it.
func (t Traffic) Sum() int64 { return t.Activations + t.Guidance + t.Seams }

// Bytes returns what the ranks of a mesh send in the first step, counted from the uneven ranges of
// Even. What a rank keeps is not counted. The seams of clips with very many windows are an estimate
// (see seamsAbout). m must pass Check.
func Bytes(m Mesh, l Load) Traffic {
	t := withoutSeams(m, l)
	layout := Layout{Timeline: l.Timeline, Mesh: m}
	t.Seams = layout.seamsAbout() * int64(l.TokenWidth) * floatBytes
	return t
}

// withoutSeams is Bytes but for what takes a list of ranges to count.
func withoutSeams(m Mesh, l Load) Traffic {
	windows := int64(l.count())
	t := Traffic{Activations: windows * l.branches() * perPass(m, l)}
	if m.CFG == 2 {
		values := windows * int64(l.WindowTokens()) * int64(l.TokenWidth)
		t.Guidance = 2 * values * floatBytes
	}
	return t
}

// Passes returns how many times windows go through the model in the first step, over all ranks.
func (l Load) Passes() int64 { return int64(l.count()) * l.branches() }

func (l Load) branches() int64 {
	if l.Guided {
		return 2
	}
	return 1
}

// perPass returns the bytes of one window's pass through the model in one branch.
func perPass(m Mesh, l Load) int64 {
	tokens, heads := Even(l.WindowTokens(), m.Ulysses), Even(l.Heads, m.Ulysses)
	var pairs int64 // token-heads that leave their rank, one way
	for r := range tokens {
		pairs += int64(tokens[r].Len()) * int64(l.Heads-heads[r].Len())
	}
	const ways = 4 // q, k and v to the heads' ranks, the output back
	element := int64(cmp.Or(l.ElementBytes, 4))
	return pairs * int64(l.HeadDim) * ways * int64(l.Layers) * element
}

// passes returns how many passes through the model the busiest group of a mesh runs one after the
// other in a step, times CFG·Ulysses·Windows ranks: what a mesh costs in time, as far as counts of
// windows that do not divide evenly make a difference.
func passes(m Mesh, l Load) int64 {
	windows := l.count()
	most := (windows + m.Windows() - 1) / m.Windows()
	return int64(most) * l.branches() * int64(m.Windows())
}

// Check reports whether a mesh can run a load; the error names what is
// allowed, not the mesh.
func Check(m Mesh, l Load) error {
	if m.CFG < 1 || m.CFG > 2 {
		return fmt.Errorf("mesh: cfg 1, or 2 with guidance")
	}
	if m.CFG == 2 && !l.Guided {
		return fmt.Errorf("mesh: cfg 1, as long as guidance_scale is not above 1")
	}
	if most := l.sharersMost(); m.Ulysses < 1 || m.Ulysses > most {
		return fmt.Errorf("mesh: ulysses from 1 to %d (the model has %d heads and the clip %d tokens; "+
			"each rank needs one of either)", most, l.Heads, l.WindowTokens())
	}
	if most := l.windowsMost(); m.Window < 0 || m.Window > most {
		return fmt.Errorf("mesh: window from 1 to %d, the windows of this clip", most)
	}
	return nil
}

// sharersMost is the most ranks that can share a sequence.
func (l Load) sharersMost() int { return min(l.Heads, l.WindowTokens()) }

// windowsMost is the most groups that the windows can be shared by at every step: one whose seams
// are moved has as many windows as the first, or one more.
func (l Load) windowsMost() int { return l.count() }

// meshes lists the meshes of exactly this many ranks that pass Check.
func meshes(ranks int, l Load) []Mesh {
	var out []Mesh
	sharers, branches := l.sharersMost(), int(l.branches())
	for w := range min(ranks, l.windowsMost()) {
		for cfg := 1; cfg <= branches; cfg++ {
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

// slack is by how much the busiest rank's work may exceed the least for the sake of fewer bytes.
const slack = 1.2

// Choose returns the mesh of exactly this many ranks that moves the fewest bytes, of those whose
// busiest rank has little more than the least to compute. The error names the nearest counts that
// work.
func Choose(ranks int, l Load) (Mesh, error) {
	candidates := meshes(ranks, l)
	if len(candidates) == 0 {
		return Mesh{}, fmt.Errorf("shards: %s (%d heads, %d tokens cannot be shared by %d)",
			nearest(ranks, l), l.Heads, l.WindowTokens(), ranks)
	}
	least := passes(candidates[0], l)
	for _, m := range candidates {
		least = min(least, passes(m, l))
	}
	best, fewest := Mesh{}, int64(math.MaxInt64)
	for _, m := range slices.Backward(candidates) { // those with the least but for seams come last
		if float64(passes(m, l)) > slack*float64(least) || withoutSeams(m, l).Sum() > fewest {
			continue
		}
		if n := Bytes(m, l).Sum(); n <= fewest { // of equal ones the first counts
			best, fewest = m, n
		}
	}
	return best, nil
}

// nearest names the counts next to ranks that some mesh has.
func nearest(ranks int, l Load) string {
	var out []string
	if below := usable(min(ranks-1, ranksMax), -1, l); below > 0 {
		out = append(out, fmt.Sprint(below))
	}
	if above := usable(ranks+1, 1, l); above > 0 {
		out = append(out, fmt.Sprint(above))
	}
	return strings.Join(out, " or ")
}

// usable walks from a count until some mesh has it; 0 when none does.
func usable(ranks, step int, l Load) int {
	for most := ranksMost(l); ranks > 0 && (step < 0 || ranks <= most); ranks += step {
		if len(meshes(ranks, l)) > 0 {
			return ranks
		}
	}
	return 0
}

// ChooseUpTo returns the mesh of the most ranks, at most limit (from 1), that some mesh has; among
// those the one with the fewest bytes.
func ChooseUpTo(limit int, l Load) Mesh {
	most := min(limit, ranksMost(l))
	if m, err := Choose(usable(most, -1, l), l); err == nil {
		return m
	}
	return Mesh{CFG: 1, Ulysses: 1}
}

// ranksMost is a bound on the ranks of a mesh that passes Check.
func ranksMost(l Load) int {
	return min(ranksMax, 2*l.sharersMost()*l.windowsMost())
}

// Option is a mesh that the planner weighed.
type Option struct {
	Mesh   Mesh
	Bytes  Traffic
	Passes int // that the busiest rank runs in a step
	Best   bool
}

// Explain lists the meshes of exactly this many ranks with their bytes; the chosen one is Best.
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
