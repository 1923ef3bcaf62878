package job

import (
	"fmt"
	"strconv"
	"strings"
)

// meshAllowed says what parseMesh reads.
var meshAllowed = fmt.Sprintf("window=N, cfg=N and ulysses=N, once each, N from 1 to %d, "+
	"such as cfg=2,ulysses=3", ShardsLimit)

// parseMesh reads "window=2,cfg=2,ulysses=3" in any order; what is left out is 1. "" is no mesh.
func parseMesh(text string) (Mesh, bool) {
	if text == "" {
		return Mesh{}, true
	}

	m := Mesh{Window: 1, CFG: 1, Ulysses: 1}
	axes := map[string]*int{"cfg": &m.CFG, "ulysses": &m.Ulysses, "window": &m.Window}
	// Each axis is taken out of the list once it was given, so that a second time is an error.
	for part := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		axis, ok := axes[name]
		if !ok {
			return Mesh{}, false
		}
		delete(axes, name)
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 || n > ShardsLimit {
			return Mesh{}, false
		}
		*axis = n
	}
	if m.Window == 1 {
		m.Window = 0 // a mesh without windows is written without them, too
	}
	return m, true
}

// checkMesh wants a mesh of positive counts that agrees with the number of shards.
func checkMesh(s Spec) error {
	m := s.Mesh
	if m == (Mesh{}) {
		return nil
	}

	w := max(1, m.Window)
	if m.Window < 0 || w > ShardsLimit || m.CFG < 1 || m.CFG > 2 || m.Ulysses < 1 ||
		m.Ulysses > ShardsLimit/m.CFG/w {
		return &FieldError{"mesh", m.String(),
			"window from 1, cfg 1 or 2, ulysses from 1, 1024 ranks at most"}
	}

	if s.Shards != 0 && s.Shards != m.Size() {
		return &FieldError{"shards", number(s.Shards),
			fmt.Sprintf("%d, the size of mesh %s, or leave it out", m.Size(), m.String())}
	}
	if m.CFG == 2 && !s.Guided() {
		return &FieldError{"mesh", m.String(), "cfg=1 unless guidance_scale is above 1"}
	}
	return nil
}
