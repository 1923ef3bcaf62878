package partition

import (
	"fmt"
	"strconv"
	"strings"
)

// Mesh arranges ranks: rank = (window·CFG + cfg)·Ulysses + ulysses. CFG is 2 where the branches of
// guidance run on two groups at once, else 1; Ulysses ranks share a sequence; Window groups share
// the windows of a long clip. Window 0 is 1, and the form that all but long clips have.
type Mesh struct{ Window, CFG, Ulysses int }

// Windows returns the number of groups that share the windows.
func (m Mesh) Windows() int { return max(1, m.Window) }

// Size returns the number of ranks.
func (m Mesh) Size() int { return m.Windows() * m.CFG * m.Ulysses }

// String returns the form that ParseMesh reads.
func (m Mesh) String() string {
	text := fmt.Sprintf("cfg=%d,ulysses=%d", m.CFG, m.Ulysses)
	if m.Window > 1 {
		text = fmt.Sprintf("window=%d,", m.Window) + text
	}
	return text
}

// ParseMesh reads "window=2,cfg=2,ulysses=3" in any order; what is left out is 1.
func ParseMesh(s string) (Mesh, error) {
	m := Mesh{Window: 1, CFG: 1, Ulysses: 1}
	axes := map[string]*int{"cfg": &m.CFG, "ulysses": &m.Ulysses, "window": &m.Window}
	for part := range strings.SplitSeq(s, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		axis, ok := axes[name]
		if !ok {
			return Mesh{}, fmt.Errorf("mesh %q: %q is not one of window=N, cfg=N, ulysses=N, once each",
				s, part)
		}
		delete(axes, name)
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 || n > ranksMax {
			return Mesh{}, fmt.Errorf("mesh %q: %s=%q is not a number from 1 to %d",
				s, name, value, ranksMax)
		}
		*axis = n
	}
	if m.Window == 1 {
		m.Window = 0
	}
	return m, nil
}
