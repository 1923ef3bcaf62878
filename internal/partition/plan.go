package partition

import (
	"cmp"
	"fmt"
	"strings"
)

// ranksMax bounds the ranks of one job.
const ranksMax = 1024

const floatBytes = 4 // of what guidance exchanges

// Load is what a mesh has to carry: one clip on one model.
type Load struct {
	Tokens, Heads, HeadDim, Layers int
	TokenWidth                     int  // latent values of a token
	Guided                         bool // two branches per step
	ElementBytes                   int  // of an activation on its way; 0: 4
}

// Bytes returns what all ranks of a mesh send to each other in one denoising step, counted
// from the uneven ranges of Even. What a rank keeps is not counted. m must pass Check.
func Bytes(m Mesh, l Load) int64 {
	tokens, heads := Even(l.Tokens, m.Ulysses), Even(l.Heads, m.Ulysses)
	var pairs int64 // token-heads that leave their rank, one way
	for r := range tokens {
		pairs += int64(tokens[r].Len()) * int64(l.Heads-heads[r].Len())
	}
	const ways = 4 // q, k and v to the heads' ranks, the output back
	element := int64(cmp.Or(l.ElementBytes, 4))
	perBranch := pairs * int64(l.HeadDim) * ways * int64(l.Layers) * element
	if !l.Guided {
		return perBranch
	}
	sum := 2 * perBranch
	if m.CFG == 2 {
		sum += 2 * int64(l.Tokens) * int64(l.TokenWidth) * floatBytes
	}
	return sum
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
	if most := min(l.Heads, l.Tokens); m.Ulysses < 1 || m.Ulysses > most {
		return fmt.Errorf("mesh: ulysses from 1 to %d (the model has %d heads and the clip %d tokens; "+
			"each rank needs one of either)", most, l.Heads, l.Tokens)
	}
	return nil
}

// meshes lists the meshes of exactly this many ranks that pass Check.
func meshes(ranks int, l Load) []Mesh {
	var out []Mesh
	for cfg := 1; cfg <= 2; cfg++ {
		m := Mesh{CFG: cfg, Ulysses: ranks / cfg}
		if ranks%cfg == 0 && Check(m, l) == nil {
			out = append(out, m)
		}
	}
	return out
}

// Choose returns the mesh of exactly this many ranks that moves the fewest bytes. The error names
// the nearest counts that work.
func Choose(ranks int, l Load) (Mesh, error) {
	candidates := meshes(ranks, l)
	if len(candidates) == 0 {
		return Mesh{}, fmt.Errorf("shards: %s (%d heads, %d tokens cannot be shared by %d)",
			nearest(ranks, l), l.Heads, l.Tokens, ranks)
	}
	best := candidates[0]
	for _, m := range candidates[1:] {
		if Bytes(m, l) < Bytes(best, l) {
			best = m
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
	for most := 2 * min(l.Heads, l.Tokens); ranks > 0 && (step < 0 || ranks <= most); ranks += step {
		if len(meshes(ranks, l)) > 0 {
			return ranks
		}
	}
	return 0
}

// ChooseUpTo returns the mesh of the most ranks, at most limit (from 1), that some mesh has; among
// those the one with the fewest bytes.
func ChooseUpTo(limit int, l Load) Mesh {
	most := min(limit, 2*min(l.Heads, l.Tokens))
	if m, err := Choose(usable(most, -1, l), l); err == nil {
		return m
	}
	return Mesh{CFG: 1, Ulysses: 1}
}

// Option is a mesh that the planner weighed.
type Option struct {
	Mesh  Mesh
	Bytes int64 // per step, all ranks together
	Best  bool
}

// Explain lists the meshes of exactly this many ranks with their bytes; the chosen one is Best.
func Explain(ranks int, l Load) ([]Option, error) {
	best, err := Choose(ranks, l)
	if err != nil {
		return nil, err
	}
	var out []Option
	for _, m := range meshes(ranks, l) {
		out = append(out, Option{m, Bytes(m, l), m == best})
	}
	return out, nil
}
