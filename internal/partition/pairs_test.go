package partition

import (
	"testing"

	"pgregory.net/rapid"
)

// TestPairsAddUp: what pairs of ranks send each other is what all of them send together.
func TestPairsAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		int := func(lo, hi int, name string) int { return rapid.IntRange(lo, hi).Draw(t, name) }
		l := Load{Heads: int(1, 8, "heads"), HeadDim: 4, Layers: 3, TokenWidth: 8, ElementBytes: 2,
			Guided: rapid.Bool().Draw(t, "guided")}
		l.Timeline = Timeline{Frames: int(1, 30, "frames"), PerFrame: int(1, 5, "per frame"),
			Window: int(2, 9, "window"), Overlap: int(0, 1, "overlap")}

		all := Meshes(int(1, 12, "limit"), l)
		m := all[int(0, len(all)-1, "mesh")]
		if err := Check(m, l); err != nil {
			t.Fatalf("%v: %v", m, err)
		}
		want := Bytes(m, l)

		var velocities int64
		for _, p := range Velocities(m, l, nil) {
			velocities += p.Bytes
		}
		if velocities != want.Guidance+want.Seams {
			t.Fatalf("%v: velocities of %d bytes, not %d and %d", m, velocities, want.Guidance, want.Seams)
		}

		var pass int64
		p := PassOf(m, l)
		for from := range m.Ulysses {
			for to := range m.Ulysses {
				if from != to {
					pass += p.Bytes(from, to)
				}
			}
		}
		if got := pass * l.Passes(); got != want.Activations {
			t.Fatalf("%v: activations of %d bytes, not %d", m, got, want.Activations)
		}
	})
}

// TestSeamPairsAreThoseOfTheLayout compares them with what the ranks ask each other for.
func TestSeamPairsAreThoseOfTheLayout(t *testing.T) {
	l := Load{Heads: 8, HeadDim: 4, Layers: 3, TokenWidth: 8, Guided: true,
		Timeline: Timeline{Frames: 61, PerFrame: 7, Window: 9, Overlap: 3}}
	m := Mesh{Window: 3, CFG: 2, Ulysses: 3}
	layout := Layout{Timeline: l.Timeline, Mesh: m}

	got := map[[2]int]int64{}
	for _, p := range Velocities(m, l, nil) {
		_, a, _ := layout.Place(p.From)
		if _, b, _ := layout.Place(p.To); a == b {
			got[[2]int{p.From, p.To}] += p.Bytes
		}
	}
	for from := range m.Size() {
		for to := range m.Size() {
			var want int64
			if layout.Paired(from, to) {
				for _, piece := range layout.Seams(0, from, to) {
					want += int64(piece.Tokens.Len() * l.TokenWidth * floatBytes)
				}
			}
			if got[[2]int{from, to}] != want {
				t.Errorf("rank %d sends %d %d bytes, not %d", from, to, got[[2]int{from, to}], want)
			}
		}
	}
}
