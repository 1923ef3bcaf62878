package partition

import (
	"fmt"
)

// Mesh arranges ranks on three axes: rank = (window·CFG + cfg)·Ulysses + ulysses. CFG is 2 where
// the two branches of guidance run on different ranks, else 1. Ulysses ranks share a sequence.
// Window groups share the windows of a long clip; 0 means 1, and is the form that meshes without
// groups have. The JSON form is part of requests and of the coordinators' log.
type Mesh struct {
	Window  int `json:"window,omitempty"`
	CFG     int `json:"cfg"`
	Ulysses int `json:"ulysses"`
}

// Windows returns the number of groups that share the windows.
func (m Mesh) Windows() int { return max(1, m.Window) }

// Size returns the number of ranks.
func (m Mesh) Size() int { return m.Windows() * m.CFG * m.Ulysses }

// String returns the form in which people write a mesh, as requests have it.
func (m Mesh) String() string {
	text := fmt.Sprintf("cfg=%d,ulysses=%d", m.CFG, m.Ulysses)
	if m.Window > 1 {
		text = fmt.Sprintf("window=%d,", m.Window) + text
	}
	return text
}
