package partition

// Grid is a latent of T frames, H rows and W columns, cut into patches of PT x PH x PW that divide
// them. Tokens are the patches in (t, h, w) order, w fastest.
type Grid struct{ T, H, W, PT, PH, PW int }

// Tokens returns the number of patches.
func (g Grid) Tokens() int { return g.T / g.PT * (g.H / g.PH) * (g.W / g.PW) }

// Timeline cuts the grid's frames into windows of so many latent frames, which like the overlap
// divide by PT; window 0: into none.
func (g Grid) Timeline(window, overlap int, uniform bool) Timeline {
	return Timeline{Frames: g.T / g.PT, PerFrame: g.H / g.PH * (g.W / g.PW),
		Window: window / g.PT, Overlap: overlap / g.PT, Uniform: uniform}
}

// Coordinate returns the place of a token, in patches.
func (g Grid) Coordinate(token int) (t, h, w int) {
	rows, cols := g.H/g.PH, g.W/g.PW
	return token / (rows * cols), token / cols % rows, token % cols
}
