package diffusion

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/longtake/longtake/internal/partition"
)

func drawGrid(t *rapid.T) partition.Grid {
	n := func(name string, most int) int { return rapid.IntRange(1, most).Draw(t, name) }
	g := partition.Grid{PT: n("pt", 2), PH: n("ph", 3), PW: n("pw", 3)}
	g.T, g.H, g.W = g.PT*n("t", 3), g.PH*n("h", 4), g.PW*n("w", 4)
	return g
}

// TestTokensScatter: the tokens of any tiling, scattered one after the other, give the latent back,
// and each token is gathered where its own range says.
func TestTokensScatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := drawGrid(t)
		channels := rapid.IntRange(1, 4).Draw(t, "channels")
		latent := make([]float32, channels*g.T*g.H*g.W)
		for i := range latent {
			latent[i] = float32(i + 1)
		}
		all := Tokens(latent, channels, g, partition.Range{Lo: 0, Hi: g.Tokens()})
		back := make([]float32, len(latent))
		var joined []float32
		for _, own := range partition.Even(g.Tokens(), rapid.IntRange(1, 5).Draw(t, "ranks")) {
			tokens := Tokens(latent, channels, g, own)
			joined = append(joined, tokens...)
			Scatter(back, tokens, channels, g, own)
		}
		if !slices.Equal(back, latent) {
			t.Fatalf("%v is not the latent", back)
		}
		if !slices.Equal(joined, all) {
			t.Fatalf("the ranges' tokens %v are not the whole's %v", joined, all)
		}
	})
}

func TestScatterLeavesTheRest(t *testing.T) {
	g := partition.Grid{T: 1, H: 2, W: 4, PT: 1, PH: 2, PW: 2}
	latent := []float32{0, 1, 2, 3, 4, 5, 6, 7}
	own := partition.Range{Lo: 1, Hi: 2}
	if got := Tokens(latent, 1, g, own); !slices.Equal(got, []float32{2, 3, 6, 7}) {
		t.Errorf("token 1 is %v", got)
	}
	Scatter(latent, []float32{-1, -2, -3, -4}, 1, g, own)
	if want := []float32{0, 1, -1, -2, 4, 5, -3, -4}; !slices.Equal(latent, want) {
		t.Errorf("scattered to %v, want %v", latent, want)
	}
}

// TestTokenOrder: within a token the patch is walked frame, row, column, and channels are fastest.
func TestTokenOrder(t *testing.T) {
	g := partition.Grid{T: 2, H: 1, W: 2, PT: 2, PH: 1, PW: 2}
	latent := []float32{0, 1, 2, 3, 10, 11, 12, 13} // [C 2, T 2, H 1, W 2]
	got := Tokens(latent, 2, g, partition.Range{Lo: 0, Hi: 1})
	if want := []float32{0, 10, 1, 11, 2, 12, 3, 13}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
