package partition

import (
	"fmt"
	"strconv"
	"strings"
)

// Mesh arranges ranks: rank = cfg·Ulysses + ulysses. CFG is 2 where the branches of guidance run
// on two groups at once, else 1; Ulysses ranks share a sequence.
type Mesh struct{ CFG, Ulysses int }

// Size returns the number of ranks.
func (m Mesh) Size() int { return m.CFG * m.Ulysses }

// String returns the form that ParseMesh reads.
func (m Mesh) String() string { return fmt.Sprintf("cfg=%d,ulysses=%d", m.CFG, m.Ulysses) }

// ParseMesh reads "cfg=2,ulysses=3" in any order; what is left out is 1. `window` is known, but
// only as 1.
func ParseMesh(s string) (Mesh, error) {
	m, window := Mesh{CFG: 1, Ulysses: 1}, 1
	axes := map[string]*int{"cfg": &m.CFG, "ulysses": &m.Ulysses, "window": &window}
	for part := range strings.SplitSeq(s, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		axis, ok := axes[name]
		if !ok {
			return Mesh{}, fmt.Errorf("mesh %q: %q is not one of cfg=N, ulysses=N, once each", s, part)
		}
		delete(axes, name)
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 || n > ranksMax {
			return Mesh{}, fmt.Errorf("mesh %q: %s=%q is not a number from 1 to %d",
				s, name, value, ranksMax)
		}
		*axis = n
	}
	if window != 1 {
		return Mesh{}, fmt.Errorf("mesh %q: window=%d is not supported; only 1 is", s, window)
	}
	return m, nil
}
